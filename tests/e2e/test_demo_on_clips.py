"""The demo on real clips: who should alert does, nobody else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.models import default_directory, ensure
from overt_ingest.adapters.masking import SCENE_SIDE_PX, surroundings
from overt_ingest.domain.faces import Box
from support.clips import cut, faces_in, frames, run_demo, write_picture

pytestmark = [pytest.mark.e2e, pytest.mark.data]


@pytest.fixture(scope="module")
def detector() -> Path:
    """The built detector of pack `open`, for OpenCV."""
    return ensure("open", default_directory()).detector


@pytest.fixture(scope="module")
def headpose(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, detector: Path) -> Path:
    """A list folder with one picture each, cut from the clips in which they are alone."""
    folder = tmp_path_factory.mktemp("headpose")
    for name in ("female", "male"):
        best: tuple[float, np.ndarray] | None = None
        for picture in list(frames(shared_data / "clips" / f"headpose_{name}.gif"))[::5]:
            for face in faces_in(picture, detector):
                if best is None or face[-1] > best[0]:
                    best = (float(face[-1]), cut(picture, face))
        assert best is not None
        write_picture(folder / name / f"{name}.png", best[1])
    return folder


@pytest.mark.parametrize("name", ["female", "male"])
def test_one_of_two_is_on_the_list(shared_data: Path, headpose: Path, tmp_path: Path, name: str) -> None:
    clip = shared_data / "clips" / "headpose_female_and_male.gif"
    only = tmp_path / "list"
    only.mkdir()
    (only / f"{name}.png").write_bytes((headpose / name / f"{name}.png").read_bytes())
    demo = run_demo(tmp_path, "--video", str(clip), "--watchlist", str(only), "--expect", name)
    assert demo.code == 0, demo.output
    assert demo.figures["false_alerts"] == []


def test_nobody_of_the_street_is_on_the_list(shared_data: Path, headpose: Path, tmp_path: Path) -> None:
    clip = shared_data / "clips" / "street_1080p25.mp4"
    demo = run_demo(tmp_path, "--video", str(clip), "--watchlist", str(headpose))
    assert demo.code == 0, demo.output
    assert demo.figures["alerts"] == []
    ledger = demo.figures["ledger"]
    assert ledger["conserved"]
    assert ledger["frames_in"] == 105 == sum(ledger["destroyed"].values())
    assert ledger["tracks"]["seen"] == sum(ledger["tracks"]["destroyed"].values()) > 0


def test_the_retained_scene_shows_the_alerted_one_only(shared_data: Path, tmp_path: Path, detector: Path) -> None:
    clip = shared_data / "clips" / "street_1080p25.mp4"
    picture = list(frames(clip))[40]
    face = max(faces_in(picture, detector), key=lambda f: f[2] * f[3])
    write_picture(tmp_path / "list" / "walker.png", cut(picture, face, 0.35))
    saved = tmp_path / "evidence"
    demo = run_demo(
        tmp_path,
        *("--video", str(clip), "--watchlist", str(tmp_path / "list"), "--expect", "walker"),
        *("--evidence", str(saved)),
    )
    assert demo.code == 0, demo.output
    scene = cv2.imread(str(saved / "walker-scene.jpg"))
    assert max(scene.shape) == SCENE_SIDE_PX
    assert len(faces_in(scene, detector)) == 1
    assert len(faces_in(cv2.imread(str(saved / "walker-probe.jpg")), detector)) == 1
    around = surroundings(Box(*(float(v) for v in face[:4])), picture.shape[1], picture.shape[0])
    there = np.ascontiguousarray(around.of(picture))
    assert there.shape[1] < picture.shape[1], "it is not the whole frame"
    assert len(faces_in(there, detector)) >= 3, "the scene had more people in it"
