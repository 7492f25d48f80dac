"""Cameras on the wire, and what they share with deployments: ids and names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from overt.errors import Rejected
from overt.subjects import checked_id
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from overt_gateway.domain import Camera
from overt_gateway.ports import CameraState

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


class Strict(BaseModel):
    """Input: an unknown field is an error, and no error quotes what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class PointIn(Strict):
    """In fractions of the picture's width and height, from the top left."""

    x: Fraction
    y: Fraction


class CameraIn(Strict):
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
