"""What the demo says and writes, and when it counts as good."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import click
import httpx
import pytest
from overt.errors import Fatal, OvertError, Rejected, Retryable
from overt.reasons import Reason
from overt_lab.camera import PushResult
from overt_lab.demo.cli import _close, _expected, until_ended
from overt_lab.demo.report import figures, text
from overt_lab.demo.run import Outcome, SeenAlert, Stage
from overt_lab.figures import write_json
from overt_lab.machine import Machine
from overt_lab.rest import Gateway, RestError
from support.waiting import until

pytestmark = pytest.mark.unit


def _ledger(*, frames: bool = True, tracks: bool = True) -> dict[str, Any]:
    return {
        "frames_in": 12,
        "destroyed": {"no_face": 7, "no_match": 3, "superseded": 0},
        "retained": 2,
        "in_flight": 0,
        "conserved": frames,
        "tracks": {
            "seen": 3,
            "destroyed": {"no_match": 2},
            "retained": 1,
            "in_flight": 0,
            "conserved": tracks,
        },
        "erase_ms": {"p50": 41.0, "p99": None, "max": 250.0},
        "authority": "unauthorised: development",
        "declared_epochs": [],
    }


def _outcome(alerted: list[str], expected: list[str] | None, **books: bool) -> Outcome:
    return Outcome(
        alerts=[SeenAlert(name, "square", 0.51239, 123.456, f"id-{name}") for name in alerted],
        expected=expected,
        push=PushResult(sent=12, receipts=Counter(accepted=12)),
        ledger=_ledger(**books),
    )


# --- good -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alerted", "expected", "missed", "false_alerts", "good"),
    [
        (["a", "b"], ["b", "a"], [], [], True),
        (["a", "a"], ["a"], [], [], True),
        (["a"], ["b", "a"], ["b"], [], False),
        (["a", "c"], ["a"], [], ["c"], False),
        ([], [], [], [], True),
        (["a"], [], [], ["a"], False),
        # Nobody was declared: alerts are neither missed nor false.
        (["a"], None, None, None, True),
        ([], None, None, None, True),
    ],
)
def test_everyone_expected_and_nobody_else(
    alerted: list[str],
    expected: list[str] | None,
    missed: list[str] | None,
    false_alerts: list[str] | None,
    good: bool,
) -> None:
    outcome = _outcome(alerted, expected)
    assert outcome.missed == missed
    assert outcome.false_alerts == false_alerts
    assert outcome.good is good


@pytest.mark.parametrize("books", [{"frames": False}, {"tracks": False}])
def test_without_both_laws_nothing_is_good(books: dict[str, bool]) -> None:
    assert not _outcome(["a"], ["a"], **books).good


def test_without_a_ledger_nothing_is_good() -> None:
    assert not Outcome(expected=[]).conserved
    assert not Outcome(expected=[]).good


def test_the_end_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    _close(_outcome(["a"], ["a"]), serve=False)
    assert "As expected: a alerted, nobody else. Both laws hold." in capsys.readouterr().out
    _close(_outcome(["a"], None), serve=True)
    told = capsys.readouterr().out
    assert "Nobody was declared as expected" in told
    assert "Next:" not in told
    with pytest.raises(click.exceptions.Exit) as end:
        _close(_outcome([], ["a"]), serve=False)
    assert end.value.exit_code == 1
    with pytest.raises(Fatal, match="books do not balance"):
        _close(_outcome(["a"], ["a"], frames=False), serve=False)


def test_who_is_expected_has_to_be_on_the_list() -> None:
    assert _expected(None, ["a"], builtin=True) == ["a"]
    assert _expected(None, ["a"], builtin=False) is None
    assert _expected(" a , b,", ["a", "b", "c"], builtin=False) == ["a", "b"]
    assert _expected("", ["a"], builtin=True) == [], "nobody, and that is declared"
    with pytest.raises(click.UsageError, match="names x, y, but the list has a"):
        _expected("y,a,x", ["a"], builtin=False)


# --- played again and again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.CAMERA_CLOSED, Reason.WRONG_STATE, Reason.OUTSIDE_WINDOW])
def test_a_deployment_that_somebody_ends_ends_the_playing(reason: Reason, capsys: pytest.CaptureFixture[str]) -> None:
    for told in (Rejected(reason, "it is over"), RestError(409, reason.value, "it is over")):
        with until_ended():
            raise told
        assert "nothing more is played: it is over" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [Rejected(Reason.WRONG_CAMERA, "no"), RestError(500, "internal", "no"), Retryable("no"), Fatal("no")]
)
def test_any_other_trouble_is_told(error: OvertError) -> None:
    with pytest.raises(type(error), match="no"), until_ended():
        raise error


async def test_a_defect_in_what_follows_the_alerts_is_told() -> None:
    """Only what a restarted service does is waited out."""
    stage = Stage(cast(Machine, None), threshold=0.4, outcome=_outcome([], None))
    troubles: list[Exception] = [
        Retryable("away"),
        httpx.ReadError("cut"),
        RestError(503, "", ""),
        ValueError("defect"),
    ]

    async def events(operator: Gateway) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        stage._connected.set()
        raise troubles.pop(0)
        yield "", {}

    stage._events = events  # type: ignore[method-assign]
    stage._as = lambda role: Gateway("http://nowhere.invalid", lambda: "")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="defect"):
        async with stage.watching(lambda alert: None):
            await until(lambda: not troubles)
    assert not troubles


# --- written and said -------------------------------------------------------------------------------------------


def test_the_figures_have_the_names_that_were_agreed() -> None:
    """MEASURES, "JSON fields": extra ones are welcome, none of these may go or change its shape."""
    found = figures(_outcome(["a"], ["a"]))
    assert found["alerts"] == [{"subject": "a", "camera": "square", "score": 0.5124, "latency_ms": 123.5}]
    assert (found["expected"], found["missed"], found["false_alerts"]) == (["a"], [], [])
    ledger = found["ledger"]
    assert set(ledger) == {"frames_in", "destroyed", "retained", "in_flight", "conserved", "tracks"}
    assert set(ledger["tracks"]) == {"seen", "destroyed", "retained", "in_flight", "conserved"}
    for book in (ledger, ledger["tracks"]):
        assert all(isinstance(count, int) for count in book["destroyed"].values())
        assert isinstance(book["conserved"], bool)
    assert set(found["erase_ms"]) == {"p50", "p99", "max"}
    assert found["alert_ms"] == {"p50": 123.5, "p95": 123.5}
    assert found["authority"] == "unauthorised: development"
    assert found["uncalibrated"] is True


def test_figures_without_a_declaration_or_an_alert_are_null() -> None:
    found = figures(_outcome([], None))
    assert (found["expected"], found["missed"], found["false_alerts"]) == (None, None, None)
    assert found["alert_ms"] == {"p50": None, "p95": None}


def test_the_figures_are_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on" / "the" / "way.json"
    found = figures(_outcome(["a"], ["a"]))
    write_json(path, found)
    assert json.loads(path.read_text()) == found


def test_the_text_says_who_what_and_how_long() -> None:
    told = text(_outcome(["ann"], ["ann"]))
    assert "unauthorised: development; scores are raw cosine, uncalibrated" in told
    assert "ann            square     score 0.51     123 ms" in told
    assert "destroyed: no_face                7" in told
    assert "superseded" not in told, "a class without a frame is left out"
    assert told.count("holds") == 2
    assert "A frame lived 41 ms (median), - (99 of 100), 250 ms (longest)" in told
    assert "The camera sent 12 frames and got 12 accepted receipts" in told
    assert "MISSED" not in told
    assert "NOT EXPECTED" not in told


def test_the_text_says_what_went_wrong() -> None:
    outcome = _outcome(["intruder"], ["ann", "bob"], tracks=False)
    outcome.ledger["declared_epochs"] = [{"service": "detect", "unknown_frames_at_most": 4}]
    outcome.push = PushResult()
    told = text(outcome)
    assert "MISSED: ann, bob" in told
    assert "NOT EXPECTED: intruder" in told
    assert "declared: detect was lost; frames unknown, at most: 4" in told
    assert (told.count("holds"), told.count("BROKEN")) == (1, 1)
    assert "sent 0 frames and got no receipts" in told
    assert "  none" in text(_outcome([], None))
