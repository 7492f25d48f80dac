"""Where there is no terminal, long work says every ten seconds how far it is."""

from __future__ import annotations

from itertools import count

import pytest
from overt_lab.progress import progress

pytestmark = pytest.mark.unit


def test_short_work_says_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress("abc", label="reading", length=3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == "reading ...\n"


@pytest.mark.parametrize(("length", "end"), [(7, " of 7"), (None, "")])
def test_long_work_says_how_far_it_is(length: int | None, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    ticks = count(step=4)  # seconds; the clock is asked once an item, and once more for each line
    assert list(progress(range(7), label="reading", length=length, clock=lambda: next(ticks))) == list(range(7))
    assert capsys.readouterr().err.splitlines() == ["reading ...", f"reading: 3{end}", f"reading: 6{end}"]
