"""The use cases of the gRPC service `Keys`: a deployment's keys and its list secret."""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.bus import Steward
from overt.errors import Rejected
from overt.reasons import Reason
from overt.telemetry import SpanName, get_logger, span

from overt_alerts.custody import Custody
from overt_alerts.deployments import Deployments

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListSecret:
    """32 bytes, for match's memory only."""

    generation: int
    secret: bytes = field(repr=False)


class Keys:
    """Everything here is for a deployment that has not ended; else Rejected(WRONG_STATE). Each call holds the
    deployment's lock, so that no secret is made or given out after its end has been acted on."""

    def __init__(self, *, custody: Custody, deployments: Deployments, steward: Steward) -> None:
        self._custody = custody
        self._deployments = deployments
        self._steward = steward

    async def prepare(self, deployment: str) -> bytes:
        """Streams, object store and keys, whatever of it is missing. The public sealing key."""
        async with self._deployments.lock(deployment):
            await self._deployments.require_not_over(deployment)
            with span(SpanName.KEYS_PREPARE, deployment=deployment):
                await self._steward.ensure(deployment)
                public = await self._custody.prepare(deployment)
            log.info("deployment_prepared", deployment=deployment)
            return public

    async def list_secret(self, deployment: str, generation: int = 0) -> ListSecret:
        """That generation while it is not destroyed (else Rejected(UNKNOWN_KEY)); 0: the newest that is
        confirmed."""
        async with self._deployments.lock(deployment):
            known = await self._generations(deployment)
            wanted = generation or known[0]
            if wanted not in known:
                raise Rejected(Reason.UNKNOWN_KEY, "that generation of the list secret does not exist (any more)")
            return await self._secret(deployment, wanted)

    async def rotate(self, deployment: str) -> ListSecret:
        """A new secret beside the one in force. Until that one is confirmed, rotating again gives the same: who
        was killed between the two goes on where it stopped, and there are never more than two."""
        async with self._deployments.lock(deployment):
            known = await self._generations(deployment)
            if len(known) > 1:
                return await self._secret(deployment, known[-1])
            secret = await self._custody.create_list_secret(deployment, known[0] + 1)
            log.info("list_secret_rotated", deployment=deployment, revision=known[0] + 1)
            return ListSecret(known[0] + 1, secret)

    async def confirm(self, deployment: str, generation: int) -> None:
        """The list is sealed under `generation`: destroys what is older. Idempotent. Rejected(CONFLICT) unless it
        is the newest there is."""
        async with self._deployments.lock(deployment):
            known = await self._generations(deployment)
            if generation != known[-1]:
                raise Rejected(Reason.CONFLICT, "only the newest generation of the list secret can be confirmed")
            await self._custody.destroy_list_secrets(deployment, known[:-1])

    async def _generations(self, deployment: str) -> list[int]:
        await self._deployments.require_not_over(deployment)
        if not (known := await self._custody.generations(deployment)):
            raise Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment: prepare it first")
        return known

    async def _secret(self, deployment: str, generation: int) -> ListSecret:
        return ListSecret(generation, await self._custody.list_secret(deployment, generation))
