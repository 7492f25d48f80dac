"""What a model pack is, read from a TOML manifest: where its files come from, how they are prepared, on what
terms, and what pictures they want. A pack that detect's algorithms can run needs a manifest and no code.

Fields of a manifest: `name`, `title`, `template_length`, `acceptance_required` (the licence must be accepted at
build); `[alignment]` `method`, `size`; one `[[models]]` a model with `name`, `task` (detection, recognition),
`algorithm`, `licence`, `attribution`, `file` (its name when prepared), `prepare` (steps of
overt.models.graphs), `sha256` (of the prepared file); its `[models.source]` with `sha256` and either `package` and
`resource`, or `file` (below the folder given at build); its `[models.input]` with `colours` (RGB, BGR), `mean`,
`std`, and `size` or `multiple_of`, pixels. A detector also says `sure_face_px`: the longer side, in pixels of its
input, from which on it finds faces reliably.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from overt.errors import Fatal

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Task(StrEnum):
    """What a model does. A pack has exactly one model for each."""

    DETECTION = "detection"
    RECOGNITION = "recognition"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the unprepared file is: a resource of an installed package, or a file the operator has."""

    sha256: str
    package: str = ""
    resource: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.package}:{self.resource}" if self.package else self.file


@dataclass(frozen=True, slots=True)
class Input:
    """The picture a model wants: colour order, then (value - mean) / std on 0..255."""

    colours: str
    mean: float
    std: float
    size: int = 0
    multiple_of: int = 1


@dataclass(frozen=True, slots=True)
class Model:
    """One graph of a pack. `sha256` is of the prepared file, so it is the same on every machine."""

    name: str
    task: Task
    algorithm: str
    licence: str
    attribution: str
    file: str
    prepare: tuple[str, ...]
    sha256: str
    source: Source
    input: Input
    sure_face_px: float = 0.0


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a face is brought to the recogniser's position and size (pixels, square)."""

    method: str
    size: int


@dataclass(frozen=True, slots=True)
class Pack:
    """Models that belong together. Templates of one `digest` are comparable, of two never."""

    name: str
    title: str
    template_length: int
    alignment: Alignment
    models: tuple[Model, ...]
    acceptance_required: bool = False

    def model(self, task: Task) -> Model:
        return next(m for m in self.models if m.task is task)

    @property
    def digest(self) -> str:
        """SHA-256 over all that shapes a template: recogniser graph, alignment, input convention, length."""
        recogniser = self.model(Task.RECOGNITION)
        return _digest(
            {
                "recogniser": recogniser.sha256,
                "input": asdict(recogniser.input),
                "alignment": asdict(self.alignment),
                "template_length": self.template_length,
            }
        )

    @property
    def build_digest(self) -> str:
        """SHA-256 over the prepared files; names the folder that holds them."""
        return _digest({m.file: m.sha256 for m in self.models})


def pack_names() -> tuple[str, ...]:
    """The packs that come with Overt."""
    folder = resources.files("overt.models") / "packs"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_pack(name: str) -> Pack:
    """A pack by its name, or by the path of its own manifest (ends with .toml). Fatal when there is none."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise Fatal(f"there is no model pack manifest {name}")
        return parse_pack(path.read_text(encoding="utf-8"), where=name)
    if name not in pack_names():
        known = ", ".join(pack_names())
        raise Fatal(f"there is no model pack {name!r}; known: {known}, or the path of a manifest (.toml)")
    text = (resources.files("overt.models") / "packs" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_pack(text, where=f"{name}.toml")


def parse_pack(text: str, *, where: str) -> Pack:
    """Reads and checks a manifest. Fatal names the manifest and what is wrong with it."""
    try:
        table = tomllib.loads(text)
        pack = Pack(
            **_only(table, "name", "title", "template_length", "acceptance_required"),
            alignment=Alignment(**table["alignment"]),
            models=tuple(_model(m) for m in table["models"]),
        )
        _check(pack)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as fault:
        raise Fatal(f"the model pack manifest {where} cannot be used: {fault}") from None
    return pack


def _model(table: dict[str, Any]) -> Model:
    fields = _only(table, "name", "algorithm", "licence", "attribution", "file", "sha256", "sure_face_px")
    return Model(
        **fields,
        task=Task(table["task"]),
        prepare=tuple(table.get("prepare", ())),
        source=Source(**table["source"]),
        input=Input(**table["input"]),
    )


def _check(pack: Pack) -> None:
    if sorted(m.task for m in pack.models) != sorted(Task):
        raise ValueError("a pack has one model for detection and one for recognition")
    if not _NAME.fullmatch(pack.name):
        raise ValueError(f"bad name {pack.name!r}")
    for model in pack.models:
        if not _NAME.fullmatch(model.file):
            raise ValueError(f"bad file name {model.file!r}")
        if not all(_SHA256.fullmatch(digest) for digest in (model.sha256, model.source.sha256)):
            raise ValueError(f"{model.name}: a sha256 is 64 hexadecimal digits")
        if bool(model.source.file) == bool(model.source.package and model.source.resource):
            raise ValueError(f"{model.name}: the source is a package with a resource, or a file")
        if model.input.colours not in {"RGB", "BGR"} or model.input.std <= 0:
            raise ValueError(f"{model.name}: colours are RGB or BGR, std is above zero")
        if (model.sure_face_px > 0) != (model.task is Task.DETECTION):
            raise ValueError(f"{model.name}: sure_face_px is above zero for a detector, and for nothing else")
    if pack.template_length < 1 or pack.alignment.size < 1:
        raise ValueError("template_length and alignment.size are above zero")


def _only(table: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: table[name] for name in names if name in table}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
