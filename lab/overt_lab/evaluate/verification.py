"""The use case `overt evaluate verification`: one-to-one comparison over labelled pairs, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overt_lab.evaluate.metrics import FMRS, OperatingPoint, Scores, TenFold, operating_point, ten_fold
from overt_lab.evaluate.pairs import Pairs
from overt_lab.evaluate.templates import Templates


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one kind of score. `accuracy` is None with too few pairs for ten folds."""

    accuracy: TenFold | None
    points: tuple[OperatingPoint, ...]

    @classmethod
    def of(cls, scores: Scores, pairs: Pairs) -> Rates:
        return cls(ten_fold(scores, pairs.same), tuple(operating_point(scores, pairs.same, fmr) for fmr in FMRS))

    def figures(self) -> dict[str, Any]:
        """Rates are fractions, 0..1."""
        fold = self.accuracy
        return {
            "accuracy_10fold": fold and fold.mean,
            "accuracy_sd": fold and fold.standard_deviation,
            "accuracy_se": fold and fold.standard_error,
            "wrong": fold and fold.wrong,
            "tmr_at_fmr": {named(point.fmr): _point(point) for point in self.points},
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What one engine made of the pairs. `fte`: pictures without a template, among them the `undecodable` files;
    `pairs_with_fte`: pairs with at least one of them."""

    raw: Rates
    pictures: int
    fte: int
    undecodable: int
    pairs: int
    mated: int
    pairs_with_fte: int

    def figures(self) -> dict[str, Any]:
        """The fields of `--json`. The first rates are those of the score that ships: the raw cosine, so far."""
        return {
            "pairs": self.pairs,
            **self.raw.figures(),
            "fte": self.fte,
            "undecodable": self.undecodable,
            "pairs_with_fte": self.pairs_with_fte,
            "mated": self.mated,
            "non_mated": self.pairs - self.mated,
            "pictures": self.pictures,
            "raw": self.raw.figures(),
        }


@dataclass(frozen=True, slots=True)
class Parity:
    """One precision against another on the same pictures; None where there is nothing to take a figure of."""

    difference_points: float | None
    """Percentage points by which the accuracy of the first is above that of the second."""
    cosine_min: float | None
    """Of a picture's two templates, over all pictures that have both."""
    cosine_median: float | None


def verify(pairs: Pairs, templates: Templates) -> Verified:
    scores = templates.cosines(pairs.first, pairs.second)
    return Verified(
        raw=Rates.of(scores, pairs),
        pictures=len(pairs.images),
        fte=int(templates.missing.sum()),
        undecodable=templates.undecodable,
        pairs=len(pairs),
        mated=int(pairs.same.sum()),
        pairs_with_fte=int(np.isnan(scores).sum()),
    )


def parity(verified: Sequence[Verified], templates: Sequence[Templates]) -> Parity:
    """Of two runs over the same pictures."""
    first, second = (one.raw.accuracy for one in verified)
    cosines = templates[0].cosines_to(templates[1])
    return Parity(
        difference_points=100 * (first.mean - second.mean) if first and second else None,
        cosine_min=float(cosines.min()) if len(cosines) else None,
        cosine_median=float(np.median(cosines)) if len(cosines) else None,
    )


def named(rate: float) -> str:
    """1e-3 as people write it, without the zero that Python adds."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {
        "tmr": point.tmr,
        "threshold": point.threshold,
        "missed": point.missed,
        "false_matches": point.false_matches,
        "expected_false_matches": point.expected_false_matches,
    }
