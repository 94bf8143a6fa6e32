"""Documents from a Hugging Face dataset: of the hub, or of a local folder.

What belongs here: loading one, and its columns as records. What does not: files without a dataset's description
(files.py). Nothing of a dataset is run: `datasets` loads data files alone, through a cache on disk that it maps into
memory. `file` is the split, `line` the row in it (1-based).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.corpora import pieces
from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.columnar import text_batch, wrong_type
from smc_dagster.corpora.delimited import missing_column
from smc_dagster.corpora.pieces import Wanted
from smc_dagster.errors import CorpusError
from smc_dagster.study import digest_of
from smc_dagster.study.sources import HuggingFaceSource

VALIDATION = ("validation", "valid", "val", "dev")


def signature(source: HuggingFaceSource) -> str:
    """What the source holds: hash of the columns read, split by split.

    Raises:
        CorpusError: as `read`.
    """
    state = hashlib.sha256()
    for split in source.splits:
        state.update(f"{split}\0".encode())
        for fields in _pieces(source, split):
            for column in fields.values():
                state.update("\0".join("" if one is None else one for one in column.to_pylist()).encode())
                state.update(b"\1")
    return digest_of(state.hexdigest())


def read(source: HuggingFaceSource) -> Iterator[Batch]:
    """Batches of the splits, in the order named; a ClassLabel gives its name, and none (-1) is missing.

    Raises:
        CorpusError: the dataset, config or split cannot be loaded, lacks a column, or a column holds no text.
    """
    wanted = _wanted(source)
    ours = {"train": "train", "test": "test"} | dict.fromkeys(VALIDATION, source.validation)
    for split in source.splits:
        start = 1
        settled = ours.get(split) if source.own_splits else None
        for fields in _pieces(source, split):
            rows = len(next(iter(fields.values())))
            yield text_batch(fields, split, wanted, np.arange(start, start + rows), settled)
            start += rows


def _wanted(source: HuggingFaceSource) -> Wanted:
    return Wanted(source.fields(), source.domain)


def _pieces(source: HuggingFaceSource, split: str) -> Iterator[dict[str, pa.Array]]:
    """Text columns by field."""
    dataset = _load(source, split)
    wanted = _wanted(source)
    classes = {
        name: feature.names for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"
    }
    schema = dataset.features.arrow_schema
    fault = missing_column(schema.names, wanted) or wrong_type(schema, wanted, known=classes)
    if fault is not None:
        raise CorpusError(
            f"corpus.source: dataset `{source.name}`, split `{split}`: {fault}", "mend corpus.source.columns"
        )
    chosen = dataset.select_columns(sorted(set(wanted.columns.values()))).with_format("arrow")
    for table in chosen.iter(batch_size=pieces.BATCH_ROWS):
        columns = {}
        for field, name in wanted.columns.items():
            column = table[name].combine_chunks()
            column = _names(column, classes[name]) if name in classes else column
            columns[field] = column.cast(pa.large_string()).cast(pa.string())
        yield columns


def _names(codes: pa.Array, names: list[str]) -> pa.Array:
    known = codes.to_numpy(zero_copy_only=False).astype(np.float64)
    absent = np.isnan(known) | (known < 0)
    places = pa.array(np.where(absent, 0, known).astype(np.int64), mask=absent)
    return pa.array(names, pa.string()).take(places)


def _load(source: HuggingFaceSource, split: str) -> Any:
    import datasets

    try:
        datasets.disable_progress_bars()
        return datasets.load_dataset(source.name, source.config, split=split, revision=source.revision)
    except Exception as error:  # whatever the hub, the network or a data file brings up
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CorpusError(
            f"corpus.source: dataset `{source.name}` (config {source.config}, split `{split}`) cannot be loaded: "
            f"{type(error).__name__}: {said[0][:300]}",
            "check name, config, split and revision; without a network, name a local folder that holds the dataset",
        ) from error
