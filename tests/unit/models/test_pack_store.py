"""Packs on disk: built, verified, never silently repaired. With packs of a few bytes that need no preparation."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.models import Pack, Task, build, default_directory, ensure, folder_of, package_file, parse_pack, verify

pytestmark = pytest.mark.unit

_CONTENT = {"a.onnx": b"detector's bytes", "b.onnx": b"recogniser's bytes"}


def _pack(extra: str = "") -> Pack:
    a, b = (hashlib.sha256(c).hexdigest() for c in _CONTENT.values())
    model = """
[[models]]
name = "{name}"
task = "{task}"
algorithm = "x"
licence = "non-commercial"
attribution = "somebody"
file = "{name}.onnx"
sha256 = "{digest}"
{more}
source = {{ file = "{name}.onnx", sha256 = "{digest}" }}
input = {{ colours = "RGB", mean = 0.0, std = 1.0 }}
"""
    head = f'name = "tiny"\ntitle = "t"\ntemplate_length = 4\n{extra}\n[alignment]\nmethod = "m"\nsize = 112\n'
    models = model.format(name="a", task="detection", digest=a, more="sure_face_px = 20")
    models += model.format(name="b", task="recognition", digest=b, more="")
    return parse_pack(head + models, where="tiny.toml")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, content in _CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_built_pack_verifies_and_says_where_its_files_are(tmp_path: Path, sources: Path) -> None:
    told: list[str] = []
    built = build(_pack(), tmp_path / "m", from_folder=sources, on_model=lambda m: told.append(m.file))
    assert told == ["a.onnx", "b.onnx"]
    assert built == verify(_pack(), tmp_path / "m") == ensure(_pack(), tmp_path / "m")
    assert built.detector.read_bytes() == _CONTENT["a.onnx"]
    assert built.recogniser.read_bytes() == _CONTENT["b.onnx"]
    lines = (built.folder / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(c).hexdigest()}  {n}" for n, c in _CONTENT.items()]
    assert [p.name for p in (tmp_path / "m").iterdir()] == [built.folder.name], "nothing of the build is left over"


@pytest.mark.parametrize("name", list(_CONTENT))
def test_one_changed_byte_is_fatal_names_the_file_and_stays(tmp_path: Path, sources: Path, name: str) -> None:
    built = build(_pack(), tmp_path / "m", from_folder=sources)
    damaged = bytearray(_CONTENT[name])
    damaged[3] ^= 1
    (built.folder / name).write_bytes(damaged)
    for check in (verify, ensure):
        with pytest.raises(Fatal) as refused:
            check(_pack(), tmp_path / "m")
        assert str(built.folder / name) in str(refused.value)
        assert "overt models build tiny" in str(refused.value)
    assert (built.folder / name).read_bytes() == damaged
    build(_pack(), tmp_path / "m", from_folder=sources)
    verify(_pack(), tmp_path / "m")


def test_a_missing_file_is_fatal_too(tmp_path: Path, sources: Path) -> None:
    build(_pack(), tmp_path / "m", from_folder=sources).recogniser.unlink()
    with pytest.raises(Fatal, match=r"b\.onnx cannot be read"):
        ensure(_pack(), tmp_path / "m")


def test_a_pack_that_was_never_built_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"not built in .*overt models build tiny --from .* --directory"):
        verify(_pack(), tmp_path)


def test_a_source_that_is_not_the_pinned_one_is_refused(tmp_path: Path, sources: Path) -> None:
    (sources / "b.onnx").write_bytes(b"another model")
    with pytest.raises(Fatal, match=r"b\.onnx is not the file that the manifest of b pins"):
        build(_pack(), tmp_path / "m", from_folder=sources)
    assert not folder_of(_pack(), tmp_path / "m").exists()
    assert list((tmp_path / "m").iterdir()) == []


def test_a_source_that_is_not_there_is_asked_for(tmp_path: Path, sources: Path) -> None:
    with pytest.raises(Fatal, match=r"say where a\.onnx is"):
        build(_pack(), tmp_path / "m")
    (sources / "a.onnx").unlink()
    with pytest.raises(Fatal, match=r"a\.onnx of a cannot be read"):
        build(_pack(), tmp_path / "m", from_folder=sources)


def test_a_licence_that_wants_accepting_is_shown_before_anything_is_built(tmp_path: Path, sources: Path) -> None:
    pack = _pack("acceptance_required = true")
    with pytest.raises(Fatal, match=r"only after its licence is accepted \(a: non-commercial"):
        build(pack, tmp_path / "m", from_folder=sources)
    build(pack, tmp_path / "m", from_folder=sources, licence_accepted=True)


def test_a_pack_that_nobody_accepted_here_is_not_used_though_its_files_are_there(tmp_path: Path, sources: Path) -> None:
    pack = _pack("acceptance_required = true")
    built = build(pack, tmp_path / "m", from_folder=sources, licence_accepted=True)
    record = built.folder / "LICENCE_ACCEPTED"
    assert record.read_text() == "a: non-commercial; b: non-commercial"
    assert verify(pack, tmp_path / "m") == built
    for damage in (lambda: record.write_text("other terms"), record.unlink):
        damage()
        with pytest.raises(Fatal, match=r"nobody has accepted here .*build tiny --from .*--accept-licence"):
            ensure(pack, tmp_path / "m")
    assert not (build(_pack(), tmp_path / "free", from_folder=sources).folder / "LICENCE_ACCEPTED").exists()


def test_what_is_read_is_verified_as_it_is_read(tmp_path: Path, sources: Path) -> None:
    built = build(_pack(), tmp_path / "m", from_folder=sources)
    assert built.content(Task.DETECTION) == _CONTENT["a.onnx"]
    built.detector.write_bytes(b"changed after the start")
    with pytest.raises(Fatal, match=r"a\.onnx is not what the pack tiny says"):
        built.content(Task.DETECTION)


def test_a_packages_file_is_read_and_a_package_that_is_not_there_is_fatal() -> None:
    assert b"pytest" in package_file("pytest", "__init__.py")
    with pytest.raises(Fatal, match="no_such_package"):
        package_file("no_such_package", "file")
    with pytest.raises(FileNotFoundError):
        package_file("pytest", "no_such_file")


def test_a_directory_that_cannot_be_written_is_fatal(tmp_path: Path, sources: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Fatal, match="is not writable"):
        build(_pack(), tmp_path / "file" / "m", from_folder=sources)


def test_builds_at_the_same_time_do_no_harm(tmp_path: Path, sources: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        builds = [threads.submit(build, _pack(), tmp_path / "m", from_folder=sources) for _ in range(40)]
    assert {b.result().folder for b in builds} == {folder_of(_pack(), tmp_path / "m")}
    assert len(list((tmp_path / "m").iterdir())) == 1


def test_the_default_directory_follows_xdg() -> None:
    assert default_directory({"XDG_CACHE_HOME": "/c"}) == Path("/c/overt/models")
    assert default_directory({}) == Path.home() / ".cache/overt/models"
