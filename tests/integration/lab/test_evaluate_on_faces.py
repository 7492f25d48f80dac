"""`overt evaluate verification` through the real engine: on package pictures, and on the measuring pictures."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from overt.errors import Fatal
from overt.testing import faces
from overt_lab.evaluate.cli import evaluate
from overt_lab.evaluate.faces import EngineChoice, open_enroller
from overt_lab.evaluate.templates import Mirrored

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people, each as they are, darker and larger, and every pair of those pictures."""
    folder = tmp_path_factory.mktemp("people")
    names = []
    for name, cut_out in faces.people().items():
        # All of one size: OpenVINO takes its time with every new one.
        picture = np.zeros((400, 400, 3), np.uint8)
        height, width = cut_out.shape[:2]
        picture[:height, :width] = cut_out
        larger = cv2.warpAffine(cut_out, np.array([[1.4, 0, 5], [0, 1.4, 5]]), (400, 400))
        for kind, content in {"plain": picture, "dark": picture // 2, "large": larger}.items():
            names.append(f"{name}-{kind}.jpg")
            cv2.imwrite(str(folder / names[-1]), content)
    rows = [(a, b, int(a.split("-")[0] == b.split("-")[0])) for a, b in combinations(names, 2)]
    _write(folder / "pairs.csv", rows)
    return folder


def _write(path: Path, rows: list[tuple[str, str, int]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image_a", "image_b", "same"), *rows])


def _figures(images: Path, pairs: Path, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["verification", "--images", str(images), "--pairs", str(pairs), "--json", str(out), *options]
    shown = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


@pytest.mark.parametrize("options", [[], ["--engine", "onnxruntime", "--no-level"]], ids=["as in use", "reference"])
def test_people_are_told_apart(people: Path, tmp_path: Path, options: list[str]) -> None:
    figures = _figures(people, people / "pairs.csv", tmp_path / "out.json", *options)
    assert (figures["pairs"], figures["mated"], figures["pictures"]) == (276, 24, 24)
    assert (figures["fte"], figures["wrong"]) == (0, 0)
    assert figures["accuracy_10fold"] == 1.0
    if options:
        assert (figures["engine"], figures["precision"], figures["levelled"]) == ("onnxruntime", "f32", False)


def test_the_fast_path_says_what_the_exact_one_says(people: Path, tmp_path: Path) -> None:
    try:
        compare = _figures(people, people / "pairs.csv", tmp_path / "out.json", "--compare", "f32")["compare"]
    except Fatal as told:
        if "--compare: both would be" not in str(told):
            raise
        pytest.skip("this processor has no bf16: there is no faster precision to compare")
    assert compare["precision"] == "f32"
    assert compare["difference_points"] == 0
    assert compare["cosine_median"] > 0.998
    assert compare["cosine_min"] > 0.9


def test_the_people_of_a_crowd_are_told_by_who_is_in_the_middle() -> None:
    """Six people, and a part of the picture with each of them in turn in its middle."""
    enroller = open_enroller(EngineChoice(engine="onnxruntime"), True, Mirrored.NONE, 1)
    alone = {name: enroller.made(picture) for name, picture in faces.people().items() if "group" in name}
    everybody = np.pad(faces.group(), ((400, 400), (400, 400), (0, 0)))
    x, y = 463 + 57 + 400, 269 + 74 + 400  # the third, who has neighbours on both sides
    seen = enroller.made(np.ascontiguousarray(everybody[y - 300 : y + 300, x - 400 : x + 400]))
    assert seen is not None
    scores = {name: float(seen.shot @ made.shot) for name, made in alone.items() if made is not None}
    assert max(scores, key=lambda name: scores[name]) == "group3"
    assert scores["group3"] > 0.8
    assert enroller.made(faces.nobody()) is None


@pytest.mark.data
def test_lfw_through_the_fast_path(shared_data: Path, tmp_path: Path) -> None:
    """The first 100 pairs of each kind; the whole set takes minutes."""
    images = shared_data / "lfw_dev"
    with (images / "pairs.csv").open(newline="") as file:
        rows = [(row["image_a"], row["image_b"], int(row["same"])) for row in csv.DictReader(file)]
    _write(tmp_path / "pairs.csv", [row for kind in (1, 0) for row in [r for r in rows if r[2] == kind][:100]])
    figures = _figures(images, tmp_path / "pairs.csv", tmp_path / "out.json")
    assert (figures["pairs"], figures["fte"]) == (200, 0)
    assert figures["accuracy_10fold"] >= 0.98
