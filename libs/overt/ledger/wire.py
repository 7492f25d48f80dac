"""Between the accounts of overt.ledger and the receipts of overt.api.ingest.v1."""

from __future__ import annotations

from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.errors import Rejected
from overt.ledger.account import CameraAccount, DeclaredEpoch
from overt.ledger.book import Book
from overt.ledger.histogram import Histogram
from overt.reasons import Reason
from overt.wire import from_timestamp, to_timestamp


def to_receipt(account: CameraAccount) -> pb.LedgerReceipt:
    """The account as a message."""
    return pb.LedgerReceipt(
        deployment=account.deployment,
        camera=account.camera,
        epoch=account.epoch,
        number=account.number,
        began_at=to_timestamp(account.began_at),
        until=to_timestamp(account.until),
        frames=_book_message(account.frames),
        tracks=_book_message(account.tracks),
        lived=pb.Histogram(buckets=dict(account.lived.buckets), max_ms=account.lived.max_ms),
        faces_seen=account.faces_seen,
        declared=[
            pb.DeclaredEpoch(
                service=lost.service,
                epoch=lost.epoch,
                lost_at=to_timestamp(lost.lost_at),
                unknown_frames_at_most=lost.unknown_frames_at_most,
            )
            for lost in account.declared
        ],
        final=account.final,
        may_follow=account.may_follow,
    )


def from_receipt(receipt: pb.LedgerReceipt) -> CameraAccount:
    """The message as an account. Rejected(BAD_MESSAGE) when a part of it is missing."""
    if not receipt.epoch:
        raise Rejected(Reason.BAD_MESSAGE, "a ledger receipt without an epoch")
    return CameraAccount(
        deployment=receipt.deployment,
        camera=receipt.camera,
        epoch=receipt.epoch,
        number=receipt.number,
        began_at=from_timestamp(receipt.began_at),
        until=from_timestamp(receipt.until),
        frames=_book(receipt.frames),
        tracks=_book(receipt.tracks),
        lived=Histogram(dict(receipt.lived.buckets), receipt.lived.max_ms),
        faces_seen=receipt.faces_seen,
        declared=tuple(
            DeclaredEpoch(lost.service, lost.epoch, from_timestamp(lost.lost_at), lost.unknown_frames_at_most)
            for lost in receipt.declared
        ),
        final=receipt.final,
        may_follow=receipt.may_follow,
    )


def _book_message(book: Book) -> pb.Book:
    return pb.Book(
        entered=book.entered,
        destroyed=dict(book.destroyed),
        retained=book.retained,
        in_flight=book.in_flight,
        reasons=dict(book.reasons),
    )


def _book(message: pb.Book) -> Book:
    return Book(
        entered=message.entered,
        destroyed=dict(message.destroyed),
        retained=message.retained,
        in_flight=message.in_flight,
        reasons=dict(message.reasons),
    )
