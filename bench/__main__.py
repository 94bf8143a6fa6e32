"""`make bench`: every measurement, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

MEASUREMENTS = (
    "bench.definitions",
    "bench.mixtures",
    "bench.ingest",
    "bench.near_duplicates",
    "bench.recall",
    "bench.embedding",
    "bench.heads",
    "bench.full_tuning",
    "bench.known_truth",
    "bench.overhead",
    "bench.concurrency",
    "bench.faults",
)


def main() -> int:
    """Run all; exit status 1 where one misses its target."""
    missed = [name for name in MEASUREMENTS if subprocess.run([sys.executable, "-m", name]).returncode]
    for name in missed:
        print(f"{name}: target missed or failed")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
