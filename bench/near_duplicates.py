"""How fast near-duplicates are found: beside datasketch, and by number of documents.

Every measure runs in a process of its own; its time, and its peak memory as the kernel counts it, leave out imports
and the making of the texts (the memory of which is in the peak). Targets: at least 5 times the documents a second of
datasketch's MinHash and MinHashLSH with the same number of hashes and bands on the same shingles, for texts of 12 and
of 200 words; 1M texts of 12 words to verified clusters in 60 s and 4 GB; 4M in at most 4.5 times the time of 1M. Exit
status 1 where one is missed.

    python -m bench.near_duplicates
    python -m bench.near_duplicates --rows 100000 400000   # other sizes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise

from bench.texts import documents

TIMES, SECONDS, GIGABYTES, RATIO = 5.0, 60.0, 4.0, 4.5
THRESHOLD = 0.8
# texts of either length for us, and the first of them for the peer, which is linear in their number
RATE_ROWS, PEER_ROWS = {12: 100_000, 200: 20_000}, {12: 5_000, 200: 1_000}


def ours(rows: int, words: int) -> dict[str, float]:
    """Seconds to verified clusters."""
    from smc_dagster.corpora.near_duplicates import clusters

    ids, texts = documents(rows, words)
    clusters(ids.slice(0, 100), texts.slice(0, 100), THRESHOLD)
    started = time.perf_counter()
    found = clusters(ids, texts, THRESHOLD)
    return {"seconds": time.perf_counter() - started, "clusters": len(found.unique())}


def peer(rows: int, words: int) -> dict[str, float]:
    """Seconds that datasketch takes to signatures and candidates of the same texts, unverified."""
    from datasketch import MinHash, MinHashLSH

    from smc_dagster.corpora.bands import rows_per_band
    from smc_dagster.corpora.shingles import HASHES, SHORT_WORDS

    _, texts = documents(max(rows, RATE_ROWS[words]), words)
    some = texts.slice(0, rows).to_pylist()
    each = rows_per_band(THRESHOLD)
    index = MinHashLSH(num_perm=HASHES, params=(HASHES // each, each))
    started = time.perf_counter()
    shingles = []
    for text in some:
        form = " ".join("".join(one if one.isalnum() else " " for one in text.lower()).split())
        split = form.split()
        if len(split) < SHORT_WORDS:
            shingles.append({form[at : at + 4].encode() for at in range(max(1, len(form) - 3))})
        else:
            shingles.append({f"{a} {b}".encode() for a, b in pairwise(split)})
    candidates = 0
    for number, signature in enumerate(MinHash.bulk(shingles, num_perm=HASHES)):
        candidates += len(index.query(signature))
        index.insert(number, signature)
    return {"seconds": time.perf_counter() - started, "candidates": candidates}


def child(what: str, rows: int, words: int) -> dict[str, float]:
    """Run one measure in a process of its own: what it returns, and `peak` in bytes."""
    command = [sys.executable, "-m", "bench.near_duplicates", "--child", what, str(rows), str(words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{what} on {rows:,} texts of {words} words failed:\n{output}")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found | {"peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)}


def beside_datasketch(words: int) -> bool:
    """Print and judge the documents a second on texts of one length."""
    mine, theirs = child("ours", RATE_ROWS[words], words), child("peer", PEER_ROWS[words], words)
    rate, peer_rate = RATE_ROWS[words] / mine["seconds"], PEER_ROWS[words] / theirs["seconds"]
    met = rate >= TIMES * peer_rate
    print(
        f"texts of {words} words: {rate:,.0f} documents/s to verified clusters, datasketch {peer_rate:,.0f} to "
        f"candidates: {rate / peer_rate:.1f} times (target: at least {TIMES:g}) {'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


def by_size(sizes: list[int]) -> bool:
    """Print and judge time and memory on texts of 12 words."""
    found = []
    for rows in sizes:
        found.append(child("ours", rows, 12))
        print(
            f"{rows:>11,} texts of 12 words: {found[-1]['clusters']:,.0f} clusters in {found[-1]['seconds']:.1f} s, "
            f"{found[-1]['peak'] / 1e9:.2f} GB peak",
            flush=True,
        )
    first, last = found[0], found[-1]
    scale = sizes[0] / 1_000_000
    met = first["seconds"] <= SECONDS * scale and first["peak"] <= GIGABYTES * 1e9 * max(1, scale)
    print(f"{sizes[0]:,} in {SECONDS * scale:g} s and {GIGABYTES * max(1, scale):g} GB: {'met' if met else 'MISSED'}")
    if len(sizes) > 1:
        ratio, allowed = last["seconds"] / first["seconds"], RATIO * sizes[-1] / sizes[0] / 4
        print(
            f"{sizes[-1] / sizes[0]:g} times the texts take {ratio:.2f} times the time (target: at most {allowed:g}) "
            f"{'met' if ratio <= allowed else 'MISSED'}"
        )
        met = met and ratio <= allowed
    return met


def main() -> int:
    """Run all; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000], help="numbers of short texts")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "ROWS", "WORDS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        what, rows, words = chosen.child
        print(json.dumps({"ours": ours, "peer": peer}[what](int(rows), int(words))))
        return 0
    met = [beside_datasketch(words) for words in RATE_ROWS]
    met.append(by_size(chosen.rows))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
