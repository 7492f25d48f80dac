"""The directory of the search engine: memory-backed, private, and clean of those who are gone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from overt.errors import Fatal, Retryable
from overt_match.adapters.volume import IndexVolume, default_directory, filesystem_of

pytestmark = pytest.mark.unit


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "index"


def test_it_is_private_and_leaves_nothing(base: Path) -> None:
    volume = IndexVolume(base)
    assert base.stat().st_mode & 0o777 == 0o700
    assert volume.path.stat().st_mode & 0o777 == 0o700
    with volume.scratch(1000) as directory:
        (directory / "x").write_bytes(b"x")
        assert list(volume.path.iterdir()) == [directory]
    assert list(volume.path.iterdir()) == []
    volume.close()
    volume.close()
    assert list(base.iterdir()) == []


def test_a_disk_is_refused_with_what_to_do(tmp_path: Path) -> None:
    if filesystem_of(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary directory is memory-backed here")
    with pytest.raises(Fatal, match=r"OVERT_INDEX_DIR must be on memory-backed storage.*tmpfs"):
        IndexVolume(tmp_path / "index")


def test_a_directory_that_others_can_read_is_refused(base: Path) -> None:
    base.mkdir(mode=0o755)
    base.chmod(0o755)
    with pytest.raises(Fatal, match="closed to others"):
        IndexVolume(base)


def test_a_link_is_refused(base: Path) -> None:
    target = base.with_name("target")
    target.mkdir(mode=0o700)
    base.symlink_to(target)
    with pytest.raises(Fatal, match="directory of this user"):
        IndexVolume(base)


def test_a_place_that_cannot_be_made_is_refused(base: Path) -> None:
    base.parent.joinpath("file").write_text("")
    with pytest.raises(Fatal, match="cannot make"):
        IndexVolume(base.parent / "file" / "index")


def test_what_the_dead_left_goes_and_what_the_living_have_stays(base: Path) -> None:
    living = IndexVolume(base)
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from overt_match.adapters.volume import IndexVolume;"
            "v = IndexVolume(Path(sys.argv[1])); (v.path / 'left').write_text('x'); print(v.path, flush=True);"
            "os._exit(9)",
            str(base),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(dead.stdout.strip())
    assert (left / "left").exists()
    new = IndexVolume(base)
    assert not left.exists()
    assert living.path.is_dir()
    assert new.path != living.path
    living.close()
    new.close()


def test_too_little_room_is_told_before_it_is_used(base: Path) -> None:
    volume = IndexVolume(base)
    with pytest.raises(Retryable, match="too small"), volume.scratch(1 << 60):
        pass
    volume.close()


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    place = Path(os.path.realpath(tmp_path))
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"23 22 0:5 / {place} rw - tmpfs tmpfs rw\n"
        f"24 22 0:5 / {place}/with\\040space rw - ramfs none rw\n"
    )
    assert filesystem_of(Path("/"), mounts) == "ext4"
    assert filesystem_of(place / "deep", mounts) == "tmpfs"
    assert filesystem_of(place / "with space" / "x", mounts) == "ramfs"
    assert filesystem_of(Path(f"{place}-beside"), mounts) == "ext4"
    assert filesystem_of(place, tmp_path / "missing") == "unknown"


def test_the_default_is_below_shared_memory() -> None:
    assert default_directory().parent == Path("/dev/shm")
