"""Alerts and their pictures."""

from __future__ import annotations

from enum import Enum
from typing import Any

from fastapi import FastAPI, Request, Response

from overt_gateway.auth import claims_of
from overt_gateway.control import Control
from overt_gateway.domain import UNAUTHORISED, Deployment
from overt_gateway.ports import Alerts, Part
from overt_gateway.routes.v1.alert_stream import AlertFeeds
from overt_gateway.schemas.v1.alerts import AlertOut, AlertsOut
from overt_gateway.schemas.v1.problems import errors

_TAGS: list[str | Enum] = ["alerts"]
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_SSE_EXAMPLE = 'id: 1\nevent: open\ndata: {"deployment":"high-street-1",...}\n\nid: 2\nevent: alert\ndata: {...}\n'
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _SSE_EXAMPLE}}}
}


def register(app: FastAPI, *, control: Control, alerts: Alerts, feeds: AlertFeeds) -> None:
    """Adds the routes. The stream goes first: its path would match `{alert}` as well."""

    @app.get(
        "/v1/deployments/{deployment}/alerts/stream",
        tags=_TAGS,
        response_class=Response,
        responses={**errors(401, 403, 404), **_STREAM},
    )
    async def stream_alerts(deployment: str, request: Request) -> Response:
        """Server-sent events: `open` at once, then an `alert` for each one there is and for every change.

        Data of `alert`: `kind` (raised, sighted_again, expired) and `alert`. A comment comes every 10 s when
        nothing else does. The last event is `end` with a `reason`; connect again, unless it is token_expired:
        the stream always begins with what there is, so nothing is missed and Last-Event-ID is not needed.
        """

        async def current() -> Deployment:
            return (await control.get(deployment)).deployment

        return feeds.open(await current(), until=claims_of(request).expires_at, current=current)

    @app.get("/v1/deployments/{deployment}/alerts", tags=_TAGS, responses=errors(401, 403, 404))
    async def list_alerts(deployment: str) -> AlertsOut:
        """All that are kept, newest first."""
        known = (await control.get(deployment)).deployment
        found = sorted(await alerts.all(deployment), key=lambda alert: alert.raised_at, reverse=True)
        return AlertsOut(
            deployment=deployment, authority=UNAUTHORISED, alerts=[AlertOut.of(alert, known) for alert in found]
        )

    @app.get("/v1/deployments/{deployment}/alerts/{alert}", tags=_TAGS, responses=errors(401, 403, 404, 410))
    async def get_alert(deployment: str, alert: str) -> AlertOut:
        """One alert."""
        known = (await control.get(deployment)).deployment
        return AlertOut.of(await alerts.get(deployment, alert), known)

    @app.get(
        "/v1/deployments/{deployment}/alerts/{alert}/evidence/{part}",
        tags=_TAGS,
        response_class=Response,
        responses={**errors(401, 403, 404, 410), **_JPEG},
    )
    async def get_evidence(deployment: str, alert: str, part: Part) -> Response:
        """A picture of the alert. The scene is what is around the person; every other face in it is flat blocks.

        `rival_reference` is there for an ambiguous alert only.
        """
        await control.get(deployment)
        jpeg = await alerts.evidence(deployment, alert, part)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})
