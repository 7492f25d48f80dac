"""Packing a list for upload, and reading a folder of pictures as one."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from overt.categories import Category
from overt.errors import Fatal
from overt_gateway import manifest
from overt_gateway.archive import unpack
from overt_lab.archive import COLUMNS, ListImage, demo_row, pack, read_folder

pytestmark = pytest.mark.unit


def _table(archive: bytes) -> list[dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return list(csv.DictReader(io.StringIO(file.read("manifest.csv").decode())))


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def test_a_packed_list_is_what_the_gateway_reads() -> None:
    images = [ListImage(demo_row("elm", "elm.jpg"), b"1"), ListImage(demo_row("fir", "sub/fir.png"), b"2")]
    files = unpack(pack(images))
    folder, table = manifest.find(files)
    rows, refused = manifest.parse(table, now=datetime.now(UTC))
    assert refused == []
    assert [(row.subject_ref, files[folder + row.image]) for row in rows] == [("elm", b"1"), ("fir", b"2")]
    assert {row.category for row in rows} == {Category.OTHER}


def test_the_columns_are_those_the_gateway_knows() -> None:
    assert set(COLUMNS) == {*manifest.REQUIRED, *manifest.OPTIONAL}


def test_commas_quotes_and_lines_in_a_cell_survive() -> None:
    row = {**demo_row("elm", "elm.jpg"), "reason": 'said "stop", twice', "legal_basis": "Act 1,\ns. 2"}
    (found,) = _table(pack([ListImage(row, b"1")]))
    assert found == row


def test_rows_may_share_a_picture() -> None:
    shared = ListImage(demo_row("elm", "one.jpg"), b"same")
    also = ListImage(demo_row("fir", "one.jpg"), bytes(bytearray(b"same")))
    assert set(unpack(pack([shared, shared, also]))) == {"one.jpg", "manifest.csv"}
    with pytest.raises(ValueError, match="same name"):
        pack([shared, ListImage(demo_row("fir", "one.jpg"), b"other")])


def test_a_folder_of_names_and_of_folders(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "elm.jpg", "fir/a.PNG", "fir/b.jpeg", "notes.txt", "fir/notes.txt")
    found = read_folder(folder)
    assert [(i.row["subject_ref"], i.row["image"], i.content) for i in found] == [
        ("elm", "elm.jpg", b"elm.jpg"),
        ("fir", "fir/a.PNG", b"fir/a.PNG"),
        ("fir", "fir/b.jpeg", b"fir/b.jpeg"),
    ]


def test_a_name_as_file_and_as_folder_is_one_person(tmp_path: Path) -> None:
    """And their pictures, of the same name, do not overwrite each other in the archive."""
    found = read_folder(_folder(tmp_path, "elm.jpg", "elm/elm.jpg"))
    assert [i.row["subject_ref"] for i in found] == ["elm", "elm"]
    assert set(unpack(pack(found))) == {"elm.jpg", "elm/elm.jpg", "manifest.csv"}


def test_what_a_desktop_leaves_is_nobody(tmp_path: Path) -> None:
    found = read_folder(_folder(tmp_path, "elm.jpg", "._elm.jpg", ".thumbnails/fir.jpg", "oak/.hidden.png"))
    assert [i.row["image"] for i in found] == ["elm.jpg"]


def test_a_folder_named_like_a_picture_is_none(tmp_path: Path) -> None:
    (tmp_path / "elm" / "trap.jpg").mkdir(parents=True)
    with pytest.raises(Fatal, match="holds no NAME"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["", "notes.txt"])
def test_a_folder_without_pictures_says_what_it_should_hold(tmp_path: Path, name: str) -> None:
    if name:
        _folder(tmp_path, name)
    with pytest.raises(Fatal, match=r"NAME\.jpg, NAME\.png or NAME/"):
        read_folder(tmp_path)


def test_what_is_no_folder_is_fatal(tmp_path: Path) -> None:
    for path in (tmp_path / "none", _folder(tmp_path, "elm.jpg") / "elm.jpg"):
        with pytest.raises(Fatal, match="is not a folder"):
            read_folder(path)


def test_a_picture_that_cannot_be_read_is_fatal_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read anything, so the refusal is made up."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    _folder(tmp_path, "elm.jpg")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Fatal, match=r"elm\.jpg cannot be read: Permission denied"):
        read_folder(tmp_path)


def test_nothing_of_a_person_is_in_a_repr() -> None:
    assert "elm" not in repr(ListImage(demo_row("elm", "elm.jpg"), b"secret"))
    assert "secret" not in repr(ListImage(demo_row("elm", "elm.jpg"), b"secret"))
