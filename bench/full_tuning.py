"""Full fine-tuning on a CPU: tokens a second beside transformers' Trainer, and memory as documents grow.

Speed: all-MiniLM-L6-v2 on real docstrings, the same batches of 32 texts cut at 64 tokens; the first two steps and the
last do not count. Trainer as it comes, which is the target's peer, and once more with batches of like length of its own
making, which changes which texts meet in a step. Memory: the largest that a run on 100,000 and on 1,000,000 documents
ever holds; what the job is prepared from is not part of it. Each side runs in a process of its own. Targets: at least
1.5 times Trainer's tokens a second, and no more than 1.1 times the memory. Exit status 1 where one is missed.

    python -m bench.full_tuning
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.texts import docstrings
from bench.tuning_jobs import drawn, made_job, text_tokens, trainer
from smc_dagster.training.full.job import read_job

STEPS, BATCH, MAX_TOKENS = 14, 32, 64
LABELS = [f"label {one}" for one in range(150)]
SKIPPED = 2
TIMES, MEMORY = 1.5, 1.1
FEW, MANY = 100_000, 1_000_000
PEERS = ("sequential", "group_by_length")


def speed_job(folder: Path) -> None:
    """A job on docstrings in an order that knows no length."""
    from smc_dagster.study.training import ENCODER, Network
    from smc_dagster.training.encoder import tokenise
    from smc_dagster.training.full.base import tokenizer_of

    texts = docstrings()
    random.Random(11).shuffle(texts)
    found = tokenise(tokenizer_of(Network(name=ENCODER)), texts[:4_000], MAX_TOKENS)
    part = np.concatenate([np.array(one) for one in found]), np.array([len(one) for one in found])
    made_job(folder, [part], drawn(STEPS, BATCH, len(LABELS)), labels=LABELS, max_tokens=MAX_TOKENS)


def memory_job(folder: Path, documents: int) -> None:
    """A job on made-up token ids, as many documents as asked, written in pieces."""
    numbers = np.random.default_rng(3)

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(documents // 50_000):
            counts = numbers.integers(8, MAX_TOKENS, 50_000)
            yield numbers.integers(1_000, 30_000, int(counts.sum())), counts

    made_job(folder, parts(), drawn(4, BATCH, len(LABELS)), labels=LABELS, max_tokens=MAX_TOKENS)


def ours(folder: Path) -> list[float]:
    """Train the job by this package; seconds since the start at the end of each step."""
    from smc_dagster.training.full.run import run

    ends: list[float] = []
    started = time.perf_counter()
    run(
        read_job(folder),
        folder / "work",
        folder / "out",
        progress=lambda *given: ends.append(time.perf_counter() - started),
    )
    return ends


def child(what: str, folder: Path) -> tuple[list[float], int]:
    """Run one side in a process of its own: ends of steps, peak memory in bytes."""
    out = folder.with_name(f"{folder.name}-{what}.json")
    process = subprocess.Popen([sys.executable, "-m", "bench.full_tuning", "--child", what, str(folder), str(out)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{what} failed")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return json.loads(out.read_text()), usage.ru_maxrss * kilobyte


def rate(ends: list[float], tokens: list[int]) -> float:
    """Tokens a second over the steps that count."""
    return sum(tokens[SKIPPED:-1]) / (ends[-2] - ends[SKIPPED - 1])


def speed(folder: Path) -> bool:
    """Print tokens a second of both sides; whether the target is met."""
    speed_job(folder)
    job = read_job(folder)
    tokens = text_tokens(job, job.arms[0], 0)
    ends, peak = child("ours", folder)
    mine = rate(ends, tokens)
    print(f"ours: {mine:,.0f} tokens/s, {peak / 1e9:.2f} GB peak", flush=True)
    peers = {}
    for sampling in PEERS:
        ends, peak = child(sampling, folder)
        # batches of its own hold other tokens: their mean stands for them
        seen = tokens if sampling == "sequential" else [round(sum(tokens) / len(tokens))] * len(tokens)
        peers[sampling] = rate(ends, seen)
        print(f"Trainer, {sampling}: {peers[sampling]:,.0f} tokens/s, {peak / 1e9:.2f} GB peak", flush=True)
    ratio = mine / peers["sequential"]
    print(f"{ratio:.2f} times (target: at least {TIMES}) {'met' if ratio >= TIMES else 'MISSED'}; "
          f"{mine / peers['group_by_length']:.2f} times where Trainer makes batches of like length")  # fmt: skip
    return ratio >= TIMES


def memory(folder: Path) -> bool:
    """Print the peak memory of both numbers of documents; whether the target is met."""
    peaks = []
    for documents in (FEW, MANY):
        memory_job(folder / str(documents), documents)
        _, peak = child("ours", folder / str(documents))
        peaks.append(peak)
        print(f"{documents:,} documents: {peak / 1e9:.2f} GB peak", flush=True)
    ratio = peaks[1] / peaks[0]
    print(f"{ratio:.2f} times the memory (target: at most {MEMORY}) {'met' if ratio <= MEMORY else 'MISSED'}")
    return ratio <= MEMORY


def main() -> int:
    """Run both measurements; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "JOB", "OUT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        what, folder, out = chosen.child
        if what == "ours":
            ends = ours(Path(folder))
        else:
            job = read_job(Path(folder))
            with tempfile.TemporaryDirectory() as trash:
                ends = trainer(job, job.arms[0], 0, Path(trash), sampling=what, bf16=False)
        Path(out).write_text(json.dumps(ends))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        met = [speed(Path(folder) / "speed"), memory(Path(folder) / "memory")]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
