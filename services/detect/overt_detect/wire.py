"""Between the protobuf messages of Detect and what the use cases work with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.types.v1 import types_pb2
from overt.errors import Rejected
from overt.models import PreparedPack
from overt.reasons import Reason
from overt.subjects import checked_id
from overt.wire import template_to_bytes

from overt_detect.analysing import Analysis, Found
from overt_detect.domain.geometry import Zone
from overt_detect.domain.quality import Quality
from overt_detect.ports import Pixels

_MOST_CORNERS = 64


@dataclass(frozen=True, slots=True)
class StreamOpening:
    """What a stream says first. `smallest_face_px` None: the service's default."""

    deployment: str
    camera: str
    smallest_face_px: float | None
    zone: Zone
    everywhere: bool = False


def opening(message: pb.Opening) -> StreamOpening:
    """Rejected(BAD_FIELD) for ids that are none, and for a zone or a size that makes no sense."""
    smallest = message.smallest_face_px
    if not (math.isfinite(smallest) and 0 <= smallest <= 4096):
        raise Rejected(Reason.BAD_FIELD, "smallest_face_px is 0 to 4096 pixels")
    corners = tuple((point.x, point.y) for point in message.zone)
    if corners and not 3 <= len(corners) <= _MOST_CORNERS:
        raise Rejected(Reason.BAD_FIELD, f"a zone has 3 to {_MOST_CORNERS} corners, or none")
    if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in corners):
        raise Rejected(Reason.BAD_FIELD, "a zone's corners are fractions of width and height, 0 to 1")
    return StreamOpening(
        checked_id(message.deployment), checked_id(message.camera), smallest or None, Zone(corners), message.everywhere
    )


def picture(
    frame: pb.FrameToAnalyse, *, from_jpeg: Callable[[bytes], Pixels], from_raw: Callable[[int, int, bytes], Pixels]
) -> Callable[[], Pixels]:
    """How to get the frame's picture, once it is this frame's turn. Rejected(BAD_MESSAGE) without one."""
    kind = frame.WhichOneof("picture")
    if kind == "jpeg":
        jpeg = frame.jpeg
        return lambda: from_jpeg(jpeg)
    if kind == "raw":
        raw = frame.raw
        return lambda: from_raw(raw.width, raw.height, raw.bgr)
    raise Rejected(Reason.BAD_MESSAGE, "a frame has a picture")


def analysed(sequence: int, analysis: Analysis) -> pb.AnalyseReply:
    return pb.AnalyseReply(
        sequence=sequence,
        faces=[_face(found) for found in analysis.faces],
        ended_tracks=analysis.ended,
        width=analysis.width,
        height=analysis.height,
    )


def quality(found: Quality) -> types_pb2.Quality:
    """Without sharpness and brightness, if nobody has looked at them."""
    told = types_pb2.Quality(
        size_px=found.size_px,
        yaw_deg=found.pose.yaw,
        pitch_deg=found.pose.pitch,
        roll_deg=found.pose.roll,
        detector_score=found.detector_score,
    )
    if found.light is not None:
        told.sharpness, told.brightness = found.light.sharpness, found.light.brightness
    return told


def description(
    prepared: PreparedPack, *, epoch: str, engine: str, provider: str, precision: str, parity: float, side_by_side: int
) -> pb.DescribeReply:
    return pb.DescribeReply(
        epoch=epoch,
        pack=prepared.pack.name,
        model_digest=prepared.digest,
        models=[pb.Model(name=m.name, task=m.task, licence=m.licence, sha256=m.sha256) for m in prepared.pack.models],
        engine=engine,
        execution_provider=provider,
        precision=precision,
        parity=parity,
        side_by_side=side_by_side,
        template_length=prepared.pack.template_length,
    )


def _face(found: Found) -> pb.FoundFace:
    box = found.face.box
    return pb.FoundFace(
        track=found.track,
        box=types_pb2.Box(x=box.x, y=box.y, width=box.width, height=box.height),
        landmarks=[types_pb2.Point(x=float(x), y=float(y)) for x, y in found.face.landmarks],
        quality=quality(found.quality),
        template=b"" if found.template is None else template_to_bytes(found.template),
        refused=found.refused or "",
    )
