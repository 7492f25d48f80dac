"""What is wrong with the settings is told at once and in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.settings import load
from overt_alerts.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("OVERT_")]:
        monkeypatch.delenv(name)


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "issuer.pub"
    key.write_text("")
    monkeypatch.setenv("OVERT_ISSUER_PUBLIC_KEY_FILE", str(key))
    monkeypatch.setenv("OVERT_DATA_DIR", str(tmp_path))
    settings = load(Settings)
    assert (settings.cooldown_seconds, settings.linger_seconds, settings.data_dir) == (60, 600, tmp_path)


def test_every_fault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERT_COOLDOWN_SECONDS", "soon")
    monkeypatch.setenv("OVERT_LINGER_SECONDS", "5")
    with pytest.raises(Fatal) as info:
        load(Settings)
    for name in ("OVERT_COOLDOWN_SECONDS", "OVERT_LINGER_SECONDS", "OVERT_DATA_DIR", "OVERT_ISSUER_PUBLIC_KEY_FILE"):
        assert f"{name}: " in str(info.value)
