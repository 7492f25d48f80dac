"""What the services may ask of the bus, and what it promises. Both NatsBus and the MemoryBus of overt.testing
keep every word of this page; one contract suite checks them.

Errors: `Retryable` when a peer or the server is away (nothing is queued for later), `Rejected` when this input
can never work (too large, a bad name, a lost race). Payloads never show in a repr, a log or a span.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from overt.subjects import Bucket, CoreSubject, StreamSubject

Payload = Message | bytes
P = TypeVar("P", bound=Message | bytes)
Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

Handler = Callable[[str, P], Awaitable[None]]
"""Called with the subject and the message."""


@dataclass(frozen=True, slots=True, repr=False)
class Delivery:
    """A message of a stream, delivered at least once: `redeliveries` tells how often before."""

    subject: str
    data: bytes
    sequence: int
    redeliveries: int
    traceparent: str

    def __repr__(self) -> str:
        return f"Delivery({self.subject}, sequence {self.sequence}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """A message as it lies in its stream; `at` (UTC) is when the server stored it."""

    subject: str
    data: bytes
    sequence: int
    at: datetime

    def __repr__(self) -> str:
        return f"Stored({self.subject}, sequence {self.sequence}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A key's newest value; `value` is None once the key was deleted.

    A watch yields the bucket as it is, each change with `initial_done` False; then one marker, `key` empty and
    `initial_done` True, in an empty bucket too; then what changes, `initial_done` True.
    """

    key: str
    value: bytes | None
    revision: int
    initial_done: bool

    @property
    def is_marker(self) -> bool:
        return not self.key

    def __repr__(self) -> str:
        size = "deleted" if self.value is None else f"{len(self.value)} bytes"
        return f"Change({self.key or 'marker'}, revision {self.revision}, {size})"


class Subscription(Protocol):
    """Deliveries of one kind. It outlives the loss of the connection and resumes by itself."""

    async def close(self) -> None:
        """No new deliveries; returns when the handlers at work have finished. Cancelled (or out of the bus's
        drain time), it cancels them: a consumer's messages are then given back at once. Idempotent."""


class Watch(Protocol):
    """An endless iterator over a bucket. It outlives the loss of the connection: what changed meanwhile follows,
    newest value of each key only, nothing twice and nothing older than what was yielded. If the store was rebuilt
    or restored from an older copy meanwhile, what that one holds follows, and a deletion (revision 0) of each key
    that it does not have."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def __anext__(self) -> Change: ...

    async def aclose(self) -> None: ...

    @property
    def heard_ago(self) -> timedelta:
        """How long ago everything there was had been yielded. The server says so at least every 500 ms; what it has
        sent and nobody has taken, or has not sent yet after a reconnect, counts as not heard."""


class KeyValue(Protocol):
    """A bucket. Values are at most MAX_MESSAGE_BYTES; keys are letters, digits and any of `-_=/.`"""

    async def get(self, key: str) -> tuple[int, bytes] | None:
        """Revision and value; None if there is no such key."""

    async def create(self, key: str, value: Payload) -> int:
        """The revision. Rejected(CONFLICT) if the key is there."""

    async def update(self, key: str, value: Payload, revision: int) -> int:
        """The new revision. Rejected(CONFLICT) if `revision` is not the newest: read again and decide again."""

    async def delete(self, key: str, revision: int) -> None:
        """Rejected(CONFLICT) like update. Hides the value; the bytes stay on disk until the stream is purged."""

    def watch(self) -> Watch: ...


class ObjectStore(Protocol):
    """The sealed objects of one deployment's list."""

    async def put(self, name: str, data: bytes) -> None:
        """Any size; whole or not at all. An object of the same name is replaced."""

    async def get(self, name: str) -> bytes | None:
        """None if there is none. Rejected(BAD_MESSAGE) if what is stored is not what was put."""

    async def names(self) -> list[str]:
        """Sorted."""

    async def delete(self, name: str) -> None:
        """Hides it. The bytes go when the steward purges the whole store (`delete_objects`). Idempotent."""


class Steward(Protocol):
    """Creates and erases. Only alerts' user may; every call is idempotent. Retryable when the server is away or
    refuses this user."""

    async def ensure_operation(self) -> None:
        """The buckets of the operation."""

    async def ensure(self, deployment: str) -> None:
        """A deployment's streams and its object store."""

    async def purge_stream(self, spec: StreamSubject, deployment: str) -> None:
        """Every message; the server unlinks the files within moments of its answer. The stream stays."""

    async def delete_stream(self, spec: StreamSubject, deployment: str) -> None:
        """Purged, then removed."""

    async def delete_objects(self, deployment: str) -> None:
        """The object store, purged, then removed."""

    async def erase(self, spec: StreamSubject, deployment: str, sequence: int) -> None:
        """One message, overwritten on disk before this returns."""


class Bus(Protocol):
    """One connection of one service."""

    @property
    def connected(self) -> bool: ...

    async def publish(self, subject: str, message: Payload) -> None:
        """To whoever listens now. Retryable if the server is away: nothing is kept for later."""

    async def subscribe(self, subject: str, message_type: type[P], handler: Handler[P]) -> Subscription:
        """One message at a time, in order. A message that does not parse, one that is too many (more than 1024
        wait) and a handler's error are counted and logged, and the next one follows."""

    async def request(self, subject: str, message: Message, reply_type: type[Rep], *, timeout: timedelta) -> Rep:
        """Retryable: nobody there (at once), no answer in time, the server away (at once), the peer says so.
        Rejected, with the peer's reason: the peer refuses this request."""

    async def serve(
        self,
        subject: CoreSubject,
        request_type: type[Req],
        handler: Callable[[str, Req], Awaitable[Message]],
        *,
        name: str,
        max_in_flight: int = 64,
    ) -> Subscription:
        """Answers requests on every deployment's subject, shared with the other replicas of the queue group.
        `max_in_flight` handlers at once; four times as many wait; more are told Retryable at once. Rejected and
        Retryable go to the caller; anything else is told as Retryable without its message, and logged."""

    async def append(
        self,
        subject: str,
        payload: Payload,
        *,
        message_id: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> int:
        """On disk when it returns: the sequence. A `message_id` seen within 2 minutes is not stored again (the
        first one's sequence is returned). Retryable: no such stream, stream full, server away."""

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
        """Every message of the stream at least once, from where `durable` left off. `durable` is the name of the
        service (its permissions say so). A handler may take as long as it needs. It returns: acknowledged.
        Retryable: again, later and later, for as long as the stream keeps it. A defect: the same, 20 times, then
        as Rejected. Fatal: given back, and the service ends. Rejected: recorded on overt.dead.DEPLOYMENT..., then
        `on_buried` is called, then never again; what `on_buried` raises puts all of it off. Retryable if there is
        no such stream."""

    async def last(self, spec: StreamSubject, deployment: str, subject: str) -> Stored | None:
        """The newest message of a subject."""

    def latest(self, spec: StreamSubject, deployment: str, *, matching: str | None = None) -> AsyncIterator[Stored]:
        """The newest message of every subject as of now, in the stream's order. `matching` narrows it: a subject
        of this stream with wildcards, `spec.of(deployment, "*", "record")`."""

    def bucket(self, bucket: Bucket) -> KeyValue: ...

    def objects(self, deployment: str) -> ObjectStore: ...

    @property
    def steward(self) -> Steward: ...

    async def drain(self) -> None:
        """Closes every subscription (see there), within the drain time; then the last words go out. Never raises
        because the server is away. Publishing still works after it."""

    async def close(self) -> None:
        """Cuts off what is still at work (after drain: nothing) and drops the connection. Idempotent."""
