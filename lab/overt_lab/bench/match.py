"""`overt bench match`: how long a search takes in lists of several sizes, and whether it finds what comparing with
everybody finds. Measured in a process of its own, on one core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overt.scoring import SHORTLIST

from overt_lab.bench.children import run_child
from overt_lab.conditions import conditions

HEAD = ("entries", "import, s", "search p50", "p99, ms", "index p50", "numpy p50", "p99", "x numpy", "recall@1")


async def run(sizes: Sequence[int]) -> dict[str, Any]:
    """Figures of each size under its number. Fatal if the machine has not the memory."""
    found = await run_child("match_child", *map(str, sizes), label="searches")
    return {"sizes": list(sizes), "exact": True, **found, **conditions(), "cores": 1}


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    rows = [HEAD, *(_row(size, found[str(size)]) for size in found["sizes"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["   ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [
            "",
            f"exact search, one core, {found['what']}, commit {found['commit'] or 'unknown'}",
            f"search: the index of match, then the {SHORTLIST} best scored anew against a cohort of {found['cohort']} "
            f"(K {found['best']}, a {found['a']:g}, b {found['b']:g})",
            "numpy: matrix times vector, argpartition; in turn with it. recall: against the best of everybody's "
            "normalised scores",
            "",
            *table,
        ]
    )


def _row(size: int, of: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{size:,}",
        f"{of['import_seconds']:.2f}",
        *(f"{of[name]:.3f}" for name in ("p50_ms", "p99_ms", "index_p50_ms", "numpy_p50_ms", "numpy_p99_ms")),
        f"{of['p50_ms'] / of['numpy_p50_ms']:.2f}",
        f"{of['recall_at_1']:.4f}",
    )
