"""Reads what the services say of themselves (Prometheus) and what the kernel says of them (/proc)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from overt.errors import Fatal
from overt.telemetry import Metric
from prometheus_client.parser import text_string_to_metric_families

_TICKS = os.sysconf("SC_CLK_TCK")
_TIMEOUT_S = 5.0

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Page:
    """One reading of a service's metrics, or the difference of two."""

    values: Mapping[tuple[str, Labels], float] = field(repr=False)

    def __sub__(self, earlier: Page) -> Page:
        return Page({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})

    def total(self, name: str, **labels: str) -> float:
        """Of every series with these labels, whatever its others are."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.values.items() if found == name and wanted <= has)

    def counter(self, metric: Metric, **labels: str) -> int:
        return round(self.total(f"{metric.value.name}_total", **labels))

    def counted(self, metric: Metric, **labels: str) -> int:
        """How many values a histogram has."""
        return round(self.total(f"{_histogram(metric)}_count", **labels))

    def summed(self, metric: Metric, **labels: str) -> float:
        return self.total(f"{_histogram(metric)}_sum", **labels)

    def quantile(self, metric: Metric, part: float, **labels: str) -> float | None:
        """In the metric's unit, evenly spread within a bucket as Prometheus' histogram_quantile has it: exact at the
        buckets' edges (see `overt.telemetry.metrics.BOUNDARIES`). None without values."""
        name, wanted = f"{_histogram(metric)}_bucket", set(labels.items())
        at: dict[float, float] = {}
        for (found, has), value in self.values.items():
            if found == name and wanted <= has:
                edge = float(dict(has)["le"])
                at[edge] = at.get(edge, 0.0) + value
        return quantile(sorted(at.items()), part)


def quantile(cumulative: list[tuple[float, float]], part: float) -> float | None:
    """`cumulative`: (upper edge, how many are not above it), the last edge infinite. A quantile above the last finite
    edge is that edge."""
    count = cumulative[-1][1] if cumulative else 0.0
    if count <= 0:
        return None
    rank, edge_before, count_before = part * count, 0.0, 0.0
    for edge, so_far in cumulative:
        if so_far >= rank:
            if edge == float("inf"):
                return edge_before
            here = so_far - count_before
            return edge_before + (edge - edge_before) * ((rank - count_before) / here if here else 1.0)
        edge_before, count_before = edge, so_far
    return edge_before


def parse(text: str) -> Page:
    """Prometheus' text format."""
    return Page(
        {
            (sample.name, frozenset(sample.labels.items())): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def read_page(address: str) -> Page:
    """`address`: host:port of a service's metrics on this machine. Fatal if nobody answers there."""
    try:
        # Never through a web proxy, whatever http_proxy says.
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(f"http://{address}/metrics")
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Fatal(f"a service does not tell its metrics at {address}: see its log") from error
    return parse(answer.text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor seconds, user and system: of each process by name, and of the whole machine."""

    of: Mapping[str, float]
    machine: float

    def __sub__(self, earlier: Cpu) -> Cpu:
        """Fatal if a process was replaced in between: nothing can be said of the time then."""
        spent = {name: seconds - earlier.of[name] for name, seconds in self.of.items()}
        for name, seconds in spent.items():
            if seconds < 0:
                raise Fatal(f"{name} ended and was started again while it was measured: see its log")
        return Cpu(spent, self.machine - earlier.machine)

    def together(self, *, without: Iterable[str] = ()) -> float:
        left_out = set(without)
        return sum(seconds for name, seconds in self.of.items() if name not in left_out)


def cpu_now(processes: Mapping[str, int]) -> Cpu:
    """`processes`: pids by name. Includes children that have ended."""
    return Cpu({name: _spent(pid) for name, pid in processes.items()}, _machine())


def _spent(pid: int) -> float:
    try:
        # After the name, which is in brackets and may hold anything: state is field 3, utime 14 to cstime 17.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise Fatal("a service ended while it was measured: see its log") from error
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def _machine() -> float:
    """user nice system - - irq softirq of all processors, see proc(5); what a hypervisor took is nobody's here."""
    numbers = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(numbers[0:3]) + sum(numbers[5:7])) / _TICKS


def _histogram(metric: Metric) -> str:
    unit = {"ms": "_milliseconds", "By": "_bytes"}.get(metric.value.unit, "")
    return f"{metric.value.name}{unit}"
