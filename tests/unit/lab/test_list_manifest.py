"""A manifest before it is sent: the table, the pictures it names, and what goes together."""

from __future__ import annotations

from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.reasons import Reason
from overt_lab import manifest
from overt_lab.archive import COLUMNS, pack
from overt_lab.manifest import Found, Refused, Row, batches, look_up, read_manifest

pytestmark = pytest.mark.unit

HEADER = ",".join(COLUMNS)
CELLS = "case-1,other,law,custody,reason,2030-01-01T00:00:00Z,false"


def _write(folder: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding=encoding)
    return path


# --- the table --------------------------------------------------------------------------------------------------


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    rows = read_manifest(_write(tmp_path, f"a.jpg,{CELLS}", "", ",,,,,,,", f"b.jpg,{CELLS}"))
    assert [(row.number, row.fields["image"]) for row in rows] == [(2, "a.jpg"), (5, "b.jpg")]
    assert rows[0].fields["subject_ref"] == "case-1"
    assert set(rows[0].fields) == set(COLUMNS)


def test_a_cell_with_a_line_end_is_one_row(tmp_path: Path) -> None:
    rows = read_manifest(_write(tmp_path, 'a.jpg,case-1,other,"law\nof 1984",x,y,z,', f"b.jpg,{CELLS}"))
    assert [row.number for row in rows] == [2, 3]
    assert rows[0].fields["legal_basis"] == "law\nof 1984"


def test_spaces_around_cells_and_columns_are_dropped(tmp_path: Path) -> None:
    (row,) = read_manifest(_write(tmp_path, f" a.jpg ,{CELLS}", header=" image ,  " + HEADER.removeprefix("image,")))
    assert row.fields["image"] == "a.jpg"


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    (row,) = read_manifest(_write(tmp_path, f"a.jpg,{CELLS}", encoding="utf-8-sig"))
    assert row.fields["image"] == "a.jpg"


def test_under_18_may_be_left_out(tmp_path: Path) -> None:
    (row,) = read_manifest(
        _write(tmp_path, f"a.jpg,{CELLS.removesuffix(',false')}", header=HEADER.removesuffix(",under_18"))
    )
    assert "under_18" not in row.fields
    assert row.fault is None


def test_every_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal) as fatal:
        read_manifest(_write(tmp_path, "x", header="image,category,legal_basis,image_source,reason"))
    assert "lacks the columns subject_ref, expires_at;" in str(fatal.value)
    assert "under_18" in str(fatal.value), "and it says what the columns are"


def test_a_column_that_is_not_known_is_not_passed_over(tmp_path: Path) -> None:
    """`under18` would put a child on the list as an adult."""
    with pytest.raises(Fatal, match="columns that are not known: under18;"):
        read_manifest(_write(tmp_path, f"a.jpg,{CELLS}", header=HEADER.replace("under_18", "under18")))
    with pytest.raises(Fatal, match=r"not known: \(no name\)"):
        read_manifest(_write(tmp_path, f"a.jpg,{CELLS},", header=HEADER + ","))


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="has twice: reason"):
        read_manifest(_write(tmp_path, f"a.jpg,{CELLS},x", header=HEADER + ",reason"))


@pytest.mark.parametrize("content", [b"", b"\n", (HEADER + "\n").encode(), (HEADER + "\n\n,,\n").encode()])
def test_a_table_without_rows_is_fatal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(Fatal, match=r"list\.csv (has no rows|lacks the columns image)"):
        read_manifest(path)


def test_a_table_that_is_not_utf_8_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="not UTF-8 text: save it as CSV in UTF-8"):
        read_manifest(_write(tmp_path, f"a.jpg,{CELLS.replace('law', 'loi pénale')}", encoding="latin-1"))
    with pytest.raises(Fatal, match="not UTF-8 text"):
        read_manifest(_write(tmp_path, f"a.jpg,{CELLS}", encoding="utf-16"))


def test_a_quote_that_is_not_closed_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="not a CSV table"):
        read_manifest(_write(tmp_path, 'a.jpg,"case-1,other'))


def test_a_table_that_is_not_there_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv")


# --- the pictures -----------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with one good picture, and a file beside it that must not be reached."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.jpg").write_bytes(b"picture")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return folder


def _row(image: str, number: int = 2, subject: str = "case-1") -> Row:
    return Row(number, {**dict.fromkeys(COLUMNS, "x"), "image": image, "subject_ref": subject})


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("", Reason.BAD_FIELD),
        ("none.jpg", Reason.MISSING_IMAGE),
        (".", Reason.MISSING_IMAGE),
        ("good.jpg/more", Reason.MISSING_IMAGE),
        ("a\0b.jpg", Reason.MISSING_IMAGE),
        ("x" * 5000, Reason.MISSING_IMAGE),
        ("empty.jpg", Reason.MISSING_IMAGE),
        ("huge.jpg", Reason.PICTURE_TOO_LARGE),
        ("../secret.txt", Reason.UNSAFE_PATH),
        ("sub/../../secret.txt", Reason.UNSAFE_PATH),
        ("/etc/hostname", Reason.UNSAFE_PATH),
        ("link.jpg", Reason.UNSAFE_PATH),
    ],
)
def test_a_picture_that_cannot_be_sent_is_refused_with_its_reason(
    images: Path, monkeypatch: pytest.MonkeyPatch, image: str, reason: Reason
) -> None:
    monkeypatch.setattr(manifest, "MAX_IMAGE_BYTES", 100)
    (images / "empty.jpg").touch()
    (images / "huge.jpg").write_bytes(bytes(101))
    (images / "link.jpg").symlink_to(images.parent / "secret.txt")
    found, refused = look_up([_row("good.jpg", 2), _row(image, 3)], images)
    assert [one.row.number for one in found] == [2]
    assert [(one.row.number, one.reason) for one in refused] == [(3, reason)]
    assert refused[0].message


def test_a_way_round_that_stays_inside_is_good(images: Path) -> None:
    (images / "sub").mkdir()
    found, refused = look_up([_row("sub/../good.jpg"), _row("./good.jpg")], images)
    assert (len(found), refused) == (2, [])


def test_a_row_with_a_cell_too_many_or_too_few_is_refused(tmp_path: Path, images: Path) -> None:
    """An unquoted comma shifts everything behind it, so nothing of the row can be trusted."""
    rows = read_manifest(_write(tmp_path, f"good.jpg,{CELLS},false", f"good.jpg,{CELLS}", "good.jpg,case-2"))
    found, refused = look_up(rows, images)
    assert [one.row.number for one in found] == [3]
    assert [(one.row.number, one.reason, one.message) for one in refused] == [
        (2, "bad_field", "it has 9 cells where the header has 8"),
        (4, "bad_field", "it has 2 cells where the header has 8"),
    ]
    assert refused[1].as_cells()["subject_ref"] == "case-2"


def test_what_is_packed_has_a_name_that_is_good_in_any_archive(images: Path) -> None:
    odd = images / "C:\\odd ~ name.jpg"
    odd.write_bytes(b"odd")
    found, _ = look_up([_row("good.jpg", 7), _row("good.jpg", 8), _row(odd.name, 9)], images)
    sent = [one.read() for one in found]
    assert [(i.row["image"], i.content) for i in sent] == [
        ("row-7", b"picture"),
        ("row-8", b"picture"),
        ("row-9", b"odd"),
    ]
    assert pack(sent)


def test_a_picture_that_went_away_meanwhile_is_sent_empty(images: Path) -> None:
    (found,), _ = look_up([_row("good.jpg")], images)
    (images / "good.jpg").unlink()
    assert found.read().content == b""


def test_nothing_of_a_row_is_in_its_repr(images: Path) -> None:
    (found,), (refused,) = look_up([_row("good.jpg", subject="Jane Roe"), _row("Jane.jpg")], images)
    assert "Jane" not in repr(found) + repr(refused)
    assert "good.jpg" not in repr(found)


# --- what goes together -----------------------------------------------------------------------------------------


def _found(subject: str, number: int, size: int = 10) -> Found:
    return Found(_row("x", number, subject), Path("x"), size)


def _numbers(found: list[Found]) -> list[list[int]]:
    return [[one.row.number for one in batch] for batch in batches(found)]


def test_batches_end_at_a_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "BATCH_IMAGES", 3)
    assert _numbers([_found(f"case-{n}", n) for n in range(2, 9)]) == [[2, 3, 4], [5, 6, 7], [8]]


def test_batches_end_at_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "BATCH_BYTES", 100)
    sizes = {2: 60, 3: 40, 4: 1, 5: 100, 6: 30}
    assert _numbers([_found(f"case-{n}", n, size) for n, size in sizes.items()]) == [[2, 3], [4], [5], [6]]


def test_the_rows_of_one_person_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches with one person would be two entries, and the second is refused as a duplicate."""
    monkeypatch.setattr(manifest, "BATCH_IMAGES", 3)
    subjects = {2: "a", 3: "b", 4: "c", 5: "a", 6: "b", 7: "d", 8: "d", 9: "d", 10: "d"}
    found = _numbers([_found(subject, n) for n, subject in subjects.items()])
    assert found == [[2, 5], [3, 6, 4], [7, 8, 9, 10]]


def test_no_rows_are_no_batch() -> None:
    assert _numbers([]) == []


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", '=HYPERLINK("http://x")'])
def test_a_spreadsheet_runs_nothing_of_a_refused_row(cell: str) -> None:
    row = Row(2, {"image": cell, "subject_ref": cell})
    cells = Refused(row, "no_face", cell).as_cells()
    assert cells["image"] == cells["subject_ref"] == cells["message"] == f"'{cell}"


def test_what_is_no_formula_stays_as_it_is() -> None:
    cells = Refused(Row(2, {"image": "a-b/c=d.jpg", "subject_ref": "case-2"}), "no_face", "no face").as_cells()
    assert cells == {
        "row": 2,
        "image": "a-b/c=d.jpg",
        "subject_ref": "case-2",
        "reason": "no_face",
        "message": "no face",
    }
