"""The cohort file: what goes in comes out, and everything else is told to people."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from overt.cohort import Cohort, Group, Likeness, load, save
from overt.errors import Fatal
from overt.scoring import MissRates, Normalisation, ScoreToRate

pytestmark = pytest.mark.unit

DIGEST = "a" * 64


def made(misses: bool = True) -> Cohort:
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 16))
    first, second = np.triu_indices(60, 1)
    return Cohort(
        templates=(rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32),
        members=np.arange(60) // 2,
        groups=(Group("black, female", 15, 30), Group("white, male", 15, 30)),
        model_digest=DIGEST,
        normalisation=Normalisation(20, 1.5, 0.25),
        score_to_rate=ScoreToRate.from_impostors(random.normal(size=len(first)), first // 2, second // 2),
        misses=MissRates.from_mated(random.normal(3, 1, 100), 40) if misses else None,
        likeness=Likeness((30, 50, 90), (10, 100, 400), (60, 120, 180)),
        source="a public set",
        legal_basis="consent",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        chosen_by="a rule",
    )


@pytest.mark.parametrize("misses", [True, False])
def test_what_goes_in_comes_out(tmp_path: Path, misses: bool) -> None:
    path, cohort = tmp_path / "new" / "cohort.npz", made(misses)
    save(cohort, path)
    again = load(path)
    assert np.array_equal(again.templates, cohort.templates)
    assert np.array_equal(again.members, cohort.members)
    for name in ("groups", "model_digest", "normalisation", "likeness", "source", "legal_basis", "created_at"):
        assert getattr(again, name) == getattr(cohort, name)
    assert again.score_to_rate.fmr(2.2) == cohort.score_to_rate.fmr(2.2)
    assert again.score_to_rate.variance(5.0) == cohort.score_to_rate.variance(5.0)
    if cohort.misses is None:
        assert again.misses is None
    else:
        assert again.misses is not None
        assert again.misses.fnmr(2.0) == cohort.misses.fnmr(2.0)
    assert again.people == 30
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["cohort.npz"], "nothing beside it"


def test_another_model_is_refused() -> None:
    made().check_model(DIGEST)
    with pytest.raises(Fatal, match="cannot be compared"):
        made().check_model("b" * 64)


def test_a_file_that_is_not_there_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be read"):
        load(tmp_path / "none.npz")
    other = tmp_path / "other.npz"
    other.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(Fatal, match="overt calibrate"):
        load(other)
    np.savez(other, templates=np.zeros((3, 4), np.float32))
    with pytest.raises(Fatal, match="damaged, or something else"):
        load(other)


def test_no_object_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "cohort.npz"
    content = dict(np.load(io.BytesIO(made().to_bytes())))
    np.savez(path, **{**content, "templates": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(Fatal, match="no cohort file"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("templates", np.ones((60, 16), np.float32)),
        ("templates", np.full((60, 16), np.nan, np.float32)),
        ("templates", np.ones((60, 16))),
        ("members", np.arange(59)),
        ("rate_scores", np.zeros(5)),
        ("about", np.frombuffer(b'{"format": 2}', np.uint8)),
        ("about", np.frombuffer(b'{"format": 1}', np.uint8)),
        ("about", np.frombuffer(b"[]", np.uint8)),
        ("about", np.frombuffer(b"\xff", np.uint8)),
    ],
)
def test_a_part_that_is_wrong_is_told(tmp_path: Path, name: str, value: NDArray[Any]) -> None:
    path = tmp_path / "cohort.npz"
    np.savez(path, **{**dict(np.load(io.BytesIO(made().to_bytes()))), name: value})
    with pytest.raises(Fatal, match="no cohort file"):
        load(path)


def changed(**about: Any) -> bytes:
    """The file with another part of what it says about itself; no value: without it."""
    content = dict(np.load(io.BytesIO(made().to_bytes())))
    told = json.loads(content["about"].tobytes())
    for name, value in about.items():
        if value is ...:
            del told[name]
        else:
            told[name] = value
    file = io.BytesIO()
    np.savez(file, **{**content, "about": np.frombuffer(json.dumps(told).encode(), np.uint8)})
    return file.getvalue()


SECRET = "what nobody is to read"


@pytest.mark.parametrize(
    "about",
    [
        {"rate": [1770, 30, 2.0, 0.001, float("nan"), 200]},
        {"rate": [1770, 30, 2.0, 0.001, 0.0, 200]},
        {"rate": [1770, 30, SECRET, 0.001, 0.3, 200]},
        {"rate": [0, 30, 2.0, 0.001, 0.3, 200]},
        {"rate": []},
        {"misses": [10, 40]},
        {"misses": [SECRET, 3]},
        {"normalisation": [20.5, 1, 1]},
        {"normalisation": [20, float("nan"), 1]},
        {"normalisation": [20, SECRET, 1]},
        {"normalisation": [61, 1, 1]},
        {"groups": [["a", -1, 3]]},
        {"groups": [["a", SECRET, 3]]},
        {"groups": SECRET},
        {"likeness": [[SECRET]]},
        {"likeness": 7},
        {"created_at": SECRET},
        {"created_at": "2026-01-02"},
        {"created_at": ...},
        {"source": ...},
        {"format": SECRET},
    ],
    ids=str,
)
def test_what_it_says_about_itself_is_checked_and_not_repeated(about: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as fault:
        Cohort.from_bytes(changed(**about))
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate_scores", np.full(100, np.nan)),
        ("rate_rates", np.zeros(100)),
        ("rate_spread", np.full(100, -1.0)),
        ("miss_scores", np.zeros(0)),
        ("miss_rates", np.full(100, 2.0)),
        ("members", np.zeros((60, 2), np.int64)),
    ],
)
def test_a_table_that_is_none(name: str, value: NDArray[Any]) -> None:
    content = dict(np.load(io.BytesIO(made().to_bytes())))
    if name.startswith(("rate", "miss")) and len(value):
        value = np.resize(value, content[name].shape)
    file = io.BytesIO()
    np.savez(file, **{**content, name: value})
    with pytest.raises(ValueError):
        Cohort.from_bytes(file.getvalue())


def test_what_unpacks_to_more_than_it_may() -> None:
    content = made().to_bytes()
    assert len(Cohort.from_bytes(content, most_bytes=len(content))) == 60
    with pytest.raises(ValueError, match="too much"):
        Cohort.from_bytes(content, most_bytes=len(content) // 2)


def test_an_array_that_claims_to_be_larger_than_memory() -> None:
    content = made().to_bytes()
    header = b"(60, 16)"
    assert content.count(header) == 1
    # As long as the true one, so that nothing else moves; the archive's own check of it is put right.
    for claimed in (b"(9**9,1)", b"(999999999999,)"):
        lied = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as parts, zipfile.ZipFile(lied, "w") as anew:
            for part in parts.namelist():
                anew.writestr(part, parts.read(part).replace(header, claimed))
        with pytest.raises(ValueError):
            Cohort.from_bytes(lied.getvalue())


@given(st.binary(max_size=300))
def test_any_bytes_are_never_a_traceback(content: bytes) -> None:
    with pytest.raises(ValueError):
        Cohort.from_bytes(content)


@given(st.integers(0, 8000), st.integers(0, 255))
def test_a_changed_byte_is_never_a_traceback(at: int, to: int) -> None:
    content = bytearray(made().to_bytes())
    content[at % len(content)] = to
    try:
        Cohort.from_bytes(bytes(content))
    except ValueError:
        pass


def test_its_repr_holds_no_contents() -> None:
    assert repr(made()) == f"Cohort(60 templates, {made().normalisation}, model {DIGEST[:12]})"


def test_a_cohort_smaller_than_k_is_none() -> None:
    with pytest.raises(ValueError, match="fewer templates than K"):
        replace(made(), normalisation=Normalisation(61, 1, 1))
