"""Every name that may carry a value into a log, a span or a metric label, and what kind of value it carries.

What is not in `FIELDS` is refused: raised with OVERT_STRICT_TELEMETRY=1 (every test runs so), otherwise dropped
and counted. Names, `subject_ref`s, pictures, templates, tokens and URLs have no place here.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

MAX_CHARACTERS = 200
"""Longer text is cut: a log line names things, it does not hold them."""

Value = str | int | float | bool | None


class Classification(StrEnum):
    """What a value says about a person: nothing, or something only to who holds the records."""

    OPERATIONAL = "operational"
    """About our processes, deployments and cameras."""
    PSEUDONYM = "pseudonym"
    """An id of a track, alert or entry: leads to a person through sealed records. Never a metric label."""


class Unclassified(ValueError):
    """A defect of the caller: a name that is not in a closed list, or a value of a kind that is refused."""


_O, _P = Classification.OPERATIONAL, Classification.PSEUDONYM

FIELDS: Mapping[str, Classification] = MappingProxyType(
    {
        # Which part of the system. (The service that speaks is in every line; another one is a peer.)
        "peer": _O,
        "address": _O,
        "what": _O,
        "task": _O,
        "step": _O,
        "version": _O,
        "epoch": _O,
        "pid": _O,
        "signal": _O,
        "exit_code": _O,
        "kind": _O,
        # The operation
        "deployment": _O,
        "camera": _O,
        "state": _O,
        "fate": _O,
        "outcome": _O,
        "decision": _O,
        "category": _O,
        "revision": _O,
        "list_size": _O,
        "threshold": _O,
        "pack": _O,
        "model": _O,
        "model_digest": _O,
        "engine": _O,
        "precision": _O,
        "parity": _O,
        "overlap": _O,
        "provider": _O,
        "licence": _O,
        "zone_points": _O,
        # Pseudonyms
        "track": _P,
        "alert": _P,
        "entry": _P,
        "evidence": _P,
        "sequence": _P,
        # Trouble
        "reason": _O,
        "error": _O,
        "status": _O,
        "method": _O,
        "route": _O,
        "correlation": _O,
        "role": _O,
        "attempt": _O,
        # Amounts
        "count": _O,
        "dropped": _O,
        "frames": _O,
        "tracks": _O,
        "faces": _O,
        "shots": _O,
        "probes": _O,
        "cameras": _O,
        "alerts": _O,
        "entries": _O,
        "sightings": _O,
        "in_flight": _O,
        "bytes": _O,
        "width": _O,
        "height": _O,
        "fps": _O,
        "seconds": _O,
        "took_ms": _O,
        "lived_ms": _O,
        # The bus. A subject names a deployment and a camera; those of alerts hold an alert's id.
        "subject": _P,
        "stream": _O,
        "bucket": _O,
        "durable": _O,
        "redeliveries": _O,
        # Keys are named by what they seal, so an alert's key names the alert.
        "key": _P,
        "keys": _O,
        "medium": _O,
    }
)

WRITTEN_BY_TELEMETRY = frozenset(
    {"at", "level", "service", "logger", "event", "trace", "span"}
    | {"error_at", "error_message", "library", "at_line", "wording"}
)
"""Keys of a log line that no caller may set: see the modules `lines`, `faults` and `foreign`."""

# These hold a code or a type's name, so that nobody writes `error=str(error)`.
_CODES = frozenset({"error", "reason", "fate", "outcome", "decision", "state", "step", "category"})
_CODE = re.compile(r"[A-Za-z0-9_.:/()+-]{0,120}")
_URL_WITH_A_USER = re.compile(r"://[^/\s]*@")

dropped: Counter[str] = Counter()
"""How much was refused since the process began, by kind: log_field, span_attribute, metric_label and so on."""


def strict() -> bool:
    """Whether a refusal is raised. Looked up each time, so that importing reads no environment."""
    return os.environ.get("OVERT_STRICT_TELEMETRY") == "1"


def refuse(kind: str, why: str) -> None:
    """Raises Unclassified when strict, else counts. `why` names the caller's code, never a value."""
    if strict():
        raise Unclassified(why)
    dropped[kind] += 1


def admitted(kind: str, given: Mapping[str, object], *, only: Classification | None = None) -> dict[str, Value]:
    """Those of `given` that may be written down, made plain and short; the others are refused."""
    kept: dict[str, Value] = {}
    for name, value in given.items():
        classification = FIELDS.get(name)
        if classification is None:
            refuse(kind, f"{kind} {name!r} is not classified in overt.telemetry.fields.FIELDS")
        elif only is not None and classification is not only:
            refuse(kind, f"{kind} {name!r} is a {classification}; only {only} is allowed there")
        elif not (value is None or isinstance(value, str | int | float)):
            refuse(kind, f"{kind} {name!r} holds a {type(value).__name__}; only text, numbers and None are allowed")
        elif name in _CODES and isinstance(value, str) and not _CODE.fullmatch(value):
            refuse(kind, f"{kind} {name!r} is a code or the name of a type, not a sentence")
        elif isinstance(value, str) and _URL_WITH_A_USER.search(value):
            refuse(kind, f"{kind} {name!r} holds a URL with a user in it")
        else:
            kept[name] = plain(value)
    return kept


def plain(value: str | float | None) -> Value:
    """Without enum and numpy subclasses, infinities and excess length."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    if isinstance(value, int):
        return int(value)
    return float(value) if math.isfinite(value) else str(float(value))
