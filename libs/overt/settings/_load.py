"""Loading settings, and telling all that is wrong with them in one message."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from overt.errors import Fatal
from overt.settings._service import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)

_SHOWN_CHARACTERS = 80
# The name of a file that holds a secret may be shown, a secret may not: whatever its name or type suggests one.
_SECRET_NAME = re.compile(r"password|secret|token|credential|(^|_)key($|_)", re.IGNORECASE)
_NAMES_OF_PLACES = ("_file", "_dir", "_seconds")
_HOLDS_A_USER = re.compile(r"[^/\s]*@")


def load(cls: type[S]) -> S:
    """The settings from the environment. Raises Fatal that names every fault, a line each."""
    try:
        return cls()  # type: ignore[call-arg]  # the environment gives them
    except ValidationError as error:
        faults = list(_faults(cls, error.errors(include_url=False)))
    many = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise Fatal("\n".join([f"{many} in the settings:", *(f"  {fault}" for fault in faults)]))


def _faults(cls: type[ServiceSettings], errors: list[ErrorDetails]) -> Iterator[str]:
    told: set[str] = set()
    for error in errors:
        if not error["loc"]:
            # A model validator's: its words must name the variables.
            yield _words(error, None)
            continue
        field = _field(cls, str(error["loc"][0]))
        variable = _variable(cls, field)
        # A list or union reports each of its parts; one line a variable is enough.
        if variable in told:
            continue
        told.add(variable)
        description = cls.model_fields[field].description if field in cls.model_fields else None
        yield f"{variable}: {_given(cls, variable, field)}; wants {_words(error, description)}"


def _field(cls: type[ServiceSettings], location: str) -> str:
    for name, info in cls.model_fields.items():
        if location in (name, info.alias, info.validation_alias):
            return name
    return location


def _variable(cls: type[ServiceSettings], field: str) -> str:
    info = cls.model_fields.get(field)
    alias = info.validation_alias if info is not None else None
    if isinstance(alias, str):
        return alias.upper()
    return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


def _given(cls: type[ServiceSettings], variable: str, field: str) -> str:
    value = next((given for name, given in os.environ.items() if name.upper() == variable), "")
    if not value:
        return "not set"
    info = cls.model_fields.get(field)
    secret_type = info is not None and "Secret" in repr(info.annotation)
    secret_name = _SECRET_NAME.search(field) and not field.endswith(_NAMES_OF_PLACES)
    if secret_type or secret_name:
        return "given (not shown)"
    if _HOLDS_A_USER.search(value):
        return "given (not shown: it holds a user or password)"
    shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
    return f"given {json.dumps(shown)}"


def _words(error: ErrorDetails, description: str | None) -> str:
    if error["type"] == "value_error":
        # Raised by one of our validators: its words say what is wanted.
        context: dict[str, Any] = error.get("ctx", {})
        return str(context.get("error", "")) or error["msg"]
    return description or error["msg"].removeprefix("Input should be ").removeprefix("Input ")
