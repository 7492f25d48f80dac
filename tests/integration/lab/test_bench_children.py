"""Measuring loops in processes of their own."""

from __future__ import annotations

import pytest
from overt.errors import Fatal
from overt_lab.bench.children import run_child

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


async def test_a_loop_that_fails_says_why() -> None:
    with pytest.raises(Fatal, match=r"looking failed \(exit code 1\)[\s\S]*No module named"):
        await run_child("nowhere", label="looking")


async def test_a_loop_over_no_clip_says_why() -> None:
    with pytest.raises(Fatal, match="what peers do failed"):
        await run_child("peers", "/none.mp4", "5", label="what peers do")
