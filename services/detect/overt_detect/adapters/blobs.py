"""Pictures as networks want them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from overt_detect.adapters.graphs import Blob
from overt_detect.ports import Picture


def blob(pictures: Sequence[Picture], multiple_of: int = 1) -> Blob:
    """float32[n, 3, H, W], 0..255, of pictures of one size, padded with black at the right and at the bottom.

    The same numbers as cv2.dnn.blobFromImages in a third of its time (0.3 ms for 960x544): the colours are taken
    apart as bytes, which is quick, and made numbers plane by plane. A network that takes the bytes and does this by
    itself saves 0.2 to 0.4 ms of 9 on OpenVINO: not worth a second kind of input.
    """
    height, width = pictures[0].shape[:2]
    below, beside = -height % multiple_of, -width % multiple_of
    found = np.empty((len(pictures), 3, height + below, width + beside), np.float32)
    found[:, :, height:] = 0
    found[:, :, :, width:] = 0
    planes = np.empty((3, height, width), np.uint8)
    for item, picture in zip(found, pictures, strict=True):
        cv2.split(picture, list(planes))
        item[:, :height, :width] = planes
    return found
