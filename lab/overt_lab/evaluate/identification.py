"""The use case `overt evaluate identification`: searching a watchlist for people of whom most are not on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from overt.scoring import Interval, clopper_pearson

from overt_lab.evaluate.drawing import Drawn
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.metrics import Mated, OperatingPoint, Scores, Step, named, operating_point, trade_off
from overt_lab.evaluate.resampling import Side, by_person
from overt_lab.evaluate.scores import Scorer
from overt_lab.progress import progress
from overt_lab.wording import counted

FPIRS = (1e-2, 3e-3, 1e-3)


@dataclass(frozen=True, slots=True, repr=False)
class Searched:
    """What one kind of score made of every probe. `scores`: float64[probes], NaN where a mated probe's best entry is
    somebody else's, or there is no template. `same`: bool[probes], True for the mated ones, which come first."""

    name: str
    scores: Scores
    same: Mated
    rank_one: int
    points: tuple[OperatingPoint, ...]
    intervals: tuple[Interval | None, ...]
    curve: tuple[Step, ...]

    def figures(self) -> dict[str, Any]:
        """Rates are fractions."""
        mated = int(self.same.sum())
        return {
            "tpir_at_fpir": {
                named(point.fmr): _point(point, ci) for point, ci in zip(self.points, self.intervals, strict=True)
            },
            "rank_one": self.rank_one / mated if mated else None,
            "det": [{"threshold": s.threshold, "fpir": s.false, "fnir": s.missed} for s in self.curve],
        }


@dataclass(frozen=True, slots=True)
class Identified:
    """What one engine made of the experiment; the last of `searched` is the score that ships. `unmirrored`: the same
    with references as they are, none where they are. Failures to enrol (FTE) are counted among references,
    mated and non-mated probes."""

    searched: tuple[Searched, ...]
    unmirrored: tuple[Searched, ...]
    drawn: Drawn
    pictures: int
    people: int
    listed_and_searched: int
    fte: int
    undecodable: int
    fte_references: int
    fte_mated: int
    fte_non_mated: int

    @property
    def ships(self) -> Searched:
        return self.searched[-1]

    def figures(self) -> dict[str, Any]:
        """The fields of `--json`. The first rates are those of the score that ships."""
        return {
            "watchlist_size": len(self.drawn.entries),
            "mated": len(self.drawn.mated),
            "non_mated": len(self.drawn.non_mated),
            **self.ships.figures(),
            "score": self.ships.name,
            "listed_and_searched": self.listed_and_searched,
            "pictures": self.pictures,
            "people": self.people,
            "fte": self.fte,
            "undecodable": self.undecodable,
            "fte_references": self.fte_references,
            "fte_mated": self.fte_mated,
            "fte_non_mated": self.fte_non_mated,
            **{searched.name: searched.figures() for searched in self.searched},
            "references_as_they_are": {searched.name: searched.figures() for searched in self.unmirrored} or None,
        }


def identify(labels: Labels, drawn: Drawn, scorers: Sequence[Scorer], unmirrored: Sequence[Scorer] = ()) -> Identified:
    """`scorers`: of the templates of all pictures, in the order of the labels; `unmirrored`: likewise, with references
    as they are."""
    templates = scorers[0].templates
    missing = templates.missing
    return Identified(
        searched=tuple(_search(labels, drawn, scorer) for scorer in scorers),
        unmirrored=tuple(_search(labels, drawn, scorer) for scorer in unmirrored),
        drawn=drawn,
        pictures=len(labels),
        people=labels.people,
        listed_and_searched=len(np.unique(drawn.own)),
        fte=int(missing.sum()),
        undecodable=templates.undecodable,
        fte_references=int(missing[drawn.entries].sum()),
        fte_mated=int(missing[drawn.mated].sum()),
        fte_non_mated=int(missing[drawn.non_mated].sum()),
    )


@dataclass(frozen=True, slots=True)
class OverLists:
    """TPIR of a kind of score on lists drawn by one seed after another: the mean of them, None at the rates that too
    few errors are expected for in each. The people are the same ones, so that it tells kinds of score apart, and not
    how other people would fare."""

    lists: int
    means: dict[str, tuple[float | None, ...]]

    def figures(self) -> dict[str, Any]:
        return {
            "lists": self.lists,
            "mean_tpir_at_fpir": {
                name: {named(fpir): tpir for fpir, tpir in zip(FPIRS, means, strict=True)}
                for name, means in self.means.items()
            },
        }


def over_lists(lists: Sequence[Drawn], scorers: Mapping[str, Scorer]) -> OverLists:
    """`scorers` by what they are called."""

    def tpir(drawn: Drawn, scorer: Scorer) -> list[float]:
        scores, same = _scores(drawn, scorer)
        return [np.nan if (of := operating_point(scores, same, fpir).tmr) is None else of for fpir in FPIRS]

    label = f"{counted(len(lists), 'list', 'lists')}"
    shown = progress(lists, label=label, length=len(lists))
    found = np.array([[tpir(drawn, scorer) for scorer in scorers.values()] for drawn in shown])
    means = (tuple(None if np.isnan(mean) else float(mean) for mean in row) for row in found.mean(axis=0))
    return OverLists(len(lists), dict(zip(scorers, means, strict=True)))


def _scores(drawn: Drawn, scorer: Scorer) -> tuple[Scores, Mated]:
    """See `Searched`."""
    mated, entry = scorer.best(drawn.mated, drawn.entries)
    others, _ = scorer.best(drawn.non_mated, drawn.entries)
    scores = np.concatenate([np.where(entry == drawn.own, mated, np.nan), others])
    return scores, np.arange(len(scores)) < len(mated)


def _search(labels: Labels, drawn: Drawn, scorer: Scorer) -> Searched:
    scores, same = _scores(drawn, scorer)
    mated, others = scores[same], scores[~same]
    points = tuple(operating_point(scores, same, fpir) for fpir in FPIRS)
    intervals: tuple[Interval | None, ...] = (None,) * len(points)
    if len(mated) and len(others):
        resampled = by_person(
            Side(mated, labels.subjects[drawn.mated]), Side(others, labels.subjects[drawn.non_mated]), FPIRS
        )
        intervals = tuple(_wider(one, point) for one, point in zip(resampled, points, strict=True))
    rank_one = int((~np.isnan(mated)).sum())
    return Searched(scorer.name, scores, same, rank_one, points, intervals, trade_off(scores, same))


def _wider(resampled: Interval, point: OperatingPoint) -> Interval | None:
    """Resampling says nothing of what never happened: where nobody was missed it has no width."""
    if point.tmr is None:
        return None
    exact = clopper_pearson(point.mated - point.missed, point.mated)
    return Interval(min(resampled.low, exact.low), max(resampled.high, exact.high))


def _point(point: OperatingPoint, ci: Interval | None) -> dict[str, Any]:
    return {
        "tpir": point.tmr,
        "ci": ci and list(ci),
        "threshold": point.threshold,
        "missed": point.missed,
        "false_positives": point.false_matches,
        "expected_false_positives": point.expected_false_matches,
    }
