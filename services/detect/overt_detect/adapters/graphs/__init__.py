"""Prepared networks behind one small port, whatever runs them.

`Runtime` loads, `Graph` runs. The algorithms that use them (yunet, scrfd, arcface) know neither ONNX Runtime nor
OpenVINO.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Blob = NDArray[np.float32]
Shape = tuple[int, ...]

F32 = "f32"
BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output. A dimension that is no number may be anything."""

    name: str
    shape: tuple[int | str, ...]


class Graph(Protocol):
    """A prepared network with one input. Safe from every thread at once."""

    @property
    def engine(self) -> str:
        """`onnxruntime` or `openvino`."""
        ...

    @property
    def provider(self) -> str:
        """The execution provider or device: `CPUExecutionProvider`, `CPU`."""
        ...

    @property
    def precision(self) -> str:
        """`f32` or `bf16`: of the arithmetic. What goes in and comes out is float32 either way."""
        ...

    @property
    def input(self) -> Tensor: ...

    @property
    def outputs(self) -> Sequence[Tensor]: ...

    def __call__(self, blob: Blob) -> dict[str, Blob]:
        """The outputs by their names, the caller's own. Blocks; keeps no reference to the blob."""
        ...

    def seen(self, blob: Blob) -> AbstractContextManager[dict[str, Blob]]:
        """The same without copying them: to be read within the block, by whoever wants a few of many numbers."""
        ...

    def prepare(self, shape: Shape) -> None:
        """Does now what the first calls with blobs of this shape would otherwise pay for. Blocks, up to 0.5 s."""
        ...


class Runtime(Protocol):
    """Loads graphs from bytes: the very bytes that were verified."""

    @property
    def engine(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def precisions(self) -> Sequence[str]:
        """What this machine can do, the fastest first."""
        ...

    def load(self, content: bytes, precision: str, *, only: Shape | None = None) -> Graph:
        """`content`: an ONNX file with one float32 input. `only`: no blob of another shape will come.

        Fatal when the provider cannot run it. Blocks, up to 0.5 s.
        """
        ...
