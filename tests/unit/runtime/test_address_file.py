"""The address file: whole, private, and gone when the service is not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.runtime import address_file

pytestmark = pytest.mark.unit


def test_it_is_written_whole_private_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "address"
    before = os.umask(0)
    try:
        address_file.write(path, "127.0.0.1:4711")
    finally:
        os.umask(before)
    assert path.read_text() == "127.0.0.1:4711"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_one_is_replaced_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "address"
    path.write_text("an older and longer address")
    path.chmod(0o644)
    with path.open() as reader:
        address_file.write(path, "new")
        assert reader.read() == "an older and longer address"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="OVERT_ADDRESS_FILE: cannot write"):
        address_file.write(tmp_path / "gone" / "address", "x")


def test_a_place_that_cannot_be_replaced_leaves_no_part_behind(tmp_path: Path) -> None:
    path = tmp_path / "address"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(Fatal):
        address_file.write(path, "x")
    assert list(tmp_path.iterdir()) == [path]


def test_removing_is_idempotent(tmp_path: Path) -> None:
    path = tmp_path / "address"
    address_file.write(path, "x")
    address_file.remove(path)
    address_file.remove(path)
    assert not path.exists()
