"""What was measured with what: the part that all reports have, and how a kind of score is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt_lab.evaluate.page.document import facts, paragraph, section
from overt_lab.evaluate.page.plots import FIRST, SECOND
from overt_lab.evaluate.page.svg import Style
from overt_lab.evaluate.scores import Against
from overt_lab.evaluate.templates import Mirrored
from overt_lab.evaluate.wording import KINDS, of_score, warnings

_TEMPLATES = {
    Mirrored.NONE: "of faces as they are",
    Mirrored.REFERENCES: "references: means of the face's and of its mirror image's; shots: of faces as they are",
    Mirrored.BOTH: "means of the face's and of its mirror image's, of shots too",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """For beside the figures."""

    engine: str
    pack: str
    levelled: bool
    mirrored: Mirrored
    against: Against | None
    inputs: dict[str, str]
    seconds: float
    cores: int
    commit: str | None

    def first(self) -> list[str]:
        """What a reader must know before anything else."""
        return [paragraph(words, "warning") for words in warnings(self.against)]

    def section(self) -> str:
        rows = [
            *((name.capitalize(), value) for name, value in self.inputs.items()),
            ("Score", of_score(self.against)),
            ("Model", self.pack),
            ("Engine and precision", self.engine),
            ("Landmarks", "follow the tilt of the head" if self.levelled else "as the detector gives them"),
            ("Templates", _TEMPLATES[self.mirrored]),
            ("Machine", f"{self.cores} cores; {self.seconds:.0f} s for the templates"),
            ("Commit", self.commit or "not known"),
        ]
        return section("What it was measured with", facts(rows))


def styles(names: Sequence[str]) -> list[tuple[str, Style]]:
    """The score that ships is the last, and is drawn solid."""
    drawn = (FIRST, SECOND)[-len(names) :]
    return [(KINDS[name], style) for name, style in zip(names, drawn, strict=True)]
