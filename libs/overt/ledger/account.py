"""What one camera's receipts say, and what all of them say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from overt.ledger.book import EMPTY_BOOK, FRAME_CLASSES, TRACK_CLASSES, Book
from overt.ledger.histogram import EMPTY_HISTOGRAM, Histogram


@dataclass(frozen=True, slots=True)
class DeclaredEpoch:
    """A life that ended without saying goodbye, and how many frames' fate nobody recorded, at most."""

    service: str
    epoch: str
    lost_at: datetime
    unknown_frames_at_most: int = 0


@dataclass(frozen=True, slots=True)
class CameraAccount:
    """One receipt: what became of everything that entered through a camera since its epoch began (cumulative).

    `may_follow` bounds the frames that enter before the next receipt is safely stored: ingest admits no more. So
    of an epoch that ends without a final receipt, at most `may_follow` frames and those in flight are unknown.
    """

    deployment: str
    camera: str
    epoch: str
    number: int
    began_at: datetime
    until: datetime
    frames: Book = EMPTY_BOOK
    tracks: Book = EMPTY_BOOK
    lived: Histogram = EMPTY_HISTOGRAM
    faces_seen: int = 0
    declared: tuple[DeclaredEpoch, ...] = ()
    final: bool = False
    may_follow: int = 0

    def conserved(self) -> bool:
        """Both laws, with classes of the closed lists only; a final account has nothing in flight."""
        return (
            self.frames.conserved()
            and self.tracks.conserved()
            and self.frames.knows_only(FRAME_CLASSES)
            and self.tracks.knows_only(TRACK_CLASSES)
            and not (self.final and (self.frames.in_flight or self.tracks.in_flight or self.may_follow))
        )

    def declare_lost(self) -> DeclaredEpoch:
        """What the next epoch says about this one, when this is the last that was heard of it."""
        return DeclaredEpoch("ingest", self.epoch, self.until, self.may_follow + self.frames.in_flight)


@dataclass(frozen=True, slots=True)
class Totals:
    """Several cameras and epochs together."""

    frames: Book = EMPTY_BOOK
    tracks: Book = EMPTY_BOOK
    lived: Histogram = EMPTY_HISTOGRAM
    faces_seen: int = 0
    declared: tuple[DeclaredEpoch, ...] = ()
    unknown_frames_at_most: int = 0
    open_epochs: int = 0
    as_of: datetime | None = None
    """The counts are of then, or newer: the oldest receipt that another one will follow, else the newest of all."""
    every_receipt_conserved: bool = True

    def conserved(self) -> bool:
        """Both laws hold over what is known, receipt by receipt and together."""
        return self.every_receipt_conserved and self.frames.conserved() and self.tracks.conserved()


def merge(accounts: Iterable[CameraAccount]) -> Totals:
    """Sums the newest receipt of every epoch of every camera; older ones and duplicates change nothing.

    What was in flight in an epoch that has been declared lost is taken out on both sides of the law: its fate is
    not known, and it is inside `unknown_frames_at_most`.
    """
    newest: dict[tuple[str, str, str], CameraAccount] = {}
    all_conserved = True
    declared: dict[tuple[str, str, str, str], DeclaredEpoch] = {}
    for account in accounts:
        all_conserved = all_conserved and account.conserved()
        key = (account.deployment, account.camera, account.epoch)
        if key not in newest or newest[key].number < account.number:
            newest[key] = account
        for one in account.declared:
            declared[(account.deployment, account.camera, one.service, one.epoch)] = one
    totals = Totals(
        declared=_by_life(declared.values()),
        unknown_frames_at_most=sum(d.unknown_frames_at_most for d in declared.values()),
        every_receipt_conserved=all_conserved,
    )
    open_untils: list[datetime] = []
    for (deployment, camera, epoch), account in sorted(newest.items()):
        lost = (deployment, camera, "ingest", epoch) in declared
        totals = replace(
            totals,
            frames=totals.frames + (_without_in_flight(account.frames) if lost else account.frames),
            tracks=totals.tracks + (_without_in_flight(account.tracks) if lost else account.tracks),
            lived=totals.lived + account.lived,
            faces_seen=totals.faces_seen + account.faces_seen,
        )
        if not account.final and not lost:
            open_untils.append(account.until)
    latest = max((account.until for account in newest.values()), default=None)
    return replace(totals, open_epochs=len(open_untils), as_of=min(open_untils, default=latest))


def _by_life(declared: Iterable[DeclaredEpoch]) -> tuple[DeclaredEpoch, ...]:
    """One line a life, however many cameras tell of it; the first to notice gives the time."""
    lives: dict[tuple[str, str], DeclaredEpoch] = {}
    for one in declared:
        known = lives.get((one.service, one.epoch))
        lives[(one.service, one.epoch)] = (
            one
            if known is None
            else DeclaredEpoch(
                one.service,
                one.epoch,
                min(known.lost_at, one.lost_at),
                known.unknown_frames_at_most + one.unknown_frames_at_most,
            )
        )
    return tuple(sorted(lives.values(), key=lambda d: (d.lost_at, d.service, d.epoch)))


def _without_in_flight(book: Book) -> Book:
    return replace(book, entered=book.entered - book.in_flight, in_flight=0)
