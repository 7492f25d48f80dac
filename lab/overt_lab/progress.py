"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click

T = TypeVar("T")

_A_LINE_EVERY_S = 10.0


def progress(
    items: Iterable[T], *, label: str, length: int | None, clock: Callable[[], float] = time.monotonic
) -> Iterator[T]:
    """Yields the items, showing how far it is."""
    if not sys.stderr.isatty():
        click.echo(f"{label} ...", err=True)
        yield from _with_lines(items, label, length, clock)
        return
    with click.progressbar(items, label=label, length=length, file=sys.stderr) as bar:
        yield from bar


def _with_lines(items: Iterable[T], label: str, length: int | None, clock: Callable[[], float]) -> Iterator[T]:
    told = clock()
    for done, item in enumerate(items):
        if done and clock() - told >= _A_LINE_EVERY_S:
            told = clock()
            click.echo(f"{label}: {done}" + (f" of {length}" if length else ""), err=True)
        yield item
