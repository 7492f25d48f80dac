"""The manifest: which rows are taken, and what is said of the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from overt.errors import Rejected
from overt_gateway.manifest import MAX_BYTES, MAX_REFERENCES, MAX_ROWS, Refusal, Row, find, parse, people

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HEADER = "image,subject_ref,category,legal_basis,image_source,reason,expires_at,under_18"
GOOD = "1.jpg,case-1,wanted_by_court,warrant 1,custody,failed to appear,2026-05-02T00:00:00Z,false"


def read(*lines: str, header: str = HEADER) -> tuple[list[Row], list[Refusal]]:
    return parse("\n".join([header, *lines]).encode(), now=NOW)


def with_(**changed: str) -> str:
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | changed
    return ",".join(f'"{cell}"' for cell in cells.values())


def test_a_good_row() -> None:
    (row,), refused = read(GOOD)
    assert not refused
    assert (row.number, row.image, row.subject_ref, row.category) == (2, "1.jpg", "case-1", "wanted_by_court")
    assert row.expires_at == datetime(2026, 5, 2, tzinfo=UTC)
    assert row.under_18 is False
    assert "case-1" not in repr(row)
    assert "custody" not in repr(row)


def test_what_spreadsheets_write_is_understood() -> None:
    text = (
        "\ufeff"
        + HEADER
        + "\r\n"
        + GOOD.replace("false", "FALSE")
        + "\r\n,,,,,,,\r\n"
        + with_(image=" 2.jpg ")
        + "\r\n"
    )
    rows, refused = parse(text.encode(), now=NOW)
    assert [(row.number, row.image) for row in rows] == [(2, "1.jpg"), (4, "2.jpg")]
    assert not refused


def test_under_18_may_be_left_out_and_columns_may_be_in_any_order() -> None:
    header = "subject_ref,image,category,legal_basis,image_source,expires_at,reason"
    (row,), _ = read("c,i.jpg,other,b,s,2026-05-02T00:00:00+02:00,why", header=header)
    assert row.image == "i.jpg"
    assert row.under_18 is False


@pytest.mark.parametrize(
    ("line", "reason", "word"),
    [
        (with_(category="nosy"), "unknown_category", "wanted_by_court"),
        (with_(category="Wanted_By_Court"), "unknown_category", "category"),
        (with_(image=""), "bad_field", "image is empty"),
        (with_(subject_ref=""), "bad_field", "subject_ref"),
        (with_(legal_basis=" "), "bad_field", "legal_basis"),
        (with_(image_source=""), "bad_field", "image_source"),
        (with_(expires_at=""), "bad_field", "expires_at"),
        (with_(expires_at="tomorrow"), "bad_field", "zone"),
        (with_(expires_at="2026-05-02T00:00:00"), "bad_field", "zone"),
        (with_(expires_at="2026-04-30T00:00:00Z"), "expired", "past"),
        (with_(expires_at="9999-12-31T23:59:59-14:00"), "bad_field", "zone"),
        (with_(expires_at="0001-01-01T00:00:00+14:00"), "bad_field", "zone"),
        (with_(under_18="maybe"), "bad_field", "true or false"),
        (with_(reason=""), "bad_field", "reason is empty"),
        (with_(legal_basis="a\nb"), "bad_field", "legal_basis"),
        (with_(reason="x" * 501), "bad_field", "500"),
        (with_(subject_ref="x" * 101), "bad_field", "100"),
        (GOOD + ",more", "bad_field", "9 cells"),
        ("1.jpg,case-1", "bad_field", "2 cells"),
    ],
)
def test_rows_that_cannot_be_used(line: str, reason: str, word: str) -> None:
    rows, (refused,) = read(GOOD.replace("case-1", "case-0"), line)
    assert len(rows) == 1, "the others go in"
    assert refused.reason == reason
    assert refused.row == 3
    assert word in refused.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["lacks", "image"]),
        (HEADER.encode(), ["no rows"]),
        (b"image,subject_ref\n1,2", ["lacks category, legal_basis"]),
        ((HEADER + ",ethnicity,gender\n" + GOOD + ",x,y").encode(), ["not known: ethnicity, gender"]),
        ((HEADER + ",image\n" + GOOD + ",x").encode(), ["twice"]),
        (b"\xff\xfe\x00", ["UTF-8"]),
        ((HEADER + '\n"unclosed').encode(), ["CSV"]),
        ((HEADER + "\n" + (GOOD + "\n") * (MAX_ROWS + 1)).encode(), ["2000 rows"]),
        ((HEADER + "," * 20_000).encode(), ["line of more than"]),
        ((HEADER + "\n" + GOOD + "," * 20_000).encode(), ["line of more than"]),
        (b"\xff" * (MAX_BYTES + 1), ["larger than 16 MB"]),
    ],
)
def test_tables_that_cannot_be_used(content: bytes, words: list[str]) -> None:
    with pytest.raises(Rejected) as refused:
        parse(content, now=NOW)
    assert refused.value.reason == "bad_manifest"
    for word in words:
        assert word in str(refused.value)


def test_the_longest_table_is_taken() -> None:
    full = dict.fromkeys(("image", "legal_basis", "image_source", "reason"), "字" * 500)
    rows, refused = read(*[with_(**full, subject_ref="字" * 100)] * MAX_ROWS)
    assert (len(rows), refused) == (MAX_ROWS, [])


def test_rows_of_one_person_are_one_entry() -> None:
    rows, _ = read(GOOD, with_(image="2.jpg", image_source="passport"), with_(subject_ref="case-2"))
    found, refused = people(rows)
    assert not refused
    assert [[row.image for row in person.rows] for person in found] == [["1.jpg", "2.jpg"], ["1.jpg"]]
    assert found[0].image_source == "custody; passport"


@pytest.mark.parametrize(
    "changed",
    [
        {"category": "other"},
        {"legal_basis": "x"},
        {"reason": "x"},
        {"expires_at": "2026-05-03T00:00:00Z"},
        {"under_18": "true"},
    ],
)
def test_rows_that_contradict_each_other(changed: dict[str, str]) -> None:
    rows, _ = read(GOOD, with_(image="2.jpg", **changed))
    found, (refused,) = people(rows)
    assert len(found) == 1
    assert refused.reason == "duplicate_subject"
    assert refused.row == 3
    assert "row 2" in refused.message


def test_an_entry_has_a_bounded_number_of_pictures() -> None:
    rows, _ = read(*(with_(image=f"{n}.jpg") for n in range(MAX_REFERENCES + 3)))
    (person,), refused = people(rows)
    assert len(person.rows) == MAX_REFERENCES
    assert len(refused) == 3


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["manifest.csv", "1.jpg"], ""),
        (["list/manifest.csv", "list/1.jpg"], "list/"),
        (["manifest.csv", "__MACOSX/._manifest.csv"], ""),
    ],
)
def test_the_manifest_is_found(names: list[str], folder: str) -> None:
    assert find(dict.fromkeys(names, b""))[0] == folder


@pytest.mark.parametrize("names", [[], ["Manifest.csv"], ["a/b/manifest.csv"], ["manifest.csv", "a/manifest.csv"]])
def test_none_or_several_manifests(names: list[str]) -> None:
    with pytest.raises(Rejected) as refused:
        find(dict.fromkeys(names, b""))
    assert refused.value.reason == "bad_manifest"
