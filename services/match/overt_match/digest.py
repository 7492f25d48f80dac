"""What a list is known by. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from overt_match.domain import Entry


def list_digest(deployment_id: str, model_digest: str, entries: Collection[Entry], calibration_digest: str = "") -> str:
    """SHA-256, hex, over the list as canonical JSON: entries by id, each template and picture by its own hash.

    What an authority covers: any change of who is listed, why, by which picture, under which model or which calibration
    changes it; the order of import, the parts and the sealing do not.
    """
    about = {"deployment": deployment_id, "model_digest": model_digest}
    if calibration_digest:
        about["calibration"] = calibration_digest
    digest = hashlib.sha256(_canonical(about))
    for entry in sorted(entries, key=lambda e: e.entry_id):
        digest.update(
            _canonical(
                {
                    "entry_id": entry.entry_id,
                    "subject_ref": entry.subject_ref,
                    "category": entry.category,
                    "legal_basis": entry.legal_basis,
                    "image_source": entry.image_source,
                    "reason": entry.reason,
                    "expires_at": entry.expires_at.isoformat(),
                    "under_18": entry.under_18,
                    "references": [
                        [r.template_sha256.hex(), hashlib.sha256(r.jpeg).hexdigest()] for r in entry.references
                    ],
                }
            )
        )
    return digest.hexdigest()


def _canonical(value: object) -> bytes:
    # One line each: a JSON text holds no raw line end, so no two lists give the same bytes.
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
