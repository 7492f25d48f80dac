"""The built-in walk-through: always the same, and never a crowd."""

from __future__ import annotations

from hashlib import sha256
from itertools import islice

import numpy as np
import pytest
from overt_lab.demo.cli import LISTED, SEED, builtin_clip, builtin_list
from overt_lab.demo.people import Person, demo_people
from overt_lab.demo.scene import (
    FRAMES_PER_SECOND,
    HEIGHT,
    WALK_SECONDS,
    WIDTH,
    Walk,
    frame_count,
    plan,
    reference_picture,
    render,
)

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return demo_people()


def _digest(people: list[Person], seed: int, frames: int = 12) -> str:
    """Of some frames in the middle of the first walk."""
    digest = sha256()
    for picture in islice(render(plan(people, seed), seed), 20, 20 + frames):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.dtype == np.uint8
        digest.update(picture.tobytes())
    return digest.hexdigest()


def test_the_same_seed_renders_the_same_bytes(people: list[Person]) -> None:
    assert _digest(people, SEED) == _digest(demo_people(), SEED)
    assert _digest(people, SEED) != _digest(people, SEED + 1)


def _at_once(walks: list[Walk], now: float) -> list[Walk]:
    return [walk for walk in walks if 0 <= now - walk.starts_at < WALK_SECONDS]


@pytest.mark.parametrize("seed", [1, SEED, 99])
def test_two_people_at_a_time_in_two_lanes(people: list[Person], seed: int) -> None:
    walks = plan(people, seed)
    assert sorted(walk.person.name for walk in walks) == sorted(person.name for person in people)
    moments = [number / FRAMES_PER_SECOND for number in range(frame_count(walks))]
    seen = [_at_once(walks, now) for now in moments]
    assert max(map(len, seen)) == 2
    assert all(len({walk.lane for walk in together}) == len(together) for together in seen)
    assert not seen[-1], "everybody has left at the end"
    assert {walk.person.name for together in seen for walk in together} == {person.name for person in people}


def test_an_odd_number_of_people_walks_too(people: list[Person]) -> None:
    walks = plan(people[:3], SEED)
    assert frame_count(walks) == len(list(render(walks, SEED)))


def test_only_where_somebody_walks_the_picture_changes(people: list[Person]) -> None:
    """No face by accident: what is not a walker is the same background in every frame."""
    walks = plan(people[:2], SEED)
    pictures = list(render(walks, SEED))
    empty = pictures[-1]
    assert not _at_once(walks, (len(pictures) - 1) / FRAMES_PER_SECOND)
    middle = pictures[len(pictures) // 2]
    changed = np.any(middle != empty, axis=2)
    assert 0.02 < changed.mean() < 0.5
    lanes = np.flatnonzero(changed.any(axis=0))
    assert lanes.min() > 50
    assert lanes.max() < WIDTH - 50


def test_who_is_listed_walks_and_is_listed_through_another_picture(people: list[Person]) -> None:
    listed = builtin_list()
    assert tuple(image.row["subject_ref"] for image in listed) == LISTED
    assert set(LISTED) < {person.name for person in people}
    by_name = {person.name: person for person in people}
    for image in listed:
        assert image.content == reference_picture(by_name[image.row["subject_ref"]]), "made the same way each time"
        assert image.content[:2] == b"\xff\xd8"
        assert by_name[image.row["subject_ref"]].cutout.tobytes() not in image.content


def test_the_clip_knows_how_long_it_is() -> None:
    clip = builtin_clip()
    assert clip.frames is not None
    assert 15 < clip.frames / clip.frames_per_second < 40


def test_nobody_is_twice_in_the_scene_and_no_repr_shows_pixels(people: list[Person]) -> None:
    assert len({person.name for person in people}) == len(people) == 8
    for person in people:
        assert 0 < person.face_height <= person.cutout.shape[0]
        assert "[" not in repr(person)
