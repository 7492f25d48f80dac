"""Who is on the bench's list: two people of the clip, found by their looks in memory, and nobody, 1,998 times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import grpc
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from overt.api.detect.v1 import detect_pb2, detect_pb2_grpc
from overt.api.match.v1 import match_pb2, match_pb2_grpc
from overt.errors import Fatal
from overt.permissions import Role
from overt.rpc import connect, to_overt_error
from overt.subjects import Service
from overt.wire import template_from_bytes, template_to_bytes, to_timestamp

from overt_lab.archive import ListImage, demo_row
from overt_lab.bench.people import Person
from overt_lab.machine import Machine

LIST_SIZE = 2_000
SEED = 1
_BATCH = 500  # entries of 1.5 kB: far from what a message may hold
_MARGINS = (0.6, 0.35, 0.2)
"""Of the face, on each side of a reference picture; less where somebody else would be in it."""
_BEST_PICTURES = 4
_SAME_PERSON = 0.4
"""Raw cosine from which two references would be one person's, as in the demo."""


def random_list(length: int, size: int = LIST_SIZE) -> NDArray[np.float32]:
    """float32[size, length], unit vectors: templates of nobody. Always the same ones."""
    vectors = np.random.default_rng(SEED).standard_normal((size, length)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody of the clip, in pictures cut from it, best first."""

    pictures: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody who is on the list. The template is only for the same search in this process."""

    image: ListImage = field(repr=False)
    template: NDArray[np.float32] = field(repr=False)


def cut_out(people: Sequence[Person], frames: Iterator[Any]) -> list[Candidate]:
    """Pictures of these people, from where they look best. `frames`: the clip's, in the order shown, BGR."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for number, person in enumerate(people):
        for order, place in enumerate(person.best_places(_BEST_PICTURES)):
            wanted.setdefault(place, []).append((number, order))
    found: list[dict[int, list[bytes]]] = [{} for _ in people]
    for place, picture in enumerate(frames):
        for number, order in wanted.get(place, ()):
            box = people[number].faces[place].box
            found[number][order] = [_cut(picture, box, margin) for margin in _MARGINS]
    return [Candidate(tuple(cut for order in sorted(cuts) for cut in cuts[order])) for cuts in found]


def _cut(picture: NDArray[np.uint8], box: tuple[float, float, float, float], margin: float) -> bytes:
    x, y, width, height = box
    left, top = max(0, int(x - margin * width)), max(0, int(y - margin * height))
    right, bottom = int(x + width * (1 + margin)) + 1, int(y + height * (1 + margin)) + 1
    cut = np.ascontiguousarray(picture[top:bottom, left:right])
    if (shorter := min(cut.shape[:2])) < 128:
        cut = np.ascontiguousarray(cv2.resize(cut, None, fx=128 / shorter, fy=128 / shorter))
    return bytes(simplejpeg.encode_jpeg(cut, 95, "BGR", "444"))


class Peers:
    """detect and match, spoken to as the gateway does."""

    def __init__(self, detect: grpc.aio.Channel, match: grpc.aio.Channel) -> None:
        self._detect: Any = detect_pb2_grpc.DetectStub(detect)
        self._match: Any = match_pb2_grpc.WatchlistsStub(match)

    async def describe(self) -> detect_pb2.DescribeReply:
        reply: detect_pb2.DescribeReply = await self._detect.Describe(detect_pb2.DescribeRequest())
        return reply

    async def two_of(self, candidates: Sequence[Candidate]) -> list[Listed]:
        """The first two whom detect enrols and tells apart. Fatal if there are none."""
        listed: list[Listed] = []
        for candidate in candidates:
            name = ("first", "second")[len(listed)]
            found = await self._enrolled(candidate, name)
            if found is not None and all(float(found.template @ one.template) < _SAME_PERSON for one in listed):
                listed.append(found)
            if len(listed) == 2:
                return listed
        raise Fatal(
            "the clip does not show two people well enough to put them on a list: give one in which two faces of 64 "
            "pixels or more look at the camera"
        )

    async def _enrolled(self, candidate: Candidate, name: str) -> Listed | None:
        for picture in candidate.pictures:
            reply = await self._detect.Enrol(detect_pb2.EnrolRequest(image=picture))
            if not reply.reason:
                template = np.asarray(template_from_bytes(reply.template), np.float32)
                return Listed(ListImage(demo_row(name, f"{name}.jpg"), picture), template)
        return None

    async def fill(self, deployment: str, model_digest: str, vectors: NDArray[np.float32]) -> int:
        """Adds an entry for each vector to a draft's list; the list's size then."""
        size = 0
        entries = _nobodies(vectors)
        for start in range(0, len(entries), _BATCH):
            request = match_pb2.ImportRequest(
                deployment=deployment, model_digest=model_digest, entries=entries[start : start + _BATCH]
            )
            size = (await self._match.Import(request, timeout=60)).size
        return size


def _nobodies(vectors: NDArray[np.float32]) -> list[match_pb2.Entry]:
    grey = bytes(simplejpeg.encode_jpeg(np.full((64, 64, 3), 128, np.uint8), 80, "BGR"))
    expires = to_timestamp(datetime.now(UTC) + timedelta(days=1))
    return [
        match_pb2.Entry(
            subject_ref=f"nobody-{number}",
            category="other",
            legal_basis="none: a measurement",
            image_source="none: random numbers",
            reason="measurement",
            expires_at=expires,
            references=[match_pb2.Reference(template=template_to_bytes(vector), jpeg=grey)],
        )
        for number, vector in enumerate(vectors)
    ]


@asynccontextmanager
async def peers_of(machine: Machine) -> AsyncIterator[Peers]:
    """Connections to a machine's detect and match. What they refuse is one of our errors."""

    def token() -> str:
        return machine.token(Role.SERVICE_GATEWAY, subject="bench")

    detect = connect(machine.layout.socket(Service.DETECT), token=token)
    match = connect(machine.layout.socket(Service.MATCH), token=token)
    async with detect, match:
        try:
            yield Peers(detect, match)
        except grpc.aio.AioRpcError as error:
            raise to_overt_error(error) from None
