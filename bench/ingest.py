"""Ingest: at least 150 MB/s of JSONL per core into Parquet with the contract checked, in at most 1.5 GB of memory.

Makes JSONL from the words of the standard library's docstrings (12-60 words a text, domain and label from where they
stand, an id and a nested extra key in each row), and takes it in as a day of a study: signature, contract, whole-day
rules and both tables, in a process of its own with one thread. MB/s per core is bytes over CPU seconds, user and
system, the read for the signature included. Beside it, for context, what `datasets` takes to turn the same bytes into
Arrow without any contract, and what Arrow's parser and its Parquet writer take by themselves: the floor under anything
that is built on them.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TARGET_MB_S = 150.0
TARGET_GB = 1.5
DAY = "2026-01-05"
# rows are made once and written again and again under other ids, so that making them does not outlast reading them
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class Timing:
    """One child process: its wall and CPU seconds (start of Python excluded), peak memory in bytes, and rows."""

    wall: float
    cpu: float
    peak: float
    rows: int

    def describe(self, name: str, size: int) -> str:
        """A timing as a line."""
        return (
            f"{name:>22}: {size / self.cpu / 1e6:6.0f} MB/s per core, {size / self.wall / 1e6:6.0f} MB/s wall, "
            f"{self.peak / 1e9:.2f} GB peak, {self.rows:,} rows"
        )


def words() -> list[str]:
    """Words of the docstrings of the standard library's top-level modules, in order."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found += (ast.get_docstring(node) or "").split()
    return found


def make(path: Path, size: int) -> None:
    """Write about `size` bytes of JSONL."""
    source = words()
    draw = random.Random(7)
    rows: list[tuple[str, str]] = []
    length = 0
    while length < min(size, BLOCK_BYTES):
        start = draw.randrange(len(source) - 60)
        label = draw.randrange(300)
        text = " ".join(source[start : start + draw.randint(12, 60)])
        head = json.dumps({"domain": f"domain {label % 12}", "label": f"label {label}", "text": text})[:-1]
        tail = f', "meta": {{"score": {draw.random():.4f}, "tags": ["a", "b"]}}}}\n'
        rows.append((head, tail))
        length += len(head) + len(tail) + 14
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            block = "".join(f'{head}, "id": "{number + at}"{tail}' for at, (head, tail) in enumerate(rows))
            number += len(rows)
            written += file.write(block)


def ours(path: Path, with_ids: bool) -> int:
    """Ingest the file as a day; returns rows."""
    import pyarrow as pa
    import yaml

    from smc_dagster.corpora.ingest import ingest
    from smc_dagster.lake import Lake
    from smc_dagster.lineage import Lineage
    from smc_dagster.study import Study, shipped_studies

    pa.set_cpu_count(1)
    raw = yaml.safe_load(shipped_studies()["tiny"].read_text())
    columns = {"id": "id"} if with_ids else {}
    raw["corpus"] = {"source": {"kind": "files", "path": str(path), "columns": columns}}
    study = Study.model_validate(raw)
    lake = Lake(path.parent / "lake", study.name)
    done = ingest(study, DAY, None, lake, Lineage(study, lake, caps="", strictness={}, mixture_code="", encoder=""))
    if not done.adds_up:
        raise SystemExit("rows in are not rows out")
    return done.documents


def peer(path: Path) -> int:
    """Read the file with `datasets`; returns rows."""
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))
    return int(loaded.num_rows)


def floor(path: Path) -> int:
    """Parse with Arrow and write the three columns as Parquet, checking nothing; returns rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import json as arrow_json

    pa.set_cpu_count(1)
    schema = pa.schema([(name, pa.string()) for name in ("domain", "label", "text")])
    parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = arrow_json.ReadOptions(use_threads=False, block_size=4 << 20)
    rows = 0
    with pq.ParquetWriter(path.parent / "floor.parquet", schema, compression="zstd", use_dictionary=False) as writer:
        for batch in arrow_json.open_json(path, read_options=read, parse_options=parse):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


RUNS = {
    "smc": lambda path: ours(path, with_ids=False),
    "smc, ids checked": lambda path: ours(path, with_ids=True),
    "datasets, no contract": peer,
    "arrow, no contract": floor,
}


def measure(name: str, path: Path) -> Timing:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "bench.ingest", "--child", name, "--file", str(path)]
    threads = {"OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    done = subprocess.run(command, env=os.environ | threads, check=True, capture_output=True, text=True)
    return Timing(**json.loads(done.stdout.splitlines()[-1]))


def child(name: str, path: Path) -> None:
    """What `measure` starts: one run, told as JSON."""
    wall, cpu = time.perf_counter(), time.process_time()
    rows = RUNS[name](path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kilobyte = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "rows": rows}))


def main() -> int:
    """Make the file, run each, and judge ours against the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000, help="size of the file")
    parser.add_argument("--child", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.file)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="ingest-"))
    try:
        path = folder / "rows.jsonl"
        make(path, chosen.megabytes * 10**6)
        size = path.stat().st_size
        print(f"ingest of {size / 1e9:.2f} GB of JSONL in one file, one thread")
        timings = {}
        for name in RUNS:
            timings[name] = measure(name, path)
            print(timings[name].describe(name, size), flush=True)
            for left in ("lake", "cache"):
                shutil.rmtree(folder / left, ignore_errors=True)
    finally:
        shutil.rmtree(folder)
    first = timings["smc"]
    fast = size / first.cpu / 1e6 >= TARGET_MB_S
    small = max(timings[name].peak for name in ("smc", "smc, ids checked")) <= TARGET_GB * 1e9
    print("targets met" if fast and small else f"target missed: {TARGET_MB_S:g} MB/s per core, {TARGET_GB:g} GB peak")
    return int(not (fast and small))


if __name__ == "__main__":
    sys.exit(main())
