"""`overt demo`: the main job, as a newcomer meets it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from support.clips import OVERT, Demo, run_demo

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("demo"))


def test_the_listed_alert_and_nobody_else(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert {a["subject"] for a in demo.figures["alerts"]} == {"alder", "juniper"}
    assert demo.figures["missed"] == []
    assert demo.figures["false_alerts"] == []
    assert len(demo.figures["alerts"]) == 2


def test_both_laws_hold_and_nothing_is_left(demo: Demo) -> None:
    ledger = demo.figures["ledger"]
    assert ledger["conserved"]
    assert ledger["tracks"]["conserved"]
    assert ledger["in_flight"] == 0
    assert ledger["tracks"]["in_flight"] == 0
    assert ledger["frames_in"] == sum(ledger["destroyed"].values()) + ledger["retained"]
    assert ledger["frames_in"] == sum(demo.figures["receipts"].values())
    assert ledger["tracks"]["seen"] >= 8


def test_it_says_what_it_is_and_what_comes_next(demo: Demo) -> None:
    assert demo.figures["authority"] == "unauthorised: development"
    assert "uncalibrated" in demo.output
    assert "overt demo --serve" in demo.output
    assert "Traceback" not in demo.output


def test_figures_have_the_names_of_the_contract(demo: Demo) -> None:
    assert set(demo.figures["erase_ms"]) >= {"p50", "p99", "max"}
    assert set(demo.figures["alert_ms"]) >= {"p50", "p95"}
    assert all({"subject", "camera", "score", "latency_ms"} <= set(a) for a in demo.figures["alerts"])


def test_video_without_a_watchlist_says_what_is_missing(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"no video")
    answer = run_demo(tmp_path, "--video", str(clip))
    assert answer.code == 2
    assert "--watchlist" in answer.output
    assert "Traceback" not in answer.output


def wait_until(what: str, holds: Callable[[], bool], *, seconds: float = 150) -> None:
    """The models are built at the first start on a machine."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def test_a_deployment_that_is_ended_over_rest_ends_what_is_served(tmp_path: Path) -> None:
    """Whoever presses the button sees the report, not the camera's refusal."""
    data, log = tmp_path / "data", tmp_path / "log"
    with log.open("wb") as file:
        served = subprocess.Popen([OVERT, "demo", "--serve", "--data", str(data)], stdout=file, stderr=file)
    try:
        wait_until("it plays", lambda: "playing again and again" in log.read_text() or served.poll() is not None)
        assert served.poll() is None, log.read_text()
        url = json.loads((data / "running.json").read_text())["gateway_url"]
        asked = subprocess.run(
            [OVERT, "token", "operator", "--data", str(data)], capture_output=True, text=True, check=True
        )
        headers = {"Authorization": f"Bearer {asked.stdout.strip()}"}
        with httpx.Client(base_url=f"{url}/v1/deployments/demo", headers=headers, trust_env=False) as rest:
            wait_until("frames come in", lambda: rest.get("cameras").json()["cameras"][0]["frames_destroyed"] > 0)
            rest.post("end").raise_for_status()
        served.wait(60)
    finally:
        served.kill()
        served.wait()
    told = log.read_text()
    assert "nothing more is played" in told, told
    assert "The camera sent" in told
    assert "Traceback" not in told
