"""labels.csv: who is who and in which group, and what a person is told about the line that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from overt.errors import Fatal
from overt_lab.evaluate.labels import Labels, read_labels

pytestmark = pytest.mark.unit

HEADER = "image,subject,race,gender\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for name in "abcdef":
        (images / f"{name}.jpg").write_bytes(b"only looked at later")
    return images


def _read(folder: Path, text: str, *by: str, subject_needed: bool = True) -> Labels:
    file = folder.parent / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return read_labels(file, folder, by, subject_needed=subject_needed)


def test_people_are_numbered_by_appearance_and_groups_by_name(folder: Path) -> None:
    labels = _read(
        folder,
        HEADER + "a.jpg,Zoe,white,f\nb.jpg,Abe,black,m\nc.jpg,Zoe,white,f\nd.jpg,Eve,black,f\n",
        "race",
        "gender",
    )
    assert labels.images == tuple(folder / f"{name}.jpg" for name in "abcd")
    assert labels.subjects.tolist() == [0, 1, 0, 2]
    assert labels.group_names == ("black, f", "black, m", "white, f")
    assert labels.groups.tolist() == [2, 1, 2, 0]
    assert (labels.people, len(labels), labels.named, labels.left_out) == (3, 4, True, 0)
    assert repr(labels) == "Labels(4 pictures, 3 people, 3 groups)", "no names"


def test_without_groups_all_are_in_one(folder: Path) -> None:
    labels = _read(folder, "subject,image\nx,a.jpg\ny,b.jpg\n")
    assert (labels.group_names, labels.groups.tolist()) == (("",), [0, 0])


def test_pictures_without_a_label_of_the_group_are_left_out(folder: Path) -> None:
    labels = _read(folder, HEADER + "a.jpg,x,white,\nb.jpg,y,white,m\n", "gender")
    assert (labels.images, labels.left_out) == ((folder / "b.jpg",), 1)
    with pytest.raises(Fatal, match=r"has no pictures with labels of gender"):
        _read(folder, HEADER + "a.jpg,x,white,\n", "gender")


def test_without_subjects_every_picture_is_a_person(folder: Path) -> None:
    labels = _read(folder, "image,race\na.jpg,x\nb.jpg,x\nc.jpg,y\n", "race", subject_needed=False)
    assert (labels.subjects.tolist(), labels.named) == ([0, 1, 2], False)
    assert _read(folder, HEADER + "a.jpg,x,w,f\nb.jpg,x,w,f\n", "race", subject_needed=False).people == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks the columns image, subject, race; its first line is image,subject,race"),
        ("image,race\n", "lacks the column subject;"),
        (HEADER, "has no pictures"),
        (HEADER + "a.jpg,x,w,f\ng.jpg,x,w,f\n", "line 3: there is no picture g.jpg in "),
        (HEADER + ",x,w,f\n", "line 2: there is no picture (no name) in "),
        (HEADER + "a.jpg,x,w,f\n\na.jpg,y,w,f\n", "line 4: the picture a.jpg is on line 2 already"),
        (HEADER + "a.jpg,,w,f\n", "line 2: `subject` is empty"),
        (HEADER + "a.jpg,x,w\n", "line 2: 3 cells where the first line has 4"),
        (HEADER + '"a.jpg,x,w,f\n', "is not a CSV table"),
    ],
)
def test_what_is_amiss_is_said_with_its_line(folder: Path, text: str, told: str) -> None:
    with pytest.raises(Fatal) as refused:
        _read(folder, text, "race")
    assert told in str(refused.value)
    assert str(folder.parent / "labels.csv") in str(refused.value)
