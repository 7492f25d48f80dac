"""What every keyring offers. A file is one; a Kubernetes Secret and a KMS can be others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from overt.crypto import aead, sealing
from overt.errors import Rejected
from overt.reasons import Reason

_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}")


class KeyKind(StrEnum):
    """What a key is for. The private half is what is kept; `sealing.public_of` gives the other."""

    SYMMETRIC = "symmetric"
    SEALING = "sealing"

    def generate(self) -> bytes:
        """A new random key of this kind, 32 bytes."""
        return aead.new_key() if self is KeyKind.SYMMETRIC else sealing.generate_key_pair()[0]


@dataclass(frozen=True, slots=True)
class Destruction:
    """What can truthfully be said after `destroy`: no key can be had from the keyring under any of these ids."""

    key_ids: tuple[str, ...]
    """Destroyed by this call."""
    already_gone: tuple[str, ...]
    """Asked for, and not there: destroyed before, or never made."""
    medium: str
    """Where the keys were kept, for example `ext4`."""
    proves: str
    """One sentence: what the overwriting proves on that medium, and what it does not."""
    destroyed_at: datetime


class Keyring(Protocol):
    """Keys by id, 32 bytes each. Methods block (a file is fsynced) and may be called from any thread: in a
    coroutine call them through `asyncio.to_thread`. A key given out is the caller's copy: drop it soon."""

    def create(self, key_id: str, *, kind: KeyKind = KeyKind.SYMMETRIC) -> bytes:
        """A new random key, durable when this returns. Rejected(CONFLICT) if the id is taken."""
        ...

    def put(self, key_id: str, key: bytes, *, kind: KeyKind = KeyKind.SYMMETRIC) -> None:
        """Keeps a key made elsewhere, 32 bytes. Rejected(CONFLICT) if the id is taken."""
        ...

    def get(self, key_id: str) -> bytes:
        """The key; Rejected(UNKNOWN_KEY) if there is none (destroyed, or never made)."""
        ...

    def ids(self, prefix: str = "") -> tuple[str, ...]:
        """The ids that start with `prefix`, sorted. End it with "/" to mean a whole part of the id."""
        ...

    def destroy(self, *key_ids: str) -> Destruction:
        """Makes these keys unreadable for good and leaves the others as they are; all of them or none.
        An id that is not there is no error, so a repeated call is safe. Retryable if it could not be done, or
        done to the end: call again."""
        ...

    def close(self) -> None:
        """Releases what the keyring holds. The keys stay. Idempotent; every other call is Fatal from then on, so
        that nobody takes a key for destroyed."""
        ...


def checked_key_id(key_id: str) -> str:
    """Rejected(BAD_FIELD) unless it can be a key's id."""
    if not _KEY_ID.fullmatch(key_id):
        raise Rejected(
            Reason.BAD_FIELD, "a key id is 1 to 255 letters, digits and . _ : / - and starts with a letter or digit"
        )
    return key_id


def checked_key(key: bytes) -> bytes:
    """Rejected(BAD_FIELD) unless it has the length every key here has."""
    if len(key) != aead.KEY_BYTES:
        raise Rejected(Reason.BAD_FIELD, f"a key has {aead.KEY_BYTES} bytes")
    return key


def conflict(key_id: str) -> Rejected:
    return Rejected(Reason.CONFLICT, f"there is a key {key_id!r} already")


def unknown(key_id: str) -> Rejected:
    return Rejected(Reason.UNKNOWN_KEY, f"there is no key {key_id!r}: destroyed, or never made")
