"""Makes what a match leaves behind: masked pictures, and evidence that only alerts can open."""

from __future__ import annotations

from collections.abc import Sequence

from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.types.v1 import types_pb2
from overt.crypto import sealing
from overt.errors import Rejected
from overt.ids import alert_id
from overt.reasons import Reason
from overt.telemetry import current_traceparent
from overt.wire import to_timestamp

from overt_ingest.adapters.checking import check
from overt_ingest.adapters.masking import developed, shrink
from overt_ingest.adapters.pixels import off_loop
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import FoundFace
from overt_ingest.domain.frame import Picture
from overt_ingest.domain.sighting import Pictures
from overt_ingest.ports import FaceFinder, Finding, SealedEvidence

MOST_EVIDENCE_BYTES = 512 * 1024
# What sealing adds (48 bytes) and the envelope's own fields (ids, 200 bytes at most).
_ENVELOPE_BYTES = 512


class SealingStudio:
    """For one camera. Seals to its deployment's public key; ingest cannot open what it has sealed."""

    def __init__(self, spec: CameraSpec, finder: FaceFinder) -> None:
        self._spec = spec
        self._finder = finder

    async def develop(self, picture: Picture, faces: Sequence[FoundFace], alerted: FoundFace) -> Pictures:
        others = [face.box for face in faces if face is not alerted]
        return await off_loop(lambda: developed(picture, alerted=alerted.box, others=others))

    async def check(self, pictures: Pictures) -> Pictures:
        return await check(pictures, self._finder)

    async def seal(self, pictures: Pictures, finding: Finding) -> SealedEvidence:
        if not pictures.checked:
            raise RuntimeError("nothing is sealed unchecked")
        spec, verdict = self._spec, finding.verdict
        alert = alert_id(spec.deployment, spec.camera, finding.track, verdict.entry_id)
        sealed = await off_loop(self._seal, pictures, finding)
        return SealedEvidence(
            alert_id=alert,
            message_id=f"{alert}/{finding.first_captured_at.isoformat()}",
            deployment=spec.deployment,
            camera=spec.camera,
            sealed=sealed,
            traceparent=current_traceparent(),
        )

    def _seal(self, pictures: Pictures, finding: Finding) -> bytes:
        plain = self._evidence(pictures, finding)
        over = len(plain) + _ENVELOPE_BYTES - MOST_EVIDENCE_BYTES
        if over > 0:
            if over >= len(pictures.scene):
                raise Rejected(Reason.MESSAGE_TOO_LARGE, "evidence does not fit, even without its scene")
            plain = self._evidence(shrink(pictures, len(pictures.scene) - over), finding)
        return sealing.seal(self._spec.sealing_public_key, plain)

    def _evidence(self, pictures: Pictures, finding: Finding) -> bytes:
        verdict, face = finding.verdict, pictures.face
        return pb.Evidence(
            deployment=self._spec.deployment,
            camera=self._spec.camera,
            track=finding.track,
            entry_id=verdict.entry_id,
            score=verdict.score,
            threshold=verdict.threshold,
            uncalibrated=verdict.uncalibrated,
            list_revision=verdict.list_revision,
            first_captured_at=to_timestamp(finding.first_captured_at),
            last_captured_at=to_timestamp(finding.last_captured_at),
            probe_jpeg=pictures.crop,
            scene_jpeg=pictures.scene,
            scene_face=types_pb2.Box(x=face.x, y=face.y, width=face.width, height=face.height),
            sealed_entry_card=verdict.sealed_entry_card,
            ambiguous=verdict.ambiguous,
            sealed_rival_card=verdict.sealed_rival_card,
        ).SerializeToString()
