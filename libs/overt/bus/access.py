"""Who may say what to nats-server, computed from the contract table of overt.subjects.

Two fences, one behind the other:

* Every service has an account of its own; the streams are in an account that nobody logs in to (`STORE`). An
  account sees of another only what is exported to it by name. Permissions alone would not do: a client chooses
  the reply subject of its requests, and the server, not asking whether the client may publish there, would write
  stored bytes of the client's choice into any stream (tests/integration/bus/test_nobody_forges.py).
* Within its account, a user's permissions list the same subjects again, so that a mistake is refused with a word
  instead of silence.

A deployment's streams do not exist when the server starts, and a wildcard cannot stand for part of a name, so
data in streams is scoped by *subject*: JetStream's API names the filter of a consumer, and the subject of a
direct get, in the subject of the call itself. Pulling is scoped by the consumer's name, which is the service's.

What cannot be scoped, and who is trusted with it: alerts may create, change and empty any stream (it holds every
key anyway).
"""

from __future__ import annotations

from dataclasses import dataclass

from overt.bus.connection import inbox_of
from overt.bus.kv import bucket_stream, bucket_subjects
from overt.bus.wire import API
from overt.subjects import BUCKETS, CORE, STREAMS, Service

STEWARD = Service.ALERTS
"""The one that creates and erases."""

LIST_KEEPER = Service.MATCH
"""The one that reads and writes the list's objects."""

_JETSTREAM = "$JS.API."


@dataclass(frozen=True, slots=True)
class Access:
    """What one service may do; what is not in it is refused.

    `core_out` and `core_in` are core subjects it publishes and listens to. `store` is what it may say to the
    store's account: subjects of streams, JetStream's API, acknowledgements. `answers`: it may reply to what it
    was asked, once for each question. `inbox`: where replies and pushed messages reach it; "" for none."""

    core_out: tuple[str, ...]
    core_in: tuple[str, ...]
    store: tuple[str, ...]
    answers: bool
    inbox: str

    @property
    def publish(self) -> tuple[str, ...]:
        """In its own account, where the store's API has another name."""
        return (*self.core_out, *(in_own_account(s) for s in self.store))

    @property
    def subscribe(self) -> tuple[str, ...]:
        services = ("$SRV.PING", "$SRV.INFO", "$SRV.STATS") if self.answers else ()
        asked = tuple(s for verb in services for s in (verb, f"{verb}.>"))
        return (*self.core_in, *asked, *((self.inbox,) if self.inbox else ()))


def in_own_account(subject: str) -> str:
    """How a service calls a subject of the store. `$JS.API` of its own account is another JetStream's: one that
    is not there, and that would answer first."""
    return API + subject.removeprefix(_JETSTREAM) if subject.startswith(_JETSTREAM) else subject


def access_of(service: Service) -> Access:
    core_out = tuple(c.every for c in CORE if service in c.publishers)
    listened = [c for c in CORE if service in c.subscribers]
    store = (*_streams_of(service), *_buckets_of(service), *_offices_of(service))
    return Access(
        core_out=core_out,
        core_in=tuple(c.every for c in listened),
        store=store,
        answers=any(c.reply for c in listened),
        inbox=f"{inbox_of(service.value)}.>" if core_out or listened or store else "",
    )


def _streams_of(service: Service) -> list[str]:
    subjects = [spec.every for spec in STREAMS if service in spec.publishers]
    read = [spec.every for spec in STREAMS if service in spec.readers]
    for every in read:
        subjects += [f"$JS.API.CONSUMER.CREATE.*.*.{every}", f"$JS.API.DIRECT.GET.*.{every}"]
    if read:
        subjects += [f"$JS.API.CONSUMER.MSG.NEXT.*.{service.value}", f"$JS.ACK.*.{service.value}.>"]
    return subjects


def _buckets_of(service: Service) -> list[str]:
    subjects = [bucket_subjects(b, writer=service) for b in BUCKETS if service in b.writers]
    for bucket in BUCKETS:
        if service in bucket.readers:
            stream, every = bucket_stream(bucket), bucket_subjects(bucket)
            subjects += [f"$JS.API.CONSUMER.CREATE.{stream}.*.{every}", f"$JS.API.DIRECT.GET.{stream}.{every}"]
    return subjects


def _offices_of(service: Service) -> list[str]:
    subjects: list[str] = []
    if service is LIST_KEEPER:
        subjects += [
            "$O.*.C.>",
            "$O.*.M.>",
            "$JS.API.CONSUMER.CREATE.*.*.$O.*.M.>",
            "$JS.API.DIRECT.GET.*.$O.*.C.>",
            "$JS.API.DIRECT.GET.*.$O.*.M.>",
        ]
    if service is STEWARD:
        subjects += [
            "$JS.API.STREAM.CREATE.*",
            "$JS.API.STREAM.UPDATE.*",
            "$JS.API.STREAM.PURGE.*",
            "$JS.API.STREAM.DELETE.*",
            "$JS.API.STREAM.MSG.DELETE.*",
        ]
    return subjects
