"""Which runtime and precision this process uses: what was asked for, else the fastest that proves itself."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from overt.errors import Fatal
from overt.models import PreparedPack
from overt.telemetry import get_logger

from overt_detect.adapters import parity
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs import BF16, F32, Runtime
from overt_detect.adapters.graphs.onnx_runtime import CPU_PROVIDER, OnnxRuntime
from overt_detect.ports import Picture

AUTO = "auto"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """As the settings have them. `threads` share one inference, `streams` inferences run at the same time."""

    engine: str = AUTO
    provider: str = CPU_PROVIDER
    device: str = "CPU"
    precision: str = AUTO
    threads: int = 1
    streams: int = 1
    smallest_score: float = 0.5


@dataclass(frozen=True, slots=True)
class Chosen:
    """`parity`: the smallest cosine between its templates and the exact engine's; 0 if nothing was there to check."""

    engine: OnnxEngine
    parity: float


def choose(prepared: PreparedPack, wishes: Wishes) -> Chosen:
    """An engine that agrees with f32 on ONNX Runtime's processor provider, ready for pictures of full HD cameras.

    Fatal when nothing of what was asked for is here, or nothing agrees. Blocks for about a second.
    """
    try:
        return _chosen(prepared, wishes)
    finally:
        _give_back()


def _chosen(prepared: PreparedPack, wishes: Wishes) -> Chosen:
    candidates = _candidates(wishes)
    seen = None if _is_exact(*candidates[0]) else parity.picture()
    # The reference is made on another core meanwhile, and gone when this returns.
    with ThreadPoolExecutor(1, thread_name_prefix="parity") as beside:
        reference = None if seen is None else beside.submit(_refer, prepared, wishes, seen)
        for runtime, precision in candidates:
            engine = _load(prepared, runtime, precision, wishes)
            engine.prepare(parity.WIDTH, parity.HEIGHT)
            if _is_exact(runtime, precision):
                return Chosen(engine, 1.0)
            if reference is not None:
                found = parity.compare(engine, reference.result())
                if found.holds:
                    return Chosen(engine, found.cosine)
                _refused(runtime, precision, "parity", found)
            else:
                _refused(runtime, precision, "not_checked")
                if precision in (F32, wishes.precision):
                    return Chosen(engine, 0.0)
    raise Fatal(
        f"{_asked(wishes)}: on this machine it does not agree with {F32}; the log says by how much. "
        f"Set OVERT_PRECISION={F32} or OVERT_ENGINE={OnnxRuntime.engine}"
    )


def _candidates(wishes: Wishes) -> list[tuple[Runtime, str]]:
    """In the order in which they are tried. Fatal when there is none."""
    found: list[tuple[Runtime, str]] = []
    for runtime in _runtimes(wishes):
        if wishes.precision == AUTO and BF16 not in runtime.precisions and runtime.engine != OnnxRuntime.engine:
            _refused(runtime, BF16, "not_supported")
        found += [(runtime, p) for p in runtime.precisions if wishes.precision in (AUTO, p)]
    if not found:
        raise Fatal(f"{_asked(wishes)}: this machine cannot do that. Set OVERT_PRECISION to {AUTO} or {F32}")
    return found


def _runtimes(wishes: Wishes) -> Iterator[Runtime]:
    # Whoever names an execution provider means ONNX Runtime.
    automatic = wishes.engine == AUTO and wishes.provider == CPU_PROVIDER
    if automatic or wishes.engine == "openvino":
        try:
            from overt_detect.adapters.graphs.open_vino import OpenVino

            yield OpenVino(wishes.device, threads=wishes.threads, streams=wishes.streams)
        except ImportError as fault:
            if not automatic:
                raise Fatal(f"OVERT_ENGINE: OpenVINO cannot be loaded ({fault.name}); install overt[detect]") from None
            log.warning("engine_refused", engine="openvino", reason="not_installed")
    if automatic or wishes.engine != "openvino":
        yield OnnxRuntime(wishes.provider, threads=wishes.threads)


def _load(prepared: PreparedPack, runtime: Runtime, precision: str, wishes: Wishes) -> OnnxEngine:
    return OnnxEngine(
        prepared, runtime, precision=precision, smallest_score=wishes.smallest_score, threads=wishes.threads
    )


def _refer(prepared: PreparedPack, wishes: Wishes, seen: Picture) -> parity.Reference:
    return parity.refer(_load(prepared, OnnxRuntime(threads=wishes.threads), F32, wishes), seen)


def _is_exact(runtime: Runtime, precision: str) -> bool:
    return (runtime.engine, runtime.provider, precision) == (OnnxRuntime.engine, CPU_PROVIDER, F32)


def _refused(runtime: Runtime, precision: str, reason: str, found: parity.Parity | None = None) -> None:
    """`found`: how far it disagreed."""
    cosine, overlap = (round(found.cosine, 5), round(found.overlap, 3)) if found else (None, None)
    log.warning(
        "precision_refused",
        engine=runtime.engine,
        precision=precision,
        reason=reason,
        parity=cosine,
        overlap=overlap,
    )


def _asked(wishes: Wishes) -> str:
    return f"OVERT_ENGINE={wishes.engine}, OVERT_PRECISION={wishes.precision}"


def _give_back() -> None:
    """What the reference and the making of graphs took: 140 MB that glibc would keep for this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        gc.collect()
        trim(0)
