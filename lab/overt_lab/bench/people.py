"""The people of a clip, by the peers' boxes, and which of them the system has seen. Pure.

Boxes of neighbouring pictures that overlap (IoU 0.3 or more) are one person's. A person counts if at least one of the
boxes passes our quality gate, and is seen if a templated shot overlaps the person's box in the same picture (IoU 0.5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

LINKED, SAME = 0.3, 0.5
PATIENCE = 12
"""Pictures without a box that a person survives: half a second at 25 a second, as long as a track does. Somebody whom
the detector misses once is not two people."""


@dataclass(frozen=True, slots=True)
class Face:
    """`rank`: 0 if it does not pass our quality gate."""

    box: Box = field(repr=False)
    rank: float


@dataclass(slots=True)
class Person:
    """Somebody's faces by the place of their picture in the clip."""

    faces: dict[int, Face] = field(default_factory=dict, repr=False)

    @property
    def good_faces(self) -> int:
        return sum(face.rank > 0 for face in self.faces.values())

    @property
    def size_px(self) -> float:
        """The longer side of the largest good face."""
        return max((max(face.box[2:]) for face in self.faces.values() if face.rank), default=0.0)

    def best_places(self, most: int) -> list[int]:
        """Of the good faces, best first."""
        good = [place for place, face in self.faces.items() if face.rank > 0]
        return sorted(good, key=lambda place: -self.faces[place].rank)[:most]


def iou(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (one[2] * one[3] + other[2] * other[3] - across * down)


def people(pictures: Sequence[Sequence[Face]], patience: int = PATIENCE) -> list[Person]:
    """Everybody who counts, most good faces first. Closest boxes are linked first."""
    found: list[Person] = []
    for place, faces in enumerate(pictures):
        alive = [person for person in found if place - max(person.faces) <= patience + 1]
        last = [person.faces[max(person.faces)].box for person in alive]
        for number, person in paired(last, [face.box for face in faces], LINKED):
            alive[number].faces[place] = faces[person]
        taken = {id(person.faces[place]) for person in alive if place in person.faces}
        found += [Person({place: face}) for face in faces if id(face) not in taken]
    return sorted((p for p in found if p.good_faces), key=lambda p: -p.good_faces)


def paired(some: Sequence[Box], others: Sequence[Box], least: float) -> list[tuple[int, int]]:
    """Indexes of boxes that belong together, each at most once, closest first."""
    overlaps = ((iou(one, other), i, j) for i, one in enumerate(some) for j, other in enumerate(others))
    pairs: list[tuple[int, int]] = []
    for overlap, i, j in sorted(overlaps, reverse=True):
        if overlap >= least and all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


@dataclass(frozen=True, slots=True)
class Shown:
    """What detect answered for one picture of the clip, in one pass of one camera: every box, and which were shots
    (index into `boxes`) of which track."""

    turn: tuple[int, int]
    """Camera and pass."""
    place: int
    boxes: tuple[Box, ...] = field(repr=False)
    shots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Of everybody who counts: how many in the median pass, and in all passes together."""

    people: int
    passes: int
    people_passes: int
    """Times that somebody walked by: people times passes."""
    people_passes_seen: int
    fragmentation: float | None
    """Searched tracks for each time that somebody was seen."""


def placed(boxes: Sequence[Box], candidates: Iterable[int], everybody: Mapping[int, Sequence[Box]]) -> int | None:
    """Which of the clip's pictures this is: that among the candidates whose boxes it overlaps most. None if it has no
    box, or overlaps none."""
    best: tuple[float, int] | None = None
    for place in candidates:
        theirs = everybody.get(place, ())
        worth = sum(iou(boxes[i], theirs[j]) for i, j in paired(boxes, theirs, LINKED))
        if worth and (best is None or worth > best[0]):
            best = (worth, place)
    return best[1] if best else None


def seen(persons: Sequence[Person], shown: Iterable[Shown], passes: Collection[tuple[int, int]]) -> Seen:
    """Who was seen in these (whole) passes."""
    by_pass: dict[tuple[int, int], set[int]] = {turn: set() for turn in passes}
    tracks: set[tuple[tuple[int, int], int]] = set()
    for one in shown:
        if one.turn not in by_pass:
            continue
        there = [number for number, person in enumerate(persons) if one.place in person.faces]
        theirs = [persons[number].faces[one.place].box for number in there]
        boxes = [one.boxes[box] for box, _ in one.shots]
        by_pass[one.turn] |= {there[j] for _, j in paired(boxes, theirs, SAME)}
        tracks |= {(one.turn, track) for _, track in one.shots}
    counts = [len(who) for who in by_pass.values()]
    return Seen(
        people=median_low(counts) if counts else 0,
        passes=len(counts),
        people_passes=len(counts) * len(persons),
        people_passes_seen=sum(counts),
        fragmentation=round(len(tracks) / sum(counts), 3) if sum(counts) else None,
    )
