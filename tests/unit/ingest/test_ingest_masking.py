"""What a match leaves behind shows nobody else: the masking, the crop, and the size of evidence."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.api.alerts.v1 import alerts_pb2
from overt.crypto import sealing
from overt.errors import Rejected
from overt.ids import alert_id
from overt.pictures import LONGEST_SIDE_PX, MOST_BYTES, SHORTEST_SIDE_PX
from overt.reasons import Reason
from overt_ingest.adapters.checking import check, sheets_of
from overt_ingest.adapters.masking import (
    MARGIN,
    MOST_CROP_BYTES,
    MOST_SCENE_BYTES,
    SCENE_SIDE_PX,
    develop,
    mask,
    mask_all,
    mask_more,
    masked_scene,
    shrink,
)
from overt_ingest.adapters.pixels import JpegPicture, pulled_picture, pushed_picture, wire_picture
from overt_ingest.adapters.studio import MOST_EVIDENCE_BYTES, SealingStudio
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Away, Box, Decision, FoundFace, Verdict
from overt_ingest.domain.sighting import Pictures
from overt_ingest.ports import Finding

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
_BOX = st.builds(Box, st.floats(-150, 450), st.floats(-150, 350), st.floats(0.5, 200), st.floats(0.5, 200))


def noise(width: int, height: int, seed: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(alerted=_BOX, others=st.lists(_BOX, max_size=5))
def test_of_every_other_face_and_its_margin_only_one_colour_is_left(alerted: Box, others: list[Box]) -> None:
    picture = noise(400, 300)
    before = picture.copy()
    masked = mask(picture, alerted=alerted, others=others)
    assert (picture == before).all(), "the picture itself is not touched"
    ys, xs = np.mgrid[0:300, 0:400]

    def inside(box: Box, margin: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        left, right = box.x - margin * box.width, box.x + (1 + margin) * box.width
        top, bottom = box.y - margin * box.height, box.y + (1 + margin) * box.height
        # A pixel that the rectangle touches at all belongs to it.
        return np.asarray((xs + 1 > left) & (xs < right) & (ys + 1 > top) & (ys < bottom))

    own = inside(alerted, 0)
    hidden = np.zeros((300, 400), bool)
    for other in others:
        hidden |= inside(other, MARGIN)
    assert (masked[own] == before[own]).all()
    assert (masked[~own & ~hidden] == before[~own & ~hidden]).all()
    for other in others:
        block = inside(other, MARGIN) & ~own
        for another in others:
            if another is not other:
                block &= ~inside(another, MARGIN)
        if block.any():
            assert len(np.unique(masked[block], axis=0)) == 1
    # The colour is one of 8 x 8 x 8.
    for channel in range(3):
        assert set(np.unique(masked[hidden & ~own][:, channel])) <= set(range(16, 256, 32))


def test_the_crop_shows_no_neighbour_either() -> None:
    picture = np.full((400, 600, 3), 40, np.uint8)
    picture[100:200, 200:280] = 90
    picture[100:200, 300:380] = (0, 0, 255)
    pictures = develop(picture, alerted=Box(200, 100, 80, 100), others=[Box(300, 100, 80, 100)])
    for jpeg in (pictures.crop, pictures.scene):
        shown = simplejpeg.decode_jpeg(jpeg, "BGR")
        red = (shown[:, :, 2].astype(int) - shown[:, :, 0]) > 220
        assert not red.any(), "a flat block of another, coarse colour"
    crop = simplejpeg.decode_jpeg(pictures.crop, "BGR")
    assert crop.shape[:2] == (190, 152)


def test_the_scene_is_scaled_and_the_face_with_it() -> None:
    pictures = develop(np.full((1080, 1920, 3), 90, np.uint8), alerted=Box(960, 540, 120, 150), others=[])
    scene = simplejpeg.decode_jpeg(pictures.scene, "BGR")
    assert scene.shape[:2] == (720, SCENE_SIDE_PX)
    face = pictures.face
    assert (face.x, face.y, face.width, face.height) == pytest.approx((640, 360, 80, 100))


@pytest.mark.parametrize("size", [(1920, 1080), (1281, 721), (2560, 1440), (3840, 2160), (4096, 2160)])
def test_nothing_of_another_face_bleeds_out_of_its_block_when_the_scene_is_made_smaller(size: tuple[int, int]) -> None:
    """A white face in a black picture: of white, and of its margin, nothing is left but the block's own colour."""
    width, height = size
    for left in range(800, 806):
        picture = np.zeros((height, width, 3), np.uint8)
        top, side, margin = 307, 100, int(MARGIN * 100)
        picture[top - margin : top + side + margin, left - margin : left + side + margin] = 255
        other = Box(left, top, side, side)
        scene, scale = masked_scene(picture, alerted=Box(30, 30, 60, 70), others=[other])
        assert max(scene.shape[:2]) == SCENE_SIDE_PX
        block = scene[int((top + side / 2) * scale), int((left + side / 2) * scale)]
        assert set(np.unique(scene)) == {0, block[0]}


def test_the_worst_picture_fits_too() -> None:
    """Noise is what compresses worst."""
    pictures = develop(noise(4096, 3000), alerted=Box(1500, 1000, 900, 1100), others=[])
    assert len(pictures.scene) <= MOST_SCENE_BYTES
    assert len(pictures.crop) <= MOST_CROP_BYTES


def test_a_face_that_is_not_in_the_picture_is_refused() -> None:
    with pytest.raises(Rejected):
        develop(noise(100, 100), alerted=Box(500, 500, 10, 10), others=[])


# The masking is checked


def _pictures(width: int = 1920, height: int = 1080) -> Pictures:
    return develop(noise(width, height), alerted=Box(300, 200, 90, 120), others=[])


async def test_a_clean_scene_is_looked_at_from_every_side_and_left_alone() -> None:
    pictures = _pictures()
    # In the scene; at three quarters; below that at half its size, and beside that in the crop.
    finder = Finder(
        [[Box(200, 133, 60, 80)], [Box(150, 100, 45, 60), Box(100, 572 + 66, 30, 40), Box(672 + 41, 572 + 54, 90, 120)]]
    )
    assert await check(pictures, finder) == replace(pictures, checked=True)
    assert finder.asked == [[(1280, 736), (960, 960)]]
    scene, smaller = finder.seen[0]
    assert (scene[:720] == simplejpeg.decode_jpeg(pictures.scene, "BGR")).all(), "as it is kept"
    assert (smaller[572:800, 672:844] == simplejpeg.decode_jpeg(pictures.crop, "BGR")).all()
    assert (smaller[540:572] == 128).all()
    assert (smaller[572:, 640:672] == 128).all()


async def test_somebody_who_was_missed_is_blocked_out_wherever_he_is_seen() -> None:
    pictures = _pictures()
    scene = simplejpeg.decode_jpeg(pictures.scene, "BGR").astype(int)
    finder = Finder(
        [
            [Box(1000, 500, 40, 50)],
            [Box(300, 30, 15, 18), Box(350, 572 + 100, 10, 12), Box(672 + 140, 572 + 30, 20, 25)],
        ]
    )
    checked = await check(pictures, finder)
    again = simplejpeg.decode_jpeg(checked.scene, "BGR").astype(int)
    for x, y, width, height in ((1000, 500, 40, 50), (400, 40, 20, 24), (700, 200, 20, 24)):
        block = (slice(y, y + height), slice(x, x + width))
        assert scene[block].std() > 20
        assert again[block].std(axis=(0, 1)).max() < 6
    crop = simplejpeg.decode_jpeg(checked.crop, "BGR").astype(int)
    assert crop[32:52, 142:158].std(axis=(0, 1)).max() < 6
    assert len(finder.asked) == 2, "and it was looked at again"


@pytest.mark.parametrize(
    "answers",
    [[Away(Reason.DETECT_AWAY)], [[[Box(1000, 500, 40, 50)]]] * 9, [[[Box(900, 50, 9, 9)]], Away(Reason.DEADLINE)]],
)
async def test_what_cannot_be_made_sure_of_is_not_shown(answers: list[list[list[Box]] | Away]) -> None:
    checked = await check(_pictures(), finder := Finder(*answers))
    assert len(finder.asked) <= 4
    assert checked.checked, "there is nobody left to be found"
    face = checked.face
    scene = simplejpeg.decode_jpeg(checked.scene, "BGR").astype(int)
    own = (slice(int(face.y), int(face.y + face.height)), slice(int(face.x), int(face.x + face.width)))
    assert scene[own].std() > 20, "the alerted face is there"
    scene[int(face.y - 30) : int(face.y + face.height + 30), int(face.x - 30) : int(face.x + face.width + 30)] = 128
    assert abs(scene - 128).max() <= 2, "and nothing else"


async def test_a_small_scene_is_not_looked_at_any_smaller() -> None:
    pictures = develop(noise(640, 480), alerted=Box(300, 200, 20, 24), others=[])
    assert simplejpeg.decode_jpeg_header(pictures.crop)[:2] == (46, 38)
    finder = Finder()
    await check(pictures, finder)
    assert finder.asked == [[(640, 576)]]
    assert (finder.seen[0][0][512 : 512 + 46, :38] == simplejpeg.decode_jpeg(pictures.crop, "BGR")).all()


@pytest.mark.parametrize("size", [(1080, 1920), (1280, 1280), (4096, 64), (64, 4096), (64, 64)])
async def test_every_sheet_fits_into_a_question(size: tuple[int, int]) -> None:
    finder = Finder()
    await check(develop(noise(*size), alerted=Box(10, 10, 40, 40), others=[]), finder)
    for sheet in finder.seen[0]:
        assert sheet.nbytes <= MOST_BYTES
        assert max(sheet.shape) <= LONGEST_SIDE_PX
        assert min(sheet.shape[:2]) >= SHORTEST_SIDE_PX


@pytest.mark.parametrize(
    "work",
    [
        lambda made: develop(noise(2700, 1500), alerted=Box(900, 500, 520, 550), others=[Box(1300, 300, 90, 90)]),
        lambda made: mask_more(made, in_scene=[Box(10, 10, 50, 50)], in_crop=[Box(0, 0, 9, 9)]),
        lambda made: mask_all(made),
        lambda made: shrink(made, len(made.scene) // 3),
        lambda made: shrink(made, 100),
        lambda made: sheets_of(made),
    ],
    ids=["develop", "mask_more", "mask_all", "shrink", "shrink in vain", "sheets"],
)
def test_every_picture_that_is_made_on_the_way_is_overwritten(
    work: Callable[[Pictures], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, met = _pictures(), list[Any]()

    def noted(module: Any, name: str, picture_of: Callable[[Any, Any], Any]) -> None:
        real = getattr(module, name)

        def noting(first: Any, *args: Any, **kwargs: Any) -> Any:
            given = real(first, *args, **kwargs)
            met.append(picture_of(first, given))
            return given

        monkeypatch.setattr(module, name, noting)

    noted(cv2, "resize", lambda first, given: given)
    noted(simplejpeg, "decode_jpeg", lambda first, given: given)
    noted(simplejpeg, "encode_jpeg", lambda first, given: first)
    with suppress(Rejected):
        work(pictures)
    assert len(met) > 1
    assert not any(picture.any() for picture in met)


# Evidence


def _finding(card: bytes = b"card") -> Finding:
    verdict = Verdict(
        Decision.AGREED, list_revision=3, entry_id="entry", score=0.6, threshold=0.4, sealed_entry_card=card
    )
    return Finding("track-1", verdict, NOW, NOW + timedelta(seconds=0.2))


class Finder:
    """Finds what it is told to, on the first sheets that it is asked about."""

    def __init__(self, *answers: list[list[Box]] | Away) -> None:
        self.answers = list(answers)
        self.asked: list[list[tuple[int, int]]] = []
        self.seen: list[list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []

    async def find(self, pictures: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> list[list[Box]]:
        self.asked.append([(picture.shape[1], picture.shape[0]) for picture in pictures])
        self.seen.append([picture.copy() for picture in pictures])
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Away):
            raise answer
        return answer + [[] for _ in range(len(pictures) - len(answer))]


async def test_evidence_opens_with_the_deployments_key_only_and_says_everything() -> None:
    private, public = sealing.generate_key_pair()
    studio = SealingStudio(CameraSpec("dep", "cam", sealing_public_key=public), Finder())
    faces = [FoundFace(1, Box(100, 100, 80, 100), b"t"), FoundFace(0, Box(300, 100, 60, 70))]
    pictures = await studio.develop(
        JpegPicture(simplejpeg.encode_jpeg(noise(640, 480), colorspace="BGR")), faces, faces[0]
    )
    with pytest.raises(RuntimeError):
        await studio.seal(pictures, _finding())
    pictures = await studio.check(pictures)
    sealed = await studio.seal(pictures, _finding())
    assert sealed.alert_id == alert_id("dep", "cam", "track-1", "entry")
    assert sealed.message_id.startswith(sealed.alert_id)
    assert pictures.scene[:200] not in sealed.sealed
    evidence = alerts_pb2.Evidence.FromString(sealing.unseal(private, sealed.sealed))
    assert (evidence.deployment, evidence.camera, evidence.track, evidence.entry_id) == (
        "dep",
        "cam",
        "track-1",
        "entry",
    )
    assert evidence.probe_jpeg == pictures.crop
    assert evidence.scene_jpeg == pictures.scene
    assert evidence.scene_face.width == pytest.approx(80)
    assert evidence.sealed_entry_card == b"card"
    assert evidence.uncalibrated
    assert (evidence.last_captured_at.ToDatetime() - evidence.first_captured_at.ToDatetime()) == timedelta(seconds=0.2)
    with pytest.raises(Rejected):
        sealing.unseal(sealing.generate_key_pair()[0], sealed.sealed)


async def test_a_large_card_makes_the_scene_smaller_and_a_huge_one_is_refused() -> None:
    _, public = sealing.generate_key_pair()
    studio = SealingStudio(CameraSpec("dep", "cam", sealing_public_key=public), Finder())
    pictures = replace(develop(noise(1920, 1080), alerted=Box(900, 500, 120, 150), others=[]), checked=True)
    assert len(pictures.scene) > 200_000
    sealed = await studio.seal(pictures, _finding(bytes(300_000)))
    assert len(sealed.sealed) <= MOST_EVIDENCE_BYTES
    with pytest.raises(Rejected) as refused:
        await studio.seal(pictures, _finding(bytes(MOST_EVIDENCE_BYTES)))
    assert refused.value.reason is Reason.MESSAGE_TOO_LARGE


# Pictures at the door and on the way


def _jpeg(width: int, height: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(noise(width, height), colorspace="BGR"))


def _claiming(width: int, height: int) -> bytes:
    data = bytearray(_jpeg(64, 64))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_A_JPEG),
        (b"hello", Reason.NOT_A_JPEG),
        (b"\xff\xd8\xff", Reason.NOT_A_JPEG),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), Reason.NOT_A_JPEG),
        (_jpeg(1, 1), Reason.PICTURE_TOO_SMALL),
        (_claiming(20_000, 20_000), Reason.PICTURE_TOO_LARGE),
        (b"\xff\xd8" + bytes(8 * 1024 * 1024), Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_not_a_usable_jpeg_is_refused_unread(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        pushed_picture(data)
    assert refused.value.reason is reason


def test_a_pushed_picture_travels_as_it_came_and_is_decoded_only_when_asked() -> None:
    data = _jpeg(64, 80)
    picture = pushed_picture(data)
    sent, raw = wire_picture(picture)
    assert sent is data
    assert raw is None
    assert picture.size_bytes == len(data), "nothing was decoded"
    pixels = picture.bgr()
    assert pixels.shape == (80, 64, 3)
    assert "JpegPicture(" in repr(picture)
    picture.destroy()
    picture.destroy()
    assert picture.jpeg is None
    assert not pixels.any(), "overwritten"
    with pytest.raises(RuntimeError):
        picture.bgr()


def _decoded(width: int, height: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(noise(width, height), format="bgr24").reformat(format="yuv420p")


def test_a_pulled_picture_is_converted_once_travels_raw_and_is_overwritten() -> None:
    picture = pulled_picture(_decoded(80, 64))
    jpeg, raw = wire_picture(picture)
    assert jpeg is None
    assert raw is not None
    assert raw is picture.bgr()
    picture.destroy()
    assert not raw.any()
    with pytest.raises(RuntimeError):
        picture.bgr()


def test_a_pulled_picture_that_is_too_large_to_travel_raw_travels_as_a_jpeg() -> None:
    jpeg, raw = wire_picture(pulled_picture(_decoded(2560, 1440)))
    assert raw is None
    assert jpeg is not None
    assert simplejpeg.decode_jpeg_header(io.BytesIO(jpeg).getvalue())[:2] == (1440, 2560)


_FORMATS = ("yuv420p", "yuvj420p", "nv12", "yuv422p", "yuvj422p", "yuv444p", "gray", "yuv420p10le", "bgr24")


@pytest.mark.parametrize("pixel_format", _FORMATS)
def test_the_planes_of_every_format_show_the_same_picture(pixel_format: str) -> None:
    smooth = cv2.resize(noise(12, 9), (336, 190), interpolation=cv2.INTER_CUBIC)
    frame = av.VideoFrame.from_ndarray(smooth, format="bgr24").reformat(format=pixel_format)
    picture = pulled_picture(frame)
    assert picture.i420_bytes == 336 * 190 * 3 // 2
    buffer = memoryview(bytearray(picture.i420_bytes))
    assert picture.i420_into(buffer) == (336, 190)
    shown = cv2.cvtColor(np.frombuffer(buffer, np.uint8).reshape(190 * 3 // 2, 336), cv2.COLOR_YUV2BGR_I420)
    expected = frame.to_ndarray(format="bgr24").astype(int)
    assert np.abs(shown - expected).mean() < 3


def test_full_range_that_only_the_frame_knows_of_is_made_limited() -> None:
    frame = _decoded(64, 64)
    for plane, value in zip(frame.planes, (255, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.color_range = 2
    buffer = memoryview(bytearray(64 * 64 * 3 // 2))
    pulled_picture(frame).i420_into(buffer)
    assert 233 <= max(buffer[: 64 * 64]) <= 236


def test_of_an_odd_side_the_last_row_or_column_is_left_out() -> None:
    frame = av.VideoFrame.from_ndarray(noise(120, 90), format="bgr24").reformat(101, 67, format="yuv420p")
    picture = pulled_picture(frame)
    assert picture.i420_bytes == 100 * 66 * 3 // 2
    buffer = memoryview(bytearray(picture.i420_bytes))
    assert picture.i420_into(buffer) == (100, 66)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    assert (np.frombuffer(buffer, np.uint8)[:6600].reshape(66, 100) == luma[:66, :100]).all()


def test_what_came_as_a_jpeg_has_no_planes() -> None:
    picture = pushed_picture(_jpeg(64, 64))
    assert picture.i420_bytes is None
    assert picture.i420_into(memoryview(bytearray(10))) is None
