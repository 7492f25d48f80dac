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
from overt.mounts import mount_of
from overt_match.adapters.volume import DEFAULT_PLACE, IndexVolume

pytestmark = pytest.mark.unit


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=DEFAULT_PLACE) as directory:
        yield Path(directory)


def ours(place: Path) -> Path:
    """Where a volume keeps everything."""
    return place / f"overt-match-{os.getuid()}"


def test_it_is_private_wherever_it_is_and_leaves_nothing(place: Path) -> None:
    # As Kubernetes mounts an emptyDir.
    place.chmod(0o777)
    volume = IndexVolume(place)
    assert ours(place).stat().st_mode & 0o777 == 0o700
    assert volume.path.stat().st_mode & 0o777 == 0o700
    with volume.scratch(1000) as directory:
        (directory / "x").write_bytes(b"x")
        assert list(volume.path.iterdir()) == [directory]
    assert list(volume.path.iterdir()) == []
    volume.close()
    volume.close()
    assert list(ours(place).iterdir()) == []


def test_a_disk_is_refused_with_what_to_do(tmp_path: Path) -> None:
    if mount_of(tmp_path).filesystem in ("tmpfs", "ramfs"):
        pytest.skip("the temporary directory is memory-backed here")
    with pytest.raises(Fatal, match=r"OVERT_INDEX_DIR must be on memory-backed storage.*tmpfs"):
        IndexVolume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_others_can_read_is_refused(place: Path) -> None:
    ours(place).mkdir()
    ours(place).chmod(0o755)
    with pytest.raises(Fatal, match="closed to others"):
        IndexVolume(place)


def test_a_link_is_refused(place: Path) -> None:
    target = place / "target"
    target.mkdir(mode=0o700)
    ours(place).symlink_to(target)
    with pytest.raises(Fatal, match="directory of this user"):
        IndexVolume(place)


def test_a_place_that_cannot_be_made_is_refused(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(Fatal, match="cannot make"):
        IndexVolume(place / "file")


def test_what_the_dead_left_goes_and_what_the_living_have_stays(place: Path) -> None:
    living = IndexVolume(place)
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from overt_match.adapters.volume import IndexVolume;"
            "v = IndexVolume(Path(sys.argv[1])); (v.path / 'left').write_text('x'); print(v.path, flush=True);"
            "os._exit(9)",
            str(place),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(dead.stdout.strip())
    assert (left / "left").exists()
    new = IndexVolume(place)
    assert not left.exists()
    assert living.path.is_dir()
    assert new.path != living.path
    living.close()
    new.close()


def test_too_little_room_is_told_before_it_is_used(place: Path) -> None:
    volume = IndexVolume(place)
    with pytest.raises(Retryable, match="too small"), volume.scratch(1 << 60):
        pass
    volume.close()
