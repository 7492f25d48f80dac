"""`overt watchlist import` against a gateway that is a script: rows, reasons and exit codes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result
from overt.errors import Retryable
from overt_gateway.archive import unpack
from overt_lab import manifest as manifests
from overt_lab import watchlist as verb
from overt_lab.archive import COLUMNS
from overt_lab.rest import RestError

pytestmark = pytest.mark.unit

Answer = dict[str, Any] | Exception


class Scripted:
    """Stands in for the gateway: remembers what it was sent and gives the next answer."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.archives: list[bytes] = []
        self.token = ""

    def __call__(self, url: str, token: Callable[[], str]) -> Self:
        self.token = token()
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def import_list(self, deployment: str, archive: bytes) -> dict[str, Any]:
        self.archives.append(archive)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def list_size(self, deployment: str) -> int:
        return 41


class Desk:
    """Where the verb is called: a manifest of `case-1.jpg`, `case-2.jpg`, ... and their pictures."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self.gateway = Scripted([])
        self.refused_file = folder / "list.refused.csv"
        monkeypatch.setenv("OVERT_TOKEN", "from the environment")

    def write(self, *images: str, subjects: str | None = None) -> None:
        lines = [",".join(COLUMNS)]
        for image in images:
            path = self.folder / image
            if not image.startswith("none"):
                path.write_bytes(b"picture")
            lines.append(f"{image},{subjects or path.stem},other,law,custody,reason,2030-01-01T00:00:00Z,false")
        (self.folder / "list.csv").write_text("\n".join(lines))

    def run(self, *answers: Answer, more: tuple[str, ...] = ()) -> Result:
        self.gateway.answers = list(answers)
        self._monkeypatch.setattr(verb, "Gateway", self.gateway)
        arguments = ["import", "dep", str(self.folder / "list.csv"), "--images", str(self.folder)]
        return CliRunner().invoke(verb.watchlist, [*arguments, "--url", "http://gateway", *more])

    def refused(self) -> list[dict[str, str]]:
        with self.refused_file.open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def _told(row: int, reason: str = "no_face", message: str = "no face was found in the picture") -> dict[str, Any]:
    return {"row": row, "image": f"row-{row}", "subject_ref": "?", "reason": reason, "message": message}


def test_all_rows_go_in(desk: Desk) -> None:
    desk.write("a.jpg", "b.jpg")
    done = desk.run({"size": 2, "refused": []})
    assert done.exit_code == 0, done.output
    assert "all 2 rows went in; the list has 2 entries" in done.output
    assert not desk.refused_file.exists()
    assert desk.gateway.token == "from the environment"
    assert set(unpack(desk.gateway.archives[0])) == {"row-2", "row-3", "manifest.csv"}


def test_one_is_one(desk: Desk) -> None:
    desk.write("a.jpg")
    assert "the row went in; the list has 1 entry\n" in desk.run({"size": 1, "refused": []}).output
    desk.write("a.jpg", "none.jpg")
    assert "1 of 2 rows went in; the list has 1 entry\n" in desk.run({"size": 1, "refused": []}).output


def test_refused_rows_keep_their_own_numbers_over_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "BATCH_IMAGES", 2)
    desk.write("a.jpg", "none-1.jpg", "c.jpg", "d.jpg", "e.jpg")  # rows 2 to 6; 3 is not sent
    done = desk.run({"size": 1, "refused": [_told(3)]}, {"size": 2, "refused": [_told(2, "blurred", "it is blurred")]})
    assert done.exit_code == 1
    assert [(r["row"], r["image"], r["subject_ref"], r["reason"]) for r in desk.refused()] == [
        ("3", "none-1.jpg", "none-1", "missing_image"),
        ("4", "c.jpg", "c", "no_face"),
        ("5", "d.jpg", "d", "blurred"),
    ]
    assert "2 of 5 rows went in; the list has 2 entries" in done.output
    assert "row 4, c.jpg: no face was found in the picture [no_face]" in done.output
    assert str(desk.refused_file) in done.output


def test_who_looks_alike_is_told_and_written_down(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "BATCH_IMAGES", 1)
    desk.write("a.jpg", "=b.jpg")
    alike = {"row": 2, "image": "row-2", "subject_ref": "?", "other_subject_ref": "-c", "other_entry_id": "e1"}
    done = desk.run(
        {"size": 1, "refused": [], "near_duplicates": []},
        {"size": 2, "refused": [], "near_duplicates": [{**alike, "cosine": 0.7134}]},
    )
    assert done.exit_code == 0, "they went in"
    table = desk.folder / "list.near_duplicates.csv"
    assert f"1 entry may be the same person as another one, see {table}:" in done.output
    assert "row 3, =b and -c: cosine 0.71" in done.output
    assert "all 2 rows went in" in done.output
    with table.open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {
                "row": "3",
                "image": "'=b.jpg",
                "subject_ref": "'=b",
                "other_subject_ref": "'-c",
                "other_entry_id": "e1",
                "cosine": "0.7134",
            }
        ]
    elsewhere = desk.folder / "alike.csv"
    desk.write("a.jpg")
    answer = {"size": 2, "refused": [], "near_duplicates": []}
    assert desk.run(answer, more=("--near-duplicates", str(elsewhere))).exit_code == 0
    assert not elsewhere.exists(), "nothing to tell"
    desk.run(answer)
    assert len(table.read_text().splitlines()) == 1, "what an earlier import left there is no longer so"


def test_a_message_about_another_row_names_it_by_its_own_number(desk: Desk) -> None:
    desk.write("none-1.jpg", "b.jpg", "c.jpg", subjects="the-same")
    message = "row 2 gives the same subject_ref another category"
    desk.run({"size": 1, "refused": [_told(3, "duplicate_subject", message)]})
    assert desk.refused()[1]["message"] == "row 3 gives the same subject_ref another category"


def test_an_archive_that_is_refused_as_a_whole_does_not_stop_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "BATCH_IMAGES", 1)
    desk.write("a.jpg", "b.jpg")
    done = desk.run(RestError(413, "message_too_large", "64 MB at most"), {"size": 1, "refused": []})
    assert done.exit_code == 1
    assert [(r["row"], r["reason"], r["message"]) for r in desk.refused()] == [
        ("2", "message_too_large", "64 MB at most")
    ]


@pytest.mark.parametrize("error", [RestError(409, "wrong_state", "it is active"), Retryable("the gateway went away")])
def test_an_import_that_stops_half_way_says_how_far_it_came(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(manifests, "BATCH_IMAGES", 2)
    desk.write("a.jpg", "b.jpg", "c.jpg", "none.jpg")
    done = desk.run({"size": 1, "refused": [_told(3)]}, error)
    assert done.exception is error
    assert "stopped: 2 of 3 rows had been sent" in done.output
    assert [r["row"] for r in desk.refused()] == ["3", "5"], "what is known by then is written down"


def test_nothing_to_send_still_says_how_long_the_list_is(desk: Desk) -> None:
    desk.write("none.jpg")
    done = desk.run()
    assert done.exit_code == 1
    assert "0 of 1 row went in; the list has 41 entries" in done.output
    assert desk.gateway.archives == []


def test_what_an_earlier_import_refused_does_not_stay(desk: Desk) -> None:
    desk.write("a.jpg")
    desk.run({"size": 0, "refused": [_told(2)]})
    assert len(desk.refused()) == 1
    assert desk.run({"size": 1, "refused": []}).exit_code == 0
    assert desk.refused() == []


def test_the_refused_go_where_one_says(desk: Desk, tmp_path: Path) -> None:
    desk.write("none.jpg")
    elsewhere = tmp_path / "elsewhere.csv"
    assert desk.run(more=("--refused", str(elsewhere))).exit_code == 1
    assert "none.jpg" in elsewhere.read_text()
    assert not desk.refused_file.exists()


def test_a_file_of_refused_rows_that_cannot_be_written_is_said(desk: Desk, tmp_path: Path) -> None:
    desk.write("none.jpg")
    done = desk.run(more=("--refused", str(tmp_path / "no" / "such" / "folder.csv")))
    assert "cannot be written (No such file or directory): say another one with --refused" in str(done.exception)


def test_a_gateway_elsewhere_needs_a_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERT_TOKEN")
    desk.write("a.jpg")
    assert "OVERT_TOKEN" in str(desk.run().exception)
