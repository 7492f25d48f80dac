"""What `overt calibrate` tells: a table for the terminal, figures for `--json`. Counts and rates, nobody's name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from overt.scoring import Rate, ScoreToRate, fmr_for

from overt_lab.calibrate import likeness, members
from overt_lab.calibrate.calibrating import Calibrated
from overt_lab.calibrate.choosing import Setting
from overt_lab.wording import counted

FMRS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
TARGETS: Final = ((1e-2, 1000), (1e-3, 1000), (1e-3, 10_000), (1 / 6000, 10_000))
"""(FPIR, entries on the list)."""


def text(done: Calibrated) -> str:
    return "\n".join([*_people(done), "", *_likeness(done), "", *_choice(done), "", *_rates(done), "", *_targets(done)])


def figures(done: Calibrated) -> dict[str, Any]:
    """Rates are fractions."""
    cohort, choice = done.cohort, done.choice
    how = cohort.normalisation
    return {
        "templates": len(cohort),
        "people": cohort.people,
        "one_picture_one_person": cohort.one_picture_one_person,
        "joined": done.same.joined if cohort.one_picture_one_person else 0,
        "suspected_same_person_pairs": done.same.pairs,
        "fte": done.fte,
        "mated_fte": done.mated_fte,
        "groups": [group._asdict() for group in done.balance.groups],
        "balance": done.balance.worst,
        "balanced": done.balance.balanced,
        "likeness": {"cohort": cohort.likeness and cohort.likeness._asdict(), "mated": _mated_likeness(done)},
        "normalisation": asdict(how),
        "chosen_by": choice.why,
        "ratio_at_fmr": choice.fmr,
        "raw": _setting(choice.raw),
        "chosen": _setting(choice.chosen),
        "curve": [_setting(one) for one in choice.curve],
        "rates_of": cohort.rates_of,
        "score_to_rate": _table(cohort.score_to_rate),
        "score_to_rate_of_members": _table(done.own_rates),
        "misses": "not available" if cohort.misses is None else _misses(done),
        **asdict(done.ran),
    }


def _people(done: Calibrated) -> list[str]:
    cohort = done.cohort
    lines = [
        f"{counted(len(cohort), 'template', 'templates')} of {counted(cohort.people, 'person', 'people')}; "
        f"{counted(done.fte, 'picture', 'pictures')} without a face; {done.ran}, model {cohort.model_digest[:12]}"
    ]
    if cohort.one_picture_one_person:
        lines.append("no column `subject`: every picture is taken for a person of its own")
        if done.same.joined:
            lines.append(
                f"but {counted(done.same.pairs, 'pair', 'pairs')} of pictures are too alike for two people: "
                f"{counted(done.same.joined, 'picture', 'pictures')} joined to another's person"
            )
    elif done.same.pairs:
        lines.append(
            f"look at your labels: {counted(done.same.pairs, 'pair', 'pairs')} of two subjects' pictures are too "
            "alike for two people"
        )
    lines += ["", "group".ljust(32) + "people".rjust(8) + "pictures".rjust(10)]
    lines += [f"{g.name:32}{g.people:8d}{g.pictures:10d}" for g in done.balance.groups]
    verdict = "balanced" if done.balance.balanced else f"UNBALANCED (at most {members.MOST_UNBALANCED} to 1)"
    return [*lines, f"{verdict}: {done.balance}"]


def _likeness(done: Calibrated) -> list[str]:
    one, other = done.cohort.likeness, done.cohort.likeness_of_mated
    lines = ["faces, 10 / 50 / 90 %".ljust(24) + "cohort".ljust(24) + ("mated" if other else "")]
    lines += [
        f"{what:24}{mine:24}{theirs if other else ''}".rstrip() for what, mine, theirs in likeness.rows(one, other)
    ]
    if one and other:
        lines += [f"unlike: {told}" for told in likeness.apart(one, other)]
    return lines


def _choice(done: Calibrated) -> list[str]:
    choice, how = done.choice, done.cohort.normalisation
    lines = [f"normalisation: K={how.best}, a={how.a:g}, b={how.b:g}: {choice.why}"]
    lines.append(f"{'K, a, b':16}{f'worst/best group at FMR {choice.fmr:g}':34}TPIR at FPIR 0.01")
    shown = [("raw", choice.raw), *((_named(s), s) for s in choice.front)]
    if choice.chosen not in [s for _, s in shown]:
        shown.append((_named(choice.chosen), choice.chosen))
    for name, setting in shown:
        mark = "  <- chosen" if setting is choice.chosen else ""
        lines.append(f"{name:16}{f'{setting.ratio:.1f}':34}{_recognised(setting)}{mark}")
    return lines


def _named(setting: Setting) -> str:
    return f"{setting.how.best}, {setting.how.a:g}, {setting.how.b:g}"


def _recognised(setting: Setting) -> str:
    if setting.recognised is None or setting.lost is None:
        return "not available"
    return f"{100 * setting.recognised:.2f} % ({0 - 100 * setting.lost:+.2f})"


def _rates(done: Calibrated) -> list[str]:
    of = "the mated pictures' people" if done.mated_rates else "the cohort's members, each left out for itself"
    rate = done.cohort.score_to_rate
    members_too = "of members" if done.mated_rates else ""
    lines = [
        f"score to FMR, of {of}: {rate.pairs} pairs of {rate.people} people",
        f"{'FMR':10}{'score':10}{'95 % interval of the rate':34}{'misses (FNMR)':28}{members_too}",
    ]
    for fmr in FMRS:
        score, extrapolated = rate.score_at(fmr)
        told = rate.fmr(score)
        interval = f"{told.low:.1e} .. {told.high:.1e}" + (" extrapolated" if extrapolated else "")
        misses = "not available" if done.cohort.misses is None else _miss(done.cohort.misses.fnmr(score))
        own = f"{done.own_rates.score_at(fmr)[0]:.3f}" if done.mated_rates else ""
        lines.append(f"{fmr:<10.0e}{score:<10.3f}{interval:34}{misses:28}{own}".rstrip())
    return lines


def _miss(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.1f}..{100 * rate.high:.1f})"


def _targets(done: Calibrated) -> list[str]:
    lines = ["thresholds by target"]
    for target, size in TARGETS:
        score, extrapolated = done.cohort.score_to_rate.score_at(fmr_for(target, size))
        note = " extrapolated" if extrapolated else ""
        lines.append(f"FPIR {target:.2g} with {size:6d} entries: {score:.3f}{note}")
    return lines


def _mated_likeness(done: Calibrated) -> dict[str, Any] | None:
    one = done.cohort.likeness_of_mated
    return one and one._asdict()


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        **asdict(setting.how),
        "fmr_max_over_min": setting.ratio,
        "tpir": setting.recognised,
        "lost": setting.lost,
        "lost_error": setting.lost_error,
        "eligible": setting.eligible,
    }


def _table(rate: ScoreToRate) -> list[dict[str, Any]]:
    found = []
    for fmr in FMRS:
        score, extrapolated = rate.score_at(fmr)
        told = rate.fmr(score)
        found.append({"fmr": fmr, "score": score, "ci": [told.low, told.high], "extrapolated": extrapolated})
    return found


def _misses(done: Calibrated) -> list[dict[str, Any]]:
    assert done.cohort.misses is not None
    found = []
    for fmr in FMRS:
        score, _ = done.cohort.score_to_rate.score_at(fmr)
        rate = done.cohort.misses.fnmr(score)
        found.append({"fmr": fmr, "score": score, "fnmr": rate.value, "ci": [rate.low, rate.high]})
    return found
