"""The names of the measures, and what is not said when it cannot be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from overt_lab.bench import overload
from overt_lab.bench.figures import alert_times, figures, text
from overt_lab.bench.footage import Footage, Packet
from overt_lab.bench.metering import Cpu, parse
from overt_lab.bench.people import Seen
from overt_lab.bench.pipeline import Measured
from overt_lab.bench.site import Arrival
from overt_lab.bench.window import Window

pytestmark = pytest.mark.unit

_INGEST = """
# TYPE overt_frame_analysed_milliseconds histogram
overt_frame_analysed_milliseconds_count{camera="cam-0",deployment="bench"} %(analysed)d
overt_frame_analysed_milliseconds_sum{camera="cam-0",deployment="bench"} 5000
# TYPE overt_frames_destroyed_total counter
overt_frames_destroyed_total{camera="cam-0",deployment="bench",fate="superseded"} 12
# TYPE overt_tracks_destroyed_total counter
overt_tracks_destroyed_total{camera="cam-0",deployment="bench",fate="no_match"} 9
# TYPE overt_frame_stale_milliseconds histogram
overt_frame_stale_milliseconds_bucket{camera="cam-0",deployment="bench",le="20.0"} 100
overt_frame_stale_milliseconds_bucket{camera="cam-0",deployment="bench",le="+Inf"} 100
"""
_DETECT = """
# TYPE overt_detect_shots_total counter
overt_detect_shots_total 33
"""


def _window(analysed: int = 100, deployment: str = "bench") -> Window:
    return Window(
        seconds=10.0,
        began=0.0,
        ended=10.0,
        cpu=Cpu({"nats": 0.5, "ingest": 1.0, "detect": 2.5, "lab": 0.3}, 5.0),
        sent=200,
        ingest=parse((_INGEST % {"analysed": analysed}).replace('"bench"', f'"{deployment}"')),
        detect=parse(_DETECT),
        deployment=deployment,
        unread_ms=[0.0, 10.0],
    )


def _footage() -> Footage:
    packets = tuple(Packet(b"", n, n, 1, n == 0, n / 25, n) for n in range(50))
    return Footage(Path("clip.mp4"), packets, None, None, 25.0, 1920, 1080)


def _measured(*, analysed: int = 100, alerts: int = 40, peers: bool = True) -> Measured:
    stages = {"decode": 5.0, "detect": 100.0, "template": 140.0}
    return Measured(
        cameras=1,
        footage=_footage(),
        window=_window(analysed),
        alerts=[Arrival(1.0, 100.0 + n) for n in range(alerts)],
        ledger={
            "erase_ms": {"p50": 20.0, "p95": 40.0, "p99": 60.0, "max": 80.0},
            "frames_in": 210,
            "destroyed": {"no_match": 210},
            "retained": 0,
            "reasons": {},
            "faces_seen": 9,
        },
        pss={"ingest": 100.0, "detect": 300.0},
        engine={"name": "openvino", "precision": "bf16"},
        held_back=0,
        list_size=2000,
        one_process={"cpu_seconds_per_frame": 0.032, "stage_ms": {"decode": 3.0}},
        peers=[{"fps": fps if peers else None, "stage_ms": stages} for fps in (4.0, 4.2)],
        people_baseline=11,
        seen=Seen(11, 3, 33, 32, 1.1),
        faces_per_frame=8.2,
    )


_NAMES = {
    *("cameras", "precision", "fps_offered", "fps_analysed", "faces_per_frame", "tracks", "shots_templated"),
    *("capture_to_alert_ms", "capture_to_erased_ms", "cpu_seconds_per_frame", "cpu_seconds_per_frame_one_process"),
    *("pss_mb", "people_baseline", "people_seen", "fragmentation", "baseline", "ratio", "cores", "commit"),
}


def test_pipeline_has_the_names_of_the_contract() -> None:
    found = figures(_measured())
    assert found.keys() >= _NAMES
    assert set(found["capture_to_alert_ms"]) == {"p50", "p95", "p99", "n"}
    assert set(found["capture_to_erased_ms"]) == {"p50", "p95", "p99", "max"}
    assert set(found["baseline"]) >= {"fps", "what"}
    assert (found["fps_offered"], found["fps_analysed"], found["superseded"]) == (20.0, 10.0, 12)
    assert (found["tracks"], found["shots_templated"]) == (9, 33)
    assert found["baseline"]["fps"] == 4.1
    assert found["ratio"] == pytest.approx(10 / 4.1, abs=0.01)


def test_cost_is_of_all_services_and_the_broker_but_not_of_the_lab() -> None:
    found = figures(_measured())
    assert found["cpu_seconds_per_frame"] == pytest.approx(0.04)
    assert found["cpu_over_one_process"] == pytest.approx(1.25)
    assert "lab" not in found["cpu_ms_per_frame"]
    assert found["busy_with_others"] == pytest.approx(0.7 / (10 * found["cores"]), abs=1e-3)


def test_without_saturation_the_ratio_is_a_lower_bound() -> None:
    found = figures(_measured(analysed=200))
    assert not found["saturated"]
    assert found["ratio"] is None
    assert found["ratio_at_least"] == pytest.approx(20 / 4.1, abs=0.01)
    assert "at least" in text(found)


def test_without_a_baseline_there_is_no_ratio() -> None:
    found = figures(_measured(peers=False))
    assert found["baseline"] is None
    assert found["ratio"] is None
    assert "peers" not in text(found)


def test_few_alerts_have_no_percentiles() -> None:
    assert alert_times([100.0] * 29) == {"p50": None, "p95": None, "p99": None, "n": 29}
    assert alert_times([100.0] * 30) == {"p50": 100.0, "p95": 100.0, "p99": 100.0, "n": 30}


def test_nothing_measured_is_told_as_nothing() -> None:
    found = figures(_measured(analysed=0, alerts=0))
    assert found["cpu_seconds_per_frame"] is not None
    assert text(found)


def _offer(deployment: str, unread: list[float]) -> Any:
    window = _window(deployment=deployment)
    return overload.Offer(4, Window(**{**_fields(window), "unread_ms": unread}), held_back=1)


def _fields(window: Window) -> dict[str, Any]:
    return {name: getattr(window, name) for name in Window.__slots__}


def test_overload_has_the_names_of_the_contract_and_tells_the_later_mode() -> None:
    found = overload.figures(
        _footage(), 20.0, {"pull": _offer("pull", [0.0, 100.0]), "push": _offer("push", [])}, [10.0, 20.0]
    )
    wanted = {"capacity_fps", "offered_fps", "staleness_ms", "superseded"}
    assert found.keys() >= wanted | {"fifo", "pull", "push"}
    assert found["fifo"].keys() >= wanted
    assert set(found["staleness_ms"]) == {"p50", "p99"}
    # What lay unread in the sockets is part of a pulled frame's age.
    assert found["staleness_ms"] == found["pull"]["staleness_ms"]
    assert found["pull"]["staleness_ms"]["p99"] > found["push"]["staleness_ms"]["p99"] + 90
    assert found["fifo"]["staleness_ms"]["p99"] > 5000
    assert "fifo" in overload.text(found)
