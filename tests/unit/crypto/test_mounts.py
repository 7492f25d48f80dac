"""The file system below a path, from the kernel's list."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from overt.mounts import UNKNOWN, Mount, mount_of

pytestmark = pytest.mark.unit


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mount = Path(os.path.realpath(tmp_path))
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,data=journal\n"
        f"23 22 0:5 / {mount} rw - tmpfs tmpfs rw\n"
        f"24 22 0:5 / {mount}/with\\040space rw - ramfs none rw\n"
    )
    assert mount_of(Path("/"), mountinfo=mounts) == Mount("ext4", frozenset({"rw", "data=journal"}))
    assert mount_of(mount / "deep", mountinfo=mounts).filesystem == "tmpfs"
    assert mount_of(mount / "with space" / "x", mountinfo=mounts).filesystem == "ramfs"
    assert mount_of(Path(f"{mount}-beside"), mountinfo=mounts).filesystem == "ext4"
    assert mount_of(mount, mountinfo=tmp_path / "missing") == UNKNOWN
