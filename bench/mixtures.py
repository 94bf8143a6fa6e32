"""How fast the dbt project builds mixtures, and in how much memory.

Makes a lake of narrow documents (no text), launches the real dbt project on it as a study would, and prints wall time,
CPU time, peak memory of the dbt process and mixture rows a second. Targets: 10M real and 10M synthetic documents at
7 shares in 60 s and 4 GB, and from 1M to 10M at most 11 times the time. Exit status 1 where one is missed.

    python bench/mixtures.py                  # 1M, then 10M
    python bench/mixtures.py --rows 1000000   # one size; the ratio is left out
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.mixing import launch, seeds
from smc_dagster.study import Study
from smc_dagster.tables import REAL_DOCUMENTS, SYNTHETIC_DOCUMENTS, SYNTHETIC_SCORES, TableSpec

POOL = "made"
SECONDS, GIGABYTES, RATIO = 60.0, 4.0, 11.0
DOMAINS, LABELS = 14, 308
# a label number that falls off like a long tail: the first of 308 holds about a sixth of the documents
LABEL = f"cast(floor({LABELS} * power(hash(i, 'label') / 18446744073709551616.0, 3)) as integer)"


@dataclass(frozen=True)
class Timing:
    """One launch. Times in seconds, memory in bytes; `rows` is documents a side."""

    rows: int
    wall: float
    cpu: float
    peak: int
    mixture_rows: int


def bench_study(strictness: str) -> Study:
    """One series over the shares of the default study, one replicate."""
    return Study.model_validate(
        {
            "name": "bench",
            "title": "Mixtures at scale",
            "question": "How long does mixing take?",
            "seed": 1,
            "corpus": {"source": {"kind": "files", "path": "."}},
            "pools": {POOL: {"generator": "none"}},
            "series": [{"name": "made", "pool": POOL, "strictness": strictness}],
            "shares": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            "replicates": 1,
        }
    )


def fill(lake: Lake, lineage: Lineage, rows: int) -> None:
    """Write `rows` training documents, a hundredth as many test documents, and `rows` scored pool documents."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB"})

    def write(spec: TableSpec, partition: str | None, fingerprint: Fingerprint, query: str) -> None:
        path = Path(lake.table_path(spec, partition))
        path.parent.mkdir(parents=True, exist_ok=True)
        quoted = fingerprint.to_json().replace("'", "''")
        connection.execute(f"copy ({query}) to '{path}' (format parquet, kv_metadata {{smc: '{quoted}'}})")

    def documents(side: str, count: int, provenance: str) -> str:
        return f"""
            select md5('{side}' || i) as doc_id, 'domain-' || label % {DOMAINS} as domain,
                   'package.module_' || label as label, '{provenance}' as provenance, i
            from (select i, {LABEL} as label from range({count}) as numbers(i))"""

    real = documents("real", rows + rows // 100, "human")
    due = lineage.due(REAL_DOCUMENTS.name)
    write(REAL_DOCUMENTS, None, due, f"select *, if(i < {rows}, 'train', 'test') as split from ({real})")
    synthetic = documents("synthetic", rows, "templated")
    due = lineage.due(SYNTHETIC_DOCUMENTS.name, POOL)
    write(SYNTHETIC_DOCUMENTS, POOL, due, f"select *, '{POOL}' as pool from ({synthetic})")
    scores = f"""
        select doc_id, '{POOL}' as pool, cast(1 + i % 5 as integer) as cluster_size,
               cast(1 + i % 2 as integer) as exact_copies, cast(1 + i % 30 as integer) as template_size,
               if(i % 3 = 0, 't' || i % 30, null) as template_id, (i % 30 / 300.0)::float as template_share,
               (hash(i) % 1000 / 1000.0)::float as contamination
        from ({synthetic}) order by doc_id"""
    write(SYNTHETIC_SCORES, POOL, lineage.due(SYNTHETIC_SCORES.name, POOL), scores)


def measure(rows: int, strictness: str, folder: Path, arguments: list[str]) -> Timing:
    """Fill a lake below the folder, launch dbt on it, and publish what it built."""
    study = bench_study(strictness)
    lake = Lake(folder / "lake", study.name)
    lineage = Lineage(
        study,
        lake,
        caps=seeds.caps_digest(study),
        strictness=seeds.strictness_digests(),
        mixture_code=seeds.mixture_code_digest(),
        encoder="none",
    )
    fill(lake, lineage, rows)
    prepared = launch.prepare(study, lake, study.arms, lineage, folder / "launch")
    started = time.perf_counter()
    process = subprocess.Popen(prepared.command(*arguments), env=os.environ | prepared.env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    # the usage of this one child, which getrusage(RUSAGE_CHILDREN) would mix with earlier ones
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        sys.exit(f"dbt failed:\n{output}")
    published = launch.publish(prepared, lake, lineage)
    kilobyte = 1 if sys.platform == "darwin" else 1024
    total = sum(one.rows for one in published.values())
    return Timing(rows, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * kilobyte, total)


def describe(one: Timing) -> str:
    """A timing as a line."""
    return (
        f"{one.rows:>11,} + {one.rows:,} documents -> {one.mixture_rows:,} mixture rows: {one.wall:.1f} s wall, "
        f"{one.cpu:.1f} s CPU, {one.peak / 1e9:.2f} GB peak, {one.mixture_rows / one.wall:,.0f} rows/s"
    )


def main() -> int:
    """Run the sizes asked, print a line each, and judge them against the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000], help="documents a side")
    parser.add_argument("--strictness", default="medium", help="filter of the pool")
    parser.add_argument("--tests", action="store_true", help="also run the data tests, which read all that was written")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder); left behind if given")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    arguments = ["build"] if chosen.tests else ["build", "--exclude-resource-type", "test", "unit_test"]
    timings = []
    for rows in chosen.rows:
        folder = Path(tempfile.mkdtemp(prefix="mixtures-", dir=chosen.folder))
        try:
            timings.append(measure(rows, chosen.strictness, folder, arguments))
        finally:
            if chosen.folder is None:
                shutil.rmtree(folder)
        one = timings[-1]
        if not chosen.json:
            print(describe(one), flush=True)
    first, last = timings[0], timings[-1]
    ratio = last.wall / first.wall
    allowed = RATIO * last.rows / first.rows / 10
    if chosen.json:
        print(json.dumps({"timings": [one.__dict__ for one in timings], "ratio": ratio}))
    elif len(timings) > 1:
        print(
            f"{last.rows / first.rows:g} times the documents take {ratio:.1f} times the time (allowed: {allowed:.1f})"
        )
    met = last.wall <= SECONDS and last.peak <= GIGABYTES * 1e9 and (len(timings) == 1 or ratio <= allowed)
    if not chosen.json:
        print("targets met" if met else f"target missed: {SECONDS:g} s, {GIGABYTES:g} GB, ratio {allowed:.1f}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
