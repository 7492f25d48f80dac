"""The measuring process of `overt bench match`: python -m overt_lab.bench.match_child SIZE..."""

from __future__ import annotations

import os
import sys


def main() -> int:
    # Before numpy is there: its linear algebra makes as many threads as there are cores to run on, once.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from overt_lab.bench.children import tell
    from overt_lab.bench.searching import measure, rounds

    sizes = [int(size) for size in sys.argv[1:]]
    of = sum(rounds(size) for size in sizes)
    done = 0

    def on_round() -> None:
        nonlocal done
        done += 1
        if not done % 10:
            tell(done=done, of=of)

    tell(done=0, of=of)
    tell(result=measure(sizes, on_round))
    return 0


if __name__ == "__main__":
    sys.exit(main())
