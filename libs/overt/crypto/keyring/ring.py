"""The ring: keys wrapped under one key-encryption key, each bound to its id and kind. Pure, no files."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from overt.crypto import aead
from overt.crypto.keyring.port import KeyKind, checked_key, checked_key_id
from overt.errors import Rejected

_FORMAT = "overt-keyring/1"


class Damaged(Exception):
    """A ring that does not parse, or holds a key that does not open. Tells where, never what."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key under the key-encryption key. Useless without it, and hidden all the same."""

    kind: KeyKind
    wrapped: bytes = field(repr=False)


Ring = Mapping[str, WrappedKey]


def wrap(kek: bytes, key_id: str, kind: KeyKind, key: bytes) -> WrappedKey:
    return WrappedKey(kind, aead.encrypt(kek, key, bound_to=_binding(key_id, kind)))


def unwrap(kek: bytes, key_id: str, entry: WrappedKey) -> bytes:
    """Damaged if the entry was altered, is another id's, or was wrapped under another key."""
    try:
        return checked_key(aead.decrypt(kek, entry.wrapped, bound_to=_binding(key_id, entry.kind)))
    except Rejected:
        raise Damaged(f"the key {key_id!r} does not open") from None


def rewrap(old: bytes, new: bytes, ring: Ring) -> dict[str, WrappedKey]:
    """The same keys under another key-encryption key."""
    return {key_id: wrap(new, key_id, entry.kind, unwrap(old, key_id, entry)) for key_id, entry in ring.items()}


def encode(ring: Ring) -> bytes:
    """JSON, so that an operator can see which keys there are. No key can be read from it."""
    keys = {
        key_id: {"kind": entry.kind.value, "wrapped": base64.b64encode(entry.wrapped).decode("ascii")}
        for key_id, entry in ring.items()
    }
    return json.dumps({"format": _FORMAT, "keys": keys}, indent=1, sort_keys=True).encode("ascii")


def decode(data: bytes) -> dict[str, WrappedKey]:
    """What `encode` wrote; else Damaged."""
    try:
        document = json.loads(data)
        if document["format"] != _FORMAT:
            raise Damaged(f"its format is not {_FORMAT}")
        return {
            checked_key_id(key_id): WrappedKey(
                KeyKind(entry["kind"]), base64.b64decode(entry["wrapped"], validate=True)
            )
            for key_id, entry in document["keys"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, Rejected):
        raise Damaged("it does not parse") from None


def _binding(key_id: str, kind: KeyKind) -> bytes:
    return "\0".join((_FORMAT, kind.value, key_id)).encode("ascii")
