"""A keyring and a bus that fail, or end the process, at the k-th thing they do.

Every change is two steps, one before it happens and one after it has: killed there, it is done and nobody was told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from overt.bus import Bus, Delivery, Payload, Steward, Subscription
from overt.crypto import Destruction, KeyKind, Keyring
from overt.subjects import StreamSubject


@dataclass
class Faults:
    """Calls `act` at step `at`, counted from 1; never if None. `log` tells what the steps were."""

    act: Callable[[], None]
    at: int | None = None
    log: list[str] = field(default_factory=list)

    def step(self, what: str) -> None:
        self.log.append(what)
        if len(self.log) == self.at:
            self.act()


class FaultyKeyring:
    """Implements Keyring over another."""

    def __init__(self, keyring: Keyring, faults: Faults) -> None:
        self._keyring = keyring
        self._faults = faults

    def create(self, key_id: str, *, kind: KeyKind = KeyKind.SYMMETRIC) -> bytes:
        self._faults.step("before create")
        key = self._keyring.create(key_id, kind=kind)
        self._faults.step("after create")
        return key

    def put(self, key_id: str, key: bytes, *, kind: KeyKind = KeyKind.SYMMETRIC) -> None:
        self._keyring.put(key_id, key, kind=kind)

    def get(self, key_id: str) -> bytes:
        return self._keyring.get(key_id)

    def ids(self, prefix: str = "") -> tuple[str, ...]:
        return self._keyring.ids(prefix)

    def destroy(self, *key_ids: str) -> Destruction:
        self._faults.step("before destroy")
        done = self._keyring.destroy(*key_ids)
        self._faults.step("after destroy")
        return done

    def close(self) -> None:
        self._keyring.close()


class FaultyBus:
    """Another bus; what is not below is handed through."""

    def __init__(self, bus: Bus, faults: Faults) -> None:
        self._bus = bus
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def append(
        self,
        subject: str,
        payload: Payload,
        *,
        message_id: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> int:
        part = subject.split(".")[4] if subject.count(".") >= 4 else subject
        self._faults.step(f"before append {part}")
        sequence = await self._bus.append(subject, payload, message_id=message_id, timeout=timeout)
        self._faults.step(f"after append {part}")
        return sequence

    async def consume(
        self,
        spec: StreamSubject,
        deployment: str,
        durable: str,
        handler: Callable[[Delivery], Awaitable[None]],
        *,
        on_buried: Callable[[Delivery], Awaitable[None]] | None = None,
        max_in_flight: int = 16,
    ) -> Subscription:
        async def handle(delivery: Delivery) -> None:
            self._faults.step("before handling")
            await handler(delivery)
            self._faults.step("before acknowledging")

        return await self._bus.consume(
            spec, deployment, durable, handle, on_buried=on_buried, max_in_flight=max_in_flight
        )

    @property
    def steward(self) -> FaultySteward:
        return FaultySteward(self._bus.steward, self._faults)


class FaultySteward:
    """Another steward, its erasures counted."""

    def __init__(self, steward: Steward, faults: Faults) -> None:
        self._steward = steward
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steward, name)

    async def erase(self, spec: StreamSubject, deployment: str, sequence: int) -> None:
        self._faults.step(f"before erase {spec.stream_prefix}")
        await self._steward.erase(spec, deployment, sequence)
        self._faults.step(f"after erase {spec.stream_prefix}")

    async def delete_objects(self, deployment: str) -> None:
        self._faults.step("before delete objects")
        await self._steward.delete_objects(deployment)
        self._faults.step("after delete objects")
