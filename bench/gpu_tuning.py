"""Full fine-tunes on one GPU, beside transformers' Trainer in bfloat16, and how much of the GPU they use.

Takes a packed job, for example the 7 shares x 5 replicates of templated text on CLINC150:

    smc training pack job --study clinc150_full --arms 'templated@*'
    python -m bench.gpu_tuning job --stack 5 35 --workers 1 4

Prints, for each size of stack (torch.func) and each number of replicates beside each other (a stream each), seconds for
all of them, and the share of the operations a second of a measured bfloat16 matrix product that their layers reach,
padding left out; and seconds for as many one after the other with Trainer, measured on `--peers` of them. It needs what
`python -m smc_dagster.training` needs, and accelerate.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.tuning_jobs import trainer
from smc_dagster.hardware import bfloat16_pays, device
from smc_dagster.training.full.job import Job, read_job
from smc_dagster.training.full.outputs import RECORD
from smc_dagster.training.full.run import run

TIMES = 8.0


def peak() -> float:
    """Operations a second of a product of two square matrices of 8192 (2048 on a CPU), in the type of training."""
    import torch

    place = device()
    size, kind = (8192, torch.bfloat16) if place.type == "cuda" else (2048, torch.float32)
    one, other = (torch.randn(size, size, device=place, dtype=kind) for _ in range(2))

    def settle() -> None:
        if place.type == "cuda":
            torch.cuda.synchronize()

    one @ other
    settle()
    started = time.perf_counter()
    for _ in range(10):
        one @ other
    settle()
    return 10 * 2 * size**3 / (time.perf_counter() - started)


def ours(job: Job, **how: int) -> tuple[float, int]:
    """Seconds for every replicate of every arm, and operations spent; see `run.run` for how."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run(job, Path(folder) / "work", Path(folder) / "out", **how)
        seconds = time.perf_counter() - started
        records = [json.loads(one.read_text()) for one in (Path(folder) / "out").glob(f"*/*/{RECORD}")]
    return seconds, sum(one["budget"]["flops_spent"] for one in records)


def peers(job: Job, number: int) -> float:
    """Seconds of one replicate with Trainer, mean of `number`."""
    pairs = [(arm, replicate) for arm in job.arms for replicate in job.replicates][:number]
    bf16 = bfloat16_pays(device())
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for arm, replicate in pairs:
            trainer(job, arm, replicate, Path(folder), sampling="sequential", bf16=bf16)
        return (time.perf_counter() - started) / len(pairs)


def main() -> int:
    """Measure; exit status 1 where Trainer is not beaten by the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("--stack", type=int, nargs="*", default=[5, 12, 35])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--peers", type=int, default=3)
    chosen = parser.parse_args()
    import torch

    job = read_job(chosen.job)
    number, top = len(job.arms) * len(job.replicates), peak()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {name}, torch {torch.__version__}, {number} fine-tunes")
    print(f"matrix product: {top / 1e12:.2f} TFLOP/s", flush=True)
    best = float("inf")
    # what is loaded on first use is not counted
    ours(replace(job, arms=job.arms[:1], replicates=job.replicates[:2]), stack=2)
    ways = [{"stack": size} for size in chosen.stack] + [{"workers": workers} for workers in chosen.workers]
    for how in ways:
        seconds, flops = ours(job, **how)
        best = min(best, seconds)
        name = f"stacks of {how['stack']}" if "stack" in how else f"{how['workers']} beside each other"
        print(f"{name}: {seconds:,.1f} s, {flops / seconds / top:.1%} of the product", flush=True)
    each = peers(job, chosen.peers)
    ratio = each * number / best
    print(f"Trainer: {each:,.1f} s each, {each * number:,.1f} s for all")
    print(f"{ratio:.2f} times (target: at least {TIMES:g}) {'met' if ratio >= TIMES else 'MISSED'}")
    return int(ratio < TIMES)


if __name__ == "__main__":
    sys.exit(main())
