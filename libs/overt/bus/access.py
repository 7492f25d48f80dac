"""Who may say what to nats-server, computed from the contract table of overt.subjects.

A deployment's streams do not exist when the server starts, and a wildcard cannot stand for part of a name, so
data in streams is scoped by *subject*: JetStream's API names the filter of a consumer, and the subject of a
direct get, in the subject of the call itself. Pulling is scoped by the consumer's name, which is the service's.

What a permission cannot scope, and who is trusted with it instead: alerts may create, change and empty any
stream (it holds every key anyway).
"""

from __future__ import annotations

from dataclasses import dataclass

from overt.bus.connection import inbox_of
from overt.bus.kv import bucket_stream, bucket_subjects
from overt.subjects import BUCKETS, CORE, STREAMS, Service

STEWARD = Service.ALERTS
"""The one that creates and erases."""

LIST_KEEPER = Service.MATCH
"""The one that reads and writes the list's objects."""

_STEWARDSHIP = (
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.PURGE.*",
    "$JS.API.STREAM.DELETE.*",
    "$JS.API.STREAM.MSG.DELETE.*",
)


@dataclass(frozen=True, slots=True)
class Access:
    """Subjects a user may publish and subscribe to; what is in neither is refused. `answers`: may also reply to
    what it was asked, once for each question."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool


def access_of(service: Service) -> Access:
    publish: list[str] = []
    subscribe: list[str] = []
    answers = False
    for core in CORE:
        if service in core.publishers:
            publish.append(core.every)
        if service in core.subscribers:
            subscribe.append(core.every)
            if core.queue:
                answers = True
                for verb in ("PING", "INFO", "STATS"):
                    subscribe += [f"$SRV.{verb}", f"$SRV.{verb}.>"]
    for spec in STREAMS:
        if service in spec.publishers:
            publish.append(spec.every)
        if service in spec.readers:
            publish += [f"$JS.API.CONSUMER.CREATE.*.*.{spec.every}", f"$JS.API.DIRECT.GET.*.{spec.every}"]
    if any(service in spec.readers for spec in STREAMS):
        publish += [
            f"$JS.API.CONSUMER.MSG.NEXT.*.{service.value}",
            f"$JS.ACK.*.{service.value}.>",
        ]
    for bucket in BUCKETS:
        stream, subjects = bucket_stream(bucket), bucket_subjects(bucket)
        if service in bucket.writers:
            publish.append(subjects)
        if service in bucket.readers:
            publish += [f"$JS.API.CONSUMER.CREATE.{stream}.*.{subjects}", f"$JS.API.DIRECT.GET.{stream}.{subjects}"]
    if service is LIST_KEEPER:
        publish += [
            "$O.*.C.>",
            "$O.*.M.>",
            "$JS.API.CONSUMER.CREATE.*.*.$O.*.M.>",
            "$JS.API.DIRECT.GET.*.$O.*.C.>",
            "$JS.API.DIRECT.GET.*.$O.*.M.>",
        ]
    if service is STEWARD:
        publish += _STEWARDSHIP
    if publish or subscribe:
        subscribe.append(f"{inbox_of(service.value)}.>")
    return Access(tuple(publish), tuple(subscribe), answers)
