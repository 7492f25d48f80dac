"""Evidence as ingest sends it, and entry cards as match seals them, for tests of what receives them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overt import ids
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.types.v1 import types_pb2
from overt.crypto import sealing
from overt.subjects import EVIDENCE
from overt.wire import to_timestamp

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
"""When the first shot is captured, unless a test says otherwise."""
SUBJECT_REF = "REF-known-person-0815"
RIVAL_REF = "REF-other-person-0816"
REASON = "a reason nobody else may read"
LEGAL_BASIS = "warrant 4711"


def jpeg(seed: int, size: int = 6000) -> bytes:
    """No picture, but as incompressible, and with the beginning that scanners look for."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True)
class Sighted:
    """One sighting to be sent. The pictures follow from the seed."""

    public_key: bytes
    deployment: str = "market"
    camera: str = "gate"
    track: str = "stream-1"
    entry_id: str = "6b0e7c1c-9a43-4d0e-8a35-111111111111"
    subject_ref: str = SUBJECT_REF
    at: datetime = AT
    seed: int = 1
    rival: str = ""
    """An entry that is about as like."""

    @property
    def alert_id(self) -> ids.AlertId:
        return ids.alert_id(self.deployment, self.camera, self.track, self.entry_id)

    @property
    def subject(self) -> str:
        return EVIDENCE.of(self.deployment, self.camera)

    @property
    def message_id(self) -> str:
        return f"{self.alert_id}@{self.at.isoformat()}"

    @property
    def probe(self) -> bytes:
        return jpeg(self.seed * 3)

    @property
    def reference(self) -> bytes:
        return jpeg(self.seed * 3 + 1)

    @property
    def rival_reference(self) -> bytes:
        return jpeg(self.seed * 3 + 1000)

    @property
    def pictures(self) -> dict[str, bytes]:
        """What is to come of it, by the name of the part."""
        rival = {"rival_reference": self.rival_reference} if self.rival else {}
        return {"probe": self.probe, "reference": self.reference, "scene": self.scene, **rival}

    @property
    def scene(self) -> bytes:
        return jpeg(self.seed * 3 + 2, 20_000)

    def card(self) -> pb.EntryCard:
        return pb.EntryCard(
            entry_id=self.entry_id,
            subject_ref=self.subject_ref,
            category="wanted_by_court",
            legal_basis=LEGAL_BASIS,
            image_source="custody",
            reason=REASON,
            reference_jpeg=self.reference,
        )

    def rival_card(self) -> pb.EntryCard:
        return pb.EntryCard(
            entry_id=self.rival,
            subject_ref=RIVAL_REF,
            category="recall_to_prison",
            legal_basis=LEGAL_BASIS,
            image_source="custody",
            reason=REASON,
            under_18=True,
            reference_jpeg=self.rival_reference,
        )

    def evidence(self) -> pb.Evidence:
        evidence = pb.Evidence(
            deployment=self.deployment,
            camera=self.camera,
            track=self.track,
            entry_id=self.entry_id,
            score=0.625,
            threshold=0.5,
            uncalibrated=True,
            list_revision=3,
            first_captured_at=to_timestamp(self.at),
            last_captured_at=to_timestamp(self.at + timedelta(milliseconds=300)),
            probe_jpeg=self.probe,
            scene_jpeg=self.scene,
            scene_face=types_pb2.Box(x=10, y=20, width=30, height=40),
            sealed_entry_card=sealing.seal(self.public_key, self.card().SerializeToString()),
        )
        if self.rival:
            evidence.ambiguous = True
            evidence.sealed_rival_card = sealing.seal(self.public_key, self.rival_card().SerializeToString())
        return evidence

    def message(self, evidence: pb.Evidence | None = None) -> pb.SealedEvidence:
        """Sealed; `evidence` to send something other than what it says."""
        inner = evidence if evidence is not None else self.evidence()
        return pb.SealedEvidence(
            alert_id=self.alert_id,
            deployment=self.deployment,
            camera=self.camera,
            sealed=sealing.seal(self.public_key, inner.SerializeToString()),
        )
