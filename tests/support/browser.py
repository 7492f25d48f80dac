"""The real browser that page tests look with."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Skips the test where there is none; on CI a page that nobody looked at is a failure."""
    found = shutil.which("chromium")
    if found is None:
        told = "not run: chromium is not installed. As root: make system"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        await browser.close()
