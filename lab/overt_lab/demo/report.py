"""What the demo prints and writes: alerts, both conservation tables, how long frames lived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overt_lab.demo.run import Outcome
from overt_lab.figures import percentiles

_BOOK = ("destroyed", "retained", "in_flight", "conserved")


def figures(outcome: Outcome) -> dict[str, Any]:
    """The JSON of `overt demo`, under the names that the measures fix."""
    ledger = outcome.ledger
    return {
        "alerts": [
            {
                "subject": a.subject,
                "camera": a.camera,
                "score": round(a.score, 4),
                "latency_ms": round(a.latency_ms, 1),
            }
            for a in outcome.alerts
        ],
        "expected": outcome.expected,
        "missed": outcome.missed,
        "false_alerts": outcome.false_alerts,
        "ledger": {
            "frames_in": ledger["frames_in"],
            **{key: ledger[key] for key in _BOOK},
            "tracks": {"seen": ledger["tracks"]["seen"], **{key: ledger["tracks"][key] for key in _BOOK}},
        },
        "erase_ms": ledger["erase_ms"],
        "alert_ms": percentiles([a.latency_ms for a in outcome.alerts], 50, 95),
        "declared_epochs": ledger.get("declared_epochs", []),
        "refused": outcome.refused,
        "list_size": outcome.list_size,
        "receipts": dict(outcome.push.receipts),
        "authority": ledger.get("authority", "unauthorised: development"),
        "uncalibrated": True,
    }


def text(outcome: Outcome) -> str:
    """The same for people."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    ledger = outcome.ledger
    yield ""
    yield "Alerts (unauthorised: development; scores are raw cosine, uncalibrated)"
    if not outcome.alerts:
        yield "  none"
    for alert in outcome.alerts:
        yield f"  {alert.subject:<14} {alert.camera:<10} score {alert.score:.2f}   {alert.latency_ms:5.0f} ms"
    if outcome.missed:
        yield f"  MISSED: {', '.join(outcome.missed)}"
    if outcome.false_alerts:
        yield f"  NOT EXPECTED: {', '.join(outcome.false_alerts)}"
    yield ""
    yield from _table("Frames", "came in", ledger["frames_in"], ledger)
    yield ""
    yield from _table("Tracks (a person's run of faces)", "seen", ledger["tracks"]["seen"], ledger["tracks"])
    for epoch in ledger.get("declared_epochs", []):
        yield f"  declared: {epoch['service']} was lost; frames unknown, at most: {epoch['unknown_frames_at_most']}"
    yield ""
    erase = ledger["erase_ms"]
    yield (
        f"A frame lived {_ms(erase['p50'])} (median), {_ms(erase['p99'])} (99 of 100), {_ms(erase['max'])} (longest), "
        "from capture to destroyed"
    )
    receipts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.push.receipts.items()))
    yield f"The camera sent {outcome.push.sent} frames and got {receipts or 'no'} receipts"


def _table(title: str, entered: str, count: int, book: Mapping[str, Any]) -> Iterator[str]:
    yield title
    yield f"  {entered:<28}{count:>7}"
    for name, number in book["destroyed"].items():
        if number:
            yield f"  destroyed: {name:<17}{number:>7}"
    yield f"  {'retained, sealed':<28}{book['retained']:>7}"
    yield f"  {'in flight':<28}{book['in_flight']:>7}"
    yield f"  {'balance':<28}{'holds' if book['conserved'] else 'BROKEN':>7}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
