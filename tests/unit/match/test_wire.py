"""Messages that do not fit are rejected with a reason; what fits comes back as it went."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.errors import Rejected
from overt.ids import new_entry_id
from overt.reasons import Reason
from overt_match import wire
from overt_match.calibration import opened
from overt_match.domain import Head, State
from support.cohorts import cohort
from support.watchlists import entry, people, search, unit

pytestmark = pytest.mark.unit


def test_a_batch_survives_the_way_through_a_part() -> None:
    first, second = unit(2, seed=1)
    batch = wire.imported([entry(1, [first, second]), entry(2, [first], under_18=True)])
    again = wire.batch_from(wire.entries_of(batch))
    assert again.entries == batch.entries
    np.testing.assert_array_equal(again.templates, batch.templates)
    assert len({e.entry_id for e in batch.entries}) == 2


def test_a_head_survives_the_way_through_the_bucket() -> None:
    head = Head(7, True, "model", 3, ("g2-a", "g2-b"), "digest", 2, (new_entry_id(), new_entry_id()), 1)
    assert wire.head_from(wire.head_to(head).SerializeToString()) == head
    assert head.to_erase == {head.removed[1]}


def test_statistics_survive_the_way_through_a_part() -> None:
    first, second = unit(2, seed=1)
    batch = wire.imported([entry(1, [first, second]), entry(2, [first])])
    batch = replace(batch, statistics=cohort().statistics(batch.templates))
    again = wire.batch_from(wire.entries_of(batch))
    assert again.statistics is not None
    assert batch.statistics is not None
    np.testing.assert_array_equal(again.statistics.mean, batch.statistics.mean)
    np.testing.assert_array_equal(again.statistics.deviation, batch.statistics.deviation)
    stored = list(wire.entries_of(batch))
    for spoilt in ("mean", "deviation"):
        bad = [pb.Entry.FromString(e.SerializeToString()) for e in stored]
        setattr(bad[0].references[0].statistics, spoilt, float("nan"))
        with pytest.raises(Rejected, match="statistics"):
            wire.batch_from(bad)
    stored[1].references[0].ClearField("statistics")
    with pytest.raises(Rejected, match="statistics"):
        wire.batch_from(stored)


def test_a_head_with_a_calibration_survives_the_way() -> None:
    _, calibration = opened(cohort().to_bytes())
    head = Head(3, calibration=calibration, calibration_part="g1-c", cohort_to_erase=True)
    message = wire.head_to(head)
    assert wire.head_from(message.SerializeToString()) == head
    for spoilt in ({"best": 1}, {"a": 7.0}, {"digest": ""}):
        bad = pb.ListHead.FromString(message.SerializeToString())
        for name, value in spoilt.items():
            setattr(bad.calibration, name, value)
        with pytest.raises(Rejected) as refused:
            wire.head_from(bad.SerializeToString())
        assert refused.value.reason is Reason.BAD_MESSAGE


@pytest.mark.parametrize(
    "template",
    [
        b"",
        b"123",
        np.zeros(128, dtype="<f4").tobytes(),
        np.full(128, np.nan, dtype="<f4").tobytes(),
        np.full(128, np.inf, dtype="<f4").tobytes(),
        np.ones(128, dtype="<f4").tobytes(),
        unit(1, 1)[0].astype("<f8").tobytes()[:-1],
    ],
)
def test_no_template_but_a_finite_unit_vector(template: bytes) -> None:
    bad = entry(1, [])
    bad.references.add(template=template, jpeg=b"x")
    with pytest.raises(Rejected, match="entry 1 of the batch"):
        wire.imported([*people(unit(1, 2)), bad])
    request = search(unit(1, 3)[0])
    request.probes[0].template = template
    with pytest.raises(Rejected) as refused:
        wire.track(request)
    assert refused.value.reason is Reason.BAD_MESSAGE


def test_templates_of_one_batch_are_of_one_length() -> None:
    with pytest.raises(Rejected, match="entry 1 of the batch"):
        wire.imported([entry(1, list(unit(1, 1))), entry(2, list(unit(1, 2, length=64)))])


def test_an_import_brings_no_id_and_an_expiry() -> None:
    with pytest.raises(Rejected, match=r"entry 0 .*entry_id"):
        wire.imported([entry(1, list(unit(1, 1)), entry_id=new_entry_id())])
    without = entry(1, list(unit(1, 1)))
    without.ClearField("expires_at")
    with pytest.raises(Rejected, match=r"entry 0 .*expires_at"):
        wire.imported([without])


def test_a_track_has_one_to_eight_probes_with_times() -> None:
    with pytest.raises(Rejected, match="1 to 8"):
        wire.track(search())
    with pytest.raises(Rejected, match="1 to 8"):
        wire.track(search(*unit(9, 1)))
    untimed = search(unit(1, 1)[0])
    untimed.probes[0].ClearField("captured_at")
    with pytest.raises(Rejected):
        wire.track(untimed)
    with pytest.raises(Rejected, match="lengths"):
        wire.track(search(unit(1, 1)[0], unit(1, 1, length=64)[0]))


def test_every_state_of_the_contract_has_its_like() -> None:
    known = set()
    for name, number in control.Deployment.State.items():
        found = wire.deployment_from(control.Deployment(state=number).SerializeToString()).state
        assert found.value == name.removeprefix("STATE_").lower().replace("unspecified", "unknown")
        known.add(found)
    assert known == set(State)


def test_a_window_that_is_not_set_is_none() -> None:
    found = wire.deployment_from(control.Deployment(deployment_id="market").SerializeToString())
    assert (found.starts_at, found.ends_at) == (None, None)
    ends = datetime(2026, 1, 1, tzinfo=UTC)
    message = control.Deployment()
    message.ends_at.FromDatetime(ends)
    assert wire.deployment_from(message.SerializeToString()).ends_at == ends


@pytest.mark.parametrize("parse", [wire.deployment_from, wire.head_from])
def test_bytes_that_are_no_message(parse: object) -> None:
    with pytest.raises(Rejected) as refused:
        parse(b"\xff\xff\xff")  # type: ignore[operator]
    assert refused.value.reason is Reason.BAD_MESSAGE


def test_a_removed_id_is_a_uuid() -> None:
    with pytest.raises(Rejected):
        wire.head_from(pb.ListHead(removed=[b"short"]).SerializeToString())
