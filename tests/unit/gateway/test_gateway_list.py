"""Importing a list over REST, looking at it, and taking somebody off it."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from overt.errors import Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.testing import FakeClock
from overt_gateway import list_import, manifest
from overt_gateway.manifest import OPTIONAL, REQUIRED
from overt_gateway.testing import FakePeers

pytestmark = pytest.mark.unit


def row(clock: FakeClock, image: str, subject: str, **changed: str) -> dict[str, str]:
    return {
        "image": image,
        "subject_ref": subject,
        "category": "wanted_by_court",
        "legal_basis": "warrant",
        "image_source": "custody",
        "reason": "failed to appear",
        "expires_at": (clock.now() + timedelta(days=1)).isoformat(),
        "under_18": "false",
        **changed,
    }


def packed(rows: Sequence[Mapping[str, str]], files: Mapping[str, bytes]) -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, [*REQUIRED, *OPTIONAL])
    writer.writeheader()
    writer.writerows(rows)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.csv", table.getvalue())
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


async def send(client: httpx.AsyncClient, peers: FakePeers, archive: bytes, draft: str = "market") -> httpx.Response:
    return await client.post(
        f"/v1/deployments/{draft}/list/import",
        files={"archive": ("list.zip", archive, "application/zip")},
        headers=peers.headers(Role.APPLICANT),
    )


async def test_good_rows_go_in_and_bad_ones_are_told(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    peers.enroller.refuses = {b"two": Reason.SEVERAL_FACES, b"dark": Reason.TOO_DARK}
    rows = [
        row(clock, "a1.jpg", "a"),
        row(clock, "a2.jpg", "a"),
        row(clock, "b.jpg", "b"),
        row(clock, "c.jpg", "c", category="nosy"),
        row(clock, "missing.jpg", "d"),
        row(clock, "empty.jpg", "e"),
        row(clock, "a3.jpg", "a"),
        row(clock, "f.jpg", "f"),
    ]
    files = {
        "a1.jpg": b"1",
        "a2.jpg": b"2",
        "a3.jpg": b"dark",
        "b.jpg": b"two",
        "c.jpg": b"3",
        "empty.jpg": b"",
        "f.jpg": b"6",
    }
    answer = await send(client, peers, packed(rows, files))
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["rows"], result["pictures"], result["accepted"], result["size"]) == (8, 3, 2, 2)
    assert result["rows"] == result["pictures"] + len(result["refused"])
    told = [(r["row"], r["image"], r["subject_ref"], r["reason"]) for r in result["refused"]]
    assert told == [
        (4, "b.jpg", "b", "several_faces"),
        (5, "c.jpg", "c", "unknown_category"),
        (6, "missing.jpg", "d", "missing_image"),
        (7, "empty.jpg", "e", "missing_image"),
        (8, "a3.jpg", "a", "too_dark"),
    ]
    assert result["refused"][0]["message"] == "two faces or more are in the picture"
    entries = {e.subject_ref: e for e in peers.watchlists.entries[draft].values()}
    assert [reference.jpeg for reference in entries["a"].references] == [b"1", b"2"]
    assert entries["a"].legal_basis == "warrant"


async def test_who_looks_alike_is_told_and_goes_in(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_import, "BATCH_BYTES", 10_000)  # two entries each
    await send(client, peers, packed([row(clock, "old.jpg", "listed")], {"old.jpg": b"face one"}))
    faces = {"a.jpg": b"face two", "b.jpg": b"face one", "b2.jpg": b"face 2", "c.jpg": b"face two", "d.jpg": b"no"}
    rows = [
        row(clock, "missing.jpg", "x"),
        row(clock, "a.jpg", "a"),
        row(clock, "b.jpg", "b"),
        row(clock, "b2.jpg", "b"),
        row(clock, "d.jpg", "d", category="nosy"),
        row(clock, "c.jpg", "c"),
    ]
    result = (await send(client, peers, packed(rows, faces))).json()
    assert (result["accepted"], result["size"]) == (3, 4)
    told = [(n["row"], n["image"], n["subject_ref"], n["other_subject_ref"]) for n in result["near_duplicates"]]
    assert told == [(4, "b.jpg", "b", "listed"), (7, "c.jpg", "c", "a")]
    ids = {entry.subject_ref: entry_id for entry_id, entry in peers.watchlists.entries[draft].items()}
    assert [n["other_entry_id"] for n in result["near_duplicates"]] == [ids["listed"], ids["a"]]
    assert result["near_duplicates"][0]["cosine"] == 0.75


async def test_the_list_is_shown_without_biometrics_and_entries_are_removed(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    await send(client, peers, packed([row(clock, "a.jpg", "case-7")], {"a.jpg": b"JPEGBYTES"}))
    path = f"/v1/deployments/{draft}/list"
    answer = await client.get(path, headers=peers.headers(Role.AUDITOR))
    shown = answer.json()
    assert (shown["size"], shown["sealed"], shown["authority"]) == (1, False, "unauthorised: development")
    (entry,) = shown["entries"]
    assert entry["subject_ref"] == "case-7"
    assert entry["category_label"] == "Wanted by a court"
    assert entry["references"] == 1
    assert set(entry) == {
        "id", "subject_ref", "category", "category_label", "expires_at", "under_18", "references"
    }  # fmt: skip
    gone = await client.delete(f"{path}/{entry['id']}", headers=peers.headers(Role.AUTHORISING_OFFICER))
    assert gone.status_code == 200
    assert gone.json()["revision"] > shown["revision"]
    again = await client.delete(f"{path}/{entry['id']}", headers=peers.headers(Role.AUTHORISING_OFFICER))
    assert (again.status_code, again.json()["reason"]) == (404, "unknown_entry")


async def test_sending_the_same_archive_again_doubles_nothing(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    archive = packed([row(clock, f"{n}.jpg", f"case-{n}") for n in range(9)], {f"{n}.jpg": b"x" for n in range(9)})
    assert (await send(client, peers, archive)).json()["accepted"] == 9
    more = packed([row(clock, f"{n}.jpg", f"case-{n}") for n in range(12)], {f"{n}.jpg": b"x" for n in range(12)})
    result = (await send(client, peers, more)).json()
    assert (result["accepted"], result["size"]) == (3, 12)
    assert {r["reason"] for r in result["refused"]} == {"duplicate_subject"}
    assert len(result["refused"]) == 9


async def test_a_full_list_takes_what_fits(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    peers.watchlists.most = 5
    archive = packed([row(clock, f"{n}.jpg", f"case-{n}") for n in range(8)], {f"{n}.jpg": b"x" for n in range(8)})
    result = (await send(client, peers, archive)).json()
    assert (result["accepted"], result["size"]) == (5, 5)
    assert {r["reason"] for r in result["refused"]} == {"too_many_entries"}


async def test_entries_go_to_match_in_batches_that_fit_a_message(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_import, "BATCH_BYTES", 20_000)
    archive = packed(
        [row(clock, f"{n}.jpg", f"case-{n}") for n in range(10)], {f"{n}.jpg": bytes(4096) for n in range(10)}
    )
    assert (await send(client, peers, archive)).json()["accepted"] == 10
    assert peers.watchlists.calls == 5


async def test_at_most_four_pictures_are_enrolled_at_once(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    archive = packed([row(clock, f"{n}.jpg", f"c{n}") for n in range(40)], {f"{n}.jpg": b"x" for n in range(40)})
    assert (await send(client, peers, archive)).json()["accepted"] == 40
    assert peers.enroller.most_at_once == 4


async def test_detect_may_stumble_but_not_stay_away(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_import, "_TRY_AGAIN_S", 0.0)
    archive = packed([row(clock, "a.jpg", "a")], {"a.jpg": b"x"})
    peers.enroller.fails = 2
    assert (await send(client, peers, archive)).json()["accepted"] == 1
    peers.enroller.fails = 1000
    other = packed([row(clock, f"{n}.jpg", f"b{n}") for n in range(9)], {f"{n}.jpg": b"x" for n in range(9)})
    answer = await send(client, peers, other)
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert len(peers.watchlists.entries[draft]) == 1, "all or nothing went in"
    peers.enroller.fails = 0
    assert (await send(client, peers, other)).json()["accepted"] == 9


async def test_a_model_that_changes_meanwhile_stops_the_import(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["before", "after"])

    async def digest() -> str:
        return next(digests)

    monkeypatch.setattr(peers.enroller, "model_digest", digest)
    answer = await send(client, peers, packed([row(clock, "a.jpg", "a")], {"a.jpg": b"x"}))
    assert answer.status_code == 503
    assert draft not in peers.watchlists.entries


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "x/../../a.jpg"])
async def test_an_archive_that_climbs_out_is_refused_whole(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, name: str
) -> None:
    answer = await send(client, peers, packed([row(clock, "good.jpg", "a")], {"good.jpg": b"x", name: b"y"}))
    assert (answer.status_code, answer.json()["reason"]) == (422, "unsafe_path")
    assert draft not in peers.watchlists.entries


async def test_an_archive_and_its_manifest_are_read_beside_the_loop(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may take seconds; everybody else's requests are answered meanwhile."""
    threads: list[int] = []

    def noted(work: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            threads.append(threading.get_ident())
            return work(*args, **kwargs)

        return note

    monkeypatch.setattr(list_import, "unpack", noted(list_import.unpack))
    monkeypatch.setattr(manifest, "parse", noted(manifest.parse))
    answer = await send(client, peers, packed([row(clock, "a.jpg", "a")], {"a.jpg": b"1"}))
    assert answer.json()["accepted"] == 1
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_a_list_is_changed_in_a_draft_only(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    archive = packed([row(clock, "a.jpg", "a")], {"a.jpg": b"x"})
    await send(client, peers, archive)
    await client.post(f"/v1/deployments/{draft}/start", headers=peers.headers(Role.OPERATOR))
    answer = await send(client, peers, archive)
    assert (answer.status_code, answer.json()["reason"]) == (409, "wrong_state")
    nowhere = await send(client, peers, archive, "nowhere")
    assert (nowhere.status_code, nowhere.json()["reason"]) == (404, "unknown_deployment")


def multipart(content: bytes, *, name: str = "archive", boundary: str = "b", end: str = "--") -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="l.zip"\r\n\r\n'
    return head.encode() + content + f"\r\n--{boundary}{end}\r\n".encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=b"),
        (b"garbage", "multipart/form-data; boundary=b"),
        (multipart(b"x", name="file"), "multipart/form-data; boundary=b"),
        (multipart(b"x")[:-4], "multipart/form-data; boundary=b"),
        (multipart(b"x", end="") + multipart(b"y"), "multipart/form-data; boundary=b"),
        (multipart(b"x"), "multipart/form-data; boundary=" + "b" * 300),
        (b"--b\r\n" + b"A" * 20_000 + b"\r\n\r\n", "multipart/form-data; boundary=b"),
    ],
)
async def test_bodies_that_are_no_upload(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, body: bytes, content_type: str
) -> None:
    answer = await client.post(
        f"/v1/deployments/{draft}/list/import",
        content=body,
        headers={**peers.headers(Role.APPLICANT), "content-type": content_type},
    )
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_message")


async def test_a_body_is_stopped_while_it_streams(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield multipart(b"")[:-8]
        while True:
            sent += 1
            yield bytes(1024 * 1024)

    answer = await client.post(
        f"/v1/deployments/{draft}/list/import",
        content=endless(),
        headers={**peers.headers(Role.APPLICANT), "content-type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["reason"]) == (413, "message_too_large")
    assert sent <= 65


async def test_a_body_that_says_it_is_too_large_is_not_read(
    client: httpx.AsyncClient, peers: FakePeers, draft: str
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("nobody should read this")
        yield b""

    for length, path, limit in (
        (100 * 1024 * 1024, f"/v1/deployments/{draft}/list/import", 413),
        (65 * 1024, "/v1/deployments", 413),
    ):
        answer = await client.post(
            path, content=never(), headers={**peers.headers(Role.APPLICANT), "content-length": str(length)}
        )
        assert answer.status_code == limit


async def test_uploads_never_touch_a_disk(
    client: httpx.AsyncClient,
    peers: FakePeers,
    draft: str,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    opened: list[Any] = []
    real_open = os.open

    def watched(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(path)
        return real_open(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", watched)
    large = os.urandom(3 * 1024 * 1024)
    answer = await send(client, peers, packed([row(clock, "a.jpg", "a")], {"a.jpg": large}))
    assert answer.json()["accepted"] == 1
    assert not opened
    assert not list(temporary.iterdir())


async def test_one_import_at_a_time(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()
    real = peers.enroller.enrol

    async def slow(image: bytes) -> Any:
        inside.set()
        await go_on.wait()
        return await real(image)

    monkeypatch.setattr(peers.enroller, "enrol", slow)
    archive = packed([row(clock, "a.jpg", "a")], {"a.jpg": b"x"})
    first = asyncio.create_task(send(client, peers, archive))
    await inside.wait()
    second = await send(client, peers, archive)
    assert (second.status_code, second.json()["reason"]) == (503, "unavailable")
    go_on.set()
    assert (await first).json()["accepted"] == 1
    # A body that is refused frees the place as well.
    await send(client, peers, b"not an archive")
    assert (await send(client, peers, archive)).status_code == 200


async def test_match_away_is_told_as_such(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise Retryable("match does not answer at the moment")

    monkeypatch.setattr(peers.watchlists, "add", away)
    answer = await send(client, peers, packed([row(clock, "a.jpg", "a")], {"a.jpg": b"x"}))
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert "match" in answer.json()["detail"]
