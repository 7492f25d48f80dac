"""Graphs on ONNX Runtime: the reference that the others are compared with, and the one for other devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from overt.errors import Fatal

from overt_detect.adapters.graphs import F32, Blob, Shape, Tensor
from overt_detect.adapters.ort import onnxruntime

CPU_PROVIDER = "CPUExecutionProvider"
_ERRORS_ONLY = 3
"""Published detectors state the size of their outputs for one picture size; ONNX Runtime would warn of any other
at every call."""


class OnnxRuntime:
    """One execution provider. `threads` share one inference; several inferences may run at once."""

    engine = "onnxruntime"
    precisions = (F32,)

    def __init__(self, provider: str = CPU_PROVIDER, *, threads: int = 1) -> None:
        """Fatal when this build of ONNX Runtime has no such provider."""
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise Fatal(f"OVERT_EXECUTION_PROVIDER: there is no {provider} here, only {', '.join(available)}")
        self.provider = provider
        self._threads = threads

    def load(self, content: bytes, precision: str = F32, *, only: Shape | None = None) -> OnnxGraph:
        # `only` changes nothing here: a session takes what comes.
        if precision != F32:
            raise Fatal(f"ONNX Runtime runs these graphs in {F32} only, not in {precision}")
        session = onnxruntime.InferenceSession(content, self._options(), providers=[self.provider])
        if session.get_providers()[0] != self.provider:
            raise Fatal(f"OVERT_EXECUTION_PROVIDER: {self.provider} does not run the graph on this machine")
        return OnnxGraph(session, self.provider)

    def _options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Threads that spin while they wait take the processor from whoever works: measured, twice as slow.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options


class OnnxGraph:
    """A session, which is safe from every thread."""

    engine = OnnxRuntime.engine
    precision = F32

    def __init__(self, session: onnxruntime.InferenceSession, provider: str) -> None:
        self._session = session
        self.provider = provider
        self.input, *others = (_tensor(i) for i in session.get_inputs())
        if others:
            raise Fatal(f"the graph has {1 + len(others)} inputs; one picture was expected")
        self.outputs = tuple(_tensor(o) for o in session.get_outputs())
        self._names = [o.name for o in self.outputs]

    def __call__(self, blob: Blob) -> dict[str, Blob]:
        found = self._session.run(self._names, {self.input.name: blob})
        return {name: np.asarray(value, np.float32) for name, value in zip(self._names, found, strict=True)}

    @contextmanager
    def seen(self, blob: Blob) -> Iterator[dict[str, Blob]]:
        yield self(blob)

    def prepare(self, shape: Shape) -> None:
        """One run: the session's memory grows to what it needs."""
        self(np.zeros(shape, np.float32))


def _tensor(told: onnxruntime.NodeArg) -> Tensor:
    return Tensor(told.name, tuple(d if isinstance(d, int) else str(d) for d in told.shape))
