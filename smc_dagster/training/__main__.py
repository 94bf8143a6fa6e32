"""`python -m smc_dagster.training JOB`: train a packed job, on a machine that has little installed.

What belongs here: the command line. What does not: training (full/run.py), packing and adopting (`smc training`).

Needed are torch, transformers, pyarrow and safetensors with what they bring, and this package's source; neither dagster
nor dbt nor duckdb. The trained networks lie in JOB/out when it is done; a run that was cut goes on when it is started
again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from smc_dagster.errors import SmcError
from smc_dagster.training.full.job import read_job
from smc_dagster.training.full.run import run

# seconds between lines of a replicate
EVERY = 10.0


def main(words: list[str] | None = None) -> int:
    """Run a job; exit status 2 where something is wrong that a person can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m smc_dagster.training", description="Train a job that `smc training pack` made."
    )
    parser.add_argument("job", type=Path, help="the packed folder")
    parser.add_argument("--workers", type=int, help="replicates at a time")
    chosen = parser.parse_args(words)
    told: dict[tuple[str, int], float] = {}

    def tell(key: str, replicate: int, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - told.get((key, replicate), 0.0) >= EVERY:
            told[key, replicate] = now
            print(f"{key} replicate {replicate}: step {done} of {total}", flush=True)

    try:
        if chosen.workers is not None and chosen.workers < 1:
            raise SmcError(f"--workers: {chosen.workers} is not at least 1", "give a number of replicates")
        job = read_job(chosen.job)
        run(
            job,
            chosen.job / "work",
            chosen.job / "out",
            on_arm=lambda arm: print(f"{arm.key}: done", flush=True),
            workers=chosen.workers,
            progress=tell,
        )
    except SmcError as error:
        print(f"error: {error.problem}", file=sys.stderr)
        if error.remedy:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
