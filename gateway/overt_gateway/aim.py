"""What a deployment's threshold is to mean: what is asked for, and what match makes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

UNCALIBRATED = "uncalibrated"
"""What is said of scores and thresholds that no calibration stands behind."""

DEFAULT_THRESHOLD = 0.45
"""Raw cosine of the open pack, for as long as nothing is calibrated."""
DEFAULT_TARGET_FPIR = 1e-3
"""What a new deployment aims at once a calibration is in force: false positive identifications for each search of
somebody who is not listed. The police's ceiling for alerts, 1 in 1,000 faces; an alert takes two searches that agree,
so it is rarer."""
MOST_TARGET_FPIR = 0.1
"""Beyond it every tenth passer-by reaches the threshold: nobody could check them."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A raw cosine, which holds without a calibration only, or a target, which takes one. With both either may come
    (the default); 0 stands for what was not asked for, and one of them is."""

    threshold: float = DEFAULT_THRESHOLD
    target_fpir: float = DEFAULT_TARGET_FPIR

    @classmethod
    def of(cls, threshold: float | None, target_fpir: float | None) -> Aim:
        """What was asked for: neither is the default. ValueError for both."""
        if threshold is not None and target_fpir is not None:
            raise ValueError(
                "give a raw threshold (a cosine, uncalibrated) or a target_fpir (with a calibration), not both"
            )
        if threshold is None and target_fpir is None:
            return cls()
        return cls(threshold or 0.0, target_fpir or 0.0)


@dataclass(frozen=True, slots=True)
class Threshold:
    """What match made of a target when it sealed the list. Normalised scores: any finite number."""

    score: float
    under_18_score: float
    target_fpir: float
    extrapolated: bool
    calibration_digest: str


def one_in(rate: float) -> str:
    """A rate for people: 0.01 is `1 in 100`."""
    return f"1 in {round(1 / rate):,}" if rate > 0 else "0"
