"""What a match leaves behind shows nobody else: the masking, the crop, and the size of evidence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

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
from overt.pictures import LONGEST_SIDE_PX, MOST_BYTES, SHEET_PX, SHORTEST_SIDE_PX
from overt.reasons import Reason
from overt_ingest.adapters.checking import GAP_PX, check, sheet_of
from overt_ingest.adapters.masking import (
    CROP_SIDE_PX,
    MARGIN,
    MOST_CROP_BYTES,
    MOST_SCENE_BYTES,
    SCENE_SIDE_PX,
    SURROUNDINGS,
    develop,
    mask,
    mask_all,
    mask_more,
    masked_scene,
    shrink,
    surroundings,
)
from overt_ingest.adapters.pixels import JpegPicture
from overt_ingest.adapters.studio import MOST_EVIDENCE_BYTES, SealingStudio
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Away, Box, Decision, FoundFace, Verdict
from overt_ingest.domain.sighting import Pictures
from overt_ingest.ports import Finding

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
_BOX = st.builds(Box, st.floats(-150, 450), st.floats(-150, 350), st.floats(0.5, 200), st.floats(0.5, 200))


Shown = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def noise(width: int, height: int, seed: int = 1) -> Shown:
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


# The scene is what is around the person


@st.composite
def _faces_in_frames(draw: st.DrawFn) -> tuple[int, int, Box]:
    """A frame's width and height, and a face of which at least a pixel lies in it: in a corner, or half outside too."""
    width, height = draw(st.integers(SHORTEST_SIDE_PX, 2600)), draw(st.integers(SHORTEST_SIDE_PX, 2600))
    size = st.floats(2, 100) | st.floats(2, 3000)
    across, down = draw(size), draw(size)
    x = draw(st.sampled_from([0.0, width - across]) | st.floats(1 - across, width - 1))
    y = draw(st.sampled_from([0.0, height - down]) | st.floats(1 - down, height - 1))
    return width, height, Box(max(x, 1 - across), max(y, 1 - down), across, down)


@settings(max_examples=500, deadline=None)
@given(_faces_in_frames())
def test_the_scene_is_a_square_inside_the_frame_with_the_face_in_it(case: tuple[int, int, Box]) -> None:
    width, height, face = case
    around = surroundings(face, width, height)
    across, down = around.right - around.left, around.bottom - around.top
    assert 0 <= around.left < around.right <= width
    assert 0 <= around.top < around.bottom <= height
    side = round(max(SURROUNDINGS * max(face.width, face.height), SCENE_SIDE_PX))
    side = min(side, width, height)
    assert across == side or side < across <= face.width + 2, "more only for a face that is longer"
    assert down == side or side < down <= face.height + 2
    # All of the face that the frame shows.
    assert around.left <= max(face.x, 0)
    assert min(face.x + face.width, width) <= around.right
    assert around.top <= max(face.y, 0)
    assert min(face.y + face.height, height) <= around.bottom
    if max(face.width, face.height) > side / 4:
        return
    # In the middle and a quarter down, unless the frame ends there.
    left, top = face.x + face.width / 2 - across / 2, face.y + face.height / 2 - down / 4
    assert around.left == pytest.approx(min(max(left, 0), width - across), abs=1)
    assert around.top == pytest.approx(min(max(top, 0), height - down), abs=1)


@settings(max_examples=40, deadline=None)
@given(_faces_in_frames())
def test_scenes_and_sheets_are_of_bounded_size(case: tuple[int, int, Box]) -> None:
    """Whatever the frame: a look costs no more than that."""
    width, height, face = case
    pictures = develop(np.full((height, width, 3), 90, np.uint8), alerted=face, others=[])
    scene, crop = (simplejpeg.decode_jpeg_header(jpeg)[:2] for jpeg in (pictures.scene, pictures.crop))
    assert max(scene) <= SCENE_SIDE_PX
    if max(face.width, face.height) < min(width, height):
        assert set(scene) == {min(SCENE_SIDE_PX, width, height)}
    assert max(crop) <= CROP_SIDE_PX
    sheet = sheet_of(pictures).picture
    assert sheet.shape[1] <= SCENE_SIDE_PX + GAP_PX + max(CROP_SIDE_PX, SCENE_SIDE_PX // 2)
    assert sheet.shape[0] <= CROP_SIDE_PX + GAP_PX + SCENE_SIDE_PX // 2
    assert all(side == SHORTEST_SIDE_PX or side % 32 == 0 for side in sheet.shape[:2]), "few sizes"


@pytest.mark.parametrize("face", [Box(900, 300, 30, 40), Box(0, 0, 60, 70), Box(700, 500, 300, 380)])
def test_the_sheet_is_of_the_size_that_detect_is_ready_for(face: Box) -> None:
    pictures = develop(np.full((1080, 1920, 3), 90, np.uint8), alerted=face, others=[])
    assert sheet_of(pictures).picture.shape[1::-1] == SHEET_PX


_CORNERS = [(x, y) for y in (0, 300, 1000) for x in (0, 900, 1840)]


@pytest.mark.parametrize("size", [(30, 40), (64, 50), (70, 80)])
@pytest.mark.parametrize("corner", _CORNERS)
def test_the_boxes_lie_on_the_face_in_scene_and_crop(corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A white face in a black frame, found again by its colour."""
    (x, y), (width, height) = corner, size
    frame = np.zeros((1080, 1920, 3), np.uint8)
    frame[y : y + height, x : x + width] = 255
    pictures = develop(frame, alerted=Box(x, y, width, height), others=[])
    for jpeg, face in ((pictures.scene, pictures.face), (pictures.crop, pictures.face_in_crop)):
        rows, columns = np.nonzero(simplejpeg.decode_jpeg(jpeg, "BGR")[:, :, 1] > 127)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx((face.x, face.y, face.x + face.width, face.y + face.height), abs=1)


@pytest.mark.parametrize("size", [(30, 40), (60, 50)])
@pytest.mark.parametrize("corner", _CORNERS)
def test_whatever_is_outside_of_the_scene_leaves_nothing_in_it(corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Neither its pixels, nor that somebody was found there."""
    face = Box(*corner, *size)
    around = surroundings(face, 1920, 1080)
    frame, another = noise(1920, 1080), noise(1920, 1080, seed=2)
    around.of(another)[:] = around.of(frame)
    outside = [
        Box(x, y, 40, 50)
        for x, y in ((around.left - 60, 500), (around.right + 20, 10), (900, around.top - 70), (20, around.bottom + 20))
    ]
    assert (frame != another).any()
    assert develop(frame, alerted=face, others=outside) == develop(another, alerted=face, others=[])


@pytest.mark.parametrize("height", [40, 60], ids=["full size", "made smaller"])
def test_of_a_neighbour_on_the_edge_of_the_scene_nothing_is_seen_either(height: int) -> None:
    face = Box(900, 400, 30, height)
    around = surroundings(face, 1920, 1080)
    on_the_edges = [
        Box(around.left - 30, 500, 60, 70),
        Box(around.right - 5, 300, 60, 70),
        Box(900, around.top - 40, 60, 70),
        Box(800, around.bottom - 30, 60, 70),
    ]
    frame = np.full((1080, 1920, 3), 40, np.uint8)
    for box in on_the_edges:
        x, y = int(box.x), int(box.y)
        frame[max(y, 0) : y + 70, x : x + 60] = (0, 0, 255)
    pictures = develop(frame, alerted=face, others=on_the_edges)
    shown = simplejpeg.decode_jpeg(pictures.scene, "BGR").astype(int)
    assert not (shown[:, :, 2] - shown[:, :, 0] > 220).any()
    bare = simplejpeg.decode_jpeg(develop(frame, alerted=face, others=[]).scene, "BGR").astype(int)
    for edge in (bare[:, 0], bare[:, -1], bare[0], bare[-1]):
        assert (edge[:, 2] - edge[:, 0] > 220).any(), "it would have been kept"


def test_the_scene_is_scaled_and_the_face_with_it() -> None:
    pictures = develop(np.full((1080, 1920, 3), 90, np.uint8), alerted=Box(900, 300, 50, 64), others=[])
    scene = simplejpeg.decode_jpeg(pictures.scene, "BGR")
    assert scene.shape[:2] == (SCENE_SIDE_PX, SCENE_SIDE_PX), "of 896 pixels"
    face = pictures.face
    assert (face.x, face.y, face.width, face.height) == pytest.approx((302, 137, 36, 46), abs=0.5)


@pytest.mark.parametrize(
    "size", [(960, 960), (1281, 1281), (1120, 1080), (1920, 1080), (2560, 1440), (3840, 2160), (4096, 2160)]
)
def test_nothing_of_another_face_bleeds_out_of_its_block_when_the_scene_is_made_smaller(size: tuple[int, int]) -> None:
    """A white face in a black picture: of white, and of its margin, nothing is left but the block's own colour."""
    width, height = size
    for left in range(800, 807):
        picture = np.zeros((height, width, 3), np.uint8)
        top, side, margin = 307, 100, int(MARGIN * 100)
        picture[top - margin : top + side + margin, left - margin : left + side + margin] = 255
        other = Box(left, top, side, side)
        scene, scale = masked_scene(picture, alerted=Box(30, 30, 60, 70), others=[other])
        assert max(scene.shape[:2]) == SCENE_SIDE_PX
        block = scene[int((top + side / 2) * scale), int((left + side / 2) * scale)]
        assert set(np.unique(scene)) == {0, block[0]}


@pytest.mark.parametrize("size", [(900, 1100), (45, 30), (160, 168)])
def test_the_worst_picture_fits_too(size: tuple[int, int]) -> None:
    """Noise compresses worst; most of it is in a scene that is not made smaller, and in the crop of a large face."""
    pictures = develop(noise(4096, 3000), alerted=Box(1500, 1000, *size), others=[])
    assert len(pictures.scene) <= MOST_SCENE_BYTES
    assert len(pictures.crop) <= MOST_CROP_BYTES


def test_a_face_that_is_not_in_the_picture_is_refused() -> None:
    with pytest.raises(Rejected):
        develop(noise(100, 100), alerted=Box(500, 500, 10, 10), others=[])


# The masking is checked


def _pictures() -> Pictures:
    """A scene of 640 px square, and a crop of 96 x 122. The face is at 302, 137 and at 23, 29."""
    return develop(noise(1920, 1080), alerted=Box(900, 300, 50, 64), others=[])


_CROP_AT, _SMALLER_AT = (672, 0), (672, 154)


async def test_a_clean_scene_is_looked_at_once_and_left_alone() -> None:
    pictures = _pictures()
    finder = Finder([Box(302, 137, 36, 46), Box(672 + 23, 29, 50, 64), Box(672 + 151, 154 + 68, 18, 23)])
    assert await check(pictures, finder) == replace(pictures, checked=True)
    assert finder.asked == [(992, 640)]
    (sheet,) = finder.seen
    scene = simplejpeg.decode_jpeg(pictures.scene, "BGR")
    expected = np.full((640, 992, 3), 128, np.uint8)
    expected[:640, :640] = scene
    expected[:122, 672:768] = simplejpeg.decode_jpeg(pictures.crop, "BGR")
    expected[154:474, 672:] = cv2.resize(scene, (320, 320), interpolation=cv2.INTER_AREA)
    assert (sheet == expected).all(), "as they are kept, and grey between them"


async def test_the_sheet_is_overwritten_whatever_comes_of_the_question() -> None:
    finder = Finder([Box(500, 450, 40, 50)], Away(Reason.DETECT_AWAY))
    await check(_pictures(), finder)
    assert len(finder.given) == 2
    assert all(sheet.any() for sheet in finder.seen)
    assert not any(sheet.any() for sheet in finder.given)


@pytest.mark.parametrize(
    ("found", "block", "in_crop"),
    [
        (Box(500, 450, 40, 50), (500, 450, 40, 50), False),
        (Box(_SMALLER_AT[0] + 48, _SMALLER_AT[1] + 200, 16, 20), (96, 400, 32, 40), False),
        (Box(_CROP_AT[0] + 76, _CROP_AT[1] + 95, 16, 20), (80, 97, 15, 15), True),
    ],
    ids=["in the scene", "at half its size", "in the crop"],
)
async def test_somebody_who_was_missed_is_blocked_out_wherever_he_is_seen(
    found: Box, block: tuple[int, int, int, int], in_crop: bool
) -> None:
    pictures = _pictures()
    checked = await check(pictures, finder := Finder([found]))
    x, y, width, height = block
    part = (slice(y, y + height), slice(x, x + width))
    before, after = (
        simplejpeg.decode_jpeg(each.crop if in_crop else each.scene, "BGR")[part].astype(int)
        for each in (pictures, checked)
    )
    assert before.std() > 20
    assert after.std(axis=(0, 1)).max() < 6
    assert len(finder.asked) == 2, "and it was looked at again"
    assert checked.checked


async def test_all_who_were_missed_are_blocked_out_at_once() -> None:
    strangers = [Box(500, 450, 40, 50), Box(672 + 48, 154 + 200, 16, 20), Box(672 + 76, 95, 16, 20)]
    checked = await check(_pictures(), finder := Finder([*strangers, Box(302, 137, 36, 46)]))
    scene, crop = (simplejpeg.decode_jpeg(jpeg, "BGR").astype(int) for jpeg in (checked.scene, checked.crop))
    for block in (scene[450:500, 500:540], scene[400:440, 96:128], crop[97:112, 80:95]):
        assert block.std(axis=(0, 1)).max() < 6
    for own, face in ((scene, checked.face), (crop, checked.face_in_crop)):
        middle = own[int(face.y) + 4 : int(face.y + face.height) - 4, int(face.x) + 4 : int(face.x + face.width) - 4]
        assert middle.std() > 20, "the alerted face is there"
    assert len(finder.asked) == 2


_sheet = cache(lambda: sheet_of(_pictures()))


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 992), st.floats(0, 640), st.floats(0.5, 60))
def test_what_is_found_on_a_sheet_lies_in_one_picture_at_most(x: float, y: float, size: float) -> None:
    in_scene, in_crop = _sheet().sort([Box(x - size / 2, y - size / 2, size, size)])
    assert len(in_scene) + len(in_crop) <= 1
    for left, top, width, height, scale, boxes in (
        (0, 0, 640, 640, 1.0, in_scene),
        (672, 154, 320, 320, 0.5, in_scene),
        (672, 0, 96, 122, 1.0, in_crop),
    ):
        if left <= x < left + width and top <= y < top + height:
            (box,) = boxes
            assert (box.x + box.width / 2) * scale + left == pytest.approx(x)
            assert (box.y + box.height / 2) * scale + top == pytest.approx(y)
            assert box.width * scale == box.height * scale == pytest.approx(size)


@pytest.mark.parametrize(
    "answers",
    [[Away(Reason.DETECT_AWAY)], [[Box(500, 450, 40, 50)]] * 9, [[Box(450, 50, 9, 9)], Away(Reason.DEADLINE)]],
)
async def test_what_cannot_be_made_sure_of_is_not_shown(answers: list[list[Box] | Away]) -> None:
    checked = await check(_pictures(), finder := Finder(*answers))
    assert len(finder.asked) <= 4
    assert checked.checked, "there is nobody left to be found"
    for jpeg, face in ((checked.scene, checked.face), (checked.crop, checked.face_in_crop)):
        shown = simplejpeg.decode_jpeg(jpeg, "BGR").astype(int)
        own = (slice(int(face.y), int(face.y + face.height)), slice(int(face.x), int(face.x + face.width)))
        assert shown[own].std() > 20, "the alerted face is there"
        shown[
            max(int(face.y - 30), 0) : int(face.y + face.height + 30),
            max(int(face.x - 30), 0) : int(face.x + face.width + 30),
        ] = 128
        assert abs(shown - 128).max() <= 2, "and nothing else"


@pytest.mark.parametrize("size", [(1080, 1920), (1280, 1280), (640, 480), (4096, 64), (64, 4096), (64, 64)])
async def test_every_sheet_fits_into_a_question(size: tuple[int, int]) -> None:
    finder = Finder()
    await check(develop(noise(*size), alerted=Box(10, 10, 40, 40), others=[]), finder)
    (sheet,) = finder.seen
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
        lambda made: sheet_of(made),
    ],
    ids=["develop", "mask_more", "mask_all", "shrink", "shrink in vain", "sheet"],
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

    def __init__(self, *answers: list[Box] | Away) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int]] = []
        self.seen: list[Shown] = []
        self.given: list[Shown] = []

    async def find(self, picture: Shown) -> list[Box]:
        self.asked.append((picture.shape[1], picture.shape[0]))
        self.seen.append(picture.copy())
        self.given.append(picture)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Away):
            raise answer
        return answer


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
    pictures = replace(develop(noise(1920, 1080), alerted=Box(900, 500, 30, 40), others=[]), checked=True)
    assert len(pictures.scene) > 200_000
    sealed = await studio.seal(pictures, _finding(bytes(300_000)))
    assert len(sealed.sealed) <= MOST_EVIDENCE_BYTES
    with pytest.raises(Rejected) as refused:
        await studio.seal(pictures, _finding(bytes(MOST_EVIDENCE_BYTES)))
    assert refused.value.reason is Reason.MESSAGE_TOO_LARGE
