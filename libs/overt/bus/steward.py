"""Creates and erases streams. The permissions of the server give this to alerts alone."""

from __future__ import annotations

from typing import Any, Final

from overt.bus.connection import ApiError, Connection
from overt.bus.kv import bucket_stream, bucket_subjects
from overt.bus.objects import object_stream, object_subjects
from overt.bus.streams import NO_SUCH_STREAM
from overt.errors import Retryable
from overt.limits import MAX_LIST_BYTES
from overt.subjects import BUCKETS, CORE, DEAD, STREAMS, StreamSubject

_NANOSECONDS: Final = 1_000_000_000
_NAME_IN_USE: Final = 10058
_NO_SUCH_MESSAGE: Final = frozenset({10043, 10037, 10057})

MAX_BUCKET_BYTES: Final = 64 * 1024 * 1024
MAX_OBJECTS_BYTES: Final = 4 * MAX_LIST_BYTES
"""The largest list, the revision that is written before it is dropped, and what failed attempts leave."""


def operation_streams() -> list[dict[str, Any]]:
    """Configurations of the buckets."""
    return [
        _config(bucket_stream(b), [bucket_subjects(b)], max_bytes=MAX_BUCKET_BYTES, max_msgs_per_subject=1)
        for b in BUCKETS
    ]


def deployment_streams(deployment: str) -> list[dict[str, Any]]:
    """Configurations of what is kept of one deployment."""
    streams = [
        _config(
            spec.stream(deployment),
            [spec.all_of(deployment)],
            max_bytes=spec.max_bytes,
            max_age=int(spec.max_age.total_seconds()) * _NANOSECONDS,
            max_msgs_per_subject=1 if spec.latest_only else -1,
            # A full stream refuses, so that its writer knows; only dead letters make room for newer ones.
            discard="old" if spec is DEAD else "new",
        )
        for spec in STREAMS
    ]
    objects = _config(
        object_stream(deployment),
        object_subjects(deployment),
        max_bytes=MAX_OBJECTS_BYTES,
        max_msgs_per_subject=1,
    )
    return [*streams, objects]


def _config(name: str, subjects: list[str], **more: object) -> dict[str, Any]:
    for subject in subjects:
        if any(overlap(subject, core.every) for core in CORE):
            raise ValueError(f"{name} would store {subject}, which must never reach a disk")
    return {
        "name": name,
        "subjects": subjects,
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "allow_direct": True,
        "deny_delete": False,
        "deny_purge": False,
        # A publisher must not be able to purge with a header.
        "allow_rollup_hdrs": False,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_age": 0,
        "num_replicas": 1,
        **more,
    }


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)


class NatsSteward:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ensure_operation(self) -> None:
        for config in operation_streams():
            await self._ensure(config)

    async def ensure(self, deployment: str) -> None:
        for config in deployment_streams(deployment):
            await self._ensure(config)

    async def purge_stream(self, spec: StreamSubject, deployment: str) -> None:
        await self._purge(spec.stream(deployment))

    async def delete_stream(self, spec: StreamSubject, deployment: str) -> None:
        await self._delete(spec.stream(deployment))

    async def delete_objects(self, deployment: str) -> None:
        await self._delete(object_stream(deployment))

    async def erase(self, spec: StreamSubject, deployment: str, sequence: int) -> None:
        await self._call(
            f"STREAM.MSG.DELETE.{spec.stream(deployment)}",
            {"seq": sequence, "no_erase": False},
            fine=_NO_SUCH_MESSAGE | {NO_SUCH_STREAM},
        )

    async def _ensure(self, config: dict[str, Any]) -> None:
        try:
            await self._connection.api(f"STREAM.CREATE.{config['name']}", config)
        except ApiError as error:
            if error.code != _NAME_IN_USE:
                raise Retryable(f"cannot create {config['name']}: {error}") from None
            await self._call(f"STREAM.UPDATE.{config['name']}", config)

    async def _purge(self, stream: str) -> None:
        await self._call(f"STREAM.PURGE.{stream}", {}, fine=frozenset({NO_SUCH_STREAM}))

    async def _delete(self, stream: str) -> None:
        # Purged first: of a purge it is measured that the bytes are gone.
        await self._purge(stream)
        await self._call(f"STREAM.DELETE.{stream}", fine=frozenset({NO_SUCH_STREAM}))

    async def _call(self, subject: str, body: object = None, *, fine: frozenset[int] = frozenset()) -> None:
        try:
            await self._connection.api(subject, body)
        except ApiError as error:
            if error.code not in fine:
                raise Retryable(f"JetStream refuses {subject}: {error}") from None
