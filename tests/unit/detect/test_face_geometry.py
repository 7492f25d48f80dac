"""Boxes and zones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt_detect.domain.geometry import Box, Region, Zone

pytestmark = pytest.mark.unit


def test_a_box_knows_its_longer_side_centre_and_margin() -> None:
    box = Box(10, 20, 30, 60)
    assert box.longer_side == 60
    assert box.centre == (25, 50)
    assert box.grown(0.5) == Box(-5, -10, 60, 120)


def test_boxes_overlap_by_intersection_over_union() -> None:
    box = Box(0, 0, 10, 10)
    assert box.overlap(box) == 1
    assert box.overlap(box.moved(5, 0)) == pytest.approx(1 / 3)
    assert box.overlap(Box(0, 0, 5, 10)) == 0.5
    assert box.overlap(box.moved(10, 0)) == box.overlap(box.moved(30, 30)) == 0


@given(st.builds(Box, *(4 * [st.floats(-500, 500)])), st.integers(1, 300), st.integers(1, 300))
def test_within_never_leaves_the_picture(box: Box, width: int, height: int) -> None:
    left, top, right, bottom = box.within(width, height)
    assert 0 <= left <= width
    assert 0 <= top <= height
    assert 0 <= right <= width
    assert 0 <= bottom <= height


def test_an_empty_zone_is_the_whole_picture() -> None:
    assert Zone().holds(Box(-50, 0, 10, 10), 640, 360)


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [(320, 180, True), (100, 180, False), (540, 180, False), (320, 20, False), (320, 340, False), (225, 95, True)],
)
def test_a_face_is_in_the_zone_when_its_centre_is(x: float, y: float, inside: bool) -> None:
    zone = Zone(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))
    assert zone.holds(Box(x - 60, y - 60, 120, 120), 640, 360) is inside


def test_a_zone_may_be_concave() -> None:
    notched = Zone(((0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)))
    assert notched.holds(Box(9, 49, 2, 2), 100, 100)
    assert not notched.holds(Box(49, 69, 2, 2), 100, 100)
    assert notched.holds(Box(89, 49, 2, 2), 100, 100)


def test_without_a_zone_the_whole_picture_is_searched() -> None:
    assert Zone().region(640, 360) == Region(0, 0, 640, 360) == Region.whole(640, 360)


def test_with_a_zone_its_surroundings_are_searched_too() -> None:
    zone = Zone(((0.5, 0.4), (0.75, 0.4), (0.6, 0.5)))
    assert zone.region(1000, 500) == Region(400, 100, 850, 350)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=5), st.integers(64, 4096))
def test_what_is_searched_lies_in_the_picture_and_holds_the_zone(
    corners: list[tuple[float, float]], width: int
) -> None:
    region = Zone(tuple(corners)).region(width, 480)
    assert 0 <= region.left < region.right <= width
    assert 0 <= region.top < region.bottom <= 480
    for x, y in corners:
        assert region.left <= x * width <= region.right
        assert region.top <= y * 480 <= region.bottom
