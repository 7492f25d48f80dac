"""Graphs on OpenVINO, measured on two cores with bf16 (ONNX Runtime takes twice as long).

One stream a worker: with `NUM_STREAMS` 1 the calls of two threads wait for one another (120 detections/s from two
threads, 235 with two streams). A graph compiled for one shape beats one for any shape by 8 %, and by 30 % where
shapes alternate, so shapes that come often get their own. Threads are not pinned: it gained nothing here, and
other services share the cores.

Reads from bytes, writes no cache. What remains of a picture afterwards lies in the runtime's own working memory,
until the next picture is written over it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import openvino as ov
from overt.errors import Fatal
from overt.telemetry import get_logger

from overt_detect.adapters.graphs import BF16, F32, Blob, Shape, Tensor

log = get_logger(__name__)

MOST_SHAPES = 8
"""Graphs of their own, each some 15 MB a worker. Cameras mostly agree on one or two sizes."""
OFTEN = 8
"""Calls with a shape before it gets a graph: references of many sizes are found once each."""
_IDLE_S = 60.0
"""Not asked for as long as this, a shape gives its place to another. Those in use never take turns: a graph takes
0.2 s to compile."""

Compile = Callable[[ov.Model], ov.CompiledModel]


@cache
def _core() -> ov.Core:
    """The process's one, for as long as it lives. The CPU plugin of a Core makes the stack on which the thread that
    loaded it handles signals, and takes it away in whatever thread lets go of the last graph: the next signal then
    kills the process without a word."""
    return ov.Core()


class OpenVino:
    """One device. `threads` share one inference; `streams` inferences run at the same time."""

    engine = "openvino"

    def __init__(self, device: str = "CPU", *, threads: int = 1, streams: int = 1) -> None:
        """Fatal when OpenVINO finds no such device."""
        self._core = _core()
        available = self._core.available_devices
        if device not in available:
            raise Fatal(f"OVERT_DEVICE: OpenVINO finds no {device} here, only {', '.join(available)}")
        self.provider = device
        self._threads, self._streams = threads, streams
        capable = self._core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        self.precisions = (BF16, F32) if "BF16" in capable else (F32,)

    def load(self, content: bytes, precision: str = F32, *, only: Shape | None = None) -> OpenVinoGraph:
        model = self._core.read_model(model=content)
        if only is not None:
            model.reshape(list(only))
        if len(model.inputs) != 1:
            raise Fatal(f"the graph has {len(model.inputs)} inputs; one picture was expected")
        wishes = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": self._streams,
        }
        if self.provider == "CPU":
            wishes |= {"INFERENCE_NUM_THREADS": self._streams * self._threads, "ENABLE_CPU_PINNING": False}
        return OpenVinoGraph(
            model, lambda m: self._core.compile_model(m, self.provider, wishes), self.provider, precision
        )


class OpenVinoGraph:
    """A model, compiled as it is when first needed, and once more for each shape that comes often.

    The latter happens in a thread of its own, one at a time: a stream of frames does not stop for it.
    """

    engine = OpenVino.engine

    def __init__(self, model: ov.Model, compile_model: Compile, provider: str, precision: str) -> None:
        self._model = model
        self._compile = compile_model
        self.provider, self.precision = provider, precision
        (self.input,) = (_tensor(i) for i in model.inputs)
        self.outputs = tuple(_tensor(o) for o in model.outputs)
        self._names = [o.name for o in self.outputs]
        self._one_shape = not model.is_dynamic()
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        self._general: _Compiled | None = None
        self._own: OrderedDict[Shape, _Compiled] = OrderedDict()
        self._calls: Counter[Shape] = Counter()
        self._busy = False

    def __call__(self, blob: Blob) -> dict[str, Blob]:
        with self.seen(blob) as outputs:
            return {name: value.copy() for name, value in outputs.items()}

    @contextmanager
    def seen(self, blob: Blob) -> Iterator[dict[str, Blob]]:
        compiled = None if self._one_shape else self._for(blob.shape)
        with (compiled or self._for_any()).seen(blob) as outputs:
            yield dict(zip(self._names, outputs, strict=True))

    def prepare(self, shape: Shape) -> None:
        self._for_any()
        with self._lock:
            there = self._one_shape or shape in self._own
        if not there:
            self._make(shape)

    def _for(self, shape: Shape) -> _Compiled | None:
        """The graph of its own that a shape has, if any. Sees to it that shapes that come often get one."""
        with self._lock:
            compiled = self._own.get(shape)
            if compiled is not None:
                self._own.move_to_end(shape)
                compiled.used = time.monotonic()
                return compiled
            if len(self._calls) > 64 * MOST_SHAPES:
                self._calls.clear()
            self._calls[shape] += 1
            if self._calls[shape] < OFTEN or self._busy or not self._has_room():
                return None
            del self._calls[shape]
            self._busy = True
        # Not a daemon: a process that ends in the middle of the compiler may crash. It takes 0.2 s.
        threading.Thread(target=self._make_beside, args=(shape,), name="graph-for-a-shape").start()
        return None

    def _has_room(self) -> bool:
        if len(self._own) < MOST_SHAPES:
            return True
        least_used = next(iter(self._own.values()))
        return time.monotonic() - least_used.used > _IDLE_S

    def _make_beside(self, shape: Shape) -> None:
        try:
            self._make(shape)
        except RuntimeError as fault:
            # The general graph goes on serving the shape.
            log.warning("graph_not_made", error=type(fault).__name__)
        finally:
            self._busy = False

    def _make(self, shape: Shape) -> None:
        with self._compiling:
            model = self._model.clone()
            model.reshape(list(shape))
            compiled = _Compiled(self._compile(model))
        with compiled.seen(np.zeros(shape, np.float32)):
            pass  # the first run takes longer
        with self._lock:
            while len(self._own) >= MOST_SHAPES:
                self._own.popitem(last=False)
            self._own[shape] = compiled

    def _for_any(self) -> _Compiled:
        if self._general is None:
            with self._compiling:
                if self._general is None:
                    self._general = _Compiled(self._compile(self._model))
                    if self._one_shape:
                        # The weights are a third of what such a graph takes, and nothing is made of them any more.
                        del self._model
        return self._general


class _Compiled:
    """A compiled model and its idle requests: as many as calls have run at the same time."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled = compiled
        self._outputs = len(compiled.outputs)
        self._idle: deque[ov.InferRequest] = deque()
        self._nothing: tuple[Shape, ov.Tensor] = (0,), ov.Tensor(ov.Type.f32, (0,))
        self.used = time.monotonic()

    @contextmanager
    def seen(self, blob: Blob) -> Iterator[list[Blob]]:
        """Views of the request's own memory, which is another call's after the block."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        # Shared: not copied. The request must not keep it, for it is a picture.
        request.set_input_tensor(ov.Tensor(np.ascontiguousarray(blob), shared_memory=True))
        try:
            request.infer(share_outputs=True)
        finally:
            request.set_input_tensor(self._instead_of(blob.shape))
        yield [request.get_output_tensor(i).data for i in range(self._outputs)]
        self._idle.append(request)

    def _instead_of(self, shape: Shape) -> ov.Tensor:
        """A tensor of that shape that nobody reads or writes: it takes addresses and no memory."""
        made_for, tensor = self._nothing
        if made_for != shape:
            self._nothing = shape, (tensor := ov.Tensor(ov.Type.f32, shape))
        return tensor


def _tensor(told: ov.Output) -> Tensor:
    shape = told.get_partial_shape()
    return Tensor(told.get_any_name(), tuple(d.get_length() if d.is_static else str(d) for d in shape))
