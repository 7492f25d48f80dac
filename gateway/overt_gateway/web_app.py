"""The FastAPI application, put together from its parts. Knows ports only; `app` gives it the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from overt.auth import TokenVerifier
from overt.permissions import PUBLIC, ROUTES
from overt.runtime import Clock
from starlette.middleware import Middleware

from overt_gateway.auth import Guard, Tokens
from overt_gateway.calibrating import Calibrating
from overt_gateway.control import Control
from overt_gateway.doorkeeping import BoundedBody, BoundedHead, SecurityHeaders, body_limit
from overt_gateway.list_import import ListImport
from overt_gateway.ports import Alerts, Cameras, Deployments, Enroller, Keys, Ledgers, Watchlists
from overt_gateway.problems import OpaqueErrors, install
from overt_gateway.routes import page
from overt_gateway.routes.v1 import alerts as alert_routes
from overt_gateway.routes.v1 import calibration as calibration_routes
from overt_gateway.routes.v1 import cameras as camera_routes
from overt_gateway.routes.v1 import deployments as deployment_routes
from overt_gateway.routes.v1 import ledger as ledger_routes
from overt_gateway.routes.v1 import sessions as session_routes
from overt_gateway.routes.v1 import watchlist as watchlist_routes
from overt_gateway.routes.v1.alert_stream import AlertFeeds
from overt_gateway.schemas.v1.problems import Problem
from overt_gateway.served import Served

_ABOUT = """
Live facial recognition for overt, authorised, time-boxed deployments: find the people on a short list, forget
everybody else at once, and be able to prove both.

Send `Authorization: Bearer TOKEN`; a token or a code in a query string is refused. Errors are problem documents
(RFC 9457) with a stable `reason`. Until authorities are built, every deployment is `unauthorised: development`.
Without a calibration of its own, a deployment's scores and threshold are `uncalibrated`.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    deployments: Deployments
    keys: Keys
    enroller: Enroller
    watchlists: Watchlists
    alerts: Alerts
    cameras: Cameras
    ledgers: Ledgers
    verifier: TokenVerifier
    tokens: Tokens
    feeds: AlertFeeds
    clock: Clock


def build_web_app(
    parts: Parts, *, waiting_for: Callable[[], list[str]] = list, encrypted: bool = False
) -> tuple[FastAPI, Control]:
    """The application and the use case behind it."""
    control = Control(deployments=parts.deployments, keys=parts.keys, watchlists=parts.watchlists, clock=parts.clock)
    calibrating = Calibrating(control=control, enroller=parts.enroller, watchlists=parts.watchlists)
    importer = ListImport(enroller=parts.enroller, watchlists=parts.watchlists, clock=parts.clock)
    app = FastAPI(
        title="Overt",
        version=_version(),
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(Guard(parts.verifier))],
        middleware=_middleware(encrypted),
        # FastAPI's own spans carry query strings and client addresses; ours are classified.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    install(app)
    page.register(app, assets=page.load_assets(), waiting_for=waiting_for)
    session_routes.register(app, tokens=parts.tokens)
    deployment_routes.register(app, control=control)
    camera_routes.register(app, control=control, cameras=parts.cameras, tokens=parts.tokens)
    calibration_routes.register(app, control=control, calibrating=calibrating)
    watchlist_routes.register(app, control=control, watchlists=parts.watchlists, importer=importer)
    ledger_routes.register(app, control=control, ledgers=parts.ledgers)
    alert_routes.register(app, control=control, alerts=parts.alerts, feeds=parts.feeds)
    _complete_description(app)
    return app, control


def _middleware(encrypted: bool) -> list[Middleware]:
    """Outermost first."""
    return [
        Middleware(SecurityHeaders, encrypted=encrypted),
        Middleware(Served),
        Middleware(OpaqueErrors),
        Middleware(BoundedHead),
        Middleware(BoundedBody, limit_of=body_limit),
    ]


def _complete_description(app: FastAPI) -> None:
    """OpenAPI with the security scheme, the roles of every operation, and the schema of errors."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        described = plain()
        components = described.setdefault("components", {})
        components["securitySchemes"] = {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "EdDSA, issued by `overt`, with role and end; see POST /v1/login",
            }
        }
        schemas = components.setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["Problem"] = problem
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                roles = ROUTES.get((method.upper(), path), frozenset())
                operation["security"] = [] if roles is PUBLIC else [{"token": []}]
                if roles:
                    operation["x-roles"] = sorted(role.value for role in roles)
        app.openapi_schema = described
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way


def _version() -> str:
    try:
        return version("overt")
    except PackageNotFoundError:
        return "0"
