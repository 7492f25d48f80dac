"""Measuring loops in processes of their own: their threads, their memory and their processor time are theirs alone.

A child prints JSON lines: {"done": n, "of": m} on its way, {"result": {...}} at its end. It dies with the bench.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from overt.errors import Fatal
from overt.runtime import leash

from overt_lab.progress import progress

_LONGEST_LINE = 64 * 1024 * 1024
_STOP_S = 5.0


def tell(**line: Any) -> None:
    """In the child: one line, at once."""
    print(json.dumps(line), flush=True)


async def run_child(module: str, *arguments: str, label: str, given: Any = None) -> dict[str, Any]:
    """What `python -m overt_lab.bench.MODULE ARGUMENTS` found out; `given` is its standard input, as JSON. Fatal with
    its last words if it fails."""
    command = (sys.executable, "-I", "-S", leash.__file__, str(os.getpid()))
    child = await asyncio.create_subprocess_exec(
        *command,
        *(sys.executable, "-m", f"overt_lab.bench.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stderr is not None
    complaints = asyncio.create_task(child.stderr.read(), name=f"{module} stderr")
    try:
        child.stdin.write(json.dumps(given).encode())
        child.stdin.close()
        result = await _followed(child, label)
        code = await child.wait()
        if result is None or code:
            words = (await complaints).decode(errors="replace").strip().splitlines()[-8:]
            raise Fatal(f"{label} failed (exit code {code}):\n" + "\n".join(words))
        return result
    finally:
        await _ended(child)
        complaints.cancel()


async def _followed(child: asyncio.subprocess.Process, label: str) -> dict[str, Any] | None:
    result: dict[str, Any] | None = None
    lines = _lines(child)
    first = await anext(lines, None)
    if first is None or "result" in first:
        return first["result"] if first else None
    bar = progress(range(int(first["of"])), label=label, length=int(first["of"]))
    shown = 0
    async for line in lines:
        if "result" in line:
            result = line["result"]
        else:
            for _ in range(int(line["done"]) - shown):
                next(bar, None)
            shown = int(line["done"])
    for _ in bar:
        pass
    return result


async def _lines(child: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert child.stdout is not None
    async for line in child.stdout:
        found: dict[str, Any] = json.loads(line)
        yield found


async def _ended(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
