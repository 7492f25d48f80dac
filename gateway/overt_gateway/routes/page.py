"""The page's files and the health of the process: what is open without a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from fastapi import FastAPI, Request
from overt.errors import Rejected
from overt.reasons import Reason
from starlette.responses import JSONResponse, Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, read once."""

    content: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers={"ETag": self.etag})
        return Response(self.content, media_type=self.media_type, headers={"ETag": self.etag})


def load_assets() -> dict[str, Asset]:
    """Every file of the page by name. A request can only name one of these: no path reaches the file system."""
    assets: dict[str, Asset] = {}
    for entry in files("overt_gateway").joinpath("web").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if entry.is_file() and suffix in _TYPES:
            content = entry.read_bytes()
            etag = f'"{sha256(content).hexdigest()[:32]}"'
            assets[entry.name] = Asset(content, _TYPES[suffix], etag)
    return assets


def register(app: FastAPI, *, assets: Mapping[str, Asset], waiting_for: Callable[[], list[str]]) -> None:
    """Adds the routes. `waiting_for` names what keeps the gateway from being ready."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return assets["index.html"].answer(request)

    @app.get("/static/{path:path}", include_in_schema=False)
    async def static(path: str, request: Request) -> Response:
        asset = assets.get(path)
        if asset is None:
            raise Rejected(Reason.UNKNOWN_ROUTE, "there is nothing at this path")
        return asset.answer(request)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["health"],
        response_class=JSONResponse,
        responses={503: {"description": "not ready; `waiting_for` says why"}},
    )
    async def readyz() -> Response:
        """Work can be sent here."""
        missing = waiting_for()
        status = "waiting" if missing else "ready"
        return JSONResponse({"status": status, "waiting_for": missing}, 503 if missing else 200)
