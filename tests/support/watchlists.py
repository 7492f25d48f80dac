"""People who do not exist, with templates, for lists and searches; and a custodian of list secrets in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.crypto import aead, sealing
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.wire import template_to_bytes, to_timestamp
from overt_match.ports import ListSecret

LENGTH = 128
MODEL = "sha256:a-model"
DEPLOYMENT = "market"
THRESHOLD = 0.4
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
EXPIRES = datetime(2040, 1, 1, tzinfo=UTC)


def unit(count: int, seed: int, length: int = LENGTH) -> NDArray[np.float32]:
    """Random unit vectors, one a row: in 128 dimensions strangers to each other (cosine below .4)."""
    vectors = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def like(template: NDArray[np.float32], cosine: float, seed: int = 0) -> NDArray[np.float32]:
    """A unit vector at just this cosine to `template`."""
    other = np.random.default_rng([seed, 815]).standard_normal(template.shape)
    aside = other - template * (other @ template)
    aside /= np.linalg.norm(aside)
    return (cosine * template + np.sqrt(1 - cosine**2) * aside).astype(np.float32)


def picture(number: int, size: int = 300) -> bytes:
    """No picture, but the bytes look like the beginning of one, and none are alike."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(size)


def entry(
    number: int,
    templates: Sequence[NDArray[np.float32]],
    *,
    expires_at: datetime = EXPIRES,
    jpeg_bytes: int = 300,
    **fields: object,
) -> pb.Entry:
    """Person `number` as an import brings them; `fields` replace what they name."""
    values: dict[str, object] = {
        "subject_ref": f"REF-{number:05d}",
        "category": "wanted_by_court",
        "legal_basis": "warrant 4711",
        "image_source": "custody record",
        "reason": "did not appear",
        "under_18": False,
        "expires_at": to_timestamp(expires_at),
        "references": [
            pb.Reference(template=template_to_bytes(t), jpeg=picture(number * 10 + i, jpeg_bytes))
            for i, t in enumerate(templates)
        ],
    }
    return pb.Entry(**{**values, **fields})  # type: ignore[arg-type]


def people(templates: NDArray[np.float32], *, first: int = 0, **fields: object) -> list[pb.Entry]:
    """One entry a row, numbered from `first`."""
    return [entry(first + i, [t], **fields) for i, t in enumerate(templates)]  # type: ignore[arg-type]


def deployment(
    state: control.Deployment.State = control.Deployment.STATE_DRAFT,
    *,
    public_key: bytes = b"",
    threshold: float = THRESHOLD,
    deployment_id: str = DEPLOYMENT,
    ends_at: datetime | None = None,
    **fields: object,
) -> control.Deployment:
    """As the gateway writes it, its window open for whatever clock a test has; `fields` are those of a calibration."""
    return control.Deployment(
        deployment_id=deployment_id,
        state=state,
        threshold=threshold,
        sealing_public_key=public_key or sealing.generate_key_pair()[1],
        starts_at=to_timestamp(datetime(2000, 1, 1, tzinfo=UTC)),
        ends_at=to_timestamp(ends_at or datetime(2100, 1, 1, tzinfo=UTC)),
        **fields,  # type: ignore[arg-type]
    )


def search(
    *probes: NDArray[np.float32],
    deployment_id: str = DEPLOYMENT,
    model_digest: str = MODEL,
    apart: timedelta = timedelta(milliseconds=200),
) -> pb.SearchRequest:
    """A track with these probes, `apart` from each other."""
    return pb.SearchRequest(
        deployment=deployment_id,
        camera="gate",
        model_digest=model_digest,
        probes=[
            pb.Probe(template=template_to_bytes(p), captured_at=to_timestamp(AT + i * apart))
            for i, p in enumerate(probes)
        ],
    )


@dataclass
class MemoryListKeys:
    """`ListKeys` with the rules of alerts' keyring: one secret, or the one in force and its successor."""

    secrets: dict[str, dict[int, bytes]] = field(default_factory=dict, repr=False)
    away: bool = False
    destroyed: list[tuple[str, int]] = field(default_factory=list)

    async def secret(self, deployment: str, generation: int = 0) -> ListSecret:
        known = self._known(deployment)
        wanted = generation or min(known)
        if wanted not in known:
            raise Rejected(Reason.UNKNOWN_KEY, "that generation does not exist")
        return ListSecret(known[wanted], wanted)

    async def rotate(self, deployment: str) -> ListSecret:
        known = self._known(deployment)
        if len(known) == 1:
            known[min(known) + 1] = aead.new_key()
        return ListSecret(known[max(known)], max(known))

    async def confirm(self, deployment: str, generation: int) -> None:
        known = self._known(deployment)
        if generation != max(known):
            raise Rejected(Reason.CONFLICT, "only the newest can be confirmed")
        for older in [g for g in known if g < generation]:
            del known[older]
            self.destroyed.append((deployment, older))

    def end(self, deployment: str) -> None:
        """What alerts does when the deployment has ended."""
        self.secrets[deployment] = {}

    def _known(self, deployment: str) -> dict[int, bytes]:
        if self.away:
            raise Retryable("alerts is away")
        known = self.secrets.setdefault(deployment, {1: aead.new_key()})
        if not known:
            raise Rejected(Reason.WRONG_STATE, "the deployment has ended")
        return known
