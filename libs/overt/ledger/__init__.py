"""The arithmetic of forgetting: what entered through a camera, and what became of it.

Pure. ingest writes these books, gateway and lab read them, the tests check them. `overt.ledger.wire` turns them
into the messages of overt.api.ingest.v1 and back.
"""

from overt.ledger.account import CameraAccount, DeclaredEpoch, Totals, merge
from overt.ledger.book import EMPTY_BOOK, FRAME_CLASSES, TRACK_CLASSES, Book, FrameClass, TrackClass
from overt.ledger.figures import figures
from overt.ledger.histogram import EMPTY_HISTOGRAM, Histogram, HistogramBuilder

__all__ = [
    "EMPTY_BOOK",
    "EMPTY_HISTOGRAM",
    "FRAME_CLASSES",
    "TRACK_CLASSES",
    "Book",
    "CameraAccount",
    "DeclaredEpoch",
    "FrameClass",
    "Histogram",
    "HistogramBuilder",
    "Totals",
    "TrackClass",
    "figures",
    "merge",
]
