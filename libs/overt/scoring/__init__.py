"""How scores become a verdict. Pure: numbers in, a value out; match and the lab run the same code."""

from __future__ import annotations

from overt.scoring._decision import (
    AGREEING_SHOTS,
    MARGIN,
    SHOTS_APART,
    UNDER_18_ABOVE,
    UNDER_18_SHOTS,
    Candidate,
    ProbeScores,
    Under18,
    Verdict,
    VerdictKind,
    decide,
)
from overt.scoring._forecast import Forecast, forecast
from overt.scoring._intervals import CONFIDENCE, Interval, clopper_pearson
from overt.scoring._misses import MissRates
from overt.scoring._normalisation import (
    FEWEST_BEST,
    SHORTLIST,
    STANDARD,
    Normalisation,
    Statistics,
    normalise,
    statistics,
)
from overt.scoring._rates import FEWEST_PAIRS, Rate, ScoreToRate, Tail, fmr_for, fpir
from overt.scoring._threshold import RARER, Threshold, margin_between, threshold_for

__all__ = [
    "AGREEING_SHOTS",
    "CONFIDENCE",
    "FEWEST_BEST",
    "FEWEST_PAIRS",
    "MARGIN",
    "RARER",
    "SHORTLIST",
    "SHOTS_APART",
    "STANDARD",
    "UNDER_18_ABOVE",
    "UNDER_18_SHOTS",
    "Candidate",
    "Forecast",
    "Interval",
    "MissRates",
    "Normalisation",
    "ProbeScores",
    "Rate",
    "ScoreToRate",
    "Statistics",
    "Tail",
    "Threshold",
    "Under18",
    "Verdict",
    "VerdictKind",
    "clopper_pearson",
    "decide",
    "fmr_for",
    "forecast",
    "fpir",
    "margin_between",
    "normalise",
    "statistics",
    "threshold_for",
]
