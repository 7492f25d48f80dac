"""What is kept, and how long: the one place that the deleters take their numbers from. Pure.

ingest destroys frames, sightings and waiting evidence by it, alerts destroys alerts by it, an authority covers it, and
`scripts/retention_table.py` writes the table of PRIVACY.md from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from overt.errors import Rejected
from overt.reasons import Reason

DEFAULT_ALERT_RETENTION: Final = timedelta(hours=24)
"""What South Wales Police keep an alert for; the default when a deployment does not say."""
MAX_ALERT_RETENTION: Final = timedelta(days=31)
"""The longest any force keeps one (Met)."""

FRAME_CAP: Final = timedelta(seconds=2)
"""A frame whose analysis takes longer is destroyed unanalysed. Measured lives are a tenth of it."""
SIGHTING_CAP: Final = timedelta(seconds=1)
"""From the capture of the first shot. The person walks on: a later shot is a new first one."""
EVIDENCE_CAP: Final = timedelta(seconds=60)
"""Sealed evidence waits so long for the bus, in memory, and is then destroyed and counted lost."""


@dataclass(frozen=True, slots=True)
class HoldRules:
    """Evidence is kept beyond its alert's expiry only as long as somebody answers for it.

    A hold is asked for with a reason and takes effect when another person has agreed; until then nothing is kept by it.
    It ends by itself at `longest` after it was agreed to at the latest, unless it is asked for and agreed to again, and
    never goes beyond `in_all` from when the alert was raised: what a court needs for longer is disclosed to it.
    """

    longest: timedelta = timedelta(days=31)
    in_all: timedelta = timedelta(days=366)
    shortest_reason: int = 10
    longest_reason: int = 500

    def checked_reason(self, reason: str) -> str:
        """Without white space around it. Rejected(BAD_FIELD) unless it can be one."""
        text = reason.strip()
        if not self.shortest_reason <= len(text) <= self.longest_reason or not text.isprintable():
            raise Rejected(
                Reason.BAD_FIELD,
                f"reason: wants {self.shortest_reason} to {self.longest_reason} characters on one line",
            )
        return text

    def checked_until(self, until: datetime, *, now: datetime, raised_at: datetime) -> datetime:
        """Rejected(BAD_FIELD) unless a hold of an alert raised then may be asked for now until that moment."""
        if not now < until <= self.latest(now=now, raised_at=raised_at):
            raise Rejected(
                Reason.BAD_FIELD,
                f"until: wants a time to come, at most {self.longest.days} days away and {self.in_all.days} days "
                "after the alert was raised",
            )
        return until

    def latest(self, *, now: datetime, raised_at: datetime) -> datetime:
        return min(now + self.longest, raised_at + self.in_all)

    def check_reviewer(self, *, requester: str, reviewer: str) -> None:
        """Subjects of logins. Rejected(SAME_PERSON)."""
        if requester == reviewer:
            raise Rejected(Reason.SAME_PERSON, "whoever asks for a hold or its end does not agree to it as well")


HOLD: Final = HoldRules()

STREAM_CAP: Final = HOLD.in_all + timedelta(days=1)
"""Nothing of an alert stays in the store longer, not even its tombstone, and whatever becomes of alerts itself: the
longest retention there is, and a day in which the expiry may be late."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Of one deployment. Rejected(BAD_FIELD) for a value that no deployment may have; see `of` for what is asked."""

    alert_retention: timedelta = DEFAULT_ALERT_RETENTION
    """From when an alert is raised to when its key is destroyed, unless it is held."""
    frame_cap: timedelta = FRAME_CAP
    sighting_cap: timedelta = SIGHTING_CAP
    hold: HoldRules = HOLD

    def __post_init__(self) -> None:
        for name, most in (
            ("alert_retention", MAX_ALERT_RETENTION),
            ("frame_cap", FRAME_CAP),
            ("sighting_cap", SIGHTING_CAP),
        ):
            if not timedelta(0) < getattr(self, name) <= most:
                raise Rejected(Reason.BAD_FIELD, f"{name}: wants more than no time and at most {in_words(most)}")

    @classmethod
    def of(cls, asked: timedelta) -> Policy:
        """What a deployment asks for its alerts: the default when it does not say, never above the most."""
        return cls(min(asked, MAX_ALERT_RETENTION) if asked > timedelta(0) else DEFAULT_ALERT_RETENTION)

    def expires_at(self, raised_at: datetime) -> datetime:
        return raised_at + self.alert_retention


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of PRIVACY.md's table."""

    what: str
    where: str
    how_long: str


def kept(policy: Policy) -> tuple[Kept, ...]:
    """Everything that is kept of anybody or anything, and how long."""
    hold = policy.hold
    sealed = "JetStream, sealed under the alert's own key"
    until_end = "until the deployment ends: its window closes without a person, the secret is destroyed at that moment"
    return (
        Kept(
            "a frame",
            "memory of ingest and detect",
            "until its verdict: tens to hundreds of milliseconds, measured per camera and printed; "
            f"{in_words(policy.frame_cap)} in analysis at most",
        ),
        Kept("a template of a passer-by", "memory of detect, ingest, match during one search", "the same"),
        Kept(
            "a sighting (candidate that waits for a second shot): crop, masked scene around the person, probes",
            "memory of ingest",
            f"{in_words(policy.sighting_cap)} at most",
        ),
        Kept(
            "sealed evidence of an agreed match, if alerts cannot be reached",
            "memory of ingest",
            f"{in_words(EVIDENCE_CAP)} at most, then destroyed and counted lost",
        ),
        Kept(
            "an agreed alert: probe crop, its copy of the reference, the scene around the person with every other face "
            "blocked out; what people decided about it, and who they were",
            sealed,
            f"{in_words(DEFAULT_ALERT_RETENTION)} unless the deployment says otherwise, "
            f"{in_words(MAX_ALERT_RETENTION)} at most",
        ),
        Kept(
            "an alert under an evidential hold: with a reason, agreed to by somebody else than who asked",
            sealed,
            f"{in_words(hold.longest)} from each agreement, {in_words(hold.in_all)} in all",
        ),
        Kept(
            "of an ambiguous alert also: who the other entry is, and its reference",
            "with the alert, under its key",
            "as the alert",
        ),
        Kept("the list", "JetStream, sealed under the list secret; index in memory", until_end),
        Kept(
            "a cohort in force: templates of people who are neither listed nor passing, without names, with their "
            "source and legal basis",
            "JetStream, sealed under the list secret; memory of match",
            "as the list",
        ),
        Kept(
            "of everybody who was listed: a keyed hash of the `subject_ref` and the entry's random id. Its key is "
            "sealed to the auditor, who alone can ask whether somebody was on the list",
            "JetStream",
            "kept: it answers about a person only to who has the auditor's key and that person's `subject_ref`",
        ),
        Kept("books: counts per camera", "JetStream", "kept: they hold no person"),
        Kept(
            "the record: who did what when, by the subjects of their logins; alerts and entries by their random ids; "
            "destruction records",
            "JetStream",
            "kept: it is what shows all of this",
        ),
        Kept(
            "a deployment's record: its name, cameras with their addresses, who created and who authorised it",
            "JetStream",
            "kept",
        ),
        Kept(
            "of an expired alert: its id, three times, ids of its evidence, whether it was false",
            "JetStream",
            f"until the deployment is purged, which is when its last alert has expired; {in_words(STREAM_CAP)} at most",
        ),
    )


def in_words(span: timedelta) -> str:
    """`31 days`, `24 hours`, `1 second`: the largest unit of which it is a whole number, from two days on in days."""
    seconds = span.total_seconds()
    for unit, size, least in (("day", 86400, 2), ("hour", 3600, 1), ("minute", 60, 2), ("second", 1, 1)):
        if seconds % size == 0 and seconds // size >= least:
            n = int(seconds // size)
            return f"{n} {unit}{'' if n == 1 else 's'}"
    return f"{seconds:g} seconds"
