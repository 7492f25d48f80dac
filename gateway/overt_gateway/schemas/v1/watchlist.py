"""The list on the wire: never with a template or a picture."""

from __future__ import annotations

from datetime import datetime

from overt.categories import Category
from pydantic import BaseModel, ConfigDict, Field

from overt_gateway.import_result import ImportResult
from overt_gateway.ports import EntrySummary, ListView


def category_label(category: str) -> str:
    """What people read."""
    try:
        return Category(category).label
    except ValueError:
        return category


class EntryOut(BaseModel):
    id: str
    subject_ref: str
    category: str
    category_label: str
    expires_at: datetime
    under_18: bool
    references: int = Field(description="how many reference pictures")

    @classmethod
    def of(cls, entry: EntrySummary) -> EntryOut:
        return cls(
            id=entry.entry_id,
            subject_ref=entry.subject_ref,
            category=entry.category,
            category_label=category_label(entry.category),
            expires_at=entry.expires_at,
            under_18=entry.under_18,
            references=entry.references,
        )


class ListOut(BaseModel):
    deployment: str
    authority: str
    revision: int
    sealed: bool
    size: int
    model_digest: str | None
    entries: list[EntryOut]

    @classmethod
    def of(cls, deployment: str, authority: str, view: ListView) -> ListOut:
        return cls(
            deployment=deployment,
            authority=authority,
            revision=view.revision,
            sealed=view.sealed,
            size=len(view.entries),
            model_digest=view.model_digest or None,
            entries=[EntryOut.of(entry) for entry in view.entries],
        )


class RefusalOut(BaseModel):
    row: int = Field(description="as a spreadsheet shows it: the header is row 1")
    image: str
    subject_ref: str
    reason: str
    message: str


class NearDuplicateOut(BaseModel):
    """The entry of this row went in, and may be the same person as another entry."""

    row: int = Field(description="its first, as a spreadsheet shows it")
    image: str
    subject_ref: str
    other_entry_id: str
    other_subject_ref: str
    cosine: float = Field(description="of their most alike reference pictures, raw")


class ImportOut(BaseModel):
    """`rows` is always `pictures` plus the number of `refused`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": 1800,
                    "pictures": 1799,
                    "accepted": 1640,
                    "size": 1640,
                    "revision": 12,
                    "refused": [
                        {
                            "row": 1043,
                            "image": "1042.jpg",
                            "subject_ref": "case-2231",
                            "reason": "several_faces",
                            "message": "two faces or more are in the picture",
                        }
                    ],
                    "near_duplicates": [
                        {
                            "row": 311,
                            "image": "310.jpg",
                            "subject_ref": "case-1907",
                            "other_entry_id": "8f14e45f-ceea-467f-a83c-0a6f1c7b2d10",
                            "other_subject_ref": "case-0412",
                            "cosine": 0.7134,
                        }
                    ],
                }
            ]
        }
    )

    rows: int
    pictures: int
    accepted: int = Field(description="entries (people) that this upload added")
    size: int = Field(description="entries on the list now")
    revision: int
    refused: list[RefusalOut]
    near_duplicates: list[NearDuplicateOut] = Field(
        description="entries that went in and look like another one on the list: at most one each, the most alike"
    )

    @classmethod
    def of(cls, result: ImportResult) -> ImportOut:
        return cls(
            rows=result.rows,
            pictures=result.pictures,
            accepted=result.accepted,
            size=result.size,
            revision=result.revision,
            refused=[
                RefusalOut(
                    row=refusal.row,
                    image=refusal.image,
                    subject_ref=refusal.subject_ref,
                    reason=refusal.reason.value,
                    message=refusal.message,
                )
                for refusal in result.refused
            ],
            near_duplicates=[
                NearDuplicateOut(
                    row=alike.row,
                    image=alike.image,
                    subject_ref=alike.subject_ref,
                    other_entry_id=alike.other_entry_id,
                    other_subject_ref=alike.other_subject_ref,
                    cosine=round(alike.cosine, 4),
                )
                for alike in result.near_duplicates
            ],
        )


class RemovedOut(BaseModel):
    revision: int
