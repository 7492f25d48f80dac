"""`overt bench match` through the real engine, in its own process: the fields that were agreed, and exact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from overt_lab.bench.cli import bench

pytestmark = pytest.mark.integration


def test_a_short_list_is_searched_exactly(tmp_path: Path) -> None:
    file = tmp_path / "match.json"
    shown = CliRunner().invoke(bench, ["match", "--sizes", "500", "--json", str(file)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    figures = json.loads(file.read_text())
    assert (figures["sizes"], figures["exact"], figures["cores"]) == ([500], True, 1)
    of = figures["500"]
    assert of.keys() >= {"p50_ms", "p99_ms", "recall_at_1", "numpy_p50_ms", "import_seconds"}
    assert of["recall_at_1"] == 1.0
    assert 0 < of["numpy_p50_ms"] < of["p50_ms"] <= of["p99_ms"]
    assert of["index_p50_ms"] < of["p50_ms"]
    assert "exact search, one core" in shown.stdout
