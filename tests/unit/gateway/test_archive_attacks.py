"""Archives that somebody made to do harm are refused, whole, in bounded time and memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.errors import Rejected
from overt_gateway import archive
from overt_gateway.archive import MAX_FILES, unpack

pytestmark = pytest.mark.unit

Make = Callable[[dict[str, bytes]], bytes]


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            # Written as given: writestr would normalise on some systems.
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, content)
    return buffer.getvalue()


def make_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def reason_of(data: bytes) -> str:
    with pytest.raises(Rejected) as refused:
        unpack(data)
    assert len(str(refused.value)) < 200
    return refused.value.reason.value


both = pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])


@both
def test_a_good_archive(make: Make) -> None:
    files = {"manifest.csv": b"a", "pictures/1.jpg": b"b" * 100_000, "pictures/Ü 2.jpg": b""}
    assert unpack(make(files)) == files


def test_tar_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"m")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        made.add(tmp_path, arcname=".")
    assert unpack(buffer.getvalue()) == {"manifest.csv": b"m"}


@both
@pytest.mark.parametrize(
    "name",
    [
        "../climbs.jpg",
        "a/../../climbs.jpg",
        "a/..",
        "/etc/passwd",
        "//server/share",
        "..\\climbs.jpg",
        "C:\\climbs.jpg",
        "C:/climbs.jpg",
        "~/climbs.jpg",
        "a\nb.jpg",
        "x" * 600,
    ],
)
def test_a_path_that_climbs_out_refuses_everything(make: Make, name: str) -> None:
    assert reason_of(make({"manifest.csv": b"", name: b"x"})) == "unsafe_path"


def test_a_zero_byte_does_not_hide_the_rest_of_a_name() -> None:
    data = make_zip({"manifest.csv": b"", "good.jpgX../../bad": b"x"}).replace(b"good.jpgX", b"good.jpg\0")
    assert reason_of(data) == "unsafe_path"


def test_a_symlink_in_a_zip() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        info = zipfile.ZipInfo("link.jpg")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc/passwd")
    assert reason_of(buffer.getvalue()) == "unsafe_path"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_and_devices_in_a_tar(kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        info = tarfile.TarInfo("link.jpg")
        info.type = kind
        info.linkname = "/etc/passwd"
        made.addfile(info)
    assert reason_of(buffer.getvalue()) in {"unsafe_path", "bad_archive"}


@both
def test_too_many_files(make: Make) -> None:
    assert len(unpack(make({f"{n}.jpg": b"" for n in range(MAX_FILES)}))) == MAX_FILES
    assert reason_of(make({f"{n}.jpg": b"" for n in range(MAX_FILES + 1)})) == "bad_archive"


@both
def test_a_bomb_stops_at_the_bound(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2 * 1024 * 1024)
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    bomb = make({f"{n}.jpg": bytes(16 * 1024 * 1024) for n in range(4)})
    assert len(bomb) < 200_000
    tracemalloc.start()
    assert reason_of(bomb) == "bad_archive"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 1024 * 1024
    assert unpack(make({"a.jpg": bytes(1024 * 1024)}))["a.jpg"] == bytes(1024 * 1024)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_a_bomb_that_cannot_be_unpacked_in_parts_is_not_begun(method: int) -> None:
    """One read of a chunk unpacked all of it: the bound was looked at when it was too late."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr("bomb.jpg", bytes(64 * 1024 * 1024))
    tracemalloc.start()
    assert reason_of(buffer.getvalue()) == "bad_archive"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024


def test_a_zip_that_lies_about_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 64 * 1024)
    honest = make_zip({"big.jpg": bytes(1024 * 1024)})
    lying = honest.replace((1024 * 1024).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != honest
    assert reason_of(lying) == "bad_archive"


def test_a_tar_header_that_claims_the_moon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1024 * 1024)
    info = tarfile.TarInfo("manifest.csv")
    info.size = 1 << 40
    assert reason_of(gzip.compress(info.tobuf() + bytes(4096))) == "bad_archive"
    # A long-name record is read whole by the library: it passes the counter too.
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    long_name.size = 1 << 33
    assert reason_of(gzip.compress(long_name.tobuf() + bytes(64 * 1024 * 1024))) == "bad_archive"


def test_a_zip_of_nothing_but_entries_is_refused_before_each_is_an_object() -> None:
    entry = b"PK\x01\x02" + bytes(6) + b"\0\0" + bytes(16) + b"\x01\0" + bytes(16) + b"a"
    count = 20_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, count * len(entry), 30, 0)
    bomb = b"PK\x03\x04" + bytes(26) + count * entry + end
    tracemalloc.start()
    assert reason_of(bomb) == "bad_archive"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024


def _member(kind: bytes, size: int, content: bytes = b"") -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def _pax(text: bytes) -> bytes:
    """A record says how long it is, its own length included."""
    length = len(text) + 2
    while length != len(b"%d " % length) + len(text) + 1:
        length += 1
    return b"%d %s\n" % (length, text)


@pytest.mark.parametrize(
    "headers",
    [
        _member(tarfile.XHDTYPE, 8 << 20, bytes(8 << 20)),
        _member(tarfile.GNUTYPE_LONGNAME, 8 << 20, b"a" * (8 << 20)),
        _member(tarfile.XGLTYPE, 2048, _pax(b"comment=" + b"a" * 2034)),
        3 * _member(tarfile.XGLTYPE, 500, _pax(b"comment=" + b"a" * 487)),
        _member(tarfile.GNUTYPE_SPARSE, 8 << 20, bytes(8 << 20)),
        _member(
            tarfile.XHDTYPE,
            len(sparse := _pax(b"GNU.sparse.major=1") + _pax(b"GNU.sparse.minor=0")),
            sparse,
        )
        + _member(tarfile.REGTYPE, 8 << 20, b"1000000\n" + b"1\n" * (4 << 20)),
        _member(tarfile.XHDTYPE, -1),
    ],
    ids=["pax", "long name", "global", "globals", "sparse", "pax sparse", "negative"],
)
def test_what_a_tar_library_reads_before_it_says_a_word_is_bounded(headers: bytes) -> None:
    bomb = gzip.compress(headers + _member(tarfile.REGTYPE, 0) + bytes(1024))
    tracemalloc.start()
    assert reason_of(bomb) in {"bad_archive", "unsafe_path"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


def test_long_and_foreign_names_in_every_kind_of_tar() -> None:
    name = "liste/" + "ü" * 60 + "/" + "b" * 120 + ".jpg"
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=kind, pax_headers={"comment": "of a commit"}) as made:
            for n in range(3):
                info = tarfile.TarInfo(f"{n}/{name}")
                info.size = 1
                made.addfile(info, io.BytesIO(b"x"))
        assert unpack(buffer.getvalue()) == {f"{n}/{name}": b"x" for n in range(3)}


@both
def test_the_same_name_twice(make: Make) -> None:
    first, second = make({"a.jpg": b"1", "b.jpg": b"2"}), "b.jpg"
    if make is make_zip:
        assert reason_of(first.replace(b"b.jpg", b"a.jpg")) == "bad_archive"
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as made:
            for _ in range(2):
                made.addfile(tarfile.TarInfo(second), io.BytesIO())
        assert reason_of(buffer.getvalue()) == "bad_archive"


def test_an_encrypted_zip() -> None:
    data = bytearray(make_zip({"a.jpg": b"secret"}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + at] |= 1
    assert reason_of(bytes(data)) == "bad_archive"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"PK\x03\x04",
        b"\x1f\x8b",
        gzip.compress(b"not a tar"),
        gzip.compress(make_tar({"a": b"b"})),
        zlib.compress(b"x"),
        b"Rar!\x1a\x07\x00",
        make_zip({"a.jpg": b"x" * 1000})[:-30],
        make_tar({"a.jpg": os.urandom(10_000)})[:-4000],
    ],
)
def test_what_is_no_archive(data: bytes) -> None:
    assert reason_of(data) == "bad_archive"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_a_rejection_or_harmless(data: st.DataObject) -> None:
    make = data.draw(st.sampled_from([make_zip, make_tar]))
    whole = bytearray(make({"manifest.csv": b"image\n1.jpg\n", "1.jpg": b"\xff\xd8" + bytes(300)}))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Rejected):
        for name in unpack(bytes(whole)):
            assert ".." not in name.split("/")
            assert not name.startswith("/")
