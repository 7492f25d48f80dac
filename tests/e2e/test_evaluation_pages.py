"""The reports of evaluations in a real browser: they ask for nothing, complain of nothing, and fit a phone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from overt_lab.evaluate.drawing import draw
from overt_lab.evaluate.equity import compare
from overt_lab.evaluate.identification import identify
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.page import equity_page, identification_page
from overt_lab.evaluate.page.setting import Setting
from overt_lab.evaluate.scores import RAW, Scorer
from overt_lab.evaluate.templates import Mirrored, Templates
from support.browser import chromium

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

SETTING = Setting("greys", "open", True, Mirrored.NONE, None, {"pictures": "here"}, 1.0, 2, None)


def _pages() -> dict[str, str]:
    """Of made-up templates: 4 groups of 80 people with three pictures each."""
    random = np.random.default_rng(0)
    people = np.arange(320)
    centres = random.normal(size=(4, 64))
    rows = random.normal(size=(320, 64)) + np.array([0.2, 0.3, 0.4, 0.6])[people // 80, None] * centres[people // 80]
    rows = np.repeat(rows, 3, axis=0) + 0.5 * random.normal(size=(960, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    subjects = np.repeat(people, 3)
    names = ("asian, female", "asian, male", "white, female", "white, male")
    labels = Labels(tuple(Path(str(n)) for n in range(960)), subjects, subjects // 80, names, True, 0)
    scorer = Scorer(RAW, Templates(rows.astype(np.float32)))
    identified = identify(labels, draw(subjects, 100, 0), [scorer])
    return {
        "equity": equity_page.page(compare(labels, ["race", "gender"], [scorer]), SETTING),
        "identification": identification_page.page(identified, 0, SETTING),
    }


async def test_the_pages_stand_alone(tmp_path: Path) -> None:
    async with chromium() as browser:
        for name, content in _pages().items():
            file = tmp_path / f"{name}.html"
            file.write_text(content, encoding="utf-8")
            page = await browser.new_page(viewport={"width": 390, "height": 800}, java_script_enabled=True)
            complaints: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, heard=complaints: heard.append(message.text))
            page.on("request", lambda request, heard=asked: heard.append(request.url))
            await page.goto(file.as_uri())
            assert asked == [file.as_uri()]
            assert complaints == []
            # Wide tables scroll by themselves; the page does not.
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            plots = page.get_by_role("img")
            assert await plots.count() >= 2
            for plot in await plots.all():
                described = await plot.evaluate(
                    "e => e.getAttribute('aria-labelledby').split(' ').map(i => document.getElementById(i).textContent)"
                )
                assert all(described), name
                # Nothing that is written lies outside of the drawing.
                beyond = await plot.evaluate(
                    """svg => [...svg.querySelectorAll('text')].filter(text => {
                        const a = text.getBoundingClientRect(), b = svg.getBoundingClientRect();
                        return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 ||
                            a.bottom > b.bottom + 1;
                    }).map(text => text.textContent)"""
                )
                assert beyond == [], name
            assert len(await page.pdf()) > 10_000
            await page.close()
