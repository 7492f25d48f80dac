"""A small client of the gateway's REST, for the lab's verbs. Every call raises what the server said, for people:
RestError if it refused, Retryable if it or what it needs is away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
from overt.errors import OvertError, Retryable

_TIMEOUT = httpx.Timeout(30.0, read=120.0)


class RestError(OvertError):
    """The gateway refused; `reason` is its stable code."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(f"{detail} [{reason or status}]")
        self.status = status
        self.reason = reason
        self.detail = detail


class Gateway:
    """`token` gives the bearer token of the role that a path needs (see overt.permissions)."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._token = token
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def create_deployment(self, **fields: Any) -> dict[str, Any]:
        return await self._call("POST", "/v1/deployments", json=fields)

    async def deployment(self, deployment: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/deployments/{deployment}")

    async def start(self, deployment: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/deployments/{deployment}/start")

    async def end(self, deployment: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/deployments/{deployment}/end")

    async def cameras(self, deployment: str) -> list[dict[str, Any]]:
        answer = await self._call("GET", f"/v1/deployments/{deployment}/cameras")
        cameras: list[dict[str, Any]] = answer["cameras"] if isinstance(answer, dict) else answer
        return cameras

    async def camera_token(self, deployment: str, camera: str) -> str:
        answer = await self._call("POST", f"/v1/deployments/{deployment}/cameras/{camera}/token")
        return str(answer["token"])

    async def put_calibration(self, deployment: str, cohort: bytes) -> dict[str, Any]:
        """`cohort`: a file of `overt calibrate`."""
        path = f"/v1/deployments/{deployment}/calibration"
        return await self._call("PUT", path, content=cohort, more={"Content-Type": "application/octet-stream"})

    async def calibration(self, deployment: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/deployments/{deployment}/calibration")

    async def remove_calibration(self, deployment: str) -> dict[str, Any]:
        return await self._call("DELETE", f"/v1/deployments/{deployment}/calibration")

    async def forecast(self, deployment: str, **asked: Any) -> dict[str, Any]:
        return await self._call("GET", f"/v1/deployments/{deployment}/forecast", params=asked)

    async def import_list(self, deployment: str, archive: bytes) -> dict[str, Any]:
        """`archive`: a zip with manifest.csv and the pictures it names."""
        return await self._call(
            "POST",
            f"/v1/deployments/{deployment}/list/import",
            files={"archive": ("list.zip", archive, "application/zip")},
        )

    async def entries(self, deployment: str) -> dict[str, Any]:
        """The list, without pictures or templates."""
        return await self._call("GET", f"/v1/deployments/{deployment}/list")

    async def list_size(self, deployment: str) -> int:
        return int((await self.entries(deployment))["size"])

    async def ledger(self, deployment: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/deployments/{deployment}/ledger")

    async def alerts(self, deployment: str) -> list[dict[str, Any]]:
        answer = await self._call("GET", f"/v1/deployments/{deployment}/alerts")
        alerts: list[dict[str, Any]] = answer["alerts"] if isinstance(answer, dict) else answer
        return alerts

    async def evidence(self, deployment: str, alert: str, part: str) -> bytes:
        """A JPEG: `probe`, `reference`, `scene` or, of an ambiguous alert, `rival_reference`."""
        path = f"/v1/deployments/{deployment}/alerts/{alert}/evidence/{part}"
        response = await self._http.get(path, headers=self._headers())
        self._check(response)
        return response.content

    async def follow_alerts(self, deployment: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(event, data) of the alert stream, until the server closes it or the caller stops."""
        path = f"/v1/deployments/{deployment}/alerts/stream"
        async with self._http.stream("GET", path, headers=self._headers(), timeout=None) as response:
            if response.is_error:
                await response.aread()
                self._check(response)
            event, data = "message", ""
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif not line and data:
                    yield event, json.loads(data)
                    event, data = "message", ""

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    async def _call(
        self, method: str, path: str, *, more: Mapping[str, str] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        try:
            headers = {**self._headers(), **(more or {})}
            response = await self._http.request(method, path, headers=headers, **arguments)
        except httpx.ConnectError as error:
            raise Retryable(f"no gateway answers at {self._http.base_url}: is `overt up` running?") from error
        except httpx.UnsupportedProtocol as error:
            raise OvertError(f"{self._http.base_url} is not the URL of a gateway: give http://HOST:PORT") from error
        except httpx.TransportError as error:
            raise Retryable(f"the gateway did not answer ({type(error).__name__})") from error
        self._check(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _check(self, response: httpx.Response) -> None:
        if not response.is_error:
            return
        try:
            problem = response.json()
            detail, reason = str(problem.get("detail", "")), str(problem.get("reason", ""))
        except ValueError:
            detail, reason = response.text[:200], ""
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Retryable(detail or "the gateway cannot do this at the moment")
        raise RestError(response.status_code, reason, detail or f"HTTP {response.status_code}")


def when(text: str) -> datetime:
    """An ISO 8601 time of the API."""
    return datetime.fromisoformat(text)
