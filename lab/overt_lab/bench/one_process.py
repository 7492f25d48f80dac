"""The same stages without services, as a child process: python -m overt_lab.bench.one_process FILE, and its task as
JSON on standard input.

One loop calls decode, convert, detect, track, align, template and exact search, with detect's engine, settings and
shot rule. `part` of the pictures, evenly spread, are analysed (as many as the services managed to); nothing is booked
for the others, not even that they were decoded. What the search says goes back into the analysis as ingest tells it: a
candidate waits for a second shot, an agreed one is settled. `listed` are the templates of the clip's people who are on
the list. `flat`: so many pictures without anybody come after each turn, as the services get them; nothing is booked for
their decoding.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from overt.scoring import SHORTLIST, Candidate, ProbeScores, VerdictKind, decide

from overt_lab.bench.children import tell
from overt_lab.bench.footage import GAP_S
from overt_lab.bench.listing import LIST_SIZE, random_list
from overt_lab.bench.stages import Spent, Stages, build, decoded, shots, to_pixels

THRESHOLD = 0.4
_MOST_PROBES = 8


class Watch:
    """What ingest and match remember of one stream's tracks, in its simplest form."""

    def __init__(self, listed: NDArray[np.float32]) -> None:
        self._listed = listed
        self._probes: dict[int, list[ProbeScores]] = {}
        self.pending: set[int] = set()
        self.settled: set[int] = set()

    def search(self, track: int, template: NDArray[np.float32], at: float) -> None:
        scores = self._listed @ template
        best = np.argpartition(scores, -SHORTLIST)[-SHORTLIST:]
        probe = ProbeScores(
            datetime.fromtimestamp(at, UTC), [Candidate(str(place), float(scores[place])) for place in best]
        )
        probes = [*self._probes.get(track, []), probe][-_MOST_PROBES:]
        verdict = decide(probes, threshold=THRESHOLD)
        self.pending.discard(track)
        if verdict.kind is VerdictKind.PENDING:
            self._probes[track] = probes
            self.pending.add(track)
        elif verdict.kind is VerdictKind.AGREED:
            self.settled.add(track)

    def forget(self, tracks: tuple[int, ...]) -> None:
        for track in tracks:
            self._probes.pop(track, None)
            self.pending.discard(track)
            self.settled.discard(track)


class Loop:
    """One clip, turn after turn, on one clock: tracks end in the silence between."""

    def __init__(self, stages: Stages, listed: NDArray[np.float32], part: float) -> None:
        self._spent = Spent()
        self._stream = stages.stream(self._spent)
        self._watch = Watch(listed)
        self._part = part
        self.analysed = 0
        self.faces = 0
        self.templates = 0
        self.cpu_seconds = 0.0
        self.took_ms: list[float] = []
        """Of each analysed picture, from compressed to searched, by the clock on the wall."""

    def turn(self, path: Path, fps: float, *, began: float) -> float:
        """Once through the clip, captured from `began` seconds on; how long it lasts."""
        frames = decoded(path)
        place = 0
        while True:
            cpu, began_at = time.process_time(), time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return place / fps
            if self._is_due(place):
                self._spent.book("decode", time.process_time() - cpu)
                self._analyse(frame, began + place / fps)
                self.took_ms.append((time.perf_counter() - began_at) * 1e3)
                self.cpu_seconds += time.process_time() - cpu
            place += 1

    def lens_covered(self, pictures: int, width: int, height: int, fps: float, *, began: float) -> None:
        """So many flat pictures, captured from `began` seconds on."""
        flat = av.VideoFrame(width, height, "yuv420p")
        for plane in flat.planes:
            plane.update(b"\x80" * plane.buffer_size)
        for place in filter(self._is_due, range(pictures)):
            cpu = time.process_time()
            self._analyse(flat, began + place / fps)
            self.cpu_seconds += time.process_time() - cpu

    def _is_due(self, place: int) -> bool:
        """At these the count of those that are analysed goes up by one."""
        return int((place + 1) * self._part) > int(place * self._part)

    def _analyse(self, frame: Any, at: float) -> None:
        pixels = self._spent.on("convert", to_pixels)(frame)
        watch = self._watch
        found = self._stream.analyse(lambda: pixels, at=at, pending=watch.pending, settled=watch.settled)
        taken = shots(found)
        search = self._spent.on("search", watch.search)
        for track, template in taken:
            search(track, template, at)
        watch.forget(found.ended)
        self.analysed += 1
        self.faces += len(found.faces)
        self.templates += len(taken)

    def stage_ms(self) -> dict[str, float]:
        """Processor time a picture analysed."""
        return {stage: seconds / max(self.analysed, 1) * 1e3 for stage, seconds in self._spent.seconds.items()}


def measure(
    path: Path, *, fps: float, width: int, height: int, part: float, turns: int, listed: list[list[float]], flat: int
) -> dict[str, Any]:
    """`fps`: the clip's. Times are processor time unless their name says otherwise (`fps`, `took_ms`)."""
    stages = build()
    length = stages.prepared.pack.template_length
    known = np.asarray(listed, np.float32).reshape(-1, length)
    everybody = np.concatenate([known, random_list(length, LIST_SIZE - len(known))])
    Loop(stages, everybody, part=0.1).turn(path, fps, began=0.0)  # caches fill, threads start
    loop, at = Loop(stages, everybody, part), 0.0
    for number in range(turns):
        at += loop.turn(path, fps, began=at)
        loop.lens_covered(flat, width, height, fps, began=at)
        at += GAP_S
        tell(done=number + 1, of=turns)
    analysed = max(loop.analysed, 1)
    return {
        "cpu_seconds_per_frame": loop.cpu_seconds / analysed,
        "fps": len(loop.took_ms) / (sum(loop.took_ms) / 1e3),
        "part": part,
        "stage_ms": loop.stage_ms(),
        "faces_per_frame": loop.faces / analysed,
        "templates_per_frame": loop.templates / analysed,
        "took_ms": loop.took_ms,
        "precision": stages.chosen.engine.precision,
    }


def main() -> None:
    tell(result=measure(Path(sys.argv[1]), **json.loads(sys.stdin.read())))


if __name__ == "__main__":
    main()
