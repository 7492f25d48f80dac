"""The report of `overt evaluate verification`."""

from __future__ import annotations

from overt.scoring import Interval, clopper_pearson

from overt_lab.evaluate.metrics import FOLDS, Mated, OperatingPoint, named
from overt_lab.evaluate.page.document import answers, document, figure, listing, paragraph, section, table
from overt_lab.evaluate.page.plots import WIDTH, distributions
from overt_lab.evaluate.page.setting import Setting
from overt_lab.evaluate.page.svg import Sheet
from overt_lab.evaluate.page.trade_off import trade_off
from overt_lab.evaluate.report import as_they_are
from overt_lab.evaluate.verification import Rates, Verified
from overt_lab.evaluate.wording import KINDS, NOTHING, one_in, share, too_few

AXES = ("pairs of two people that match (FMR)", "pairs of one person that do not (FNMR)")


def page(found: Verified, same: Mated, setting: Setting) -> str:
    ships = found.ships
    return document(
        kind="Overt · evaluation · verification",
        title="Do two pictures show one person?",
        lead=f"{found.pairs:,} pairs of {found.pictures:,} pictures: {found.mated:,} of one person, "
        f"{found.pairs - found.mated:,} of two. The figures at the top are those of the score that ships: "
        f"{KINDS[ships.name]}.",
        parts=[
            *setting.first(),
            answers(_answers(found)),
            section(
                "The figures",
                *(_table(rates) for rates in found.rates),
                *(paragraph(line, "note") for line in as_they_are(found)),
                paragraph(
                    "Intervals are Clopper and Pearson's at 95 %, at the threshold as it was found. A rate for which "
                    "fewer than five errors are expected is not stated.",
                    "note",
                ),
                *(_folds(rates) for rates in found.rates if rates.accuracy),
            ),
            section(
                "The trade-off",
                figure(
                    1,
                    trade_off(found.rates, "FMR", AXES),
                    "Detection error trade-off: how many pairs of one person are missed for "
                    "how many pairs of two that match, at every threshold. Lower is better. Markers: the rates of "
                    "the table.",
                ),
                figure(
                    2,
                    _scores(ships, same),
                    f"How scores lie ({KINDS[ships.name]}): pairs of one person, solid "
                    "line; of two, dashed line with grey under it.",
                ),
            ),
            section("How it was measured", listing(_how(found))),
            setting.section(),
        ],
    )


def _answers(found: Verified) -> list[tuple[str, str, str]]:
    fold = found.ships.accuracy
    items = [
        (
            "Pairs told right, ten folds",
            share(fold.mean) if fold else NOTHING,
            f"standard error {100 * fold.standard_error:.2f}, {fold.wrong} wrong" if fold else f"takes {FOLDS} a kind",
        )
    ]
    for point in found.ships.points[:2]:
        ci = _ci(point)
        beside = f"{100 * ci.low:.2f} to {100 * ci.high:.2f} %" if ci else too_few(point.expected_false_matches)
        items.append((f"Recognised where {one_in(point.fmr)} others match", share(point.tmr), beside))
    lost = f"in {found.pairs_with_fte} pairs, which count as wrong" if found.fte else "every picture gave a template"
    items.append(("Failures to enrol", f"{found.fte}", lost))
    return items


def _ci(point: OperatingPoint) -> Interval | None:
    return None if point.tmr is None else clopper_pearson(point.mated - point.missed, point.mated)


def _table(rates: Rates) -> str:
    return table(
        KINDS[rates.name].capitalize(),
        ["FMR", "TMR (95 %)", "threshold", "missed", "false matches", "expected"],
        [_row(point) for point in rates.points],
    )


def _row(point: OperatingPoint) -> list[str]:
    return [
        f"{named(point.fmr)} ({one_in(point.fmr)})",
        share(point.tmr, _ci(point)),
        NOTHING if point.threshold is None else f"{point.threshold:.3f}",
        f"{point.missed:,} of {point.mated:,}",
        f"{point.false_matches:,} of {point.non_mated:,}",
        f"{point.expected_false_matches:.3g}",
    ]


def _folds(rates: Rates) -> str:
    fold = rates.accuracy
    assert fold is not None
    return table(
        f"Ten folds, {KINDS[rates.name]}: {share(fold.mean)}, standard deviation "
        f"{100 * fold.standard_deviation:.2f}, {fold.wrong} pairs wrong",
        ["fold", *map(str, range(1, FOLDS + 1))],
        [["right, %", *(f"{100 * one:.1f}" for one in fold.accuracies)]],
    )


def _scores(rates: Rates, same: Mated) -> str:
    marks = [(p.threshold, f"FMR {named(p.fmr)}") for p in rates.points if p.threshold is not None]
    sheet = Sheet(
        WIDTH,
        330,
        "Scores of both kinds of pairs",
        "Thresholds: " + ", ".join(f"{words} at {value:.3f}" for value, words in marks),
        "scores",
    )
    return distributions(sheet, rates.scores[same], rates.scores[~same], ("one person", "two people"), marks)


def _how(found: Verified) -> list[str]:
    return [
        "The face nearest a picture's centre is taken, whatever its quality. A pair with a picture that gives no "
        "template counts as wrong.",
        "Ten folds as in LFW's protocol (technical report 07-49, view 2): fold k is the k-th tenth of the pairs of one "
        "person and the k-th tenth of the others; each is judged at the threshold that is best on the other nine.",
        "The true-match rate (TMR) is that at the lowest threshold whose false-match rate is not above the stated one "
        "(ISO/IEC 19795-1).",
        "Pairs were chosen by whoever made the set, half of one person. In use almost everybody who passes is on no "
        "list: see `overt evaluate identification` for that.",
        *([f"{found.undecodable} of the files are no JPEG or PNG."] if found.undecodable else []),
    ]
