"""Corpora at the edges through the whole flow: each gives findings, or is refused with a reason and exit status 2.

Each corpus is made here and taken through `smc study run` in a data folder of its own: a text of 10 MB, 10,000 labels,
one label, a domain of one document, one domain, labels of one size of which none is rare, so that confidence
and calibration alone can be judged. A traceback, another status, a file outside the data folder, or a study without a
report fails its row. Names and texts that are hostile as such are in tests/pipeline/test_hostile_corpus.py.
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
from typing import Any

import yaml

from smc_dagster.places import CHECKOUT

WORDS = [
    f"{first}{second}" for first in ("ba", "de", "fi", "go", "ku", "le") for second in ("lo", "mi", "ra", "su", "ten")
]
HUGE_CHARACTERS = 10_000_000
MANY_LABELS = 10_000
Row = dict[str, str]
# corpus -> exit statuses that are sensible
EXPECTED = {
    "huge_text": {0},
    "many_labels": {0},
    "one_label": {2},
    "lone_document": {0},
    "one_domain": {0},
    "no_rare_label": {0},
}


def rows_of(corpus: str) -> Iterator[Row]:
    """The rows of a corpus."""
    draw = random.Random(3)

    def label(domain: str, name: str, count: int) -> Iterator[Row]:
        for _ in range(count):
            text = " ".join([name, *draw.choices(WORDS, k=draw.randint(6, 12))])
            yield {"domain": domain, "label": name, "text": text}

    if corpus == "many_labels":
        for n in range(MANY_LABELS):
            yield from label(f"domain {n % 20}", f"label {n}", 8 if n % 4 else 5)
        return
    if corpus == "one_label":
        yield from label("only", "only.one", 200)
        return
    if corpus == "no_rare_label":
        yield from label("first", "first.a", 100)
        yield from label("second", "second.a", 100)
        return
    for domain in ("first",) if corpus == "one_domain" else ("first", "second"):
        for name, count in (("a", 60), ("b", 40), ("c", 12)):
            yield from label(domain, f"{domain}.{name}", count)
    if corpus == "lone_document":
        yield from label("lone", "lone.a", 1)
    if corpus == "huge_text":
        text = " ".join(draw.choices(WORDS, k=HUGE_CHARACTERS // 4))[:HUGE_CHARACTERS]
        yield {"domain": "first", "label": "first.a", "text": text}


def write_study(folder: Path, corpus: str) -> Path:
    """The rows and a study over them."""
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows_of(corpus))
    study: dict[str, Any] = {
        "name": corpus,
        "title": corpus,
        "question": "Does it hold?",
        "seed": 7,
        "corpus": {
            "source": {"kind": "files", "path": "rows.jsonl"},
            "min_label_documents": 5,
            "max_characters": 2 * HUGE_CHARACTERS,
        },
        "anchors": {"neighbours": 2},
        "pools": {"templated": {"generator": "template"}},
        "series": [{"name": "templated", "pool": "templated"}],
        "shares": [0, 0.5],
        "replicates": 2,
        "screening": {"coverage_sample": 20},
        "training": {"max_tokens": 16, "hidden": 32, "steps": 40, "batch": 64},
        "evaluation": {"null_draws": 20},
        "findings": {"bootstrap_draws": 100, "reach_studies": 20},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def tried(corpus: str) -> tuple[bool, str]:
    """Whether a corpus was taken through as it must, and what there is to say of it."""
    with tempfile.TemporaryDirectory(prefix="smc-hostile-") as name:
        folder = Path(name)
        study = write_study(folder, corpus)
        before = {one for one in folder.rglob("*") if one.is_file()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SMC_", "DAGSTER_"))}
        began = time.monotonic()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("smc")), "study", "run"],
            env=kept | {"SMC_DATA": str(folder / "data"), "SMC_STUDY": str(study), "COLUMNS": "200"},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began
        made = {one for one in folder.rglob("*") if one.is_file() and folder / "data" not in one.parents}
        report = folder / "data" / "lake" / corpus / "report" / "index.html"
        said = [line for line in done.stderr.splitlines() if line.startswith(("error:", "failed:", "  remedy:"))]
        ok = done.returncode in EXPECTED[corpus] and "Traceback" not in done.stderr and made == before
        ok &= report.is_file() if done.returncode == 0 else len(said) > 1
        size = f", report {report.stat().st_size / 1e6:.1f} MB" if report.is_file() else ""
        tail = " ".join(said) or ("" if ok else done.stderr[-2000:])
        return ok, f"status {done.returncode} after {seconds:.0f} s{size} {tail}"


def main() -> int:
    """Print a row a corpus; exit status 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", default=list(EXPECTED), help=f"of {', '.join(EXPECTED)}; default: all")
    missed = 0
    for corpus in parser.parse_args().corpora:
        ok, said = tried(corpus)
        missed += not ok
        print(f"{'holds' if ok else 'FAILS'}  {corpus:>14}: {said}", flush=True)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
