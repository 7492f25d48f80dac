"""The report of `overt evaluate fusing`."""

from __future__ import annotations

from collections.abc import Sequence

from overt_lab.evaluate import report_fusing
from overt_lab.evaluate.fusing import DRAWS, Case
from overt_lab.evaluate.page.document import document, paragraph, section, table
from overt_lab.evaluate.page.setting import Setting


def page(cases: Sequence[Case], setting: Setting) -> str:
    return document(
        kind="Overt · evaluation · several pictures of one person",
        title="Several shots, several references",
        lead="What several shots of a track, or several references of an entry, gain over one of each. Pictures of one "
        "person stand for both; shots of a track are more alike than these, and gain less.",
        parts=[
            *setting.first(),
            section(
                "The figures",
                *(
                    table(
                        f"{case.count} {case.kind}, {case.people} people",
                        ["rule", *report_fusing.HEAD[1:]],
                        report_fusing.rows(case),
                    )
                    for case in cases
                ),
                paragraph(
                    "At the score that strangers reach at the stated rate with one shot and one reference: how many "
                    "times as often strangers reach it by each rule, and how many of the right ones are missed; then "
                    f"how many are missed where strangers are as rare as with one. Pictures were drawn {DRAWS} times.",
                    "note",
                ),
            ),
            setting.section(),
        ],
    )
