"""Alerts on the wire. An alert is a claim to be checked by people, never an identification."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from overt_gateway.aim import UNCALIBRATED
from overt_gateway.domain import UNAUTHORISED, Deployment
from overt_gateway.ports import Alert, AlertEvent, Rival
from overt_gateway.schemas.v1.watchlist import category_label


class BoxOut(BaseModel):
    """Pixels of the scene picture, from the top left."""

    x: float
    y: float
    width: float
    height: float


class SightingOut(BaseModel):
    camera: str
    captured_at: datetime
    score: float


class EvidenceOut(BaseModel):
    """Paths of the pictures (image/jpeg). They need the token like everything else."""

    probe: str
    reference: str
    scene: str
    rival_reference: str | None = Field(None, description="of an ambiguous alert: the other entry's reference")


class RivalOut(BaseModel):
    """Another entry of the list that is about as like."""

    entry_id: str
    subject_ref: str
    category: str
    category_label: str
    under_18: bool

    @classmethod
    def of(cls, rival: Rival) -> RivalOut:
        return cls(
            entry_id=rival.entry_id,
            subject_ref=rival.subject_ref,
            category=rival.category,
            category_label=category_label(rival.category),
            under_18=rival.under_18,
        )


class AlertOut(BaseModel):
    """`score` and `threshold` are raw cosines while `uncalibrated`, and nothing stands behind them; otherwise
    normalised scores, any number. With `ambiguous` a second entry, the `rival`, is about as like: compare with both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5a0c7c0e-8f0e-5d0e-9b7e-2f1d8c1b7a11",
                    "deployment": "high-street-1",
                    "authority": "unauthorised: development",
                    "state": "open",
                    "camera": "north-gate",
                    "entry_id": "8f14e45f-ceea-467f-a83c-0a6f1c7b2d10",
                    "subject_ref": "case-2231",
                    "category": "wanted_by_court",
                    "category_label": "Wanted by a court",
                    "reason": "failed to appear on 3 March",
                    "legal_basis": "warrant 4411",
                    "under_18": False,
                    "score": 5.8127,
                    "threshold": 4.731902,
                    "uncalibrated": False,
                    "calibration": "calibrated, target 1 in 1,000",
                    "target_fpir": 0.001,
                    "ambiguous": True,
                    "rival": {
                        "entry_id": "c1b7a110-8f0e-4d0e-9b7e-5a0c7c0e2f1d",
                        "subject_ref": "case-1907",
                        "category": "wanted_by_court",
                        "category_label": "Wanted by a court",
                        "under_18": False,
                    },
                    "first_captured_at": "2026-05-01T11:03:20.120Z",
                    "raised_at": "2026-05-01T11:03:20.480Z",
                    "expires_at": "2026-05-02T11:03:20.480Z",
                    "sightings": [
                        {
                            "camera": "north-gate",
                            "captured_at": "2026-05-01T11:03:20.120Z",
                            "score": 5.8127,
                        }
                    ],
                    "scene_face": {"x": 410.0, "y": 122.0, "width": 61.0, "height": 80.0},
                    "evidence": {
                        "probe": "/v1/deployments/high-street-1/alerts/5a0c7c0e.../evidence/probe",
                        "reference": "/v1/deployments/high-street-1/alerts/5a0c7c0e.../evidence/reference",
                        "scene": "/v1/deployments/high-street-1/alerts/5a0c7c0e.../evidence/scene",
                        "rival_reference": (
                            "/v1/deployments/high-street-1/alerts/5a0c7c0e.../evidence/rival_reference"
                        ),
                    },
                }
            ]
        }
    )

    id: str
    deployment: str
    authority: str
    state: str = Field(description="open, or expired: then its key is destroyed, and only ids and times are left")
    camera: str
    entry_id: str
    subject_ref: str
    category: str
    category_label: str
    reason: str
    legal_basis: str
    under_18: bool
    score: float
    threshold: float
    uncalibrated: bool
    calibration: str = Field(description="the same in words: uncalibrated, or calibrated with its target")
    target_fpir: float | None = Field(description="what the threshold was made of; null while uncalibrated")
    ambiguous: bool = Field(description="another entry is about as like: see rival")
    rival: RivalOut | None
    first_captured_at: datetime
    raised_at: datetime
    expires_at: datetime
    sightings: list[SightingOut]
    scene_face: BoxOut | None
    evidence: EvidenceOut | None

    @classmethod
    def of(cls, alert: Alert, deployment: Deployment) -> AlertOut:
        """`deployment`: the one it was raised in."""
        base = f"/v1/deployments/{alert.deployment}/alerts/{alert.alert_id}/evidence"
        face = alert.scene_face
        return cls(
            id=alert.alert_id,
            deployment=alert.deployment,
            authority=UNAUTHORISED,
            state=alert.state,
            camera=alert.camera,
            entry_id=alert.entry_id,
            subject_ref=alert.subject_ref,
            category=alert.category,
            category_label=category_label(alert.category),
            reason=alert.reason,
            legal_basis=alert.legal_basis,
            under_18=alert.under_18,
            score=round(alert.score, 4),
            threshold=round(alert.threshold, 6),
            uncalibrated=alert.uncalibrated,
            calibration=UNCALIBRATED if alert.uncalibrated else deployment.calibration_words,
            target_fpir=None if alert.uncalibrated else deployment.target_fpir or None,
            ambiguous=alert.rival is not None,
            rival=RivalOut.of(alert.rival) if alert.rival else None,
            first_captured_at=alert.first_captured_at,
            raised_at=alert.raised_at,
            expires_at=alert.expires_at,
            sightings=[
                SightingOut(camera=s.camera, captured_at=s.captured_at, score=round(s.score, 4))
                for s in alert.sightings
            ],
            scene_face=BoxOut(x=face[0], y=face[1], width=face[2], height=face[3]) if face else None,
            evidence=None
            if alert.state != "open"
            else EvidenceOut(**{part.value: f"{base}/{part.value}" for part in alert.pictures}),
        )


class AlertsOut(BaseModel):
    """Newest first."""

    deployment: str
    authority: str
    alerts: list[AlertOut]


class AlertEventOut(BaseModel):
    """Data of an `alert` event of the stream; `kind` is raised, sighted_again or expired."""

    kind: str
    alert: AlertOut

    @classmethod
    def of(cls, event: AlertEvent, deployment: Deployment) -> AlertEventOut:
        return cls(kind=event.kind, alert=AlertOut.of(event.alert, deployment))
