"""What a face must be to get a template, and the reason code when it is not."""

from __future__ import annotations

from dataclasses import dataclass

from overt.reasons import Reason

from overt_detect.domain.quality import Quality


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Bounds on a face's quality. A face must meet all of them.

    Measured on 60 faces of LFW, as the median cosine between a face and the same face made worse:
    scaled to 40, 32, 24, 20 pixels .92 .86 .73 .65; blurred with sigma 1.5, 2, 3, 4 of 112 pixels
    .93 .87 .71 .55 (sharpness 17, 9, 4, 3); darkened to mean grey 34, 22, 11: .95 .92 .80. On 992 pictures in
    four groups by skin, one in a hundred has brightness below 53 (the darkest group) to 83 (the lightest), and
    sharpness below 21 to 28: the bounds are far from refusing one group more often than another. Of 2,900 faces
    of LFW made worse, those with a certainty of .80 to .85 kept .53 of the cosine to another picture of the same
    person that they had before, of .85 to .88 .63, of .88 to .90 .76, above .92 .97; on a street clip what is below
    .82 are profiles, two faces half behind one another, and hair. Of untouched pictures of LFW and of the 992, none
    is below .85.
    """

    smallest_px: float
    least_certainty: float
    largest_yaw: float
    largest_pitch: float
    largest_roll: float
    least_sharpness: float
    darkest: float
    brightest: float

    def refusal(self, quality: Quality) -> Reason | None:
        """None: it will do. Else the first bound it misses, those that tell most about what to do first. Says nothing
        of a light that nobody has looked at."""
        if quality.size_px < self.smallest_px:
            return Reason.TOO_SMALL
        light, pose = quality.light, quality.pose
        if light is not None:
            if light.brightness < self.darkest:
                return Reason.TOO_DARK
            if light.brightness > self.brightest:
                return Reason.TOO_BRIGHT
            if light.sharpness < self.least_sharpness:
                return Reason.BLURRED
        if quality.certainty < self.least_certainty:
            return Reason.LOW_CONFIDENCE
        if (
            abs(pose.yaw) > self.largest_yaw
            or abs(pose.pitch) > self.largest_pitch
            or abs(pose.roll) > self.largest_roll
        ):
            return Reason.EXTREME_POSE
        return None


SHOT = Acceptance(
    smallest_px=40,
    least_certainty=0.82,
    largest_yaw=55,
    largest_pitch=35,
    largest_roll=60,
    least_sharpness=4,
    darkest=20,
    brightest=225,
)
"""Of a passer-by: one chance among several, so what is merely poor gets it. `smallest_px` is the camera's."""

REFERENCE = Acceptance(
    smallest_px=48,
    least_certainty=0.82,
    largest_yaw=45,
    largest_pitch=30,
    largest_roll=45,
    least_sharpness=8,
    darkest=25,
    brightest=220,
)
"""Of a list entry: compared with everybody who passes, so it must be better than a shot."""
