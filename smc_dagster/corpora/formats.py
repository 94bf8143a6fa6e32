"""The formats of files there are, by the ending of the name.

What belongs here: the registry. What does not: a format (jsonl.py, delimited.py, columnar.py), which files there are
(files.py).

In each, `line` is the first physical line of the row in JSONL and CSV (1-based, header and blank lines counted), the
number of the row in Parquet (1-based). A reader raises OSError only where the file system failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.columnar import read_parquet
from smc_dagster.corpora.delimited import read_csv, read_tsv
from smc_dagster.corpora.jsonl import read_jsonl
from smc_dagster.corpora.pieces import Wanted

Reader = Callable[[BinaryIO, str, Wanted], Iterator[Batch]]

FORMATS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
