"""From a command's arguments to its figures: the one module here that puts the others together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overt.cohort import Cohort
from overt.errors import Fatal

from overt_lab.conditions import conditions
from overt_lab.evaluate import equity as equity_case
from overt_lab.evaluate import groups, report, report_equity, report_fusing, report_identification
from overt_lab.evaluate.drawing import draw
from overt_lab.evaluate.faces import EngineChoice, Ran, open_enroller, read_picture
from overt_lab.evaluate.fusing import fuse
from overt_lab.evaluate.identification import identify, over_lists
from overt_lab.evaluate.labels import read_labels
from overt_lab.evaluate.page import equity_page, fusing_page, identification_page, verification_page
from overt_lab.evaluate.page.setting import Setting
from overt_lab.evaluate.pairs import read_pairs
from overt_lab.evaluate.scores import Against, Scorer, against, load_cohort, scorers
from overt_lab.evaluate.templates import Mirrored, Templates, enrol
from overt_lab.evaluate.verification import parity, verify
from overt_lab.evaluate.wording import KINDS
from overt_lab.figures import write_json


@dataclass(frozen=True, slots=True)
class Plan:
    """What every evaluation is told. `choices`: one engine, or the second to compare the first with."""

    images: Path
    choices: tuple[EngineChoice, ...]
    workers: int
    levelled: bool = True
    mirrored: Mirrored = Mirrored.REFERENCES
    cohort: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it. `text` is for the terminal, `figures` for `--json`; `page` makes the HTML."""

    text: str
    figures: dict[str, Any]
    page: Callable[[], str]

    def write(self, json_file: Path | None, html_file: Path | None) -> None:
        """Fatal if one cannot be written."""
        try:
            if (path := json_file) is not None:
                write_json(path, self.figures)
            if (path := html_file) is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.page(), encoding="utf-8")
        except OSError as error:
            raise Fatal(f"{path} cannot be written ({error.strerror}): choose another file") from error


@dataclass(frozen=True, slots=True)
class _Made:
    """Of every engine: what ran, and its kinds of score; of the first, how it stands to the cohort, and its kinds of
    score with references as they are, none where they are."""

    plan: Plan
    ran: tuple[Ran, ...]
    scorers: tuple[Sequence[Scorer], ...]
    unmirrored: Sequence[Scorer]
    cohort: Cohort | None
    against: Against | None
    seconds: float

    def beside(self, inputs: dict[str, str]) -> dict[str, Any]:
        """What stands beside the figures."""
        return {
            "levelled": self.plan.levelled,
            "mirrored": self.plan.mirrored.value,
            "cohort": self.against and asdict(self.against),
            "input": {"images": str(self.plan.images), **inputs},
            "seconds": round(self.seconds, 1),
            **conditions(),
        }

    def setting(self, inputs: dict[str, str]) -> Setting:
        return Setting(
            engine=str(self.ran[0]),
            pack=f"{self.ran[0].model_pack}, {self.ran[0].model_digest[:16]}",
            levelled=self.plan.levelled,
            mirrored=self.plan.mirrored,
            against=self.against,
            inputs={"pictures": str(self.plan.images), **inputs},
            seconds=self.seconds,
            **conditions(),
        )


def measure_verification(plan: Plan, pairs_file: Path) -> Measured:
    """Takes some 30 ms of a core for each picture and engine. Fatal, for people, before that if anything is amiss."""
    pairs = read_pairs(pairs_file, plan.images)
    made = _made(plan, pairs.images)
    first_one, *others = made.scorers
    verified = (verify(pairs, first_one, made.unmirrored), *(verify(pairs, kinds) for kinds in others))
    compared = parity(verified, [kinds[0].templates for kinds in made.scorers]) if len(verified) == 2 else None
    first, *second = ({**one.figures(), **asdict(ran)} for ran, one in zip(made.ran, verified, strict=True))
    if compared:
        first["compare"] = {**second[0], **asdict(compared)}
    runs = list(zip(map(str, made.ran), verified, strict=True))
    inputs = {"pairs": str(pairs_file)}
    return Measured(
        report.text(runs, compared, made.against),
        {**first, **made.beside(inputs)},
        lambda: verification_page.page(verified[0], pairs.same, made.setting(inputs)),
    )


def measure_identification(plan: Plan, labels_file: Path, size: int, seed: int, lists: int = 1) -> Measured:
    """Likewise. `lists`: how many are drawn, by this seed and those after it; one is told of in full."""
    labels = read_labels(labels_file, plan.images)
    drawn = draw(labels.subjects, size, seed)
    made = _made(plan, labels.images)
    identified = identify(labels, drawn, made.scorers[0], made.unmirrored)
    several = None
    if lists > 1:
        kinds = {KINDS[one.name]: one for one in made.scorers[0]}
        kinds |= {f"{KINDS[one.name]}, references as they are": one for one in made.unmirrored}
        several = over_lists([draw(labels.subjects, size, seed + more) for more in range(lists)], kinds)
    inputs = {"labels": str(labels_file)}
    return Measured(
        report_identification.text(identified, str(made.ran[0]), made.against, several),
        {
            **identified.figures(),
            "seed": seed,
            "over_lists": several and several.figures(),
            **asdict(made.ran[0]),
            **made.beside(inputs),
        },
        lambda: identification_page.page(identified, seed, made.setting(inputs)),
    )


def measure_equity(plan: Plan, labels_file: Path, by: Sequence[str]) -> Measured:
    """Likewise. Fatal if there is one group only."""
    labels = read_labels(labels_file, plan.images, by, subject_needed=False)
    if len(labels.group_names) < 2:
        raise Fatal(f"--by {','.join(by)}: all pictures are in one group; choose a column that tells groups apart")
    made = _made(plan, labels.images)
    found = equity_case.compare(labels, by, made.scorers[0])
    inputs = {"labels": str(labels_file)}
    return Measured(
        report_equity.text(found, str(made.ran[0]), made.against),
        {**groups.figures(found), **asdict(made.ran[0]), **made.beside(inputs)},
        lambda: equity_page.page(found, made.setting(inputs)),
    )


def measure_fusing(plan: Plan, labels_file: Path) -> Measured:
    """Likewise. Fatal after that if nobody has three pictures."""
    labels = read_labels(labels_file, plan.images)
    made = _made(plan, labels.images)
    cases = fuse(labels, made.scorers[0][0].templates, made.cohort)
    inputs = {"labels": str(labels_file)}
    figures: dict[str, Any] = {}
    for case in cases:
        figures.setdefault(case.kind, {})[str(case.count)] = case.figures()
    return Measured(
        report_fusing.text(cases, str(made.ran[0]), made.against),
        {**figures, "score": made.scorers[0][-1].name, **asdict(made.ran[0]), **made.beside(inputs)},
        lambda: fusing_page.page(cases, made.setting(inputs)),
    )


def _made(plan: Plan, images: Sequence[Path]) -> _Made:
    enrollers = [open_enroller(choice, plan.levelled, plan.mirrored, plan.workers) for choice in plan.choices]
    ran = tuple(enroller.ran for enroller in enrollers)
    if len(set(ran)) < len(ran):
        raise Fatal(f"--compare: both would be {ran[0]}; choose another with --precision or --engine")
    cohort = None
    if plan.cohort:
        cohort = load_cohort(plan.cohort, ran[0].model_digest, plan.mirrored)
    began = time.monotonic()
    templates = enrol(images, enrollers, read=read_picture, workers=plan.workers)
    seconds = time.monotonic() - began
    return _Made(
        plan,
        ran,
        tuple(scorers(one, cohort) for one in templates),
        _unmirrored(templates[0], cohort),
        cohort,
        against(plan.cohort, cohort, templates[0]) if plan.cohort and cohort else None,
        seconds,
    )


def _unmirrored(templates: Templates, cohort: Cohort | None) -> Sequence[Scorer]:
    plain = templates.unmirrored()
    return () if plain is None else scorers(plain, cohort)
