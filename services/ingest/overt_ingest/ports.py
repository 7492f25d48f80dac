"""What the life of a frame needs of the world outside this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from overt.ids import StreamId

from overt_ingest.domain.faces import Analysis, Box, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Frame, Picture
from overt_ingest.domain.sighting import Exhibit, Pictures


class DetectStream(Protocol):
    """One open stream to detect. It ends for good when it breaks; its tracks end with it."""

    @property
    def stream(self) -> StreamId: ...

    @property
    def model_digest(self) -> str:
        """Of the model that makes its templates."""
        ...

    async def analyse(self, frame: Frame, *, pending: Sequence[int], settled: Sequence[int]) -> Analysis:
        """One frame at a time. Away if detect does not answer in time; the stream is broken then. Nothing of the
        picture is kept after it returns, however it returns."""
        ...


class Detector(Protocol):
    """One camera's link to detect, which keeps a stream open as long as it can."""

    @property
    def current(self) -> DetectStream | None:
        """None while detect is away. Never waits."""
        ...


class Searcher(Protocol):
    """match, for one deployment and camera."""

    async def search(self, model_digest: str, probes: Sequence[Probe]) -> Verdict:
        """Away if nobody answers within a second, or a replica will not."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What evidence says beside its pictures."""

    track: str
    verdict: Verdict
    first_captured_at: datetime
    last_captured_at: datetime


@dataclass(frozen=True, slots=True)
class SealedEvidence:
    """Only alerts can open `sealed`. `message_id` is the same whenever the same evidence is sent again."""

    alert_id: str
    message_id: str
    deployment: str
    camera: str
    sealed: bytes = field(repr=False)
    traceparent: str = ""


class FaceFinder(Protocol):
    """The detector, asked about a picture that is no camera's."""

    async def find(self, picture: NDArray[np.uint8]) -> list[Box]:
        """All faces in it, uint8[height, width, 3], of at most 8 MB. Away if detect does not answer in time. Nothing of
        it is kept."""
        ...


class Studio(Protocol):
    """Makes pictures that show nobody but the alerted person, and evidence of them. CPU work, off the event loop."""

    async def develop(self, picture: Picture, faces: Sequence[FoundFace], alerted: FoundFace) -> Pictures:
        """Not yet checked. Takes some 10 ms. Rejected if the picture does not decode. Nothing of `picture` is kept."""
        ...

    async def check(self, pictures: Pictures) -> Pictures:
        """The same, checked, and with whoever was missed blocked out as well. Takes some 100 ms."""
        ...

    async def seal(self, pictures: Pictures, finding: Finding) -> SealedEvidence:
        """Of checked pictures; of others it is a defect. Rejected(MESSAGE_TOO_LARGE) if it cannot be made to fit."""
        ...


class Outbox(Protocol):
    """Where sealed evidence waits for delivery, bounded in time and size."""

    def post(self, evidence: SealedEvidence, exhibit: Exhibit) -> None:
        """Never waits. The exhibit is the outbox's from here on: it is closed as retained when the evidence is
        stored, and as lost otherwise."""
        ...


Sleep = Callable[[float], Awaitable[None]]
