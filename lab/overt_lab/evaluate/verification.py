"""The use case `overt evaluate verification`: one-to-one comparison over labelled pairs, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from overt.scoring import clopper_pearson

from overt_lab.evaluate.metrics import (
    FMRS,
    OperatingPoint,
    Scores,
    Step,
    TenFold,
    named,
    operating_point,
    ten_fold,
    trade_off,
)
from overt_lab.evaluate.pairs import Pairs
from overt_lab.evaluate.scores import Scorer
from overt_lab.evaluate.templates import Templates


@dataclass(frozen=True, slots=True, repr=False)
class Rates:
    """Of one kind of score. `accuracy` is None with too few pairs for ten folds. `scores`: of every pair."""

    name: str
    accuracy: TenFold | None
    points: tuple[OperatingPoint, ...]
    curve: tuple[Step, ...]
    scores: Scores

    @classmethod
    def of(cls, scorer: Scorer, pairs: Pairs) -> Rates:
        scores = scorer.pairs(pairs.first, pairs.second)
        points = tuple(operating_point(scores, pairs.same, fmr) for fmr in FMRS)
        return cls(scorer.name, ten_fold(scores, pairs.same), points, trade_off(scores, pairs.same), scores)

    def figures(self) -> dict[str, Any]:
        """Rates are fractions, 0..1."""
        fold = self.accuracy
        return {
            "accuracy_10fold": fold and fold.mean,
            "accuracy_sd": fold and fold.standard_deviation,
            "accuracy_se": fold and fold.standard_error,
            "wrong": fold and fold.wrong,
            "tmr_at_fmr": {named(point.fmr): _point(point) for point in self.points},
            "det": [{"threshold": s.threshold, "fmr": s.false, "fnmr": s.missed} for s in self.curve],
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What one engine made of the pairs; the last of `rates` is the score that ships. `unmirrored`: the same with
    references as they are, none where they are. `fte`: pictures without a
    template, among them the `undecodable` files; `pairs_with_fte`: pairs with at least one of them."""

    rates: tuple[Rates, ...]
    unmirrored: tuple[Rates, ...]
    pictures: int
    fte: int
    undecodable: int
    pairs: int
    mated: int
    pairs_with_fte: int

    @property
    def ships(self) -> Rates:
        return self.rates[-1]

    def figures(self) -> dict[str, Any]:
        """The fields of `--json`. The first rates are those of the score that ships."""
        return {
            "pairs": self.pairs,
            **self.ships.figures(),
            "score": self.ships.name,
            "fte": self.fte,
            "undecodable": self.undecodable,
            "pairs_with_fte": self.pairs_with_fte,
            "mated": self.mated,
            "non_mated": self.pairs - self.mated,
            "pictures": self.pictures,
            **{rates.name: rates.figures() for rates in self.rates},
            "references_as_they_are": {rates.name: rates.figures() for rates in self.unmirrored} or None,
        }


@dataclass(frozen=True, slots=True)
class Parity:
    """One precision against another on the same pictures; None where there is nothing to take a figure of."""

    difference_points: float | None
    """Percentage points by which the accuracy of the first is above that of the second."""
    cosine_min: float | None
    """Of a picture's two templates, over all pictures that have both."""
    cosine_median: float | None


def verify(pairs: Pairs, scorers: Sequence[Scorer], unmirrored: Sequence[Scorer] = ()) -> Verified:
    """`scorers`: of the templates of all pictures, in the order of the pairs' pictures; `unmirrored`: likewise, with
    references as they are. Of a pair the first picture is the reference."""
    templates = scorers[0].templates
    rates = tuple(Rates.of(scorer, pairs) for scorer in scorers)
    return Verified(
        rates=rates,
        unmirrored=tuple(Rates.of(scorer, pairs) for scorer in unmirrored),
        pictures=len(pairs.images),
        fte=int(templates.missing.sum()),
        undecodable=templates.undecodable,
        pairs=len(pairs),
        mated=int(pairs.same.sum()),
        pairs_with_fte=int(np.isnan(rates[0].scores).sum()),
    )


def parity(verified: Sequence[Verified], templates: Sequence[Templates]) -> Parity:
    """Of two runs over the same pictures."""
    first, second = (one.ships.accuracy for one in verified)
    cosines = templates[0].cosines_to(templates[1])
    return Parity(
        difference_points=100 * (first.mean - second.mean) if first and second else None,
        cosine_min=float(cosines.min()) if len(cosines) else None,
        cosine_median=float(np.median(cosines)) if len(cosines) else None,
    )


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {
        "tmr": point.tmr,
        "ci": None if point.tmr is None else list(clopper_pearson(point.mated - point.missed, point.mated)),
        "threshold": point.threshold,
        "missed": point.missed,
        "false_matches": point.false_matches,
        "expected_false_matches": point.expected_false_matches,
    }
