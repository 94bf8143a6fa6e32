"""CPU time to load the definitions: at most 4 s (target)."""

from __future__ import annotations

import resource
import subprocess
import sys

SECONDS = 4.0
RUNS = 3


def main() -> int:
    """Load the definitions in fresh processes; print user + system CPU seconds of each."""
    taken = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "import smc_dagster.definitions"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    print("loading the definitions, CPU s:", ", ".join(f"{one:.2f}" for one in taken), f"(target {SECONDS})")
    return int(max(taken) > SECONDS)


if __name__ == "__main__":
    sys.exit(main())
