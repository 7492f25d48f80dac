"""What a directory is kept on, read from the kernel's list of mounts; and a claim no stronger than that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from overt.crypto.keyring.medium import medium_of

pytestmark = pytest.mark.unit

MOUNTS = """\
22 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 28 0:25 / /run rw,nosuid - tmpfs tmpfs rw,size=1024k
31 28 0:26 / /memory rw - ramfs ramfs rw
32 28 0:30 / /data rw - btrfs /dev/vdb rw,space_cache
33 32 0:31 / /data/shared rw master:2 propagate_from:3 - nfs4 server:/export rw,vers=4.2
34 28 0:32 / /with\\040space rw - xfs /dev/vdc rw
35 28 0:33 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
36 28 8:1 / /journal rw - ext4 /dev/sdb1 rw,data=journal
37 28 0:34 / /home/me rw - fuse.sshfs me@server: rw,user_id=0
38 28 0:35 / /new rw - futurefs /dev/vdd rw
39 28 0:36 / /twice rw - ext4 /dev/vde rw
40 39 0:37 / /twice rw - tmpfs tmpfs rw
"""
NO_SWAP = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
SWAP = NO_SWAP + "/dev/vda2 partition 1048572 0 -2\n"


@pytest.mark.parametrize(
    ("directory", "name", "says"),
    [
        ("/var/lib/overt", "ext4", "overwritten in place"),
        ("/", "ext4", "overwritten in place"),
        ("/run/overt", "tmpfs", "in memory only"),
        ("/running", "ext4", "in place"),
        ("/memory/k", "ramfs", "in memory only"),
        ("/data/keyring", "btrfs", "new blocks"),
        ("/data/shared/k", "nfs4", "another host"),
        ("/with space/k", "xfs", "in place"),
        ("/merged/k", "overlay", "container's layer"),
        ("/journal/k", "ext4", "to its journal"),
        ("/home/me/k", "fuse.sshfs", "another host"),
        ("/new/k", "futurefs", "not known"),
        ("/twice/k", "tmpfs", "in memory only"),
    ],
)
def test_the_mount_that_holds_it(tmp_path: Path, directory: str, name: str, says: str) -> None:
    mountinfo, swaps = tmp_path / "mountinfo", tmp_path / "swaps"
    mountinfo.write_text(MOUNTS)
    swaps.write_text(NO_SWAP)
    medium = medium_of(Path(directory), mountinfo=mountinfo, swaps=swaps)
    assert medium.name == name
    assert says in medium.proves


def test_swap_weakens_what_memory_proves(tmp_path: Path) -> None:
    mountinfo, swaps = tmp_path / "mountinfo", tmp_path / "swaps"
    mountinfo.write_text(MOUNTS)
    swaps.write_text(SWAP)
    assert "swap" in medium_of(Path("/run/k"), mountinfo=mountinfo, swaps=swaps).proves
    assert "swap" in medium_of(Path("/run/k"), mountinfo=mountinfo, swaps=tmp_path / "none").proves
    assert "swap" not in medium_of(Path("/memory/k"), mountinfo=mountinfo, swaps=swaps).proves


@pytest.mark.parametrize("text", ["", "rubbish\n", "1 2 3 - ext4\n", " - \n", "3 2 8:1 / /elsewhere rw - ext4 x rw\n"])
def test_what_cannot_be_read_is_unknown(tmp_path: Path, text: str) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(text)
    medium = medium_of(Path("/var"), mountinfo=mountinfo)
    assert medium.name == "unknown"
    assert "not known" in medium.proves
    assert medium_of(Path("/var"), mountinfo=tmp_path / "none").name == "unknown"


def test_only_memory_is_called_gone(tmp_path: Path) -> None:
    mountinfo, swaps = tmp_path / "mountinfo", tmp_path / "swaps"
    swaps.write_text(NO_SWAP)
    for filesystem in ("ext4", "xfs", "btrfs", "zfs", "overlay", "nfs4", "9p", "fuse", "unheard"):
        mountinfo.write_text(f"1 0 0:1 / / rw - {filesystem} x rw\n")
        assert "gone" not in medium_of(Path("/x"), mountinfo=mountinfo, swaps=swaps).proves


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no /dev/shm here")
def test_a_real_memory_filesystem() -> None:
    assert medium_of(Path("/dev/shm")).name == "tmpfs"


def test_a_link_is_followed(tmp_path: Path) -> None:
    mountinfo, swaps = tmp_path / "mountinfo", tmp_path / "swaps"
    swaps.write_text(NO_SWAP)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mountinfo.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path.resolve()}/real rw - tmpfs x rw\n")
    assert medium_of(tmp_path / "link", mountinfo=mountinfo, swaps=swaps).name == "tmpfs"
