"""How numbers are told to people."""

from __future__ import annotations


def counted(number: int, one: str, more: str) -> str:
    """`counted(1, "entry", "entries")` is "1 entry"."""
    return f"{number} {one if number == 1 else more}"
