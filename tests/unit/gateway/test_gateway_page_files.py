"""The page's files obey the policy that is sent with them, by construction."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest
from overt_gateway.routes.page import load_assets

pytestmark = pytest.mark.unit

ASSETS = load_assets()
MODULES = {name: asset.content.decode() for name, asset in ASSETS.items() if name.endswith(".js")}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_inline_and_nothing_from_elsewhere() -> None:
    parser = _Tags()
    parser.feed(ASSETS["index.html"].content.decode())
    for tag, attributes in parser.tags:
        assert tag not in {"style", "iframe", "object", "embed", "base"}
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            target = attributes.get(name)
            if target is not None and not target.startswith("#"):
                assert target.removeprefix("/static/") in ASSETS, target
        if tag == "script":
            assert attributes["src"]


def test_modules_import_only_one_another() -> None:
    for name, source in MODULES.items():
        for target in re.findall(r'from "([^"]+)"', source):
            assert target.removeprefix("/static/") in MODULES, (name, target)


@pytest.mark.parametrize(
    "word",
    [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "localStorage",
        "sessionStorage",
        "document.cookie",
        "EventSource",
        "http://",
        "https://",
        "console.",
    ],
)
def test_what_the_page_never_does(word: str) -> None:
    for name, source in MODULES.items():
        code = re.sub(r"^\s*(//|\*|/\*).*$", "", source, flags=re.MULTILINE)
        assert word not in code, name
    assert "url(" not in ASSETS["page.css"].content.decode()


def test_it_stays_small() -> None:
    assert sum(len(asset.content) for asset in ASSETS.values()) < 64 * 1024
    for name, source in MODULES.items():
        assert source.count("\n") < 250, name


async def test_files_are_served_with_their_types_and_checked_again(client: httpx.AsyncClient) -> None:
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for name, asset in ASSETS.items():
        answer = await client.get(f"/static/{name}")
        assert answer.content == asset.content
        assert answer.headers["content-type"].startswith(types[name.rpartition(".")[2]])
        again = await client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert (await client.get("/")).content == ASSETS["index.html"].content
