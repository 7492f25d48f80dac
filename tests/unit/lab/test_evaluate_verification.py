"""The verb with an engine that makes templates of flat grey pictures: its figures, its table, its faults."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from overt.errors import Fatal
from overt_lab.evaluate import measuring
from overt_lab.evaluate.cli import evaluate
from overt_lab.evaluate.faces import EngineChoice, Ran
from overt_lab.evaluate.metrics import named
from overt_lab.evaluate.templates import Made, Mirrored, Picture

pytestmark = pytest.mark.unit

BLANK = 0
"""A grey without a face."""


class Greys:
    """The grey is an angle in degrees; another precision turns each by its number of degrees more."""

    length = 2

    def __init__(self, choice: EngineChoice, levelled: bool, mirrored: Mirrored, workers: int) -> None:
        precision = "bf16" if choice.precision == "auto" else choice.precision
        self._stretch = {"bf16": 1.0, "f32": 1.5}[precision]
        self.ran = Ran("greys", "CPU", precision, choice.pack, "d1")

    def made(self, picture: Picture) -> Made | None:
        grey = int(picture[0, 0, 0])
        angle = math.radians(grey * self._stretch)
        template = np.array([math.cos(angle), math.sin(angle)], np.float32)
        return None if grey == BLANK else Made(template, template)


@pytest.fixture(autouse=True)
def _greys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "open_enroller", Greys)


Case = Callable[[list[tuple[int, int, int]]], list[str]]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Pictures and pairs of (grey, grey, same), and the arguments that name them."""
    images = tmp_path / "images"
    images.mkdir()

    def make(pairs: list[tuple[int, int, int]]) -> list[str]:
        for grey in {g for a, b, _ in pairs for g in (a, b)}:
            cv2.imwrite(str(images / f"{grey}.png"), np.full((64, 64, 3), grey, np.uint8))
        lines = [f"{a}.png,{b}.png,{same}" for a, b, same in pairs]
        (tmp_path / "pairs.csv").write_text("\n".join(["image_a,image_b,same", *lines]))
        return ["verification", "--images", str(images), "--pairs", str(tmp_path / "pairs.csv")]

    return make


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(evaluate, arguments)


def _figures(arguments: list[str], tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "figures" / "out.json"
    shown = _run(*arguments, "--json", str(file))
    assert shown.exit_code == 0, shown.output
    figures: dict[str, Any] = json.loads(
        file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    return figures


MATED = [(10 + i, 12 + i, 1) for i in range(20)]
OTHERS = [(10 + i, 60 + i, 0) for i in range(20)]


def test_the_fields_are_those_that_were_agreed(case: Case, tmp_path: Path) -> None:
    figures = _figures(case(MATED + OTHERS), tmp_path)
    assert figures.keys() >= {"pairs", "accuracy_10fold", "accuracy_sd", "tmr_at_fmr", "fte", "raw"}
    assert figures["raw"].keys() >= {"accuracy_10fold", "accuracy_sd", "tmr_at_fmr"}
    assert "normalised" not in figures, "there is no cohort yet"
    assert figures["pairs"] == 40
    assert figures["accuracy_10fold"] == figures["raw"]["accuracy_10fold"] == 1.0
    assert figures["accuracy_sd"] == 0.0
    assert figures["fte"] == 0
    assert list(figures["tmr_at_fmr"]) == ["1e-2", "1e-3", "1e-4"]
    assert (figures["engine"], figures["precision"], figures["model_digest"]) == ("greys", "bf16", "d1")
    assert figures["levelled"] is True
    assert figures["cores"] >= 1
    assert figures.keys() >= {"commit", "input", "provider", "model_pack"}


def test_a_rate_without_five_expected_errors_is_null_beside_its_counts(case: Case, tmp_path: Path) -> None:
    figures = _figures(case([*MATED, (10, 240, 1)] + OTHERS * 25), tmp_path)
    stated, unstated = figures["tmr_at_fmr"]["1e-2"], figures["tmr_at_fmr"]["1e-3"]
    assert stated["tmr"] == pytest.approx(20 / 21)
    assert math.cos(math.radians(50)) < stated["threshold"] < math.cos(math.radians(2))
    assert unstated == {
        "tmr": None,
        "ci": None,
        "threshold": None,
        "missed": 1,
        "false_matches": 0,
        "expected_false_matches": 0.5,
    }
    assert (figures["mated"], figures["non_mated"]) == (21, 500)


def test_a_pair_with_a_failure_to_enrol_counts_as_wrong(case: Case, tmp_path: Path) -> None:
    pairs = [*MATED[:-2], (BLANK, 12, 1), (12, BLANK, 1), *OTHERS[:-1], (BLANK, 200, 0)]
    figures = _figures(case(pairs), tmp_path)
    assert (figures["fte"], figures["pairs_with_fte"], figures["undecodable"]) == (1, 3, 0)
    assert figures["wrong"] == 3
    assert figures["accuracy_10fold"] == pytest.approx(1 - 3 / 40)


def test_a_file_that_is_no_picture_is_a_failure_to_enrol(case: Case, tmp_path: Path) -> None:
    arguments = case(MATED + OTHERS)
    (tmp_path / "images" / "12.png").write_bytes(b"GIF89a")
    figures = _figures(arguments, tmp_path)
    assert (figures["fte"], figures["undecodable"], figures["pictures"]) == (1, 1, len(_greys_of(MATED + OTHERS)))
    shown = _run(*arguments)
    assert "failures to enrol   1, in 3 pairs" in shown.stdout
    assert "no JPEG or PNG      1" in shown.stdout


def _greys_of(pairs: list[tuple[int, int, int]]) -> set[int]:
    return {grey for a, b, _ in pairs for grey in (a, b)}


def test_too_few_pairs_are_said_to_be_too_few(case: Case, tmp_path: Path) -> None:
    arguments = case(MATED[:9] + OTHERS)
    assert _figures(arguments, tmp_path)["accuracy_10fold"] is None
    assert "accuracy, 10 folds  - (takes 10 pairs of each kind)" in _run(*arguments).stdout


def test_the_table(case: Case) -> None:
    shown = _run(*case(MATED + OTHERS * 25))
    first, _, head, *rows = shown.stdout.splitlines()
    assert first == "520 pairs (20 of one person, 500 of two) of 42 pictures; raw cosine, uncalibrated"
    assert head.split() == ["greys", "bf16", "(CPU)"]
    assert rows == [
        "accuracy, 10 folds  100.00 % (sd 0.00, 0 wrong)",
        "failures to enrol   0",
        "TMR at FMR 1e-2     100.00 % (from 0.643, 0 missed)",
        "TMR at FMR 1e-3     - (0.5 errors expected, not 5)",
        "TMR at FMR 1e-4     - (0.05 errors expected, not 5)",
    ]
    assert shown.stderr == "templates of 42 pictures ...\n"
    assert ".png" not in shown.output


def test_two_precisions_side_by_side(case: Case, tmp_path: Path) -> None:
    """What is 240 or 220 degrees apart is 0 or 30 at f32's stretch."""
    pairs = [*MATED, *OTHERS[:-2], (10, 250, 0), (20, 240, 0)]
    arguments = [*case(pairs), "--compare", "f32"]
    figures = _figures(arguments, tmp_path)
    compare = figures["compare"]
    assert (figures["precision"], compare["precision"]) == ("bf16", "f32")
    assert figures["accuracy_10fold"] == 1.0
    assert compare["wrong"] == 2
    assert compare["accuracy_10fold"] == pytest.approx(0.95)
    assert compare["difference_points"] == pytest.approx(5)
    angles = [math.cos(math.radians(grey / 2)) for grey in _greys_of(pairs)]
    assert compare["cosine_min"] == pytest.approx(min(angles), abs=1e-6)
    assert compare["cosine_median"] == pytest.approx(float(np.median(angles)), abs=1e-6)
    shown = _run(*arguments).stdout
    assert "first to second: +5.00 points of accuracy; cosine of a picture's two templates: smallest" in shown


def test_nothing_to_compare_is_said_before_the_work(case: Case) -> None:
    shown = _run(*case(MATED), "--precision", "f32", "--compare", "f32")
    assert isinstance(shown.exception, Fatal)
    assert "--compare: both would be greys f32 (CPU)" in str(shown.exception)
    assert "templates of" not in shown.output


def test_a_comparison_without_a_template_has_no_figures(case: Case, tmp_path: Path) -> None:
    compare = _figures([*case([(BLANK, BLANK, 1)]), "--compare", "f32"], tmp_path)["compare"]
    assert compare["difference_points"] is compare["cosine_min"] is compare["cosine_median"] is None
    assert "no picture has a template of both" in _run(*case([(BLANK, BLANK, 1)]), "--compare", "f32").stdout


@pytest.mark.parametrize("missing", ["--images", "--pairs"])
def test_what_is_missing_is_wrong_usage(case: Case, missing: str) -> None:
    arguments = case(MATED)
    at = arguments.index(missing)
    shown = _run(*arguments[:at], *arguments[at + 2 :])
    assert shown.exit_code == 2
    assert f"Missing option '{missing}'" in shown.output
    shown = _run(*arguments[: at + 1], "/gone", *arguments[at + 2 :])
    assert shown.exit_code == 2
    assert "'/gone' does not exist" in shown.output


def test_figures_that_cannot_be_written_are_on_the_terminal_all_the_same(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = _run(*case(MATED + OTHERS), "--json", str(tmp_path / "file" / "out.json"))
    assert isinstance(shown.exception, Fatal)
    assert "cannot be written" in str(shown.exception)
    assert "accuracy, 10 folds  100.00 %" in shown.stdout


def test_only_the_figures_are_written(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = case(MATED + OTHERS)
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    _figures(arguments, tmp_path)
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "figures", tmp_path / "figures" / "out.json"}
    assert ".png" not in (tmp_path / "figures" / "out.json").read_text()


def test_rates_are_named_as_people_write_them() -> None:
    assert [named(rate) for rate in (1e-2, 3e-3, 1e-4, 1e-10)] == ["1e-2", "3e-3", "1e-4", "1e-10"]
