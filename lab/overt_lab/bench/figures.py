"""What `overt bench pipeline` writes and prints, under the names that the measures fix."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from overt.telemetry import Metric

from overt_lab.bench.pipeline import Measured, shots_templated
from overt_lab.conditions import conditions
from overt_lab.figures import percentiles

FEWEST_ALERTS = 30
"""With fewer a percentile of their latencies is nobody's business."""
BUSY = 0.05
"""Of the machine's time taken by others: from here on the figures are told to be of a busy machine."""
BUSY_ADVICE = "The machine was busy: {part:.0%} of its time went to others. Measure again when it is quiet."
_LEDGER = ("frames_in", "destroyed", "retained", "reasons", "faces_seen")
"""Of the whole deployment, its beginning and end included."""
PEERS_LOOP = (
    "one process: decode, OpenCV FaceDetectorYN at full resolution, insightface norm_crop and ArcFaceONNX on ONNX "
    "Runtime (f32) for every face of every frame one at a time, exact numpy search; same weights, graphs "
    "as their makers built them, all cores"
)


def figures(measured: Measured) -> dict[str, Any]:
    window, seen = measured.window, measured.seen
    baseline = _baseline(measured.peers)
    times = measured.analysed / baseline["fps"] if baseline else None
    latencies = [alert.latency_ms for alert in measured.alerts]
    # Flat ones too: the one process gets as many.
    analysed = max(window.analysed, 1)
    one = measured.one_process
    return {
        "cameras": measured.cameras,
        "seconds": round(window.seconds, 2),
        **conditions(),
        "clip": str(measured.footage),
        "engine": measured.engine["name"],
        "precision": measured.engine["precision"],
        "list_size": measured.list_size,
        "fps_offered": _round(measured.offered, 2),
        "fps_analysed": _round(measured.analysed, 2),
        "saturated": measured.saturated,
        "superseded": window.fate("superseded"),
        "faces_per_frame": _round(measured.faces_per_frame, 2),
        "tracks": window.tracks,
        "shots_templated": shots_templated(window),
        "capture_to_alert_ms": alert_times(latencies),
        "capture_to_erased_ms": {key: measured.ledger["erase_ms"][key] for key in ("p50", "p95", "p99", "max")},
        "stale_ms": {"p50": _round(window.stale_ms(0.5), 1), "p99": _round(window.stale_ms(0.99), 1)},
        "unread_ms": percentiles(list(window.unread_ms), 50, 99),
        "held_back": measured.held_back,
        "cpu_seconds_per_frame": _round(window.services_cpu / analysed, 5),
        "cpu_seconds_per_frame_one_process": _round(one["cpu_seconds_per_frame"], 5),
        "cpu_over_one_process": _round(window.services_cpu / analysed / one["cpu_seconds_per_frame"], 3),
        "cpu_ms_per_frame": {
            name: _round(seconds / analysed * 1e3, 2) for name, seconds in window.cpu.of.items() if name != "lab"
        },
        "one_process_ms": {stage: _round(ms, 2) for stage, ms in one["stage_ms"].items()},
        "service_ms": _service_ms(measured),
        "masking_checks": window.detect.counted(Metric.DETECT_STEP, step="detect") - window.analysed,
        "pss_mb": measured.pss,
        "pss_mb_together": round(sum(measured.pss.values()), 1),
        "people_baseline": measured.people_baseline,
        "people_seen": seen.people if seen else None,
        "people_passes": {"of": seen.people_passes, "seen": seen.people_passes_seen} if seen else None,
        "fragmentation": seen.fragmentation if seen else None,
        "baseline": baseline,
        "ratio": _round(times, 2) if measured.saturated else None,
        "ratio_at_least": None if measured.saturated else _round(times, 2),
        "ledger": {
            key: measured.ledger[key] for key in ("frames_in", "destroyed", "retained", "reasons", "faces_seen")
        },
        "busy_with_others": _round(window.others_part, 3),
        "lab_cpu": _round(window.cpu.of["lab"] / window.seconds, 3),
    }


def alert_times(latencies: Sequence[float]) -> dict[str, float | int | None]:
    """Null with fewer than FEWEST_ALERTS, beside how many there were."""
    enough = latencies if len(latencies) >= FEWEST_ALERTS else []
    return {**percentiles(enough, 50, 95, 99), "n": len(latencies)}


def _baseline(peers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The median of the runs before and after."""
    runs = [run["fps"] for run in peers if run["fps"]]
    if not runs:
        return None
    return {
        "fps": round(statistics.median(runs), 2),
        "what": PEERS_LOOP,
        "runs": [round(fps, 2) for fps in runs],
        "stage_ms": {
            stage: round(statistics.fmean(run["stage_ms"][stage] for run in peers), 1) for stage in peers[0]["stage_ms"]
        },
    }


def _service_ms(measured: Measured) -> dict[str, float | None]:
    """Means over the window by the clock on the wall, as services tell them: how long a frame waited for detect, a shot
    for match; and what detect's steps took, a frame. Those include what is spent on checking masked pictures."""
    window = measured.window
    found = {
        "detect_answered": (window.ingest, Metric.FRAME_ANALYSED),
        "match_answered": (window.ingest, Metric.TRACK_SEARCHED),
    }
    means: dict[str, float | None] = {
        name: _mean(page.summed(metric), page.counted(metric)) for name, (page, metric) in found.items()
    }
    for step in ("decode", "detect", "track", "align", "template"):
        page, metric = window.detect, Metric.DETECT_STEP
        means[f"detect_{step}"] = _mean(page.summed(metric, step=step), window.analysed)
    return means


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 2) if count else None


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    return "\n".join(_lines(found))


def _lines(f: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        f"{f['cameras']} x {f['clip']}, {f['seconds']:.0f} s, {f['cores']} cores, {f['engine']} {f['precision']}, "
        f"list of {f['list_size']}, commit {f['commit'] or 'unknown'}"
    )
    yield ""
    yield _row("frames/s offered", f["fps_offered"])
    yield _row("frames/s analysed", f["fps_analysed"], "all the machine can" if f["saturated"] else "all there were")
    if f["baseline"]:
        ratio = f"{f['ratio']:.1f} x" if f["saturated"] else f"at least {f['ratio_at_least']:.1f} x"
        yield _row("frames/s of the peers' loop", f["baseline"]["fps"], f"ratio {ratio}")
    yield _row("superseded", f["superseded"])
    yield _row("faces a frame", f["faces_per_frame"])
    yield _row("tracks ended", f["tracks"])
    yield _row("shots templated", f["shots_templated"])
    seen = f["people_passes"]
    yield _row(
        "people seen",
        f"{f['people_seen']} of {f['people_baseline']}",
        f"in the median pass; {seen['seen']} of {seen['of']} in all" if seen else "",
    )
    yield _row("searched tracks a person", f["fragmentation"])
    yield _row("capture to alert, ms", _spread(f["capture_to_alert_ms"], "p50", "p95", "p99", "n"))
    yield _row("capture to erased, ms", _spread(f["capture_to_erased_ms"], "p50", "p95", "p99", "max"))
    yield _row("capture to analysis, ms", _spread(f["stale_ms"], "p50", "p99"))
    yield _row("unread in the sockets, ms", _spread(f["unread_ms"], "p50", "p99"))
    yield _row(
        "CPU a frame, ms",
        round(f["cpu_seconds_per_frame"] * 1e3, 1),
        f"{f['cpu_over_one_process']:.2f} x one process ({f['cpu_seconds_per_frame_one_process'] * 1e3:.1f})",
    )
    yield _row("  by process", _each(f["cpu_ms_per_frame"]))
    yield _row("  one process, by stage", _each(f["one_process_ms"]))
    yield _row("memory, MB PSS", f["pss_mb_together"], _each(f["pss_mb"]))
    if f["busy_with_others"] >= BUSY:
        yield ""
        yield BUSY_ADVICE.format(part=f["busy_with_others"])


def _row(name: str, value: object, more: str = "") -> str:
    shown = "-" if value is None else str(value)
    return f"  {name:<28}{shown:<10}{'  ' + more if more else ''}".rstrip()


def _spread(values: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(f"{key} {'-' if values[key] is None else values[key]}" for key in keys)


def _each(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
