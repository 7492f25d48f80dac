"""Calibration and forecast on the wire: never with a template."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from overt_gateway.domain import Deployment
from overt_gateway.ports import Calibration, Expected, Forecast


class CohortOut(BaseModel):
    """What may be told of a cohort file."""

    digest: str = Field(description="SHA-256 of the file, in hex")
    model_digest: str = Field(description="of the model that made its templates")
    people: int
    templates: int
    groups: dict[str, int] = Field(description="people by label; which template is whose is told nobody")
    source: str
    legal_basis: str
    made_at: datetime
    best: int = Field(description="K, a, b: how scores are normalised")
    a: float
    b: float
    tells_misses: bool = Field(description="it was made with mated pictures, so misses can be foretold")

    @classmethod
    def of(cls, calibration: Calibration) -> CohortOut:
        return cls(
            digest=calibration.digest,
            model_digest=calibration.model_digest,
            people=calibration.people,
            templates=calibration.templates,
            groups=dict(calibration.groups),
            source=calibration.source,
            legal_basis=calibration.legal_basis,
            made_at=calibration.made_at,
            best=calibration.best,
            a=calibration.a,
            b=calibration.b,
            tells_misses=calibration.tells_misses,
        )


_COHORT: dict[str, Any] = {
    "digest": "sha256 in hex",
    "model_digest": "sha256 in hex",
    "people": 992,
    "templates": 992,
    "groups": {"group one": 498, "group two": 494},
    "source": "volunteers of the spring trial",
    "legal_basis": "consent, form 12",
    "made_at": "2026-04-02T09:30:00Z",
    "best": 50,
    "a": 1.5,
    "b": 0.0,
    "tells_misses": True,
}


class CalibrationOut(BaseModel):
    """Under what calibration a deployment runs, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "deployment": "high-street-1",
                    "authority": "unauthorised: development",
                    "uncalibrated": False,
                    "calibration": "calibrated, target 1 in 1,000",
                    "target_fpir": 0.001,
                    "in_force": _COHORT,
                }
            ]
        }
    )

    deployment: str
    authority: str
    uncalibrated: bool
    calibration: str = Field(description="in words: uncalibrated, or calibrated with its target")
    target_fpir: float | None = Field(description="false positive identifications for each search it aims at")
    in_force: CohortOut | None

    @classmethod
    def of(cls, deployment: Deployment, calibration: Calibration | None) -> CalibrationOut:
        return cls(
            deployment=deployment.deployment_id,
            authority=deployment.authority,
            uncalibrated=deployment.uncalibrated,
            calibration=deployment.calibration_words,
            target_fpir=deployment.target_fpir or None,
            in_force=CohortOut.of(calibration) if calibration else None,
        )


class ExpectedOut(BaseModel):
    """With its 95 % interval."""

    value: float
    low: float
    high: float
    extrapolated: bool = Field(description="beyond what the calibration saw")

    @classmethod
    def of(cls, expected: Expected) -> ExpectedOut:
        return cls(value=expected.value, low=expected.low, high=expected.high, extrapolated=expected.extrapolated)


class ForecastOut(BaseModel):
    """What to expect of one shot of each passer-by: the figures of `overt forecast` on the same file."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "deployment": "high-street-1",
                    "authority": "unauthorised: development",
                    "list_size": 1800,
                    "footfall": 9000,
                    "threshold": 5.813,
                    "fpir": {"value": 0.001, "low": 0.0004, "high": 0.0023, "extrapolated": True},
                    "false_alerts": {"value": 9.0, "low": 2, "high": 22, "extrapolated": True},
                    "missed": {"value": 0.11, "low": 0.08, "high": 0.15, "extrapolated": False},
                    "in_force": _COHORT,
                }
            ]
        }
    )

    deployment: str
    authority: str
    list_size: int = Field(description="reference pictures that a search compares with")
    footfall: int = Field(description="people who pass and are not listed")
    threshold: float = Field(description="the normalised score it was made with")
    fpir: ExpectedOut = Field(description="the chance that somebody who is not listed reaches it")
    false_alerts: ExpectedOut = Field(description="low to high holds the number of 95 days in 100 like this one")
    missed: ExpectedOut | None = Field(description="of listed people, in each of their tracks; null if not known")
    in_force: CohortOut

    @classmethod
    def of(cls, deployment: Deployment, forecast: Forecast) -> ForecastOut:
        return cls(
            deployment=deployment.deployment_id,
            authority=deployment.authority,
            list_size=forecast.list_size,
            footfall=forecast.footfall,
            threshold=forecast.score,
            fpir=ExpectedOut.of(forecast.fpir),
            false_alerts=ExpectedOut.of(forecast.false_alerts),
            missed=ExpectedOut.of(forecast.missed) if forecast.missed else None,
            in_force=CohortOut.of(forecast.calibration),
        )
