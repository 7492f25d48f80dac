"""Opening an uploaded archive: in memory only, bounded, and with no path followed anywhere.

Nothing is ever extracted to a disk. Members are read by the names they have inside the archive, so a path that
climbs out could do no harm here; such an archive is refused whole all the same, because somebody made it so.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from overt.errors import Rejected
from overt.reasons import Reason

MAX_FILES = 2000
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""Pictures hardly compress: 64 MB of archive that unpack to four times that are already suspicious."""
_MAX_NAME = 512
_CHUNK = 256 * 1024
_ENCRYPTED = 0x1
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of these the library unpacks as much as is asked for. Of bzip2 and LZMA it unpacks whatever one chunk holds."""
_NO_FILE = "it holds a link, a device or a sparse file"
_ZIP_ENTRY = b"PK\x01\x02"
_BY_CHANCE = 16
"""How often that may stand in the pictures themselves: once in 4 GB."""
_MAX_EXTRA = 16 * 1024
"""Of a header that a tar puts before a file, for a long name: the library reads each into memory whole."""
_MAX_GLOBAL = 1024
"""Of all headers that stand for every file after them: the library copies them to each."""
_EXTRA = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def unpack(data: bytes) -> dict[str, bytes]:
    """Files by name. Blocks (call it in a thread). Rejected with UNSAFE_PATH or BAD_ARCHIVE, for all of it."""
    if data[:4] == b"PK\x03\x04":
        members = _read_zip(data)
    elif data[:2] == b"\x1f\x8b":
        members = _read_tar(data)
    else:
        raise _bad("this is neither a zip nor a tar.gz")
    files: dict[str, bytes] = {}
    try:
        for stored, content in members:
            # `tar` writes "./manifest.csv".
            name = "/".join(part for part in stored.split("/") if part not in ("", "."))
            if name in files:
                raise _bad("two files have the same name")
            files[name] = content
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        # What these libraries say of a broken file may quote it.
        raise _bad("this archive is damaged or of a kind that is not taken") from error
    except (NotImplementedError, OverflowError, MemoryError) as error:
        raise _bad("this archive is of a kind that is not taken") from error
    return files


def _read_zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    left = MAX_UNPACKED_BYTES
    # Before the library makes an object of each: 64 MB hold 1.4 million entries, which took 590 MB.
    if data.count(_ZIP_ENTRY) > MAX_FILES + _BY_CHANCE:
        raise _too_many()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_FILES:
            raise _too_many()
        for info in infos:
            # The name as stored: `filename` has been cut at a zero byte.
            _check_name(info.orig_filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _unsafe("it holds a link or a device")
            if info.flag_bits & _ENCRYPTED:
                raise _bad("encrypted archives are not taken")
            if info.compress_type not in _BOUNDED:
                raise _bad("it is packed in a way that is not taken: make an ordinary zip (deflate), or a tar.gz")
        for info in infos:
            if info.is_dir():
                continue
            # What the directory says of sizes is not believed: reading stops at the bound.
            with archive.open(info) as file:
                content = _read_at_most(file, left)
            left -= len(content)
            yield info.filename, content


class _Bounded(io.RawIOBase):
    """Decompressed bytes, counted: skipping over a member decompresses it too."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        # Headers of 512 bytes a file, padding, and long names, on top of the files themselves.
        self._left = MAX_UNPACKED_BYTES + MAX_FILES * 4096

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left + 1:
            size = self._left + 1
        chunk = self._source.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_much()
        return chunk


def _lean_members() -> type[tarfile.TarInfo]:
    """For one archive: what the library would read into memory before it says that there is a member is bounded."""
    extra_left, global_left = MAX_FILES * 4096, _MAX_GLOBAL

    class Lean(tarfile.TarInfo):
        def _proc_member(self, archive: tarfile.TarFile) -> Any:
            nonlocal extra_left, global_left
            if self.type == tarfile.GNUTYPE_SPARSE:
                raise _unsafe(_NO_FILE)
            if self.type == tarfile.XGLTYPE:
                global_left -= self.size
            elif self.type in _EXTRA:
                extra_left -= self.size
                if self.size > _MAX_EXTRA:
                    raise _bad("a header in it is too long")
            if self.size < 0 or extra_left < 0 or global_left < 0:
                raise _bad("its headers are too long")
            return super()._proc_member(archive)  # type: ignore[misc]  # the types do not know it

        def _proc_gnusparse_10(self, *_: object) -> None:
            raise _unsafe(_NO_FILE)

    return Lean


def _read_tar(data: bytes) -> Iterator[tuple[str, bytes]]:
    left = MAX_UNPACKED_BYTES
    count = 0
    with (
        gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped,
        # "r|" reads forward only, so every byte passes the counter once.
        tarfile.open(fileobj=_Bounded(unzipped), mode="r|", encoding="utf-8", tarinfo=_lean_members()) as archive,  # type: ignore[arg-type,call-overload]
    ):
        for member in archive:
            count += 1
            if count > MAX_FILES:
                raise _too_many()
            # The library keeps every member until the end.
            member.pax_headers = {}
            _check_name(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _unsafe(_NO_FILE)
            file = archive.extractfile(member)
            content = _read_at_most(file, left) if file is not None else b""
            left -= len(content)
            yield member.name, content


def _read_at_most(file: io.BufferedIOBase | BinaryIO | object, left: int) -> bytes:
    parts: list[bytes] = []
    while chunk := file.read(_CHUNK):  # type: ignore[union-attr]
        left -= len(chunk)
        if left < 0:
            raise _too_much()
        parts.append(chunk)
    return b"".join(parts)


def _check_name(name: str) -> None:
    """Forward slashes below the archive's root, and nothing else."""
    parts = name.split("/")
    unsafe = (
        not name
        or len(name) > _MAX_NAME
        or name.startswith(("/", "~"))
        or "\\" in name
        or ":" in parts[0]
        or ".." in parts
        or any(ord(character) < 32 for character in name)
    )
    if unsafe:
        raise _unsafe("it holds a path that leads out of it")


def _unsafe(what: str) -> Rejected:
    return Rejected(Reason.UNSAFE_PATH, f"the archive was refused as a whole: {what}")


def _bad(what: str) -> Rejected:
    return Rejected(Reason.BAD_ARCHIVE, what)


def _too_many() -> Rejected:
    return _bad(f"an archive holds at most {MAX_FILES} files")


def _too_much() -> Rejected:
    return _bad(f"it unpacks to more than {MAX_UNPACKED_BYTES // (1024 * 1024)} MB")
