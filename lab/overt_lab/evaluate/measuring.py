"""From the command's arguments to its figures: the one module here that puts the others together."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overt.errors import Fatal

from overt_lab.conditions import conditions
from overt_lab.evaluate import report
from overt_lab.evaluate.faces import EngineChoice, Ran, open_enroller, read_picture
from overt_lab.evaluate.pairs import read_pairs
from overt_lab.evaluate.templates import enrol
from overt_lab.evaluate.verification import Parity, Verified, parity, verify
from overt_lab.figures import write_json


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `choices`: one engine, or the second to compare the first with."""

    images: Path
    pairs: Path
    choices: tuple[EngineChoice, ...]
    workers: int
    levelled: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it: for each engine what ran and its figures, and the comparison if there are two."""

    plan: Plan
    ran: tuple[Ran, ...]
    verified: tuple[Verified, ...]
    parity: Parity | None
    seconds: float

    def text(self) -> str:
        """For the terminal."""
        runs = zip(map(str, self.ran), self.verified, strict=True)
        return report.text(list(runs), self.parity)

    def figures(self) -> dict[str, Any]:
        """For `--json`."""
        first, *second = (
            {**verified.figures(), **asdict(ran)} for ran, verified in zip(self.ran, self.verified, strict=True)
        )
        if self.parity:
            first["compare"] = {**second[0], **asdict(self.parity)}
        return {
            **first,
            "levelled": self.plan.levelled,
            "input": {"images": str(self.plan.images), "pairs": str(self.plan.pairs)},
            "seconds": round(self.seconds, 1),
            **conditions(),
        }

    def write(self, path: Path) -> None:
        """Fatal if it cannot be written."""
        try:
            write_json(path, self.figures())
        except OSError as error:
            raise Fatal(f"{path} cannot be written ({error.strerror}): choose another with --json FILE") from error


def measure(plan: Plan) -> Measured:
    """Takes some 30 ms of a core for each picture and engine. Fatal, for people, before that if anything is amiss."""
    pairs = read_pairs(plan.pairs, plan.images)
    enrollers = [open_enroller(choice, plan.levelled, plan.workers) for choice in plan.choices]
    ran = tuple(enroller.ran for enroller in enrollers)
    if len(set(ran)) < len(ran):
        raise Fatal(f"--compare: both would be {ran[0]}; choose another with --precision or --engine")
    began = time.monotonic()
    templates = enrol(pairs.images, enrollers, read=read_picture, workers=plan.workers)
    seconds = time.monotonic() - began
    verified = tuple(verify(pairs, one) for one in templates)
    compared = parity(verified, templates) if len(verified) == 2 else None
    return Measured(plan, ran, verified, compared, seconds)
