"""One system per data directory, and how the other verbs find it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt_lab.layout import Layout, append_private, write_private
from overt_lab.running import Hold, Running, find_running

pytestmark = pytest.mark.unit


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data", tmp_path / "overt-run")
    layout.data.mkdir()
    layout.run.mkdir()
    return layout


def _running(layout: Layout) -> Running:
    return Running("http://127.0.0.1:1", "127.0.0.1:2", layout, os.getpid())


def test_a_system_that_is_ready_is_found(layout: Layout) -> None:
    hold = Hold(layout)
    hold.ready(_running(layout))
    assert find_running(layout.data) == _running(layout)
    assert find_running(layout.data) == _running(layout), "asking changes nothing"
    hold.release()


def test_no_system_says_what_to_do(layout: Layout, tmp_path: Path) -> None:
    for data in (tmp_path / "none", layout.data):
        with pytest.raises(Fatal, match=r"no system runs on .*: start one with `overt up`.*--data DIR"):
            find_running(data)


def test_a_system_that_is_starting_says_so(layout: Layout) -> None:
    hold = Hold(layout)
    with pytest.raises(Fatal, match="still starting"):
        find_running(layout.data)
    hold.release()


def test_a_system_that_has_ended_is_not_found(layout: Layout) -> None:
    hold = Hold(layout)
    hold.ready(_running(layout))
    hold.release()
    hold.release()
    assert not (layout.data / "running.json").exists()
    with pytest.raises(Fatal, match="any more"):
        find_running(layout.data)


def test_a_second_one_is_refused_and_leaves_the_first_alone(layout: Layout, tmp_path: Path) -> None:
    first = Hold(layout)
    first.ready(_running(layout))
    with pytest.raises(Fatal, match=rf"a system runs on .*data already \(process {os.getpid()}\).*--data DIR"):
        Hold(Layout(layout.data, tmp_path / "overt-other"))
    assert find_running(layout.data) == _running(layout)
    assert layout.run.is_dir()
    first.release()
    Hold(Layout(layout.data, tmp_path / "overt-other")).release()


def _killed(layout: Layout) -> None:
    """As kill -9 leaves it: the note is there, the lock is gone."""
    hold = Hold(layout)
    hold.ready(_running(layout))
    note = (layout.data / "running.json").read_text()
    hold.release()
    (layout.data / "running.json").write_text(note)


def test_a_note_alone_is_not_believed(layout: Layout) -> None:
    """The process number in it may be somebody else's by now."""
    _killed(layout)
    with pytest.raises(Fatal, match="any more"):
        find_running(layout.data)


def test_the_secrets_of_a_killed_system_go_with_the_next_start(layout: Layout, tmp_path: Path) -> None:
    write_private(layout.issuer_key, "a key")
    _killed(layout)
    Hold(Layout(layout.data, tmp_path / "overt-next")).release()
    assert not layout.run.exists()


@pytest.mark.parametrize("name", ["precious", "overt-link"])
def test_nothing_but_a_run_directory_is_removed(layout: Layout, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "overt-link").symlink_to(precious)
    (layout.data / "running.json").write_text(json.dumps({"run": str(tmp_path / name)}))
    Hold(layout).release()
    assert (precious / "file").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", '"x"', '{"pid": {}}', '{"run": ""}', '{"run": 7}'])
def test_a_note_that_cannot_be_read_is_none(layout: Layout, note: str) -> None:
    (layout.data / "running.json").write_text(note)
    hold = Hold(layout)
    (layout.data / "running.json").write_text(note)
    with pytest.raises(Fatal, match="still starting"):
        find_running(layout.data)
    hold.release()


def test_what_is_private_is_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "a", "secret")
        append_private(tmp_path / "b", "one")
    finally:
        os.umask(before)
    append_private(tmp_path / "b", "two")
    assert (tmp_path / "a").read_text() == "secret"
    assert (tmp_path / "b").read_text() == "one\ntwo\n"
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {"a": 0o600, "b": 0o600}
