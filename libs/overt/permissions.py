"""Who may call what: one table for every RPC and every REST route. What is not in it is refused.

A principal is a person's role or one of our services. `PUBLIC` is open without a token: health, login, the
page's static files, and nothing else.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The roles a token can carry. The service roles are held by processes only."""

    APPLICANT = "applicant"
    AUTHORISING_OFFICER = "authorising_officer"
    OPERATOR = "operator"
    ENGAGEMENT_OFFICER = "engagement_officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    CAMERA = "camera"

    SERVICE_INGEST = "service:ingest"
    SERVICE_MATCH = "service:match"
    SERVICE_GATEWAY = "service:gateway"


PEOPLE = frozenset(
    {
        Role.APPLICANT,
        Role.AUTHORISING_OFFICER,
        Role.OPERATOR,
        Role.ENGAGEMENT_OFFICER,
        Role.AUDITOR,
        Role.ADMINISTRATOR,
    }
)
PUBLIC: frozenset[Role] = frozenset()

_GATEWAY = frozenset({Role.SERVICE_GATEWAY})
_INGEST = frozenset({Role.SERVICE_INGEST})
_MATCH = frozenset({Role.SERVICE_MATCH})
_ANYBODY_WITH_A_TOKEN = frozenset(Role)

RPCS: dict[str, frozenset[Role]] = {
    "/overt.api.ingest.v1.CameraIngest/StreamFrames": frozenset({Role.CAMERA}),
    "/overt.api.detect.v1.Detect/Analyse": _INGEST,
    "/overt.api.detect.v1.Detect/Enrol": _GATEWAY,
    "/overt.api.detect.v1.Detect/Describe": _GATEWAY | _INGEST,
    "/overt.api.match.v1.Watchlists/Import": _GATEWAY,
    "/overt.api.match.v1.Watchlists/List": _GATEWAY,
    "/overt.api.match.v1.Watchlists/Remove": _GATEWAY,
    "/overt.api.match.v1.Watchlists/Seal": _GATEWAY,
    "/overt.api.match.v1.Watchlists/Destroy": _GATEWAY,
    "/overt.api.match.v1.Watchlists/Calibrate": _GATEWAY,
    "/overt.api.match.v1.Watchlists/Forecast": _GATEWAY,
    "/overt.api.alerts.v1.Alerts/List": _GATEWAY,
    "/overt.api.alerts.v1.Alerts/Get": _GATEWAY,
    "/overt.api.alerts.v1.Alerts/GetEvidence": _GATEWAY,
    "/overt.api.alerts.v1.Alerts/Watch": _GATEWAY,
    "/overt.api.alerts.v1.Keys/Prepare": _GATEWAY,
    "/overt.api.alerts.v1.Keys/GetListSecret": _MATCH,
    "/overt.api.alerts.v1.Keys/RotateListSecret": _MATCH,
    "/overt.api.alerts.v1.Keys/ConfirmListSecret": _MATCH,
    # The health service and reflection are added by overt.rpc. Open to everybody is health alone.
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _ANYBODY_WITH_A_TOKEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANYBODY_WITH_A_TOKEN,
}

_OFFICERS = frozenset({Role.OPERATOR, Role.ENGAGEMENT_OFFICER})

# (method, path under the gateway) -> roles
ROUTES: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/"): PUBLIC,
    ("GET", "/static/{path:path}"): PUBLIC,
    ("POST", "/v1/login"): PUBLIC,
    ("GET", "/v1/me"): PEOPLE,
    ("GET", "/v1/openapi.json"): PEOPLE,
    ("POST", "/v1/deployments"): frozenset({Role.APPLICANT}),
    ("GET", "/v1/deployments"): PEOPLE,
    ("GET", "/v1/deployments/{deployment}"): PEOPLE,
    ("PATCH", "/v1/deployments/{deployment}"): frozenset({Role.APPLICANT}),
    ("POST", "/v1/deployments/{deployment}/start"): frozenset({Role.OPERATOR}),
    ("POST", "/v1/deployments/{deployment}/end"): frozenset(
        {Role.OPERATOR, Role.AUTHORISING_OFFICER, Role.ADMINISTRATOR}
    ),
    ("GET", "/v1/deployments/{deployment}/cameras"): PEOPLE,
    ("POST", "/v1/deployments/{deployment}/cameras"): frozenset({Role.APPLICANT}),
    ("POST", "/v1/deployments/{deployment}/cameras/{camera}/token"): frozenset({Role.ADMINISTRATOR}),
    ("GET", "/v1/deployments/{deployment}/calibration"): PEOPLE,
    ("PUT", "/v1/deployments/{deployment}/calibration"): frozenset({Role.APPLICANT}),
    ("DELETE", "/v1/deployments/{deployment}/calibration"): frozenset({Role.APPLICANT}),
    ("GET", "/v1/deployments/{deployment}/forecast"): frozenset(
        {Role.APPLICANT, Role.AUTHORISING_OFFICER, Role.AUDITOR}
    ),
    ("GET", "/v1/deployments/{deployment}/list"): frozenset({Role.APPLICANT, Role.AUTHORISING_OFFICER, Role.AUDITOR}),
    ("POST", "/v1/deployments/{deployment}/list/import"): frozenset({Role.APPLICANT}),
    ("DELETE", "/v1/deployments/{deployment}/list/{entry}"): frozenset({Role.APPLICANT, Role.AUTHORISING_OFFICER}),
    ("GET", "/v1/deployments/{deployment}/ledger"): PEOPLE,
    ("GET", "/v1/deployments/{deployment}/alerts"): _OFFICERS | {Role.AUDITOR},
    ("GET", "/v1/deployments/{deployment}/alerts/stream"): _OFFICERS,
    ("GET", "/v1/deployments/{deployment}/alerts/{alert}"): _OFFICERS | {Role.AUDITOR},
    ("GET", "/v1/deployments/{deployment}/alerts/{alert}/evidence/{part}"): _OFFICERS,
}
