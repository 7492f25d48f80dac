"""Nothing of a person is in a log line, a span or a repr of the alerts service, whatever happens to it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from overt.errors import OvertError
from overt.testing.telemetry import recorded_telemetry
from overt_alerts.domain import Part
from support.alerts import DEPLOYMENT, RETENTION, Life, State, World
from support.evidence import AT, LEGAL_BASIS, REASON, RIVAL_REF, SUBJECT_REF, Sighted

pytestmark = pytest.mark.privacy


async def test_from_evidence_to_expiry(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with recorded_telemetry() as recorded:
        world = World()
        await world.prepare()
        await world.put(State.STATE_ACTIVE)
        life = Life(world)
        one = Sighted(world.public_key, rival="look-alike-0816")
        await world.send(one)
        await world.send(replace(one, track="stream-2", at=AT + timedelta(seconds=3)))
        await life.take_all()
        shelf = await life.shelf()
        for held in shelf:
            shown += [repr(held), repr(held.alert), repr(held.alert.sightings), str(held.alert)]
        shown += [repr(shelf), repr(life.board), repr(life.vault), repr(await life.keys.list_secret(DEPLOYMENT))]
        await world.send_bytes(one.subject, one.message().SerializeToString()[:-4])
        try:
            await life.take_all()
        except OvertError as error:
            shown.append(repr(error))
            world.waiting.clear()
        world.clock.advance(RETENTION)
        await life.expiry.expire_due()
        try:
            await life.reading.picture(DEPLOYMENT, one.alert_id, Part.PROBE)
        except OvertError as error:
            shown.append(repr(error))
        await world.put(State.STATE_ENDED)
        await life.reconciler.begin()
        await life.reconciler.close()
    shown += [repr(r.__dict__) for r in caplog.records]
    shown += [f"{span.name} {dict(span.attributes or {})} {span.events}" for span in recorded.spans]
    assert any("alert_raised" in text for text in shown)
    assert any("alerts.raise" in text for text in shown)
    private = world.keyring.ids()
    assert private
    whose = (SUBJECT_REF, one.entry_id, RIVAL_REF, one.rival)
    for secret in (*whose, LEGAL_BASIS, REASON, "0.625", "JFIF", world.public_key.hex()):
        assert not [text for text in shown if secret in text], secret
