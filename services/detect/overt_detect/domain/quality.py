"""How usable a face is: geometry from its five landmarks, light from the aligned face. None of it says who."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overt_detect.domain.geometry import Face, Landmarks

_NOSE_DEPTH = 0.5
"""How far the nose's tip stands before the plane of eyes and mouth, in distances between the eyes. With 0.5, a
head turned by hand from side to side reads about 50 degrees at the ends of its turn."""

_NOSE_HEIGHT = 0.55
"""Where the nose's tip lies between eyes (0) and mouth (1) in a frontal face: the median of YuNet's landmarks
on 400 pictures of LFW is 0.559. The distance of eyes and mouth equals that between the eyes (median 1.00)."""

_CENTRE_ROWS, _CENTRE_COLUMNS = (0.25, 0.89), (0.25, 0.75)
"""The part of an aligned face that is face whatever is behind it: a bright background must not hide a dark
face, nor sharp foliage a blurred one."""

_GREY = np.array([0.114, 0.587, 0.299], np.float32)
"""ITU-R BT.601, blue green red."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees; 0 is frontal. Positive yaw: to the picture's right. Positive pitch: up. Positive roll: clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Quality:
    """See overt.api.types.v1.Quality for the units."""

    size_px: float
    sharpness: float
    brightness: float
    pose: Pose
    detector_score: float


def assess(face: Face, aligned: NDArray[np.uint8]) -> Quality:
    """Of a found face and the same face aligned, uint8[n, n, 3], blue green red."""
    sharpness, brightness = light(aligned)
    return Quality(face.box.longer_side, sharpness, brightness, pose(face.landmarks), face.score)


def pose(landmarks: Landmarks) -> Pose:
    """An estimate to within about ten degrees: weak perspective, a mean head.

    Seen from the front the nose lies on the line from the eyes' middle to the mouth's. Turning the head moves
    the tip by depth * sin, and shortens the distances it is compared with by cos: so the ratio is a tangent.
    """
    right_eye, left_eye, nose, right_mouth, left_mouth = landmarks.astype(np.float64)
    across = left_eye - right_eye
    eyes_apart = math.hypot(across[0], across[1]) or 1e-6
    along = across / eyes_apart
    down = np.array([-along[1], along[0]])
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    face_height = float((mouth - eyes) @ down)
    if face_height <= 1e-6:
        # The mouth at or above the eyes: not a face that anything can be said of.
        return Pose(90.0, 90.0, math.degrees(math.atan2(across[1], across[0])))
    nose_height = float((nose - eyes) @ down) / face_height
    aside = float((nose - eyes - (mouth - eyes) * nose_height) @ along) / eyes_apart
    return Pose(
        yaw=math.degrees(math.atan2(aside, _NOSE_DEPTH)),
        pitch=math.degrees(math.atan2(_NOSE_HEIGHT - nose_height, _NOSE_DEPTH)),
        roll=math.degrees(math.atan2(across[1], across[0])),
    )


def light(aligned: NDArray[np.uint8]) -> tuple[float, float]:
    """Sharpness (variance of the Laplacian, grey levels squared) and brightness (mean grey level) of the middle."""
    height, width = aligned.shape[:2]
    rows = slice(int(_CENTRE_ROWS[0] * height), int(_CENTRE_ROWS[1] * height))
    columns = slice(int(_CENTRE_COLUMNS[0] * width), int(_CENTRE_COLUMNS[1] * width))
    grey = aligned[rows, columns].astype(np.float32) @ _GREY
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var()), float(grey.mean())


def rank(quality: Quality) -> float:
    """0..1, higher is better: how much a shot of this quality is worth among others of the same track.

    A product, so that no strength makes up for a weakness. Each factor reaches 1 where more of it no longer
    changes the template by much: 112 pixels is what the recogniser sees; see `Acceptance` for the figures.
    """
    size = min(1.0, quality.size_px / 112)
    sharp = min(1.0, quality.sharpness / 40)
    frontal = max(0.0, math.cos(math.radians(quality.pose.yaw)) * math.cos(math.radians(quality.pose.pitch)))
    return math.sqrt(size * sharp) * frontal * quality.detector_score
