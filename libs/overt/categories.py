"""Why somebody may be on a list: a closed set (DPA practice; see docs). Anything else is refused at import."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """The value is what manifests, REST and alerts carry; `label` is what people read."""

    WANTED_BY_COURT = "wanted_by_court"
    SUSPECTED_OF_OFFENCE = "suspected_of_offence"
    BREACH_OF_CONDITIONS = "breach_of_conditions"
    RECALL_TO_PRISON = "recall_to_prison"
    MISSING_AT_RISK = "missing_at_risk"
    RISK_OF_HARM = "risk_of_harm"
    OTHER = "other"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Category.WANTED_BY_COURT: "Wanted by a court",
    Category.SUSPECTED_OF_OFFENCE: "Suspected of an offence",
    Category.BREACH_OF_CONDITIONS: "Breach of bail, order, licence or tag conditions",
    Category.RECALL_TO_PRISON: "Recall to prison",
    Category.MISSING_AT_RISK: "Missing and at risk",
    Category.RISK_OF_HARM: "Poses a risk of harm",
    Category.OTHER: "Other, with the authorising officer's reason",
}
