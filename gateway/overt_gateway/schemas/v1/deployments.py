"""Deployments on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from overt_gateway.aim import DEFAULT_TARGET_FPIR, DEFAULT_THRESHOLD, MOST_TARGET_FPIR, Aim
from overt_gateway.control import NewDeployment
from overt_gateway.domain import MOST_CAMERAS, Deployment
from overt_gateway.schemas.v1.cameras import CameraIn, CameraOut, Id, Name, Strict

_DAY_S = 86_400


RawThreshold = Annotated[
    float | None,
    Field(ge=0.2, le=0.9, description=f"raw cosine, uncalibrated; {DEFAULT_THRESHOLD} unless one asks for anything"),
]
TargetFpir = Annotated[
    float | None,
    Field(
        gt=0,
        le=MOST_TARGET_FPIR,
        description="with a calibration, instead of a threshold: false positive identifications for each search of "
        f"somebody who is not listed; {DEFAULT_TARGET_FPIR} unless one asks for anything",
    ),
]


class DeploymentIn(Strict):
    """What an applicant asks for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "High Street, market day",
                    "id": "high-street-1",
                    "starts_at": "2026-05-01T10:00:00Z",
                    "ends_at": "2026-05-01T15:00:00Z",
                    "cameras": [{"id": "north-gate", "name": "North gate"}],
                }
            ]
        }
    )

    name: Name
    id: Id | None = Field(None, description="part of subjects and streams; made from the name if not given")
    starts_at: AwareDatetime | None = Field(None, description="default: now")
    ends_at: AwareDatetime | None = Field(None, description="default: five hours later; at most 24")
    threshold: RawThreshold = None
    target_fpir: TargetFpir = None
    alert_retention_seconds: int = Field(_DAY_S, ge=_DAY_S, le=31 * _DAY_S, description="1 to 31 days")
    cameras: list[CameraIn] = Field(default_factory=list, max_length=MOST_CAMERAS)

    @model_validator(mode="after")
    def _cameras_differ(self) -> DeploymentIn:
        ids = [camera.id for camera in self.cameras]
        if len(set(ids)) != len(ids):
            raise ValueError("two cameras have the same id")
        return self

    @model_validator(mode="after")
    def _one_aim(self) -> DeploymentIn:
        Aim.of(self.threshold, self.target_fpir)
        return self

    def to_domain(self) -> NewDeployment:
        return NewDeployment(
            name=self.name,
            deployment_id=self.id,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            aim=Aim.of(self.threshold, self.target_fpir),
            alert_retention=timedelta(seconds=self.alert_retention_seconds),
            cameras=tuple(camera.to_domain() for camera in self.cameras),
        )


class AimIn(Strict):
    """A draft's new aim: one of the two."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"target_fpir": 0.001}]})

    threshold: RawThreshold = None
    target_fpir: TargetFpir = None

    @model_validator(mode="after")
    def _one_aim(self) -> AimIn:
        if self.threshold is None and self.target_fpir is None:
            raise ValueError("give threshold (a raw cosine) or target_fpir (with a calibration)")
        Aim.of(self.threshold, self.target_fpir)
        return self

    def to_domain(self) -> Aim:
        return Aim.of(self.threshold, self.target_fpir)


class DeploymentOut(BaseModel):
    """A deployment. `authority` and `calibration` belong to whatever is shown or printed of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "high-street-1",
                    "name": "High Street, market day",
                    "state": "active",
                    "authority": "unauthorised: development",
                    "uncalibrated": False,
                    "calibration": "calibrated, target 1 in 1,000",
                    "calibration_digest": "sha256 in hex",
                    "target_fpir": 0.001,
                    "starts_at": "2026-05-01T10:00:00Z",
                    "ends_at": "2026-05-01T15:00:00Z",
                    "threshold": 4.731902,
                    "under_18_threshold": 5.480117,
                    "threshold_extrapolated": False,
                    "alert_retention_seconds": 86400,
                    "cameras": [
                        {
                            "id": "north-gate",
                            "name": "North gate",
                            "kind": "push",
                            "smallest_face_px": None,
                            "zone": [],
                        }
                    ],
                    "list_size": 1800,
                    "list_digest": "sha256 in hex",
                    "created_at": "2026-05-01T08:12:00Z",
                    "created_by": "applicant",
                }
            ]
        }
    )

    id: str
    name: str
    state: str
    authority: str
    uncalibrated: bool
    calibration: str = Field(description="the same in words: uncalibrated, or calibrated with its target")
    calibration_digest: str | None = Field(description="of the cohort file in force")
    target_fpir: float | None = Field(
        description="false positive identifications for each search of somebody who is not listed; of an uncalibrated "
        "draft: what it will aim at once a calibration is in force"
    )
    starts_at: datetime
    ends_at: datetime
    threshold: float | None = Field(
        description="a raw cosine while uncalibrated, otherwise a normalised score: any number, made when the list is "
        "sealed; null until then"
    )
    under_18_threshold: float | None = Field(description="likewise, of entries under 18; null without a calibration")
    threshold_extrapolated: bool = Field(description="the threshold lies beyond what the calibration saw")
    alert_retention_seconds: int
    cameras: list[CameraOut]
    list_size: int = Field(description="of the sealed list; 0 in a draft")
    list_digest: str | None = Field(description="of the sealed list")
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, deployment: Deployment) -> DeploymentOut:
        return cls(
            id=deployment.deployment_id,
            name=deployment.name,
            state=deployment.state.value,
            authority=deployment.authority,
            uncalibrated=deployment.uncalibrated,
            calibration=deployment.calibration_words,
            calibration_digest=deployment.calibration_digest or None,
            target_fpir=deployment.target_fpir or None,
            starts_at=deployment.starts_at,
            ends_at=deployment.ends_at,
            # Stored as float32: 0.45 comes back as 0.44999998.
            threshold=round(deployment.threshold, 6) if deployment.has_threshold else None,
            under_18_threshold=(
                round(deployment.under_18_threshold, 6)
                if deployment.has_threshold and not deployment.uncalibrated
                else None
            ),
            threshold_extrapolated=deployment.threshold_extrapolated,
            alert_retention_seconds=int(deployment.alert_retention.total_seconds()),
            cameras=[CameraOut.of(camera) for camera in deployment.cameras],
            list_size=deployment.list_size,
            list_digest=deployment.list_digest or None,
            created_at=deployment.created_at,
            created_by=deployment.created_by,
        )


class DeploymentsOut(BaseModel):
    """Newest first."""

    deployments: list[DeploymentOut]
