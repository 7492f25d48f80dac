"""The page in a real browser: logging in, an alert that appears by itself, and that everybody can use it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from overt.errors import Retryable
from overt.ledger import Book, CameraAccount
from overt.permissions import Role
from overt_gateway.ports import Alert, Sighting
from overt_gateway.testing import a_rival, an_alert
from playwright.async_api import Browser, ConsoleMessage, Page, Request, expect
from support.browser import chromium
from support.page_checks import CHECKS, CONTRAST
from support.served_gateway import SQUARE, WIDE, Cut, Served, evidence_pictures, packed_list, scene_face, served_gateway

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SHOTS = os.environ.get("OVERT_TEST_SCREENSHOTS")
"""A directory to leave pictures of the page in, for people to look at."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with served_gateway(tmp_path, heartbeat=timedelta(seconds=1)) as served:
        await served.start_deployment()
        served.see()
        served.lose()
        yield served


class Watched:
    """A page whose every complaint and every request is noted."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.urls: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)
        self._base = url

    def _console(self, message: ConsoleMessage) -> None:
        # A refused request shows in the console by itself; what the page makes of it is asserted elsewhere.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)

    def check(self) -> None:
        assert not self.complaints
        for url in self.urls:
            assert url.startswith((self._base, f"blob:{self._base}")), "the page talks to its own server only"
            assert "?" not in url
            assert "code-" not in url
            assert "eyJ" not in url


@pytest_asyncio.fixture(loop_scope="module")
async def watched(browser: Browser, served: Served) -> AsyncIterator[Watched]:
    context = await browser.new_context(viewport={"width": 1440, "height": 1180})
    page = await context.new_page()
    page.set_default_timeout(15_000)
    watched = Watched(page, served.url)
    yield watched
    watched.check()
    await context.close()


async def _enter(watched: Watched, served: Served, role: Role = Role.OPERATOR) -> Page:
    await watched.page.goto(f"{served.url}/#code={served.code(role)}")
    await expect(watched.page.locator("#room")).to_be_visible()
    return watched.page


def _raise(served: Served, *, ago: float = 0.0, **fields: Any) -> Alert:
    alert = an_alert(now=datetime.now(UTC) - timedelta(seconds=ago), subject_ref=fields.pop("subject_ref", "case-2231"))
    scene_cut = fields.pop("scene_cut", SQUARE)
    alert = replace(alert, scene_face=scene_face(scene_cut), **fields)
    served.peers.alerts.tell("raised", alert, evidence_pictures(scene_cut))
    return alert


async def _until_watching(page: Page) -> None:
    await expect(page.locator("#link")).to_have_text("live")


async def _shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True, animations="disabled")


async def test_an_alert_comes_to_an_operator_who_has_logged_in(watched: Watched, served: Served) -> None:
    page = await _enter(watched, served)
    assert page.url == f"{served.url}/", "the code is out of the address"
    assert await page.evaluate("history.length") <= 2
    await expect(page.locator("#role")).to_have_text("Operator")
    await expect(page.locator("#caution")).to_contain_text("unauthorised: development")
    await expect(page.locator("#caution")).to_contain_text("uncalibrated")
    await expect(page.locator("#state")).to_have_text("active")
    await expect(page.locator("#alert")).to_contain_text("No alerts")
    await _until_watching(page)
    await _shot(page, "quiet")

    alert = _raise(served)
    card = page.locator("article")
    await expect(card.locator("h2")).to_have_text("Wanted by a court")
    await expect(card).to_contain_text("failed to appear on 3 March")
    await expect(card).to_contain_text("North gate")
    for alt in ("The face seen by North gate", "The reference picture of case-2231", "The scene at North gate"):
        image = card.get_by_alt_text(alt)
        await expect(image).to_be_visible()
        assert await image.evaluate("image => image.naturalWidth") > 100
    await expect(page.locator("#announce")).to_contain_text("New alert: Wanted by a court, North gate")
    await _shot(page, "alert")

    boxes = [await card.get_by_alt_text(alt).bounding_box() for alt in ("The face seen", "The reference picture")]
    assert boxes[0]
    assert boxes[1]
    assert abs(boxes[0]["y"] - boxes[1]["y"]) < 5, "side by side (the card may still be moving)"
    assert min(boxes[0]["width"], boxes[1]["width"]) > 300, "large"
    assert not await card.get_by_text("0.573").is_visible(), "no score that tempts"
    await card.get_by_text("Technical details").click()
    await expect(card.get_by_text("0.573 (raw cosine, uncalibrated)")).to_be_visible()

    again = replace(alert, sightings=(*alert.sightings, Sighting("west", datetime.now(UTC), 0.55)))
    served.peers.alerts.tell("sighted_again", again)
    await expect(card).to_contain_text("seen 2 times")
    served.peers.alerts.expire(alert.alert_id)
    await expect(page.locator("#alert")).to_contain_text("No alerts")
    assert "case-2231" not in await page.content()


@pytest.mark.parametrize("width", [1440, 390])
async def test_two_entries_that_are_about_as_like_stand_side_by_side(
    watched: Watched, served: Served, width: int
) -> None:
    await watched.page.set_viewport_size({"width": width, "height": 1180})
    page = await _enter(watched, served)
    await _until_watching(page)
    alert = _raise(served, rival=replace(a_rival(), under_18=True))
    card = page.locator("article")
    await expect(card.get_by_text("Two entries of the list are about as like this person")).to_be_visible()
    await expect(card).to_contain_text("case-1907, Recall to prison, under 18")
    await expect(page.locator("#announce")).to_contain_text("two entries are about as like")
    boxes = []
    for alt in ("The face seen", "The reference picture of case-2231", "The reference picture of case-1907"):
        image = card.get_by_alt_text(alt)
        await expect(image).to_be_visible()
        boxes.append(await image.bounding_box())
    await _shot(page, f"ambiguous-{width}")
    seen, first, second = (box or {} for box in boxes)
    assert abs(first["y"] - second["y"]) < 5, "both entries side by side"
    assert abs(first["width"] - second["width"]) < 2, "neither is larger"
    assert (abs(seen["y"] - first["y"]) < 5) is (width > 600)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.evaluate(CONTRAST) == []
    assert await page.evaluate(CHECKS) == []
    assert alert.rival is not None
    await card.get_by_text("Technical details").click()
    await expect(card.get_by_text(alert.rival.entry_id)).to_be_visible()
    served.peers.alerts.expire(alert.alert_id)
    await expect(page.locator("#alert")).to_contain_text("No alerts")
    assert "case-1907" not in await page.content()


async def test_a_calibrated_deployment_says_so(watched: Watched, served: Served) -> None:
    path = "/v1/deployments/station"
    async with served.client(Role.APPLICANT) as applicant:
        body = {"name": "Station", "id": "station", "target_fpir": 0.001, "cameras": [{"id": "gate", "name": "Gate"}]}
        (await applicant.post("/v1/deployments", json=body)).raise_for_status()
        page = await _enter(watched, served)
        await page.locator("#deployment").select_option("station")
        await expect(page.locator("#uncalibrated")).to_have_text("uncalibrated")
        await expect(page.locator("#caution-why")).to_have_text(
            "No signed authority stands behind this deployment, and no calibration stands behind its threshold."
        )
        await _until_watching(page)
        headers = {"content-type": "application/octet-stream"}
        (await applicant.put(f"{path}/calibration", content=b"COHORT", headers=headers)).raise_for_status()
        upload = {"archive": packed_list({"case-7": b"x"})}
        (await applicant.post(f"{path}/list/import", files=upload)).raise_for_status()
    async with served.client(Role.OPERATOR) as operator:
        (await operator.post(f"{path}/start")).raise_for_status()
    await expect(page.locator("#calibration")).to_have_text("calibrated, target 1 in 1,000")
    await expect(page.locator("#caution-why")).to_have_text("No signed authority stands behind this deployment.")
    await expect(page.locator("#uncalibrated")).to_have_text("")
    _raise(served, deployment="station", uncalibrated=False, score=7.25, threshold=5.8)
    await page.locator("article").get_by_text("Technical details").click()
    words = "7.250 (normalised, calibrated, target 1 in 1,000)"
    await expect(page.locator("article").get_by_text(words)).to_be_visible()
    await _shot(page, "calibrated")


@pytest.mark.parametrize("viewport", [(1440, 1180), (390, 780)], ids=["desk", "hand"])
@pytest.mark.parametrize("cut", [SQUARE, WIDE], ids=["square", "wide"])
async def test_the_mark_lies_on_the_face(watched: Watched, served: Served, cut: Cut, viewport: tuple[int, int]) -> None:
    await watched.page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
    _raise(served, scene_cut=cut)
    page = await _enter(watched, served)
    mark = await page.locator(".mark").bounding_box()
    scene = await page.get_by_alt_text("The scene").bounding_box()
    assert mark
    assert scene
    left, top, right, bottom = cut
    assert scene["width"] / scene["height"] == pytest.approx((right - left) / (bottom - top), abs=0.01), "not stretched"
    assert scene["height"] <= 0.45 * viewport[1] + 1, "the whole of it is on the screen"
    x, y, width, height = scene_face(cut)
    scale = scene["width"] / (right - left)
    await _shot(page, f"scene-{right - left}-{viewport[0]}")
    assert mark["x"] - scene["x"] == pytest.approx(x * scale, abs=5)
    assert mark["y"] - scene["y"] == pytest.approx(y * scale, abs=5)
    assert mark["width"] == pytest.approx(width * scale, abs=8)
    assert mark["height"] == pytest.approx(height * scale, abs=8)


async def test_cameras_and_counters(watched: Watched, served: Served) -> None:
    page = await _enter(watched, served)
    gate, west = page.locator("#cameras li").nth(0), page.locator("#cameras li").nth(1)
    await expect(gate).to_contain_text("North gate")
    await expect(gate).to_contain_text("seeing")
    await expect(west).to_contain_text("blind: analysis is not answering")
    await expect(page.locator("#counters")).to_contain_text("131")
    await expect(page.locator("#counters")).to_contain_text("42,130")
    await expect(page.locator("#receipt")).to_contain_text("No ledger receipt yet")
    noon = datetime(2026, 5, 1, 12, 0, 7, tzinfo=UTC)
    receipt = CameraAccount("market", "gate", "e1", 1, noon, noon, frames=Book(7, {"no_face": 6}, 1))
    served.peers.ledgers.accounts.append(receipt)
    local = await page.evaluate("iso => new Date(iso).toTimeString().slice(0, 8)", noon.isoformat())
    told = f"1 frame kept as sealed evidence, as of {local}; in flight and ledger likewise."
    await expect(page.locator("#receipt")).to_contain_text(told, timeout=10_000)
    served.peers.ledgers.accounts.append(replace(receipt, number=2, final=True))
    await expect(page.locator("#receipt")).to_have_text(
        "1 frame kept as sealed evidence. The last receipts are in.", timeout=10_000
    )
    # Nobody reports any more: within seconds the page says so.
    await expect(gate).to_contain_text("blind: nobody is receiving its pictures", timeout=8_000)
    async with served.client(Role.OPERATOR) as operator:
        (await operator.post("/v1/deployments/market/end")).raise_for_status()
    await expect(page.locator("#state")).to_have_text("ended", timeout=8_000)
    await expect(gate).to_contain_text("closed")


async def test_it_comes_back_by_itself(watched: Watched, served: Served) -> None:
    gone = _raise(served, ago=60, subject_ref="case-gone")
    page = await _enter(watched, served)
    await expect(page.locator("article")).to_contain_text("case-gone")
    served.peers.alerts.go_away()
    await expect(page.locator("#link")).to_have_text("connection lost, trying again")
    del served.peers.alerts.alerts[gone.alert_id]
    served.peers.alerts.away = False
    await _until_watching(page)
    await expect(page.locator("#alert")).to_contain_text("No alerts")
    _raise(served, subject_ref="case-new")
    await expect(page.locator("article")).to_contain_text("case-new")


async def test_who_looks_at_an_older_alert_is_not_torn_away(watched: Watched, served: Served) -> None:
    for number in range(3):
        _raise(served, ago=300 - number, subject_ref=f"case-{number}")
    page = await _enter(watched, served)
    await _until_watching(page)
    await expect(page.locator("article")).to_contain_text("case-2")
    await page.locator("#list button", has_text="case-0").click()
    await expect(page.locator("article")).to_contain_text("case-0")
    _raise(served, subject_ref="case-3", category="missing_at_risk", under_18=True)
    button = page.get_by_role("button", name="Show the new alert")
    await expect(button).to_be_visible()
    await expect(page.locator("article")).to_contain_text("case-0")
    await expect(page).to_have_title("(1) Overt")
    await _shot(page, "several")
    await button.click()
    await expect(page.locator("article")).to_contain_text("case-3")
    await expect(page.locator("article")).to_contain_text("Under 18")
    await expect(page).to_have_title("Overt")


async def test_pictures_are_let_go(watched: Watched, served: Served) -> None:
    await watched.page.add_init_script(
        """window.open_urls = new Set();
        const make = URL.createObjectURL, drop = URL.revokeObjectURL;
        URL.createObjectURL = (blob) => { const url = make(blob); open_urls.add(url); return url; };
        URL.revokeObjectURL = (url) => { open_urls.delete(url); drop(url); };"""
    )
    _raise(served, ago=10, subject_ref="case-1")
    _raise(served, subject_ref="case-2")
    page = await _enter(watched, served)
    for subject in ("case-1", "case-2", "case-1"):
        await page.locator("#list button", has_text=subject).click()
        await expect(page.get_by_alt_text(f"The reference picture of {subject}")).to_be_visible()
        await expect(page.locator(".mark")).to_be_visible()
        assert await page.evaluate("open_urls.size") == 3
    await page.get_by_role("button", name="Log out").click()
    assert await page.evaluate("open_urls.size") == 0
    assert "case-" not in await page.content()


async def test_logging_in_by_hand_and_out(watched: Watched, served: Served) -> None:
    page = watched.page
    await page.goto(served.url)
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await expect(page.get_by_label("One-time code")).to_be_focused()
    await _shot(page, "door")
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="not known")).to_be_visible()
    code = served.code()
    await page.get_by_label("One-time code").fill(code)
    await page.keyboard.press("Enter")
    await expect(page.locator("#room")).to_be_visible()
    for store in ("localStorage", "sessionStorage"):
        assert await page.evaluate(f"{store}.length") == 0
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await expect(page.locator("#room")).to_be_hidden()
    await page.goto(f"{served.url}/#code={code}")
    await page.reload()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_a_session_that_ends_says_so(watched: Watched, served: Served) -> None:
    page = await _enter(watched, served)
    await _until_watching(page)
    verify = served.peers.verifier.verify
    other = an_alert(now=datetime.now(UTC))  # any failure of the verifier will do
    served.peers.verifier.verify = lambda token: verify("no longer " + other.alert_id)  # type: ignore[method-assign]
    await expect(page.get_by_role("alert").filter(has_text="session has ended")).to_be_visible()
    await expect(page.locator("#room")).to_be_hidden()


async def test_trouble_while_it_begins_does_not_waste_the_code(
    watched: Watched, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code is good once: whoever is in stays in, and is told that the page tries again."""
    away: set[str] = {"all", "read"}

    def unless_away(name: str, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any) -> Any:
            if name in away:
                raise Retryable(f"the store of {name} is away")
            return await ask(*args)

        return asked

    monkeypatch.setattr(served.peers.deployments, "all", unless_away("all", served.peers.deployments.all))
    monkeypatch.setattr(served.peers.ledgers, "read", unless_away("read", served.peers.ledgers.read))
    page = watched.page
    await page.goto(f"{served.url}/#code={served.code()}")
    for name in ("all", "read"):
        await expect(page.locator("#link")).to_have_text(f"the store of {name} is away (trying again)")
        await expect(page.locator("#role")).to_have_text("Operator")
        await expect(page.locator("#door")).to_be_hidden()
        await expect(page.locator("#room")).to_be_hidden()
        away.remove(name)
    await expect(page.locator("#room")).to_be_visible()
    await _until_watching(page)


async def test_another_deployment_leaves_nothing_of_this_one(
    watched: Watched, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.start_deployment("station", "Station")
    _raise(served, ago=5, subject_ref="case-market", deployment="market")
    page = await _enter(watched, served)
    await page.locator("#deployment").select_option("market")
    await expect(page.locator("article")).to_contain_text("case-market")
    read = served.peers.ledgers.read

    async def away(deployment: str) -> Any:
        raise Retryable("the ledger is away")

    monkeypatch.setattr(served.peers.ledgers, "read", away)
    await page.locator("#deployment").select_option("station")
    await expect(page.locator("#link")).to_contain_text("trying again")
    for what in ("#room", "#caution", "#state"):
        await expect(page.locator(what)).to_be_hidden()
    assert "case-market" not in await page.content()
    monkeypatch.setattr(served.peers.ledgers, "read", read)
    await _until_watching(page)
    await expect(page.locator("#alert")).to_contain_text("No alerts")


async def test_an_auditors_alerts_come_back(watched: Watched, served: Served) -> None:
    """Who has no stream looks now and then, and goes on looking."""
    served.peers.alerts.away = True
    page = await _enter(watched, served, Role.AUDITOR)
    await expect(page.locator("#link")).to_have_text("connection lost, trying again")
    served.peers.alerts.away = False
    _raise(served, subject_ref="case-new")
    await _until_watching(page)
    await expect(page.locator("article")).to_contain_text("case-new")


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (Role.AUDITOR, "Operators and engagement officers see this picture"),
        (Role.APPLICANT, "No alerts for this role"),
        (Role.ADMINISTRATOR, "for this role"),
    ],
)
async def test_other_roles_see_what_is_theirs(watched: Watched, served: Served, role: Role, words: str) -> None:
    _raise(served)
    page = await _enter(watched, served, role)
    await expect(page.locator("#alert")).to_contain_text(words)
    await expect(page.locator("#cameras li").first).to_contain_text("North gate")


async def test_everybody_can_use_it(watched: Watched, served: Served) -> None:
    """What an accessibility checker would ask, by hand."""
    _raise(served, ago=5)
    _raise(served, subject_ref="case-2")
    page = await _enter(watched, served)
    await expect(page.locator(".mark")).to_be_visible()
    faults = await page.evaluate(CHECKS)
    assert faults == []
    for landmark in ("banner", "main", "complementary", "navigation"):
        assert await page.get_by_role(landmark).count() == 1, landmark  # type: ignore[arg-type]
    # With the keyboard alone: past the skip link, the deployment, log out, into the list.
    await page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", reached[-1]
        if "case-2231" in reached[-1]:
            await page.keyboard.press("Enter")
            break
    assert reached[0] == "Skip to the alerts"
    assert {"deployment", "logout", "Technical details"} <= set(reached)
    await expect(page.locator("article")).to_contain_text("case-2231")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_can_be_read(watched: Watched, served: Served, scheme: Any) -> None:
    await watched.page.emulate_media(color_scheme=scheme)
    _raise(served, ago=5, under_18=True)
    page = await _enter(watched, served)
    await expect(page.locator(".mark")).to_be_visible()
    await _shot(page, f"alert-{scheme}")
    too_faint = await page.evaluate(CONTRAST)
    assert too_faint == []


@pytest.mark.parametrize("width", [360, 820])
async def test_it_fits_a_small_screen(watched: Watched, served: Served, width: int) -> None:
    await watched.page.set_viewport_size({"width": width, "height": 780})
    _raise(served)
    page = await _enter(watched, served)
    await expect(page.locator(".mark")).to_be_visible()
    await _shot(page, f"narrow-{width}")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
