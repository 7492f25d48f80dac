"""The report of `overt evaluate identification`."""

from __future__ import annotations

from overt.scoring import SHORTLIST, Interval

from overt_lab.evaluate.drawing import PROBES_EACH
from overt_lab.evaluate.identification import Identified, Searched
from overt_lab.evaluate.metrics import OperatingPoint, named
from overt_lab.evaluate.page.document import answers, document, figure, listing, paragraph, section, table
from overt_lab.evaluate.page.plots import WIDTH, distributions
from overt_lab.evaluate.page.setting import Setting
from overt_lab.evaluate.page.svg import Sheet
from overt_lab.evaluate.page.trade_off import trade_off
from overt_lab.evaluate.report_identification import as_they_are
from overt_lab.evaluate.resampling import RESAMPLES
from overt_lab.evaluate.wording import KINDS, NOTHING, one_in, share, too_few
from overt_lab.wording import counted

AXES = ("searches of people not listed, with a false positive (FPIR)", "searches that fail (FNIR)")


def page(found: Identified, seed: int, setting: Setting) -> str:
    ships, drawn = found.ships, found.drawn
    return document(
        kind="Overt · evaluation · open-set identification",
        title=f"Finding people of a list of {len(drawn.entries):,}",
        lead=f"{len(drawn.mated):,} pictures of {found.listed_and_searched:,} people on the list, and "
        f"{len(drawn.non_mated):,} pictures of people who are not on it. One reference an entry, one picture a search. "
        f"The figures at the top are those of the score that ships: {KINDS[ships.name]}.",
        parts=[
            *setting.first(),
            answers(_answers(found)),
            section(
                "The figures",
                *(_table(one) for one in found.searched),
                *(paragraph(line, "note") for line in as_they_are(found)),
                paragraph(
                    f"Intervals are at 95 % and hold for other people like these: people on both sides were drawn anew "
                    f"{RESAMPLES:,} times, and the threshold found anew each time; where Clopper and Pearson's "
                    "interval of the hits alone is wider, that one is stated. A rate for which fewer than five false "
                    "positives are expected is not stated; its counts are.",
                    "note",
                ),
            ),
            section(
                "The trade-off",
                figure(
                    1,
                    trade_off(found.searched, "FPIR", AXES),
                    "Detection error trade-off: how many searches for listed people fail, for how "
                    "many of the others give a false positive, at every threshold. Lower is better. Each curve "
                    "begins where five false positives were counted. Markers: the rates of the tables.",
                ),
                figure(
                    2,
                    _scores(ships),
                    f"Best scores ({KINDS[ships.name]}): of listed people whose best entry is "
                    "the right one, solid line; of people who are not listed, dashed line with grey under it.",
                ),
            ),
            section("How it was measured", listing(_how(found, seed))),
            setting.section(),
        ],
    )


def _answers(found: Identified) -> list[tuple[str, str, str]]:
    items = []
    for point, ci in zip(found.ships.points, found.ships.intervals, strict=True):
        beside = f"{100 * ci.low:.1f} to {100 * ci.high:.1f} %" if ci else too_few(point.expected_false_matches)
        stated = NOTHING if point.tmr is None else f"{100 * point.tmr:.1f} %"
        items.append((f"Listed people found, with {one_in(point.fmr)} others raising a false positive", stated, beside))
    lost = f"{found.fte_references} of the list, {found.fte_mated} of its probes, {found.fte_non_mated} of others"
    items.append(("Failures to enrol", f"{found.fte}", lost if found.fte else "every picture gave a template"))
    return items


def _table(one: Searched) -> str:
    mated = int(one.same.sum())
    ranked = f"; the best entry is the right one in {share(one.rank_one / mated)} of searches" if mated else ""
    return table(
        f"{KINDS[one.name].capitalize()}{ranked}",
        ["FPIR", "TPIR (95 %)", "threshold", "missed", "false positives", "expected"],
        [_row(point, ci) for point, ci in zip(one.points, one.intervals, strict=True)],
    )


def _row(point: OperatingPoint, ci: Interval | None) -> list[str]:
    return [
        f"{named(point.fmr)} ({one_in(point.fmr)})",
        share(point.tmr, ci),
        NOTHING if point.threshold is None else f"{point.threshold:.3f}",
        f"{point.missed:,} of {point.mated:,}",
        f"{point.false_matches:,} of {point.non_mated:,}",
        f"{point.expected_false_matches:.3g}",
    ]


def _scores(one: Searched) -> str:
    marks = [(p.threshold, f"FPIR {named(p.fmr)}") for p in one.points if p.threshold is not None]
    sheet = Sheet(
        WIDTH,
        330,
        "Best scores of listed and other people",
        "Thresholds: " + ", ".join(f"{words} at {value:.3f}" for value, words in marks),
        "scores",
    )
    return distributions(sheet, one.scores[one.same], one.scores[~one.same], ("listed", "not listed"), marks)


def _how(found: Identified, seed: int) -> list[str]:
    size = len(found.drawn.entries)
    unsearched = size - found.listed_and_searched
    return [
        f"The list was drawn with seed {seed} from {found.people:,} people: first people with two or more pictures, at "
        f"most 84 % of the list; the other {counted(unsearched, 'entry', 'entries')} nobody is searched for. The "
        f"reference is a person's first picture; up to {PROBES_EACH} more are searched for.",
        "A search succeeds if the best entry is the right one and reaches the threshold. The threshold of a "
        "false-positive identification rate (FPIR) is the lowest at which not more than that share of the searches of "
        "people who are not listed find anybody (ISO/IEC 19795-1).",
        f"A normalised score is that of the {SHORTLIST} entries with the best raw cosines, as in use.",
        "The face nearest a picture's centre is taken, whatever its quality. A search without a template fails; one of "
        "somebody not listed stays in the denominator.",
        "In use an alert takes two agreeing shots of one track: these are the rates of a single shot.",
        "The rates hold for this size of list. With a longer list more of the others find somebody.",
        *([f"{found.undecodable} of the files are no JPEG or PNG."] if found.undecodable else []),
    ]
