"""A keyring in memory, for tests. It passes the same contract as the one in a directory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from overt.crypto.keyring import Destruction, KeyKind
from overt.crypto.keyring.port import checked_key, checked_key_id, conflict, unknown
from overt.errors import Fatal


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryKeyring:
    """Implements `Keyring`. Nothing outlives the object."""

    def __init__(self, *, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._held: dict[str, bytes] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"MemoryKeyring({len(self._held)} keys)"

    @property
    def _keys(self) -> dict[str, bytes]:
        if self._closed:
            raise Fatal("the keyring in memory cannot be used: it is closed")
        return self._held

    def create(self, key_id: str, *, kind: KeyKind = KeyKind.SYMMETRIC) -> bytes:
        key = kind.generate()
        self.put(key_id, key, kind=kind)
        return key

    def put(self, key_id: str, key: bytes, *, kind: KeyKind = KeyKind.SYMMETRIC) -> None:
        checked_key_id(key_id)
        checked_key(key)
        if key_id in self._keys:
            raise conflict(key_id)
        self._keys[key_id] = key

    def get(self, key_id: str) -> bytes:
        if key_id not in self._keys:
            raise unknown(key_id)
        return self._keys[key_id]

    def ids(self, prefix: str = "") -> tuple[str, ...]:
        return tuple(sorted(key_id for key_id in self._keys if key_id.startswith(prefix)))

    def destroy(self, *key_ids: str) -> Destruction:
        asked = tuple(dict.fromkeys(key_ids))
        present = tuple(key_id for key_id in asked if self._keys.pop(key_id, None) is not None)
        return Destruction(
            key_ids=present,
            already_gone=tuple(key_id for key_id in asked if key_id not in present),
            medium="memory",
            proves="The keys were in this process's memory only and the last reference to them was dropped.",
            destroyed_at=self._now(),
        )

    def close(self) -> None:
        self._closed = True
        self._held.clear()
