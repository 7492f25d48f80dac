"""pairs.csv: what is taken, and what a person is told about the line that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from overt.errors import Fatal
from overt_lab.evaluate.pairs import Pairs, read_pairs

pytestmark = pytest.mark.unit

HEADER = "image_a,image_b,same\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    (images / "a").mkdir(parents=True)
    for name in ("a/1.jpg", "a/2.jpg", "b.jpg"):
        (images / name).write_bytes(b"only looked at later")
    return images


def _read(folder: Path, text: str) -> Pairs:
    file = folder.parent / "pairs.csv"
    file.write_text(text, encoding="utf-8")
    return read_pairs(file, folder)


def test_every_picture_is_there_once(folder: Path) -> None:
    pairs = _read(folder, HEADER + "a/1.jpg,a/2.jpg,1\na/1.jpg,b.jpg,0\nb.jpg,a/2.jpg,0\n")
    assert pairs.images == (folder / "a/1.jpg", folder / "a/2.jpg", folder / "b.jpg")
    assert pairs.first.tolist() == [0, 0, 2]
    assert pairs.second.tolist() == [1, 2, 1]
    assert pairs.same.tolist() == [True, False, False]
    assert len(pairs) == 3
    assert repr(pairs) == "Pairs(3 of 3 pictures)", "no names"


def test_columns_may_stand_anywhere_and_others_beside_them(folder: Path) -> None:
    pairs = _read(
        folder, '\ufeffsame, note ,image_b,image_a\n true ,"x, y",b.jpg, a/1.jpg\n\n , ,,\nFALSE,,a/1.jpg,b.jpg\n'
    )
    assert [pairs.images[i].name for i in pairs.first] == ["1.jpg", "b.jpg"]
    assert pairs.same.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks the columns image_a, image_b, same; its first line is image_a,image_b,same"),
        ("image_a,image_b\n", "lacks the column same;"),
        (HEADER, "has no pairs"),
        (HEADER + "\n , ,\n", "has no pairs"),
        (HEADER + "a/1.jpg,b.jpg,0\na/1.jpg,b.jpg,maybe\n", "line 3: `same` is 1 or 0, not 'maybe'"),
        (HEADER + "a/1.jpg,b.jpg,\n", "line 2: `same` is 1 or 0, not ''"),
        (HEADER + "a/1.jpg,b.jpg,0\na/1.jpg,c.jpg,0\n", "line 3: there is no picture c.jpg in "),
        (HEADER + "a,b.jpg,0\n", "line 2: there is no picture a in "),
        (HEADER + ",b.jpg,0\n", "line 2: there is no picture (no name) in "),
        (HEADER + "a/1.jpg,b.jpg,0\n\na/1.jpg,b.jpg\n", "line 4: 2 cells where the first line has 3"),
        (HEADER + "a/1.jpg,b.jpg,0,1\n", "line 2: 4 cells where the first line has 3"),
        (HEADER + '"a/1.jpg,b.jpg,0\n', "is not a CSV table"),
    ],
)
def test_what_is_amiss_is_said_with_its_line(folder: Path, text: str, told: str) -> None:
    with pytest.raises(Fatal) as refused:
        _read(folder, text)
    assert told in str(refused.value)
    assert str(folder.parent / "pairs.csv") in str(refused.value)


def test_another_encoding_is_said_to_be_one(folder: Path) -> None:
    file = folder.parent / "pairs.csv"
    file.write_bytes(HEADER.encode() + b"M\xfcller.jpg,b.jpg,0\n")
    with pytest.raises(Fatal, match=r"is not UTF-8 text: save it as CSV in UTF-8"):
        read_pairs(file, folder)


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(Fatal, match=r"gone\.csv cannot be read: No such file"):
        read_pairs(folder / "gone.csv", folder)
