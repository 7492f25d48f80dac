"""`overt evaluate identification` and `equity` through the real engine: on package pictures, and on the measuring
pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from overt.testing import faces
from overt_lab.evaluate.cli import evaluate
from overt_lab.evaluate.faces import EngineChoice, open_enroller
from overt_lab.evaluate.templates import Mirrored

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people, each as they are, darker and larger, in two groups."""
    folder = tmp_path_factory.mktemp("people")
    rows = []
    for number, (name, cut_out) in enumerate(faces.people().items()):
        picture = np.zeros((400, 400, 3), np.uint8)
        height, width = cut_out.shape[:2]
        picture[:height, :width] = cut_out
        larger = cv2.warpAffine(cut_out, np.array([[1.4, 0, 5], [0, 1.4, 5]]), (400, 400))
        for kind, content in {"plain": picture, "dark": picture // 2, "large": larger}.items():
            cv2.imwrite(str(folder / f"{name}-{kind}.jpg"), content)
            rows.append((f"{name}-{kind}.jpg", name, "ab"[number % 2]))
    _write(folder / "labels.csv", [("image", "subject", "group"), *rows])
    return folder


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _figures(out: Path, *arguments: str) -> dict[str, Any]:
    shown = CliRunner().invoke(evaluate, [*arguments, "--json", str(out)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


@pytest.mark.parametrize("mirrored", ["references", "both"])
def test_listed_people_are_found(people: Path, tmp_path: Path, mirrored: str) -> None:
    options = ["--mirrored", "both"] if mirrored == "both" else []
    arguments = ["--images", str(people), "--labels", str(people / "labels.csv"), "--watchlist-size", "6", *options]
    figures = _figures(tmp_path / "out.json", "identification", *arguments)
    assert (figures["watchlist_size"], figures["mated"], figures["non_mated"], figures["fte"]) == (6, 10, 6, 0)
    assert figures["rank_one"] == 1
    assert all(point["missed"] == 0 for point in figures["tpir_at_fpir"].values())
    assert figures["mirrored"] == mirrored, "the former is as in use"
    assert bool(figures["references_as_they_are"]) is (mirrored == "references")


def test_eight_people_are_not_enough_to_judge_groups_by(people: Path, tmp_path: Path) -> None:
    arguments = ["--images", str(people), "--labels", str(people / "labels.csv"), "--by", "group"]
    figures = _figures(tmp_path / "out.json", "equity", *arguments)
    assert {level["verdict"] for level in figures["raw"].values()} == {"insufficient evidence"}


def test_a_mirrored_template_depends_less_on_the_side() -> None:
    """It is nearer to that of the mirror image than the template of the face as it is."""
    enroller = open_enroller(EngineChoice(engine="onnxruntime"), False, Mirrored.REFERENCES, 1)
    as_shots, as_references = [], []
    for picture in faces.people().values():
        one, other = (enroller.made(np.ascontiguousarray(p)) for p in (picture, picture[:, ::-1]))
        assert one is not None
        assert other is not None
        assert float(np.linalg.norm(one.reference)) == pytest.approx(1)
        as_shots.append(float(one.shot @ other.shot))
        as_references.append(float(one.reference @ other.reference))
    assert np.mean(as_references) > np.mean(as_shots) + 0.01


@pytest.mark.data
def test_identification_on_the_measuring_pictures(shared_data: Path, tmp_path: Path) -> None:
    """The first 300 pictures; the whole set takes minutes."""
    images = shared_data / "lfw_dev"
    with (images / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:300]
    _write(tmp_path / "labels.csv", [("image", "subject"), *((row["image"], row["subject"]) for row in rows)])
    arguments = ["--images", str(images), "--labels", str(tmp_path / "labels.csv"), "--watchlist-size", "60"]
    figures = _figures(tmp_path / "out.json", "identification", *arguments, "--html", str(tmp_path / "page.html"))
    assert figures["fte"] == 0
    assert figures["rank_one"] > 0.97
    assert (tmp_path / "page.html").stat().st_size > 5000
