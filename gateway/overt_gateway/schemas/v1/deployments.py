"""Deployments and cameras on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from overt.errors import Rejected
from overt.subjects import checked_id
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

from overt_gateway.control import NewDeployment
from overt_gateway.domain import MOST_CAMERAS, Camera, Deployment
from overt_gateway.ports import CameraState

DEFAULT_THRESHOLD = 0.45
"""Raw cosine of the open pack; nothing is calibrated yet, and everything that shows it says so."""
_DAY_S = 86_400
_SCHEMES = ("rtsp", "rtsps", "http", "https")
_MAX_URL = 2000


def _id(value: str) -> str:
    try:
        return checked_id(value)
    except Rejected as error:
        raise ValueError(str(error)) from None


def _printable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("printable characters on one line, and not only spaces")
    return value.strip()


def _source(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(text) > _MAX_URL or not text.isprintable() or " " in text:
        raise ValueError(f"a URL of a camera: {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    return value


Id = Annotated[str, AfterValidator(_id), Field(max_length=40, examples=["north-gate"])]
Name = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=120)]
SourceUrl = Annotated[SecretStr, AfterValidator(_source)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    """Input: an unknown field is an error, and no error quotes what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class PointIn(_Strict):
    """In fractions of the picture's width and height, from the top left."""

    x: Fraction
    y: Fraction


class CameraIn(_Strict):
    """A camera. Without `source_url` it pushes over gRPC."""

    id: Id
    name: Name
    source_url: SourceUrl | None = Field(
        None,
        description="rtsp, rtsps, http or https; may hold a password, so it is never shown again",
        examples=["rtsps://camera-7.example/stream1"],
    )
    smallest_face_px: float | None = Field(
        None, ge=12, le=1000, description="faces with a shorter longer side are not tracked"
    )
    zone: list[PointIn] | None = Field(
        None,
        min_length=3,
        max_length=32,
        description="polygon of recognition: faces outside of it are masked, and never templated",
    )

    def to_domain(self) -> Camera:
        return Camera(
            camera_id=self.id,
            name=self.name,
            source_url=self.source_url.get_secret_value() if self.source_url else "",
            smallest_face_px=self.smallest_face_px or 0.0,
            zone=tuple((point.x, point.y) for point in self.zone or ()),
        )


class DeploymentIn(_Strict):
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
    threshold: float = Field(DEFAULT_THRESHOLD, ge=0.2, le=0.9, description="raw cosine, uncalibrated")
    alert_retention_seconds: int = Field(_DAY_S, ge=_DAY_S, le=31 * _DAY_S, description="1 to 31 days")
    cameras: list[CameraIn] = Field(default_factory=list, max_length=MOST_CAMERAS)

    @model_validator(mode="after")
    def _cameras_differ(self) -> DeploymentIn:
        ids = [camera.id for camera in self.cameras]
        if len(set(ids)) != len(ids):
            raise ValueError("two cameras have the same id")
        return self

    def to_domain(self) -> NewDeployment:
        return NewDeployment(
            name=self.name,
            deployment_id=self.id,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            threshold=self.threshold,
            alert_retention=timedelta(seconds=self.alert_retention_seconds),
            cameras=tuple(camera.to_domain() for camera in self.cameras),
        )


class PointOut(BaseModel):
    x: float
    y: float


class CameraOut(BaseModel):
    """A camera as registered. Where its pictures come from is told as `kind` only."""

    id: str
    name: str
    kind: Literal["push", "pull"]
    smallest_face_px: float | None
    zone: list[PointOut]

    @classmethod
    def of(cls, camera: Camera) -> CameraOut:
        return cls(
            id=camera.camera_id,
            name=camera.name,
            kind=camera.kind,
            smallest_face_px=camera.smallest_face_px or None,
            zone=[PointOut(x=x, y=y) for x, y in camera.zone],
        )


class DeploymentOut(BaseModel):
    """A deployment. `authority` and `uncalibrated` belong to whatever is shown or printed of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "high-street-1",
                    "name": "High Street, market day",
                    "state": "active",
                    "authority": "unauthorised: development",
                    "uncalibrated": True,
                    "starts_at": "2026-05-01T10:00:00Z",
                    "ends_at": "2026-05-01T15:00:00Z",
                    "threshold": 0.45,
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
    starts_at: datetime
    ends_at: datetime
    threshold: float
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
            # No calibration exists yet that a deployment could stand on.
            uncalibrated=True,
            starts_at=deployment.starts_at,
            ends_at=deployment.ends_at,
            # Stored as float32: 0.45 comes back as 0.44999998.
            threshold=round(deployment.threshold, 6),
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


class CameraStateOut(CameraOut):
    """A camera and whether it is looked through right now."""

    sight: Literal["waiting", "seeing", "blind", "closed"]
    reason: str | None = Field(description="why it is blind: a reason code")
    frames_per_second: float
    analysed_per_second: float
    faces_seen: int
    frames_destroyed: int
    at: datetime | None = Field(description="when this was said")

    @classmethod
    def seen(cls, camera: Camera, state: CameraState) -> CameraStateOut:
        return cls(
            **CameraOut.of(camera).model_dump(),
            sight=state.sight.value,
            reason=state.reason or None,
            frames_per_second=round(state.frames_per_second, 2),
            analysed_per_second=round(state.analysed_per_second, 2),
            faces_seen=state.faces_seen,
            frames_destroyed=state.frames_destroyed,
            at=state.at,
        )


class CamerasOut(BaseModel):
    deployment: str
    authority: str
    uncalibrated: bool
    cameras: list[CameraStateOut]


class CameraTokenOut(BaseModel):
    """Good for this camera of this deployment, until the window closes."""

    token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    deployment: str
    camera: str
    expires_at: datetime
