"""What a table of the lake is, and the words that several tables share.

What belongs here: the shape of a table's description, names of splits and slices. What does not: any one table.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

EMBEDDING_WIDTH = 384
SPLITS = ("train", "validation", "test", "anchor_eval")
# what generators, miners and mixtures may use, and what models are judged on
TRAINING_SPLITS = ("train",)
EVALUATION_SPLITS = ("test", "anchor_eval")
# slices of the reality anchors; those that models are judged on are all but the first
ANCHOR_TRAIN = "anchor_train"
ANCHOR_EVAL_SLICES = ("rare", "atypical", "adversarial")
ALL_DOMAINS = "*"


@dataclass(frozen=True)
class TableSpec:
    """A table: its name, its schema, and the column whose value names a partition (None: one file).

    A table with `folder` is many Parquet files below a version folder, as DuckDB writes them, published by a pointer;
    its rows lie in no fixed order there, and are read in that of the columns `order`.
    """

    name: str
    schema: pa.Schema
    partition: str | None = None
    folder: bool = False
    order: tuple[str, ...] = ()
