"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")


def progress(items: Iterable[T], *, label: str, length: int | None) -> Iterator[T]:
    """Yields the items, showing how far it is."""
    if not sys.stderr.isatty():
        click.echo(f"{label} ...", err=True)
        yield from items
        return
    with click.progressbar(items, label=label, length=length, file=sys.stderr) as bar:
        yield from bar
