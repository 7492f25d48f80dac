"""What match needs from outside, and what it relies on. One contract suite runs over every `Indexes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from overt.scoring import SHORTLIST

from overt_match.domain import Batch, Deployment, Head, Templates


class Hit(NamedTuple):
    """A reference found: its row in what was built, and the raw cosine."""

    ordinal: int
    cosine: float


class Index(Protocol):
    """Templates that can be searched. Exact: it returns what comparing with every one of them returns."""

    def search(self, probes: Templates, top: int = SHORTLIST) -> list[list[Hit]]:
        """For each row of `probes` (unit vectors) its `top` nearest, best first, equals by ordinal.

        Blocks: call it in a thread. Safe from several at once. ValueError for vectors of another length,
        RuntimeError after `close`.
        """

    def close(self) -> None:
        """Waits for searches at work, then gives its memory back. Idempotent."""


class Indexes(Protocol):
    """Makes an index."""

    def build(self, templates: Templates) -> Index:
        """Row i becomes ordinal i; there may be no rows. Blocks. Retryable if there is no room for it now."""


@dataclass(frozen=True, slots=True)
class ListSecret:
    """A generation of the key that a deployment's parts are sealed with. Fetched when needed, never kept."""

    secret: bytes = field(repr=False)
    generation: int


class ListKeys(Protocol):
    """The custodian of list secrets. Retryable when away, or when it does not take our credentials; Rejected when it
    refuses or has destroyed the secret."""

    async def secret(self, deployment: str, generation: int = 0) -> ListSecret:
        """That generation; 0: the one to seal with now."""

    async def rotate(self, deployment: str) -> ListSecret:
        """A new one. The one before stays until `confirm`; until then, rotating again gives the same."""

    async def confirm(self, deployment: str, generation: int) -> None:
        """Nothing that is needed is sealed with an older one: they are destroyed. Idempotent. Rejected(CONFLICT)
        if there is a newer one."""


class Snapshot(Protocol):
    """The record: sealed parts in the object store, and the head that says which of them are in force."""

    async def deployment(self, deployment: str) -> Deployment:
        """As the store has it now, which a watch may not have told yet. Rejected(UNKNOWN_DEPLOYMENT)."""

    async def head(self, deployment: str) -> tuple[int, Head] | None:
        """The head and the store's revision of it; None if there never was a list."""

    async def announce(self, deployment: str, head: Head, replaces: int | None) -> None:
        """Puts `head` in force if the store's revision is still `replaces` (None: there is none yet); else
        Rejected(CONFLICT)."""

    async def write(self, deployment: str, batch: Batch, secret: ListSecret) -> tuple[str, ...]:
        """Seals the batch into new parts, which are in force only once a head names them. What an attempt that
        fails or loses leaves behind is ciphertext that the next rotation makes unreadable."""

    async def read(self, deployment: str, name: str, secret: ListSecret) -> Batch:
        """A part. Rejected(BAD_MESSAGE) if it is not what was sealed under this secret, name and generation."""

    async def write_cohort(self, deployment: str, content: bytes, secret: ListSecret) -> str:
        """Seals a cohort file into a part of its own. As with `write`, a head has yet to name it."""

    async def read_cohort(self, deployment: str, name: str, secret: ListSecret) -> bytes:
        """The file. Rejected(BAD_MESSAGE) as of `read`."""

    async def discard(self, deployment: str, names: Sequence[str]) -> None:
        """Parts that no head names any more. Unknown names are fine."""

    async def names(self, deployment: str) -> list[str]:
        """Every part in the store, in force or not."""
