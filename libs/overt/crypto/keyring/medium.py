"""What a directory is kept on, and what overwriting a file there proves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overt.mounts import MOUNTINFO, Mount, mount_of
from overt.swap import SWAPS, swap_is_on

_IN_PLACE = frozenset({"ext2", "ext3", "ext4", "xfs", "jfs", "vfat", "exfat", "ntfs3"})
_COPY_ON_WRITE = frozenset({"btrfs", "zfs", "bcachefs", "nilfs2", "f2fs", "ubifs", "jffs2", "udf", "apfs", "reiser4"})
_LAYERED = frozenset({"overlay", "aufs", "unionfs"})
_ELSEWHERE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "beegfs", "afs", "9p", "virtiofs", "vboxsf"}
)


@dataclass(frozen=True, slots=True)
class Medium:
    name: str
    """The filesystem's type, as the kernel calls it."""
    proves: str


def medium_of(directory: Path, *, mountinfo: Path = MOUNTINFO, swaps: Path = SWAPS) -> Medium:
    """The medium below `directory`. Never raises: what cannot be found out is said to be unknown."""
    mount = mount_of(directory, mountinfo=mountinfo)
    return Medium(mount.filesystem, _proves(mount, swaps))


def _proves(mount: Mount, swaps: Path) -> str:
    filesystem = mount.filesystem
    if filesystem == "ramfs" or (filesystem == "tmpfs" and not swap_is_on(swaps)):
        return "The key that wrapped them was in memory only, was overwritten there and is gone."
    if filesystem == "tmpfs":
        return (
            "The key that wrapped them was in memory, was overwritten there and is gone, "
            "but swap is on and may hold a copy until its blocks are reused."
        )
    if filesystem in _IN_PLACE and "data=journal" in mount.options:
        return (
            "The key that wrapped them was overwritten, but this filesystem writes file contents to its journal "
            "first: old bytes may survive there, and in flash below it, until they are reused."
        )
    if filesystem in _IN_PLACE:
        return (
            "The key that wrapped them was overwritten in place as far as the filesystem can tell; old bytes may "
            "survive in flash that remaps its blocks, or in a snapshot of the disk, until they are reused."
        )
    if filesystem in _COPY_ON_WRITE:
        return (
            "This filesystem writes changes to new blocks, so overwriting proves little: the bytes of the key that "
            "wrapped them may survive until their blocks are reused, and in any snapshot."
        )
    if filesystem in _LAYERED:
        return (
            "The key that wrapped them was overwritten in a container's layer; which disk is below cannot be seen "
            "from here, and old bytes may survive on it until they are reused."
        )
    if filesystem in _ELSEWHERE or filesystem.startswith("fuse"):
        return (
            "The key that wrapped them was overwritten on storage that another host or process serves; whether old "
            "bytes survive there, or in its snapshots and backups, cannot be seen from here."
        )
    return (
        "The key that wrapped them was overwritten and unlinked; what this medium keeps of overwritten bytes "
        "is not known."
    )
