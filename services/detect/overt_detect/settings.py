"""The settings of detect. Without NATS and without a data directory: it keeps nothing."""

from __future__ import annotations

from pathlib import Path

from overt.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """OVERT_* variables; see README.md for what each one changes."""

    model_dir: Path | None = Field(
        None, description="the directory of the prepared model packs; unset: ~/.cache/overt/models"
    )
    model_pack: str = Field("open", description="the name of a model pack, or the path of a manifest (.toml)")
    execution_provider: str = Field(
        "CPUExecutionProvider", description="the name of an ONNX Runtime execution provider"
    )
    intra_op_threads: int = Field(
        1, ge=1, le=64, description="threads that share one inference, 1 to 64; streams scale with OVERT_WORKERS"
    )
    workers: int = Field(
        0, ge=0, le=256, description="pictures analysed at the same time, at most 256; 0: one a processor"
    )
    most_streams: int = Field(64, ge=1, le=4096, description="Analyse streams at the same time, 1 to 4096")
    detection_width: int = Field(
        960, ge=128, le=4096, description="pixels of the longer side at which faces are searched, 128 to 4096"
    )
    smallest_face_px: float = Field(
        36, ge=16, le=1024, description="pixels of the longer side of the smallest face tracked, 16 to 1024"
    )
    detection_score: float = Field(
        0.5, ge=0.1, le=0.95, description="the detector's score from which a face is reported, 0.1 to 0.95"
    )
