"""`overt calibration` against a gateway that is a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result
from overt.limits import MAX_COHORT_BYTES
from overt_gateway.schemas.v1.calibration import CalibrationOut
from overt_lab import calibration as verb
from overt_lab.rest import RestError

pytestmark = pytest.mark.unit

_EXAMPLES: Any = CalibrationOut.model_config["json_schema_extra"]
TOLD: dict[str, Any] = _EXAMPLES["examples"][0]


class Scripted:
    """Stands in for the gateway."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.sent: list[tuple[str, bytes]] = []

    def __call__(self, url: str, token: Callable[[], str]) -> Self:
        assert (url, token()) == ("http://gateway", "from the environment")
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def put_calibration(self, deployment: str, cohort: bytes) -> dict[str, Any]:
        self.sent.append((deployment, cohort))
        return await self.calibration(deployment)

    async def calibration(self, deployment: str) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("OVERT_TOKEN", "from the environment")

    def call(gateway: Scripted, *arguments: str) -> Result:
        monkeypatch.setattr(verb, "Gateway", gateway)
        return CliRunner().invoke(verb.calibration, [*arguments, "--url", "http://gateway"])

    return call


def test_set_sends_the_file_and_tells_what_it_is(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "cohort.npz"
    file.write_bytes(b"a cohort")
    gateway = Scripted(TOLD)
    done = run(gateway, "set", "high-street-1", str(file))
    assert done.exit_code == 0, done.output
    assert gateway.sent == [("high-street-1", b"a cohort")]
    assert done.output.splitlines() == [
        "high-street-1: calibrated, target 1 in 1,000",
        "cohort       992 templates of 992 people, made 2026-04-02",
        "groups       group one 498, group two 494",
        "normalised   K=50, a=1.5, b=0",
        "misses       can be foretold",
        "source       volunteers of the spring trial",
        "legal basis  consent, form 12",
        "digest       sha256 in hex",
    ]


def test_show(run: Callable[..., Result]) -> None:
    bare = {**TOLD["in_force"], "groups": {}, "tells_misses": False}
    told = run(Scripted({**TOLD, "in_force": bare}), "show", "high-street-1").output
    assert "groups       none were named" in told
    assert "misses       not available: it had no mated pictures" in told
    nothing = {**TOLD, "in_force": None, "calibration": "uncalibrated"}
    assert run(Scripted(nothing), "show", "high-street-1").output == "high-street-1: uncalibrated\n"


def test_what_the_gateway_refuses_is_said(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "cohort.npz"
    file.write_bytes(b"a cohort")
    refusal = RestError(409, "model_mismatch", "this cohort was made with another model")
    assert run(Scripted(refusal), "set", "high-street-1", str(file)).exception is refusal


def test_a_file_that_is_too_large_is_not_sent(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "cohort.npz"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_COHORT_BYTES + 1)
    gateway = Scripted(TOLD)
    done = run(gateway, "set", "high-street-1", str(file))
    assert "has more than 16 MB" in str(done.exception)
    assert gateway.sent == []


def test_a_gateway_elsewhere_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERT_TOKEN", raising=False)
    done = CliRunner().invoke(verb.calibration, ["show", "high-street-1", "--url", "http://gateway"])
    assert "token of role auditor in the environment variable OVERT_TOKEN" in str(done.exception)
