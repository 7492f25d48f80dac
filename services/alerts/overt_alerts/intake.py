"""Evidence in, alerts out: the use case behind the durable consumer of EVIDENCE_<deployment>."""

from __future__ import annotations

from datetime import timedelta

from overt.bus import Delivery
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime.clock import Clock
from overt.telemetry import Metric, SpanName, count, get_logger, observe, span

from overt_alerts.adapters.evidence import opened
from overt_alerts.adapters.vault import Vault
from overt_alerts.custody import Custody
from overt_alerts.domain import DEFAULT_COOLDOWN, Change, Finding, joined, raised
from overt_alerts.shelf import Held, Shelf

log = get_logger(__name__)


class Intake:
    """Turns a delivery into a new alert, into another sighting of an open one, or into nothing at all if it was
    here before. One piece of evidence of a deployment at a time: the cooldown looks at what the last one left."""

    def __init__(self, *, custody: Custody, vault: Vault, clock: Clock, cooldown: timedelta = DEFAULT_COOLDOWN) -> None:
        self._custody = custody
        self._vault = vault
        self._clock = clock
        self._cooldown = cooldown

    async def take(self, shelf: Shelf, delivery: Delivery) -> None:
        """Returns when the alert is on disk and the message that brought it is erased: it may be acknowledged.
        Rejected: poison, to be buried.

        The erasure comes before the acknowledgement, so that no kill between them leaves the sealed evidence
        lying: it comes again, changes nothing, and is erased then.
        """
        with span(SpanName.ALERT_RAISE, deployment=shelf.deployment):
            await self._take(shelf, delivery)
        await self._vault.erase_evidence(shelf.deployment, delivery.sequence)

    async def buried(self, shelf: Shelf, delivery: Delivery) -> None:
        """Whatever it was given up for, its dead letter is stored: nothing else of it may stay. Retryable."""
        await self._vault.erase_evidence(shelf.deployment, delivery.sequence)

    async def _take(self, shelf: Shelf, delivery: Delivery) -> None:
        finding = opened(delivery.subject, delivery.data, await self._custody.sealing_key(shelf.deployment))
        if finding.deployment != shelf.deployment:
            raise Rejected(Reason.BAD_MESSAGE, "evidence of another deployment")
        async with shelf.lock:
            if shelf.is_done_with(finding):
                return
            if (held := shelf.taker(finding, now=self._clock.now(), cooldown=self._cooldown)) is not None:
                await self._join(shelf, held, finding)
            elif shelf.held(finding.alert_id) is None:
                await self._raise(shelf, finding, delivery.traceparent)
            # Else it is of an alert whose time is over but whose key still waits to be destroyed: too late.

    async def _raise(self, shelf: Shelf, finding: Finding, traceparent: str) -> None:
        alert = raised(finding, now=self._clock.now(), keep_for=shelf.keep_for, traceparent=traceparent)
        shelf.put(await self._vault.keep(alert, finding.pictures))
        count(Metric.ALERTS_RAISED, deployment=shelf.deployment)
        took = self._clock.now() - finding.first_captured_at
        observe(Metric.ALERT_RAISED_AFTER, took / timedelta(milliseconds=1))
        log.info("alert_raised", deployment=shelf.deployment, alert=alert.alert_id)

    async def _join(self, shelf: Shelf, held: Held, finding: Finding) -> None:
        now_held = Held(joined(held.alert, finding), held.revision + 1)
        try:
            await self._vault.replace(now_held)
        except Rejected as error:
            # Its time ended while we looked: next time this raises an alert of its own.
            raise Retryable("the alert that this would have joined has just expired") from error
        if shelf.held(held.alert.alert_id) is not held:
            await self._vault.erase(shelf.deployment, held.alert.alert_id)
            raise Retryable("the alert that this would have joined has just expired")
        shelf.put(now_held, Change.SIGHTED_AGAIN)
        count(Metric.ALERTS_JOINED, deployment=shelf.deployment)
        log.info(
            "alert_sighted_again",
            deployment=shelf.deployment,
            alert=held.alert.alert_id,
            sightings=len(now_held.alert.sightings),
        )
        await self._vault.erase_revisions_but(now_held)
