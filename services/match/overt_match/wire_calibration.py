"""Between messages and what is known of a calibration, a threshold, a forecast."""

from __future__ import annotations

from overt.api.match.v1 import match_pb2 as pb
from overt.errors import Rejected
from overt.reasons import Reason
from overt.scoring import Forecast, Normalisation, Rate, Threshold
from overt.wire import from_timestamp, to_timestamp

from overt_match.calibration import Calibration


def calibration_from(message: pb.Calibration) -> Calibration:
    """Rejected(BAD_MESSAGE) unless it names a file, and a normalisation that can be."""
    try:
        how = Normalisation(message.best, message.a, message.b)
    except ValueError:
        raise Rejected(Reason.BAD_MESSAGE, "a calibration has no normalisation that can be") from None
    if not message.digest:
        raise Rejected(Reason.BAD_MESSAGE, "a calibration names no file")
    return Calibration(
        digest=message.digest,
        model_digest=message.model_digest,
        people=message.people,
        templates=message.templates,
        groups=tuple(sorted(message.groups.items())),
        source=message.source,
        legal_basis=message.legal_basis,
        made_at=from_timestamp(message.made_at),
        normalisation=how,
        tells_misses=message.tells_misses,
    )


def calibration_to(calibration: Calibration) -> pb.Calibration:
    how = calibration.normalisation
    return pb.Calibration(
        digest=calibration.digest,
        model_digest=calibration.model_digest,
        people=calibration.people,
        templates=calibration.templates,
        groups=dict(calibration.groups),
        source=calibration.source,
        legal_basis=calibration.legal_basis,
        made_at=to_timestamp(calibration.made_at),
        best=how.best,
        a=how.a,
        b=how.b,
        tells_misses=calibration.tells_misses,
    )


def threshold_to(threshold: Threshold, calibration_digest: str) -> pb.Threshold:
    return pb.Threshold(
        score=threshold.score,
        under_18_score=threshold.under_18_score,
        target_fpir=threshold.target_fpir,
        extrapolated=threshold.extrapolated,
        calibration_digest=calibration_digest,
    )


def forecast_to(told: Forecast, calibration: Calibration) -> pb.ForecastReply:
    beyond = told.extrapolated
    return pb.ForecastReply(
        list_size=told.list_size,
        footfall=told.footfall,
        score=told.threshold,
        fpir=pb.ExpectedRate(
            value=told.fpir, low=told.fpir_interval.low, high=told.fpir_interval.high, extrapolated=beyond
        ),
        false_alerts=pb.ExpectedRate(value=told.false_alerts, low=told.low, high=told.high, extrapolated=beyond),
        missed=None if told.misses is None else _rate(told.misses),
        calibration=calibration_to(calibration),
    )


def _rate(rate: Rate) -> pb.ExpectedRate:
    return pb.ExpectedRate(value=rate.value, low=rate.low, high=rate.high, extrapolated=rate.extrapolated)
