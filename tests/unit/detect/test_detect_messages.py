"""Between the protobuf messages of Detect and what the use cases work with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.types.v1 import types_pb2
from overt.errors import Rejected
from overt.reasons import Reason
from overt_detect import wire
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.analysing import Analysis, Found
from overt_detect.domain.geometry import Box, Face
from overt_detect.domain.quality import Light, Pose, Quality
from overt_detect.ports import Pixels

pytestmark = pytest.mark.unit


def _points(*corners: tuple[float, float]) -> list[types_pb2.Point]:
    return [types_pb2.Point(x=x, y=y) for x, y in corners]


def test_an_opening_without_wishes_takes_the_defaults() -> None:
    opening = wire.opening(pb.Opening(deployment="d-1", camera="north"))
    assert opening.smallest_face_px is None
    assert opening.zone.corners == ()


def test_an_opening_with_a_zone() -> None:
    message = pb.Opening(deployment="d", camera="c", smallest_face_px=48, zone=_points((0, 0), (1, 0), (1, 1)))
    opening = wire.opening(message)
    assert opening.smallest_face_px == 48
    assert opening.zone.corners == ((0, 0), (1, 0), (1, 1))


@pytest.mark.parametrize(
    "message",
    [
        pb.Opening(),
        pb.Opening(deployment="d", camera="../c"),
        pb.Opening(deployment="d", camera="c", smallest_face_px=-1),
        pb.Opening(deployment="d", camera="c", smallest_face_px=float("nan")),
        pb.Opening(deployment="d", camera="c", zone=_points((0, 0), (1, 1))),
        pb.Opening(deployment="d", camera="c", zone=_points((0, 0), (1, 0), (1, 1.5))),
        pb.Opening(deployment="d", camera="c", zone=_points((0, 0), (1, 0), (1, float("nan")))),
        pb.Opening(deployment="d", camera="c", zone=_points(*[(0, 0)] * 100)),
    ],
)
def test_an_opening_that_makes_no_sense_is_refused(message: pb.Opening) -> None:
    with pytest.raises(Rejected) as refused:
        wire.opening(message)
    assert refused.value.reason is Reason.BAD_FIELD


def test_an_opening_may_want_faces_from_everywhere() -> None:
    assert not wire.opening(pb.Opening(deployment="d", camera="c")).everywhere
    assert wire.opening(pb.Opening(deployment="d", camera="c", everywhere=True)).everywhere


def test_a_frame_has_a_picture_and_it_is_decoded_later() -> None:
    decoded: list[object] = []
    picture = BgrPixels(np.zeros((64, 64, 3), np.uint8))

    def from_jpeg(data: bytes) -> Pixels:
        decoded.append(data)
        return picture

    def from_raw(width: int, height: int, data: bytes) -> Pixels:
        decoded.append((width, height, data))
        return picture

    raw = pb.RawPicture(width=2, height=3, bgr=b"abc")
    later = [
        wire.picture(frame, from_jpeg=from_jpeg, from_raw=from_raw)
        for frame in (pb.FrameToAnalyse(jpeg=b"j"), pb.FrameToAnalyse(raw=raw))
    ]
    assert decoded == []
    assert all(get() is picture for get in later)
    assert decoded == [b"j", (2, 3, b"abc")]
    with pytest.raises(Rejected):
        wire.picture(pb.FrameToAnalyse(), from_jpeg=from_jpeg, from_raw=from_raw)


def test_a_reply_holds_every_face_with_a_template_or_a_reason() -> None:
    face = Face(Box(1, 2, 3, 4), np.arange(10, dtype=np.float32).reshape(5, 2), 0.9)
    quality = Quality(4, Pose(1, 2, 3), 0.9, 0.95, Light(50, 120))
    template = np.eye(1, 128, dtype=np.float32)[0]
    unseen = replace(quality, light=None)
    found = (Found(7, face, quality, template), Found(0, face, unseen, refused=Reason.NOT_TRACKED))
    reply = wire.analysed(12, Analysis(found, (3, 4), 640, 360))
    assert (reply.sequence, list(reply.ended_tracks), reply.width, reply.height) == (12, [3, 4], 640, 360)
    shot, other = reply.faces
    assert (shot.track, shot.refused, other.track, other.refused) == (7, "", 0, "not_tracked")
    assert np.array_equal(np.frombuffer(shot.template, "<f4"), template)
    assert other.template == b""
    assert [(p.x, p.y) for p in shot.landmarks] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    for told in (shot.quality, other.quality):
        assert (told.size_px, told.yaw_deg, told.pitch_deg, told.roll_deg) == (4, 1, 2, 3)
        assert told.detector_score == pytest.approx(0.9)
    assert (shot.quality.sharpness, shot.quality.brightness) == (50, 120)
    assert (other.quality.sharpness, other.quality.brightness) == (0, 0), "nobody has looked"
