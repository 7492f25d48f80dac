"""The people of the built-in demo: cut, in memory, from pictures that installed packages ship."""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.testing import faces

Picture = faces.Picture

_TREES = {
    "alder": "group3",
    "birch": "group4",
    "cedar": "group6",
    "damson": "group5",
    "elm": "group1",
    "fir": "group2",
    "hazel": "actor",
    "juniper": "astronaut",
}


@dataclass(frozen=True, slots=True)
class Person:
    """A cut-out with one face, `face_height` pixels high."""

    name: str
    cutout: Picture = field(repr=False)
    face_height: float


def demo_people() -> list[Person]:
    """Eight people, always in the same order."""
    cutouts = faces.people()
    return [Person(tree, cutouts[name], _face_height(name, cutouts[name])) for tree, name in _TREES.items()]


def _face_height(name: str, cutout: Picture) -> float:
    """The actor's face fills his picture; around the others there is a margin above and below."""
    height = float(cutout.shape[0])
    return height if name == "actor" else height / (1 + 2 * faces.MARGIN)
