"""The scanner finds what it is for, and is quiet on noise: else "nothing found" would mean nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.testing.forensics import find_template, scan

pytestmark = pytest.mark.unit


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(20)


def _template(chance: np.random.Generator) -> bytes:
    vector = chance.normal(size=128)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 1001])
def test_a_template_is_found_at_any_alignment(chance: np.random.Generator, shift: int) -> None:
    blob = chance.bytes(shift) + _template(chance) + chance.bytes(5000)
    assert find_template(blob) == shift


def test_noise_zeros_and_text_hold_no_template(chance: np.random.Generator) -> None:
    one_hot = np.zeros(4096, "<f4")
    one_hot[2000] = 0.5
    one_hot[2001:2004] = 0.5
    for blob in (chance.bytes(2_000_000), bytes(1_000_000), b"deployment croydon " * 20_000, one_hot.tobytes()):
        assert find_template(blob) is None


def test_pictures_and_pixels_are_found_in_files(tmp_path: Path, chance: np.random.Generator) -> None:
    picture = chance.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "noise").write_bytes(chance.bytes(1_000_000))
    assert scan([tmp_path]) == []

    for name, suffix in (("jpeg", ".jpg"), ("png", ".png")):
        encoded = cv2.imencode(suffix, picture)[1].tobytes()
        (tmp_path / name).write_bytes(chance.bytes(777) + encoded + chance.bytes(100))
    (tmp_path / "raw").write_bytes(chance.bytes(99) + picture.tobytes())
    found = scan([tmp_path], pixels=[picture[10].tobytes()[:48]])
    assert {(f.path.name, f.what) for f in found} == {("jpeg", "jpeg"), ("png", "png"), ("raw", "pixels")}
