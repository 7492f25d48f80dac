"""The keyring in a directory: a key-encryption key beside the keys that it wraps.

It does not protect keys from who can read the directory: it makes destroying one of them possible. Only the 32
bytes of the key-encryption key have to be overwritten for a destroyed key to be unreadable wherever a copy of an
old ring may be; the survivors are wrapped under a new one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from overt.crypto import aead
from overt.crypto.keyring import ring as rings
from overt.crypto.keyring.directory import FIRST, Current, KeyringDirectory
from overt.crypto.keyring.medium import medium_of
from overt.crypto.keyring.port import Destruction, KeyKind, checked_key, checked_key_id, conflict, unknown
from overt.errors import Fatal, Retryable


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _State:
    """What is in force. Replaced as a whole, never changed, so that readers need no lock."""

    current: Current
    kek: bytes = field(repr=False)
    ring: rings.Ring = field(repr=False)


class FileKeyring:
    """Implements `Keyring` in `directory`, which it makes (mode 0700) and locks against a second process.

    Opening cleans up after a crash. Fatal when the directory cannot be used, is in use, or is damaged. Every
    change is fsynced before it returns: some milliseconds, so call through `asyncio.to_thread`. Between calls
    memory holds the key-encryption key and wrapped keys only.
    """

    def __init__(self, directory: Path, *, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._changing = threading.Lock()
        self._unusable = ""
        self._directory = KeyringDirectory(directory)
        try:
            self._state = self._load()
        except BaseException:
            self._directory.close()
            raise

    def __repr__(self) -> str:
        return f"FileKeyring({str(self._directory.path)!r}, {len(self._state.ring)} keys)"

    def create(self, key_id: str, *, kind: KeyKind = KeyKind.SYMMETRIC) -> bytes:
        """See Keyring.create. Retryable if the medium is full or fails."""
        key = kind.generate()
        self.put(key_id, key, kind=kind)
        return key

    def put(self, key_id: str, key: bytes, *, kind: KeyKind = KeyKind.SYMMETRIC) -> None:
        """See Keyring.put. Retryable if the medium is full or fails."""
        checked_key_id(key_id)
        checked_key(key)
        with self._changing:
            state = self._usable()
            if key_id in state.ring:
                raise conflict(key_id)
            ring = {**state.ring, key_id: rings.wrap(state.kek, key_id, kind, key)}
            self._commit(_State(Current(state.current.kek, state.current.ring + 1), state.kek, ring))
            try:
                self._directory.wipe_all_but(self._state.current)
            except OSError:
                pass  # the key is safe; the superseded ring goes with the next change, or when next opened

    def get(self, key_id: str) -> bytes:
        """See Keyring.get. Blocks for microseconds only."""
        state = self._usable()
        if (entry := state.ring.get(key_id)) is None:
            raise unknown(key_id)
        return rings.unwrap(state.kek, key_id, entry)

    def ids(self, prefix: str = "") -> tuple[str, ...]:
        """See Keyring.ids. Does not block."""
        return tuple(sorted(key_id for key_id in self._usable().ring if key_id.startswith(prefix)))

    def destroy(self, *key_ids: str) -> Destruction:
        """See Keyring.destroy."""
        asked = tuple(dict.fromkeys(key_ids))
        with self._changing:
            state = self._usable()
            present = tuple(key_id for key_id in asked if key_id in state.ring)
            if present:
                survivors = {k: entry for k, entry in state.ring.items() if k not in present}
                kek = aead.new_key()
                self._commit(
                    _State(
                        Current(state.current.kek + 1, state.current.ring + 1),
                        kek,
                        rings.rewrap(state.kek, kek, survivors),
                    )
                )
            try:
                # Also when nothing was present: an earlier call may have failed right here.
                self._directory.wipe_all_but(self._state.current)
            except OSError as error:
                raise Retryable(
                    f"the keys are out of the keyring, but the old key file in {self._directory.path} could not "
                    f"be overwritten: {os.strerror(error.errno or 0)}"
                ) from None
            medium = medium_of(self._directory.path)
        return Destruction(
            key_ids=present,
            already_gone=tuple(key_id for key_id in asked if key_id not in present),
            medium=medium.name,
            proves=medium.proves,
            destroyed_at=self._now(),
        )

    def close(self) -> None:
        """See Keyring.close."""
        with self._changing:
            self._unusable = "it is closed"
            self._directory.close()

    def _usable(self) -> _State:
        if self._unusable:
            raise Fatal(f"the keyring in {self._directory.path} cannot be used: {self._unusable}")
        return self._state

    def _commit(self, to: _State) -> None:
        """Writes `to` and puts it in force: all of it (returns), or nothing (Retryable). Only when the medium
        fails in the very switch is it unknown which (Fatal, and the keyring refuses from then on)."""
        try:
            self._directory.wipe_all_but(self._state.current)  # what a failed attempt left
            if to.current.kek != self._state.current.kek:
                self._directory.write_new(to.current.kek_name, to.kek)
            self._directory.write_new(to.current.ring_name, rings.encode(to.ring))
            self._directory.stage(to.current)
        except OSError as error:
            raise Retryable(
                f"the keyring in {self._directory.path} could not be written, nothing was changed: "
                f"{os.strerror(error.errno or 0)}"
            ) from None
        try:
            self._directory.switch()
            self._state = to
        except BaseException as error:
            self._unusable = "its medium failed while a change was put in force; restart to see which state holds"
            if isinstance(error, OSError):
                self._usable()
            raise

    def _load(self) -> _State:
        current = self._directory.current()
        if current is None:
            return self._begin()
        kek = self._directory.read(current.kek_name)
        if len(kek) != aead.KEY_BYTES:
            raise self._directory.damaged(current.kek_name, f"it has not {aead.KEY_BYTES} bytes")
        try:
            ring = rings.decode(self._directory.read(current.ring_name))
            for key_id, entry in ring.items():
                rings.unwrap(kek, key_id, entry)  # damage shows now, not in the middle of a deployment
        except rings.Damaged as error:
            raise self._directory.damaged(current.ring_name, str(error)) from None
        try:
            # Only now: until the current state is known to be sound, and on the medium (the process that put it
            # in force may have died before it was), nothing is thrown away.
            self._directory.sync()
            self._directory.wipe_all_but(current)
        except OSError as error:
            raise self._directory.unusable(error) from None
        return _State(current, kek, ring)

    def _begin(self) -> _State:
        """The first, empty generation."""
        state = _State(FIRST, aead.new_key(), {})
        try:
            self._directory.wipe_all_but(None)
            self._directory.write_new(FIRST.kek_name, state.kek)
            self._directory.write_new(FIRST.ring_name, rings.encode(state.ring))
            self._directory.stage(FIRST)
            self._directory.switch()
        except OSError as error:
            raise self._directory.unusable(error) from None
        return state
