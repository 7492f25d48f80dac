"""Nothing of a passer-by reaches a broker's disk: no stream's subjects overlap those of core NATS."""

from __future__ import annotations

from itertools import product

import pytest
from overt.bus.steward import deployment_streams, operation_streams, overlap
from overt.subjects import CORE, PREVIEW, SEARCH, STATUS, STREAMS, CoreSubject

pytestmark = pytest.mark.unit


def _every_stream() -> list[dict]:
    return [*operation_streams(), *deployment_streams("dep-1")]


@pytest.mark.parametrize("core", CORE, ids=lambda c: c.prefix)
def test_no_stream_takes_a_core_subject(core: CoreSubject) -> None:
    for config in _every_stream():
        for subject in config["subjects"]:
            assert not overlap(subject, core.every), config["name"]
            assert not overlap(subject, core.of("dep-1", "cam"))


def test_the_core_subjects_are_these() -> None:
    assert CORE == (SEARCH, STATUS, PREVIEW)


def test_a_table_that_would_store_a_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overt.bus.steward.CORE", (STREAMS[0],))
    with pytest.raises(ValueError, match="must never reach a disk"):
        deployment_streams("dep-1")


def test_no_two_streams_overlap() -> None:
    configs = [*_every_stream(), *deployment_streams("dep-2")]
    for one, other in product(configs, configs):
        if one is not other:
            assert not any(overlap(a, b) for a, b in product(one["subjects"], other["subjects"]) if one != other)


def test_a_stream_can_be_erased_and_nobody_purges_with_a_header() -> None:
    for config in _every_stream():
        assert config["deny_purge"] is False
        assert config["deny_delete"] is False
        assert config["allow_rollup_hdrs"] is False
        assert config["storage"] == "file"
        assert config["allow_direct"] is True
        assert config["max_bytes"] > 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*.c", "a.b.*", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.b.>", "a.>", True),
        ("a.b.>", "a.c.>", False),
        ("a.*.x", "a.b.y", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected
