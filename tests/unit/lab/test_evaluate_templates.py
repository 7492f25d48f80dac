"""Many pictures through several threads: in order, not all at once, and an end that leaves nobody working."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from overt_lab.evaluate.templates import Made, Picture, Templates, enrol, in_order

pytestmark = pytest.mark.unit

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_answers_come_in_the_order_of_the_questions() -> None:
    def slow_first(item: int) -> int:
        if item == 0:
            assert others_done.wait(5)
        if item == 3:
            others_done.set()
        return item * item

    others_done = threading.Event()
    assert list(in_order(slow_first, range(50), 4)) == [i * i for i in range(50)]


@pytest.mark.parametrize("workers", [1, 3])
def test_only_a_bounded_number_is_taken_ahead(workers: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(1000):
            taken += 1
            yield item

    ahead = []
    for given, _ in enumerate(in_order(lambda item: item, items(), workers), start=1):
        ahead.append(taken - given)
    assert max(ahead) <= 4 * workers


def test_a_fault_ends_it_and_the_threads() -> None:
    before = threading.active_count()

    def fails(item: int) -> int:
        if item == 5:
            raise ZeroDivisionError
        return item

    with pytest.raises(ZeroDivisionError):
        list(in_order(fails, range(100), 2))
    assert _settles_at(before)


def test_whoever_stops_asking_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    answers = in_order(lambda item: item, range(100), 3)
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]  # a generator
    assert _settles_at(before)


def _settles_at(count: int) -> bool:
    deadline = time.monotonic() + 5
    while threading.active_count() > count and time.monotonic() < deadline:
        time.sleep(0.01)
    return threading.active_count() <= count


class Numbered:
    """Its template of a picture is made of the picture's first pixel; none for 0."""

    length = 2

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def made(self, picture: Picture) -> Made | None:
        number = int(picture[0, 0, 0])
        template = np.array([np.cos(number), self._sign * np.sin(number)], np.float32)
        return Made(template, template * self._sign) if number else None


def _read(path: Path) -> Picture | None:
    return None if path.suffix == ".txt" else np.full((2, 2, 3), int(path.stem), np.uint8)


def test_each_enroller_sees_each_picture() -> None:
    images = [Path(name) for name in ("1.jpg", "0.jpg", "7.txt", "2.jpg")]
    one, other = enrol(images, [Numbered(1), Numbered(-1)], read=_read, workers=2)
    assert one.missing.tolist() == other.missing.tolist() == [False, True, True, False]
    assert one.undecodable == other.undecodable == 1
    assert one.rows.dtype == np.float32
    assert np.allclose(one.rows[3], [np.cos(2), np.sin(2)])
    assert one.as_references is None, "no different from shots"
    assert np.array_equal(other.references, -other.rows, equal_nan=True)
    assert np.allclose(one.cosines_to(other), [np.cos(2), np.cos(4)]), "of those that have both"


def test_progress_is_told_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    enrol([Path("1.jpg")], [Numbered(1)], read=_read, workers=1)
    assert capsys.readouterr().err == "templates of 1 picture ...\n"


def test_cosines_of_pairs_whatever_their_number() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(50, 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[7] = np.nan
    first, second = random.integers(0, 50, (2, 250_000))
    scores = Templates(rows).cosines(first, second)
    lost = (first == 7) | (second == 7)
    assert np.isnan(scores[lost]).all()
    assert np.allclose(scores[~lost], (rows.astype(np.float64) @ rows.T.astype(np.float64))[first, second][~lost])


def test_nothing_of_a_template_is_shown() -> None:
    templates = Templates(np.full((3, 128), 0.123456, np.float32))
    assert repr(templates) == str(templates) == "Templates(3, 0 missing)"
