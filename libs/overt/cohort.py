"""A cohort: templates of people who are neither on a list nor passing by, against which scores are judged.

Biometric data of uninvolved people, with where it comes from and on what legal basis inside. The file is for its
owner alone and is not sealed by itself: what holds it in a running system seals its bytes. Nothing here is a name.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overt.errors import Fatal
from overt.scoring import MissRates, Normalisation, ScoreToRate, Statistics, Tail, statistics

FORMAT: Final = 1
"""Of the file. A reader takes its own only."""

MOST_BYTES: Final = 256 * 1024 * 1024
"""Of a file, and of what it unpacks to: 400,000 templates of 128 numbers."""

_ARRAYS: Final = ("templates", "members", "rate_scores", "rate_rates", "rate_spread", "miss_scores", "miss_rates")
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, NotImplementedError, RuntimeError, ValueError),
    *(AttributeError, TypeError, MemoryError, struct.error, SyntaxError, RecursionError),
)
"""What reading a file that is none may raise; MemoryError for an array that claims to be larger than the file."""

_MOST_COUNTED: Final = 2**31
_UNIT: Final = 1e-3
_AGAIN: Final = "make it again with `overt calibrate`"


class _TooMuch(ValueError):
    """Not damaged."""


class Group(NamedTuple):
    """How many of a label. No row of the cohort is tied to it."""

    name: str
    people: int
    pictures: int


class Likeness(NamedTuple):
    """What the faces of pictures are like: each (10 %, 50 %, 90 %) of them. `size_px`: the longer side; `sharpness`:
    the variance of the Laplacian of the aligned face, grey levels squared; `brightness`: its mean grey level."""

    size_px: tuple[float, float, float]
    sharpness: tuple[float, float, float]
    brightness: tuple[float, float, float]


@dataclass(frozen=True, slots=True, repr=False)
class Cohort:
    """`templates`: float32[m, d], unit length. `members`: int64[m], whose each is. `score_to_rate`: of normalised
    scores; `rates_of` says of whom (`cohort`, leaving each member out for itself, or `mated`). `misses`: None where
    no mated pictures were there. `likeness`: of the cohort's pictures, `likeness_of_mated` of the others.
    `one_picture_one_person`: nobody said who is who. `mirrored`: templates are means of a face's and its
    mirror image's, and go with such alone. `chosen_by`: how the normalisation came about, for people."""

    templates: NDArray[np.float32]
    members: NDArray[np.int64]
    groups: tuple[Group, ...]
    model_digest: str
    normalisation: Normalisation
    score_to_rate: ScoreToRate
    source: str
    legal_basis: str
    created_at: datetime
    misses: MissRates | None = None
    likeness: Likeness | None = None
    likeness_of_mated: Likeness | None = None
    rates_of: str = "cohort"
    one_picture_one_person: bool = False
    mirrored: bool = False
    chosen_by: str = field(default="")

    def __post_init__(self) -> None:
        """ValueError for what cannot be a cohort."""
        if self.templates.ndim != 2 or self.templates.dtype != np.float32 or self.members.shape != (len(self),):
            raise ValueError("templates are float32[m, d], with a member for each")
        if len(self) < self.normalisation.best:
            raise ValueError("there are fewer templates than K")
        if not np.allclose(np.linalg.norm(self.templates, axis=1), 1, atol=_UNIT):  # NaN too
            raise ValueError("templates have unit length")
        if self.created_at.tzinfo is None:
            raise ValueError("created_at is aware")

    def __len__(self) -> int:
        return len(self.templates)

    @property
    def people(self) -> int:
        return len(np.unique(self.members))

    def check_model(self, digest: str) -> None:
        """Fatal if templates made with that model cannot be compared with these."""
        if digest != self.model_digest:
            raise Fatal(
                f"the cohort was made with the model {self.model_digest[:12]}, this is {digest[:12]}: their templates "
                f"cannot be compared; {_AGAIN} and this model, or choose the other model"
            )

    def statistics(self, templates: NDArray[np.float32]) -> Statistics:
        """Of templates of people who are not in the cohort: float32[n, d], unit length or NaN."""
        return statistics(templates, self.templates, self.normalisation.best)

    def own_statistics(self) -> Statistics:
        """Of the cohort's own templates, each without the pictures of that member."""
        best = self.normalisation.best
        return statistics(self.templates, self.templates, best, leave_out=self.members, cohort_members=self.members)

    def to_bytes(self) -> bytes:
        """The file's content, unsealed."""
        rate, misses = self.score_to_rate, self.misses
        about: dict[str, Any] = {
            "format": FORMAT,
            "groups": self.groups,
            "model_digest": self.model_digest,
            "normalisation": [self.normalisation.best, self.normalisation.a, self.normalisation.b],
            "rate": [rate.pairs, rate.people, *rate.tail],
            "misses": None if misses is None else [misses.pairs, misses.people],
            "likeness": self.likeness,
            "likeness_of_mated": self.likeness_of_mated,
            "rates_of": self.rates_of,
            "one_picture_one_person": self.one_picture_one_person,
            "mirrored": self.mirrored,
            "chosen_by": self.chosen_by,
            "source": self.source,
            "legal_basis": self.legal_basis,
            "created_at": self.created_at.isoformat(),
        }
        none = np.empty(0)
        file = io.BytesIO()
        np.savez(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            templates=self.templates,
            members=self.members,
            rate_scores=rate.scores,
            rate_rates=rate.rates,
            rate_spread=rate.spread,
            miss_scores=none if misses is None else misses.scores,
            miss_rates=none if misses is None else misses.rates,
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, *, most_bytes: int = MOST_BYTES) -> Cohort:
        """ValueError, without any of its content, for what is no cohort of this format, or unpacks to more than
        `most_bytes`."""
        about, arrays = _unpacked(content, most_bytes)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        try:
            return _built(about, arrays)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError("a part of it is missing or of the wrong kind") from error

    def __repr__(self) -> str:
        return f"Cohort({len(self)} templates, {self.normalisation}, model {self.model_digest[:12]})"


def save(cohort: Cohort, path: Path) -> None:
    """Readable for its owner only; whole or not at all. Fatal if it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(cohort.to_bytes())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Fatal(f"{path} cannot be written ({error.strerror}): choose another file") from error


def load(path: Path) -> Cohort:
    """Fatal, with what to do, if it cannot be read or is no cohort."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Fatal(f"{path} has more than {MOST_BYTES // 1024**2} MB: it is no cohort file")
        return Cohort.from_bytes(path.read_bytes())
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Fatal(f"{path} is no cohort file that can be used ({error}): {_AGAIN}") from None


def _unpacked(content: bytes, most_bytes: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
        if sum(part.file_size for part in parts) > most_bytes:
            raise _TooMuch("it unpacks to too much")
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            about = json.loads(loaded["about"].tobytes())
            arrays = {name: loaded[name] for name in _ARRAYS}
    except _TooMuch:
        raise
    except _DAMAGED as error:
        # What numpy and json say of it may hold parts of it.
        raise ValueError("it is damaged, or something else") from error
    if not isinstance(about, dict):
        raise ValueError("it says nothing about itself")
    return about, arrays


def _built(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Cohort:
    pairs, people, *tail = about["rate"]
    pairs, people = _whole(pairs), _whole(people)
    kinds = {"templates": np.float32, "members": np.int64}
    if any(arrays[name].dtype != kinds.get(name, np.float64) for name in _ARRAYS):
        raise ValueError("its numbers are of the wrong kind")
    rate = ScoreToRate(arrays["rate_scores"], arrays["rate_rates"], arrays["rate_spread"], pairs, people, Tail(*tail))
    if not _sound(rate):
        raise ValueError("its score-to-rate table is damaged")
    misses = about["misses"] and MissRates(arrays["miss_scores"], arrays["miss_rates"], *about["misses"])
    if misses and not (_table(misses.scores, misses.rates) and misses.pairs >= misses.people >= 1):
        raise ValueError("its table of misses is damaged")
    best, a, b = about["normalisation"]
    groups = tuple(Group(str(name), *map(_whole, counts)) for name, *counts in about["groups"])
    if any(not 0 <= count <= _MOST_COUNTED for group in groups for count in group[1:]):
        raise ValueError("its groups are of no size")
    return Cohort(
        templates=arrays["templates"],
        members=arrays["members"],
        groups=groups,
        model_digest=str(about["model_digest"]),
        normalisation=Normalisation(_whole(best), a, b),
        score_to_rate=rate,
        misses=misses or None,
        likeness=_likeness(about["likeness"]),
        likeness_of_mated=_likeness(about["likeness_of_mated"]),
        rates_of=str(about["rates_of"]),
        one_picture_one_person=bool(about["one_picture_one_person"]),
        mirrored=bool(about["mirrored"]),
        chosen_by=str(about["chosen_by"]),
        source=str(about["source"]),
        legal_basis=str(about["legal_basis"]),
        created_at=_moment(about["created_at"]),
    )


def _whole(number: Any) -> int:
    if not isinstance(number, int):
        raise TypeError("not a whole number")
    return number


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise TypeError("not a time") from None  # Python's own words hold the text.


def _sound(rate: ScoreToRate) -> bool:
    """Whether every score has a rate, and every rate a score."""
    tail = rate.tail
    return (
        _table(rate.scores, rate.rates)
        and len(rate.scores) > 1
        and rate.spread.shape == rate.scores.shape
        and bool((np.diff(rate.rates) <= 0).all() and (rate.rates > 0).all())
        and bool(np.isfinite(rate.spread).all() and (rate.spread >= 0).all())
        and rate.pairs >= 1
        and rate.people >= 0
        and math.isfinite(tail.start)
        and 0 < tail.rate <= 1
        and 0 < tail.scale < math.inf
        and tail.excesses >= 1
    )


def _table(scores: NDArray[Any], rates: NDArray[Any]) -> bool:
    return (
        scores.ndim == 1
        and len(scores) > 0
        and scores.shape == rates.shape
        and bool(np.isfinite(scores).all() and (np.diff(scores) > 0).all())
        and bool((rates >= 0).all() and (rates <= 1).all())
    )


def _likeness(about: Any) -> Likeness | None:
    if about is None:
        return None
    if any(not isinstance(number, int | float) for of in about for number in of):
        raise TypeError("not a number")
    return Likeness(*map(tuple, about))
