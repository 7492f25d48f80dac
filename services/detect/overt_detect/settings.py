"""The settings of detect. Without NATS and without a data directory: it keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from overt.settings import ServiceSettings, SocketPath
from pydantic import Field


class Settings(ServiceSettings):
    """OVERT_* variables; see README.md for what each one changes."""

    model_dir: Path | None = Field(
        None, description="the directory of the prepared model packs; unset: ~/.cache/overt/models"
    )
    model_pack: str = Field("open", description="the name of a model pack, or the path of a manifest (.toml)")
    engine: Literal["auto", "openvino", "onnxruntime"] = Field("auto", description="auto, openvino or onnxruntime")
    execution_provider: str = Field(
        "CPUExecutionProvider", description="the name of an ONNX Runtime execution provider"
    )
    device: str = Field("CPU", description="the name of an OpenVINO device")
    precision: Literal["auto", "f32", "bf16"] = Field("auto", description="auto, f32 or bf16")
    intra_op_threads: int = Field(
        1, ge=1, le=64, description="threads that share one inference, 1 to 64; streams scale with OVERT_WORKERS"
    )
    workers: int = Field(
        0, ge=0, le=256, description="pictures analysed at the same time, at most 256; 0: one a processor"
    )
    ring_socket: SocketPath | None = Field(
        None, description="the absolute path of the socket at which ingest hands out its rings; unset: none"
    )
    most_streams: int = Field(64, ge=1, le=4096, description="Analyse streams at the same time, 1 to 4096")
    smallest_face_px: float = Field(
        40, ge=24, le=1024, description="pixels of the longer side of the smallest face that matters, 24 to 1024"
    )
    largest_input_px: int = Field(
        1920, ge=128, le=4096, description="pixels of the longer side of what the detector is given, at most 4096"
    )
    detection_score: float = Field(
        0.5, ge=0.1, le=0.7, description="the detector's score from which a face is reported, 0.1 to 0.7"
    )
