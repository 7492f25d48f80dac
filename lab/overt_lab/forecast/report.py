"""What `overt forecast` tells."""

from __future__ import annotations

from typing import Any, Final

from overt.cohort import Cohort
from overt.scoring import Forecast, Rate

CEILING: Final = 1e-3
"""False alerts a face seen at which police practice stops."""

NOT_AVAILABLE: Final = "not available"


def text(told: Forecast, cohort: Cohort) -> str:
    mark = "  extrapolated: beyond the calibration's data" if told.extrapolated else ""
    passing = f"{told.footfall} people pass, {told.list_size} entries on the list, threshold {told.threshold:.3f}"
    lines = [
        passing,
        f"rates of {_who(cohort)}, {cohort.score_to_rate.pairs} pairs of {cohort.score_to_rate.people} people",
        "",
        f"false alerts    {_number(told.false_alerts)} expected, {told.low} to {told.high} on 95 days of 100{mark}",
        f"                {_often(told.fpir)}; FMR {_rate(told.fmr)}",
    ]
    if told.fpir > CEILING:
        lines.append(
            f"                above the ceiling of 1 in {1 / CEILING:.0f}: fewer entries, or a higher threshold"
        )
    if told.misses is None or cohort.misses is None:
        lines.append(f"misses          {NOT_AVAILABLE}: the calibration had no mated pictures")
    else:
        lines.append(
            f"misses          {100 * told.misses.value:.1f} of 100 listed people who pass "
            f"({100 * told.misses.low:.1f} to {100 * told.misses.high:.1f}), from {cohort.misses.people} people"
        )
    return "\n".join(lines)


def figures(told: Forecast, cohort: Cohort) -> dict[str, Any]:
    """Rates are fractions."""
    return {
        "watchlist_size": told.list_size,
        "footfall": told.footfall,
        "threshold": told.threshold,
        "rates_of": cohort.rates_of,
        "fmr": told.fmr._asdict(),
        "fpir": told.fpir,
        "false_alerts": {
            "expected": told.false_alerts,
            "low": told.low,
            "high": told.high,
            "extrapolated": told.extrapolated,
        },
        "misses": NOT_AVAILABLE if told.misses is None else told.misses._asdict(),
    }


def _who(cohort: Cohort) -> str:
    return "the mated pictures' people" if cohort.rates_of == "mated" else "the cohort's own members"


def _number(expected: float) -> str:
    return f"{expected:.1f}" if expected < 100 else f"{expected:.0f}"


def _often(fpir: float) -> str:
    return f"one passer-by in {1 / fpir:.0f}" if fpir > 1e-9 else "less than one passer-by in a milliard"


def _rate(rate: Rate) -> str:
    return f"{rate.value:.1e} ({rate.low:.1e} to {rate.high:.1e})"
