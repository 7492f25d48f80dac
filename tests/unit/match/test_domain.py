"""What may enter a list, and what a list's digest covers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt.scoring import Statistics
from overt_match.checking import MAX_ENTRIES, MAX_JPEG_BYTES, check_batch
from overt_match.digest import list_digest
from overt_match.domain import Batch, Deployment, Entry, State, joined, part_generation, part_name
from overt_match.wire import imported
from support.watchlists import AT, MODEL, people, unit

pytestmark = pytest.mark.unit


def batch(count: int = 3, seed: int = 1) -> Batch:
    return imported(people(unit(count, seed)))


def check(given: Batch, *, listed: tuple[Entry, ...] = (), length: int | None = None) -> None:
    check_batch(given, listed=listed, template_length=length, now=AT)


def second_is(**changes: object) -> Batch:
    given = batch()
    entries = list(given.entries)
    entries[1] = replace(entries[1], **changes)  # type: ignore[arg-type]
    return Batch(tuple(entries), given.templates)


def test_a_good_batch_passes() -> None:
    check(batch())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"category": "somebody_i_dislike"}, Reason.UNKNOWN_CATEGORY),
        ({"subject_ref": ""}, Reason.BAD_FIELD),
        ({"subject_ref": "x" * 101}, Reason.BAD_FIELD),
        ({"legal_basis": " "}, Reason.BAD_FIELD),
        ({"image_source": ""}, Reason.BAD_FIELD),
        ({"reason": ""}, Reason.BAD_FIELD),
        ({"reason": "x" * 501}, Reason.BAD_FIELD),
        ({"reason": "two\nlines"}, Reason.BAD_FIELD),
        ({"expires_at": AT}, Reason.EXPIRED),
        ({"expires_at": AT - timedelta(days=1)}, Reason.EXPIRED),
        ({"subject_ref": "REF-00000"}, Reason.DUPLICATE_SUBJECT),
    ],
)
def test_one_bad_entry_refuses_the_batch_and_is_named_by_position(changes: dict[str, object], reason: Reason) -> None:
    with pytest.raises(Rejected, match="entry 1 of the batch") as refused:
        check(second_is(**changes))
    assert refused.value.reason is reason
    assert "REF-" not in str(refused.value)


@pytest.mark.parametrize("size", [0, MAX_JPEG_BYTES + 1])
def test_a_reference_picture_is_bounded_and_there(size: int) -> None:
    given = batch()
    reference = replace(given.entries[1].references[0], jpeg=b"x" * size)
    with pytest.raises(Rejected, match=r"entry 1 .*reference picture"):
        check(second_is(references=(reference,)))


def test_a_subject_that_is_listed_already() -> None:
    with pytest.raises(Rejected) as refused:
        check(batch(), listed=batch().entries[2:])
    assert refused.value.reason is Reason.DUPLICATE_SUBJECT


def test_no_list_is_longer_than_the_most() -> None:
    listed = (batch().entries[0],) * (MAX_ENTRIES - 2)
    with pytest.raises(Rejected) as refused:
        check(batch(), listed=listed)
    assert refused.value.reason is Reason.TOO_MANY_ENTRIES


def test_no_list_is_larger_than_its_store_and_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    given, listed = batch(), batch(5).entries[3:]
    references = [r for e in (*given.entries, *listed) for r in e.references]
    size = sum(len(r.jpeg) for r in references) + len(references) * given.templates[0].nbytes
    monkeypatch.setattr("overt_match.checking.MAX_LIST_BYTES", size)
    check(given, listed=listed)
    monkeypatch.setattr("overt_match.checking.MAX_LIST_BYTES", size - 1)
    with pytest.raises(Rejected, match="fewer or smaller pictures") as refused:
        check(given, listed=listed)
    assert refused.value.reason is Reason.TOO_MANY_ENTRIES


def test_templates_are_as_long_as_the_lists() -> None:
    with pytest.raises(Rejected, match=r"entry 0 .*length"):
        check(batch(), length=512)
    with pytest.raises(Rejected, match="different lengths"):
        joined([batch(), imported(people(unit(1, 2, length=512)))])


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(Rejected):
        check(Batch((), np.empty((0, 0), dtype=np.float32)))


def test_without_drops_the_rows_of_what_it_drops() -> None:
    given = batch(4)
    rest = given.without({given.entries[1].entry_id})
    assert [e.entry_id for e in rest.entries] == [given.entries[i].entry_id for i in (0, 2, 3)]
    np.testing.assert_array_equal(rest.templates, given.templates[[0, 2, 3]])


def test_a_batch_has_a_template_for_each_reference() -> None:
    given = batch()
    with pytest.raises(ValueError, match="one template"):
        Batch(given.entries, given.templates[:2])


def test_the_digest_covers_everything_but_the_order() -> None:
    entries = batch().entries
    digest = list_digest("market", MODEL, entries)
    assert list_digest("market", MODEL, entries[::-1]) == digest
    assert len(digest) == 64
    first = entries[0]
    reference = first.references[0]
    changed = [
        replace(first, subject_ref="REF-99999"),
        replace(first, reason="another"),
        replace(first, expires_at=first.expires_at + timedelta(seconds=1)),
        replace(first, under_18=True),
        replace(first, references=(replace(reference, jpeg=b"another picture"),)),
        replace(first, references=(replace(reference, template_sha256=bytes(32)),)),
        replace(first, references=(reference, reference)),
    ]
    others = {list_digest("market", MODEL, (c, *entries[1:])) for c in changed}
    others |= {
        list_digest("other", MODEL, entries),
        list_digest("market", "another", entries),
        list_digest("market", MODEL, entries[1:]),
    }
    assert len(others) == len(changed) + 3
    assert digest not in others


def test_without_a_calibration_the_digest_is_what_it_was() -> None:
    entries = batch(1).entries
    digest = list_digest("market", MODEL, entries)
    (one,) = entries
    (reference,) = one.references
    lines = (
        {"deployment": "market", "model_digest": MODEL},
        {
            "entry_id": one.entry_id,
            "subject_ref": "REF-00000",
            "category": "wanted_by_court",
            "legal_basis": "warrant 4711",
            "image_source": "custody record",
            "reason": "did not appear",
            "expires_at": "2040-01-01T00:00:00+00:00",
            "under_18": False,
            "references": [[reference.template_sha256.hex(), hashlib.sha256(reference.jpeg).hexdigest()]],
        },
    )
    text = "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines)
    assert digest == list_digest("market", MODEL, entries, "") == hashlib.sha256(text.encode()).hexdigest()
    assert len({digest, *(list_digest("market", MODEL, entries, c * 64) for c in "ab")}) == 3


def test_statistics_go_with_their_rows() -> None:
    given = batch(4)
    known = replace(given, statistics=Statistics(np.arange(4.0), np.arange(4.0) + 1))
    rest = known.without({given.entries[1].entry_id})
    assert rest.statistics is not None
    assert rest.statistics.mean.tolist() == [0, 2, 3]
    both = joined([rest, known])
    assert both.statistics is not None
    assert both.statistics.deviation.tolist() == [1, 3, 4, 1, 2, 3, 4]
    assert joined([given]).statistics is None
    with pytest.raises(Rejected, match="some templates only"):
        joined([known, batch(2, seed=3)])
    with pytest.raises(ValueError, match="or of none"):
        replace(given, statistics=Statistics(np.arange(3.0), np.arange(3.0)))


def test_a_parts_name_tells_its_generation() -> None:
    assert part_generation(part_name(12, "ab-cd")) == 12
    assert part_generation("something else") == 0
    assert part_generation("g-x") == 0


def test_nothing_that_names_or_shows_a_person_is_in_a_repr() -> None:
    given = batch(1)
    shown = repr(given) + repr(given.entries[0]) + repr(given.entries[0].references[0])
    for hidden in ("REF-", "warrant", "custody", "appear", "\\xff", "2040"):
        assert hidden not in shown


@pytest.mark.parametrize("state", [s for s in State if s is not State.ACTIVE])
def test_only_an_active_deployment_is_searched(state: State) -> None:
    with pytest.raises(Rejected) as refused:
        Deployment("market", state, 0.4, b"").checked_searchable(AT)
    assert refused.value.reason is Reason.WRONG_STATE


def test_only_inside_its_window() -> None:
    hour = timedelta(hours=1)
    deployment = Deployment("market", State.ACTIVE, 0.4, b"", starts_at=AT, ends_at=AT + hour)
    deployment.checked_searchable(AT)
    for outside in (AT - hour, AT + hour):
        with pytest.raises(Rejected) as refused:
            deployment.checked_searchable(outside)
        assert refused.value.reason is Reason.OUTSIDE_WINDOW


@pytest.mark.parametrize("known", [{}, {"starts_at": AT}, {"ends_at": AT + timedelta(hours=1)}])
def test_a_window_that_is_not_known_is_not_open(known: dict[str, datetime]) -> None:
    with pytest.raises(Rejected) as refused:
        Deployment("market", State.ACTIVE, 0.4, b"", **known).checked_searchable(AT)
    assert refused.value.reason is Reason.OUTSIDE_WINDOW


@pytest.mark.parametrize("threshold", [0.0, -0.2, 1.1, float("nan")])
def test_never_without_a_threshold(threshold: float) -> None:
    with pytest.raises(Rejected, match="threshold"):
        Deployment("market", State.ACTIVE, threshold, b"").checked_searchable(AT)


@pytest.mark.parametrize("wrong", [{"threshold": float("nan")}, {"under_18_threshold": float("inf")}])
def test_normalised_thresholds_are_numbers(wrong: dict[str, float]) -> None:
    made = Deployment(
        "market",
        State.ACTIVE,
        -0.2,
        b"",
        AT,
        AT + timedelta(hours=1),
        calibration_digest="a" * 64,
        under_18_threshold=-0.1,
    )
    made.checked_searchable(AT)
    with pytest.raises(Rejected, match="threshold") as refused:
        replace(made, **wrong).checked_searchable(AT)
    assert refused.value.reason is Reason.WRONG_STATE
