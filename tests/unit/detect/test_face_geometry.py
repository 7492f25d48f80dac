"""Boxes and zones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt_detect.domain.geometry import Box, Zone

pytestmark = pytest.mark.unit


def test_a_box_knows_its_longer_side_centre_and_margin() -> None:
    box = Box(10, 20, 30, 60)
    assert box.longer_side == 60
    assert box.centre == (25, 50)
    assert box.grown(0.5) == Box(-5, -10, 60, 120)


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
