"""`python -m smc_dagster.training JOB`: train a packed job, on a machine that has little installed.

What belongs here: the command line. What does not: training (full/run.py), packing and adopting (`smc training`).

Needed are torch, transformers, pyarrow and safetensors with what they bring, and this package's source; neither dagster
nor dbt nor duckdb. The trained networks lie in JOB/out when it is done; a run that was cut goes on when it is started
again. Several GPUs:

    torchrun --nproc-per-node 4 -m smc_dagster.training JOB

There a process that fails says so, leaves its reason in JOB/work/part-<rank>.json, and ends with status 0 all the same:
torchrun would stop the others.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from smc_dagster.errors import SmcError
from smc_dagster.training.full.job import read_job
from smc_dagster.training.full.run import run
from smc_dagster.training.full.spread import ALONE, leave, part_here, step_line

# seconds between lines of a replicate
EVERY = 10.0


def main(words: list[str] | None = None) -> int:
    """Run a job; exit status 2 where something is wrong that a person can mend, 0 always under torchrun."""
    parser = argparse.ArgumentParser(
        prog="python -m smc_dagster.training", description="Train a job that `smc training pack` made."
    )
    parser.add_argument("job", type=Path, help="the packed folder")
    parser.add_argument("--work", type=Path, help="folder of checkpoints; JOB/work where it is not said")
    parser.add_argument("--out", type=Path, help="folder of trained networks; JOB/out where it is not said")
    parser.add_argument("--workers", type=int, help="replicates beside each other")
    parser.add_argument("--stack", type=int, help="replicates trained as one; on a GPU as many as it holds")
    chosen = parser.parse_args(words)
    told: dict[tuple[str, int], float] = {}

    def tell(key: str, replicate: int, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - told.get((key, replicate), 0.0) >= EVERY:
            told[key, replicate] = now
            print(step_line(key, replicate, done, total), flush=True)

    work = chosen.work or chosen.job / "work"
    part = ALONE
    try:
        part = part_here()
        for name, given in (("--workers", chosen.workers), ("--stack", chosen.stack)):
            if given is not None and given < 1:
                raise SmcError(f"{name}: {given} is not at least 1", "give a number of replicates")
        run(
            read_job(chosen.job),
            work,
            chosen.out or chosen.job / "out",
            # of several processes none knows that an arm is done
            on_arm=None if part.world > 1 else lambda arm: print(f"{arm.key}: done", flush=True),
            workers=chosen.workers,
            stack=chosen.stack,
            progress=tell,
            part=part,
        )
    except SmcError as error:
        print(f"error: {error.problem}", file=sys.stderr)
        if error.remedy:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        if part.world == 1:
            return 2
        leave(work, part, error)
        return 0
    except Exception as error:
        if part.world == 1:
            raise
        traceback.print_exc()
        leave(work, part, error)
        return 0
    if part.world > 1:
        leave(work, part, None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
