"""How fast texts are embedded, beside sentence-transformers on the same texts and weights.

4,000 real docstrings of mixed length in a shuffled order; the peer at its default batch size and at a larger one, the
better of the two counts. Each side runs in a process of its own. Targets: at least 1.5 times the tokens a second, and
every vector within 1e-2 in cosine of the peer's. Exit status 1 where one is missed.

    python -m bench.embedding
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.texts import docstrings

TEXTS, MAX_TOKENS, TIMES, COSINE = 4_000, 128, 1.5, 1e-2
LARGER = 128


def texts(count: int) -> list[str]:
    """Docstrings in an order that knows no length."""
    found = docstrings()
    random.Random(11).shuffle(found)
    return found[:count]


def ours(some: list[str], _: int) -> tuple[np.ndarray, float]:
    """Vectors by this package, and seconds."""
    from smc_dagster.training.encoder import embed
    from smc_dagster.training.weights import DEFAULT_ENCODER

    embed(some[:64], DEFAULT_ENCODER, MAX_TOKENS)
    started = time.perf_counter()
    vectors = embed(some, DEFAULT_ENCODER, MAX_TOKENS)
    return vectors, time.perf_counter() - started


def peer(some: list[str], batch: int) -> tuple[np.ndarray, float]:
    """Vectors by sentence-transformers as it comes, and seconds."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    from smc_dagster.training.weights import DEFAULT_ENCODER, encoder_folder

    transformer = Transformer(str(encoder_folder(DEFAULT_ENCODER)), max_seq_length=MAX_TOKENS)
    model = SentenceTransformer(modules=[transformer, Pooling(384, pooling_mode="mean"), Normalize()], device="cpu")
    model.encode(some[:64], batch_size=batch)
    started = time.perf_counter()
    vectors = model.encode(some, batch_size=batch)
    return np.asarray(vectors, np.float32), time.perf_counter() - started


def tokens(some: list[str]) -> int:
    """Tokens of the texts as both sides cut them, special ones included."""
    from transformers import AutoTokenizer

    from smc_dagster.training.weights import DEFAULT_ENCODER, encoder_folder

    tokenizer = AutoTokenizer.from_pretrained(str(encoder_folder(DEFAULT_ENCODER)), local_files_only=True)
    return sum(len(one) for one in tokenizer(some, truncation=True, max_length=MAX_TOKENS)["input_ids"])


def child(what: str, count: int, batch: int, folder: Path) -> tuple[np.ndarray, float, int]:
    """Run one side in a process of its own: vectors, seconds, peak memory in bytes."""
    out = folder / f"{what}-{batch}.npz"
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.embedding", "--texts", str(count), "--child", what, str(batch), str(out)]
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{what} failed")
    with np.load(out) as found:
        kilobyte = 1 if sys.platform == "darwin" else 1024
        return found["vectors"], float(found["seconds"]), usage.ru_maxrss * kilobyte


def main() -> int:
    """Run both sides; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "BATCH", "OUT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    some = texts(chosen.texts)
    if chosen.child:
        what, batch, out = chosen.child
        vectors, seconds = {"ours": ours, "peer": peer}[what](some, int(batch))
        np.savez(out, vectors=vectors, seconds=seconds)
        return 0
    total = tokens(some)
    with tempfile.TemporaryDirectory() as folder:
        mine, seconds, peak = child("ours", chosen.texts, 0, Path(folder))
        print(f"ours: {total / seconds:,.0f} tokens/s, {peak / 1e9:.2f} GB peak", flush=True)
        best, cosine = 0.0, 1.0
        for batch in (32, LARGER):
            theirs, taken, peak = child("peer", chosen.texts, batch, Path(folder))
            best = max(best, total / taken)
            cosine = min(cosine, float((mine * theirs).sum(axis=1).min()))
            print(f"sentence-transformers, {batch} a batch: {total / taken:,.0f} tokens/s, {peak / 1e9:.2f} GB peak")
    ratio = total / seconds / best
    print(f"{ratio:.2f} times (target: at least {TIMES}) {'met' if ratio >= TIMES else 'MISSED'}")
    print(f"smallest cosine {cosine:.4f} (target: at least {1 - COSINE}) {'met' if cosine >= 1 - COSINE else 'MISSED'}")
    return 0 if ratio >= TIMES and cosine >= 1 - COSINE else 1


if __name__ == "__main__":
    sys.exit(main())
