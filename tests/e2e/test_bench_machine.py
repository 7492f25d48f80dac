"""`overt bench`, as a user runs it, on a short clip of two people."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.clips import OVERT
from support.films import grey, two_walkers, write_film

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [OVERT, "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)


def _measured(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    figures = folder / "figures.json"
    done = _bench(*arguments, "--json", str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(figures.read_text()), done.stdout


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_walkers(tmp_path_factory.mktemp("film") / "walkers.mp4")


def test_pipeline_measures_everything_it_says(film: Path, tmp_path: Path) -> None:
    found, told = _measured(tmp_path, "pipeline", "--video", str(film), "--cameras", "1", "--seconds", "6")
    assert found["cameras"] == 1
    assert found["precision"] in ("f32", "bf16")
    assert found["fps_offered"] == pytest.approx(10, rel=0.25)  # 30 frames in 2.4 s, and 0.6 s of silence
    assert 0 < found["fps_analysed"] <= found["fps_offered"] * 1.1
    assert found["faces_per_frame"] == pytest.approx(2, abs=0.5)
    assert found["tracks"] > 0
    assert found["shots_templated"] > 0
    # On a machine that others use as well, two shots in a second may be too much to ask.
    assert found["capture_to_alert_ms"]["n"] > 0 or found["busy_with_others"] > 0.3
    assert found["capture_to_alert_ms"]["p95"] is None, "so few alerts have no percentiles"
    assert all(found["capture_to_erased_ms"][key] > 0 for key in ("p50", "p95", "p99", "max"))
    assert all(value is not None for value in found["stale_ms"].values())
    assert 0 < found["cpu_seconds_per_frame_one_process"] < found["cpu_seconds_per_frame"]
    services = {"nats", "alerts", "detect", "match", "ingest", "gateway"}
    assert set(found["pss_mb"]) == services
    assert all(megabytes > 5 for megabytes in found["pss_mb"].values())
    assert found["people_baseline"] == 2
    assert found["people_seen"] == 2
    assert found["fragmentation"] >= 1
    assert found["list_size"] == 2000
    assert found["baseline"] is None
    assert found["ratio"] is None
    assert "people seen" in told


def test_overload_keeps_nobody_waiting(film: Path, tmp_path: Path) -> None:
    found, told = _measured(tmp_path, "overload", "--video", str(film), "--seconds", "3")
    assert found["capacity_fps"] > 0
    for mode in ("pull", "push"):
        assert found[mode]["offered_fps"] >= 0.9 * 4 * found["capacity_fps"]
        assert found[mode]["superseded"] > 0
        assert found[mode]["staleness_ms"]["p99"] >= found[mode]["staleness_ms"]["p50"] > 0
    assert found["fifo"]["staleness_ms"]["p99"] > found["staleness_ms"]["p99"]
    assert "fifo" in told


def test_what_cannot_be_measured_is_said_in_a_line(tmp_path: Path) -> None:
    gone = _bench("pipeline", "--video", str(tmp_path / "none.mp4"))
    assert gone.returncode == 2
    (tmp_path / "text.mp4").write_text("no video")
    text = _bench("pipeline", "--video", str(tmp_path / "text.mp4"))
    assert text.returncode == 2
    assert "not a video" in text.stderr
    nobody = _bench("pipeline", "--video", str(write_film(tmp_path / "grey.mp4", grey(12), 25)))
    assert nobody.returncode == 2
    assert "no face was found" in nobody.stderr
    assert "Traceback" not in gone.stderr + text.stderr + nobody.stderr
