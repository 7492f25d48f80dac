"""The two kinds of score that are judged: the raw cosine, and the one normalised against a cohort.

What is compared is never all held at once: pairs and tables are made in parts, by whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Cohort, load
from overt.errors import Fatal
from overt.scoring import SHORTLIST, Normalisation, Statistics, normalise, statistics

from overt_lab.evaluate.templates import Mirrored, Templates

Places = NDArray[np.int64]

RAW, NORMALISED = "raw", "normalised"

_SCORES_AT_ONCE = 2_000_000
"""16 MB of them."""

_SAME_PICTURE = 0.999
"""Two pictures of one person have never been seen that close; one picture, read twice, is."""


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """How every template stands to the cohort, as a shot and as a reference."""

    shots: Statistics
    references: Statistics

    @classmethod
    def of(cls, templates: Templates, cohort: NDArray[np.float32], best: int) -> Standing:
        """`cohort`: float32[m, length]; `best`: K."""
        shots = statistics(templates.rows, cohort, best)
        if templates.as_references is None:
            return cls(shots, shots)
        return cls(shots, statistics(templates.as_references, cohort, best))


@dataclass(frozen=True, slots=True, repr=False)
class Scorer:
    """Scores between any two of these templates, float64, NaN where one is missing. `standing` and `how`: for a
    normalised score."""

    name: str
    templates: Templates
    standing: Standing | None = None
    how: Normalisation | None = None

    def pairs(self, references: Places, shots: Places) -> NDArray[np.float64]:
        """float64[pairs]."""
        cosines = self.templates.cosines(references, shots)
        if self.standing is None or self.how is None:
            return cosines
        return normalise(cosines, self.standing.shots[shots], self.standing.references[references], self.how)

    def table(self, shots: Places, references: Places) -> NDArray[np.float64]:
        """float64[shots, references]. Memory for that many is the caller's concern."""
        return self._scored(self._cosines(shots, references), shots, references)

    def best(self, probes: Places, entries: Places) -> tuple[NDArray[np.float64], Places]:
        """The best entry of each probe: its score, and its place in `entries`. NaN and -1 where there is none.

        Of the SHORTLIST best by raw cosine, that is: the search that ships looks no further."""
        scores, places = np.full(len(probes), np.nan), np.full(len(probes), -1)
        for part in _parts(len(probes), len(entries)):
            cosines = self._cosines(probes[part], entries)
            found = self._scored(cosines, probes[part], entries)
            found[np.isnan(found)] = -np.inf
            if self.how is not None and len(entries) > SHORTLIST:
                cosines[np.isnan(cosines)] = -np.inf
                beyond = np.argpartition(cosines, -SHORTLIST, axis=1)[:, :-SHORTLIST]
                np.put_along_axis(found, beyond, -np.inf, axis=1)
            place = found.argmax(axis=1)
            score = found[np.arange(len(found)), place]
            there = np.isfinite(score)
            scores[part] = np.where(there, score, np.nan)
            places[part] = np.where(there, place, -1)
        return scores, places

    def _cosines(self, shots: Places, references: Places) -> NDArray[np.float32]:
        cosines: NDArray[np.float32] = self.templates.rows[shots] @ self.templates.references[references].T
        return cosines

    def _scored(self, cosines: NDArray[np.float32], shots: Places, references: Places) -> NDArray[np.float64]:
        if self.standing is None or self.how is None:
            return cosines.astype(np.float64)
        return normalise(cosines, self.standing.shots[shots], self.standing.references[references], self.how)

    def __repr__(self) -> str:
        return f"Scorer({self.name}, {self.templates!r})"


@dataclass(frozen=True, slots=True)
class Against:
    """The cohort that scores are normalised against, for beside the figures. `seen_in_it`: how many of the evaluated
    pictures are in it themselves; their figures flatter."""

    file: str
    templates: int
    people: int
    best: int
    a: float
    b: float
    seen_in_it: int


def load_cohort(path: Path, model_digest: str, mirrored: Mirrored) -> Cohort:
    """Fatal, for people, if it cannot be read, or was made with another model, or of templates that shots of this
    evaluation are not like."""
    cohort = load(path)
    cohort.check_model(model_digest)
    if cohort.mirrored and mirrored is not Mirrored.BOTH:
        raise Fatal(f"{path} is a cohort of mirrored templates: say --mirrored both, or choose another cohort")
    if mirrored is Mirrored.BOTH and not cohort.mirrored:
        raise Fatal(f"{path} is no cohort of mirrored templates: leave out --mirrored both, or choose another")
    return cohort


def scorers(templates: Templates, cohort: Cohort | None) -> list[Scorer]:
    """The raw one, and the normalised one where there is a cohort: the last is the one that ships."""
    raw = Scorer(RAW, templates)
    if cohort is None:
        return [raw]
    how = cohort.normalisation
    return [raw, Scorer(NORMALISED, templates, Standing.of(templates, cohort.templates, how.best), how)]


def against(path: Path, cohort: Cohort, templates: Templates) -> Against:
    how = cohort.normalisation
    known = np.nan_to_num(templates.rows)
    seen = sum(
        int(((known[part] @ cohort.templates.T).max(axis=1) >= _SAME_PICTURE).sum())
        for part in _parts(len(known), len(cohort.templates))
    )
    return Against(str(path), len(cohort), cohort.people, how.best, how.a, how.b, seen)


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """Of the rows, so that a table of each with all columns is small."""
    step = max(1, _SCORES_AT_ONCE // max(1, columns))
    for at in range(0, rows, step):
        yield slice(at, min(rows, at + step))
