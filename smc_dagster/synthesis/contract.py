"""What a generator is given, and what it gives back.

What belongs here: the request, the protocol, the table of made texts, and how simple generators fill it. What does not:
which generators there are (registry.py), and how each works (a module each).

A generator sees the training split alone. What a label gets depends on the training split, on its own count, on the
settings and on the seed, neither on the order of rows nor on which other labels are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pydantic import BaseModel

from smc_dagster.study import Corpus, Provenance

# rows ordered by label, then as they were made
MADE = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("parent_doc_id", pa.string()),
        pa.field("provenance", pa.string(), nullable=False),
        pa.field("generator", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Request:
    """What is asked of a generator.

    Attributes:
        study, pool: their names.
        train: the training split alone: doc_id, domain, label, text, ordered by domain, label, text.
        counts: documents wanted, by label.
        settings: of the generator's own model.
        seed: of this pool.
        work: folder of its own that survives a crash, for what a rerun need not make again; removed once the pool is
            written. It need not exist.
        model: folder of the language model that the pool draws on, for those that do.
        landing: the study's folder `landing/synthetic`, for those that read files.
        cache: folder of its own that outlives the pool. It need not exist.
        corpus: the study's limits on a document.
        synthetic_from: the grade from which on text counts as synthetic in the study.
    """

    study: str
    pool: str
    train: pa.Table
    counts: Mapping[str, int]
    settings: Any
    seed: int
    work: Path
    model: Path | None = None
    landing: Path | None = None
    cache: Path | None = None
    corpus: Corpus | None = None
    synthetic_from: Provenance = Provenance.edited

    @property
    def limits(self) -> Corpus:
        """The study's limits on a document, for a generator that takes text from outside.

        Raises:
            ValueError: the request was made without them.
        """
        if self.corpus is None:
            raise ValueError("text from outside is held to the study's limits: make the request with `corpus=`")
        return self.corpus


@dataclass(frozen=True)
class Made:
    """What a generator gives back.

    Attributes:
        texts: schema MADE.
        refused: rows that it read and could not use, schema QUARANTINE less `day`; None: it read none.
        rows_in: rows that it read; 0 where it makes text of its own.
        figures: what a person may want to know of how it went, e.g. requests sent.
    """

    texts: pa.Table
    refused: pa.Table | None = None
    rows_in: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


class Generator(Protocol):
    """One way of making documents.

    Attributes:
        provenance: the grade that its documents get, the lowest where they differ.
        settings: the pydantic model of its settings; unknown keys must be errors.
        counts_bind: whether it must give just as many texts of each label as are asked.
    """

    @property
    def provenance(self) -> Provenance: ...

    @property
    def settings(self) -> type[BaseModel]: ...

    @property
    def counts_bind(self) -> bool: ...

    def generate(self, request: Request) -> Made:
        """Make the texts asked."""
        ...


def made(
    texts: Mapping[str, Sequence[str]],
    provenance: Provenance,
    generator: str,
    parents: Mapping[str, Sequence[str]] | None = None,
) -> Made:
    """Texts by label, all of one grade, as a generator gives them back.

    Args:
        parents: doc_id of the document that each text came from, by label.
    """
    labels = sorted(texts)
    column = [label for label in labels for _ in texts[label]]
    rows = len(column)
    came = pa.nulls(rows, pa.string())
    if parents is not None:
        came = pa.array([one for label in labels for one in parents[label]], pa.string())
    return Made(
        pa.table(
            {
                "label": pa.array(column, pa.string()),
                "text": pa.array([text for label in labels for text in texts[label]], pa.string()),
                "parent_doc_id": came,
                "provenance": pa.repeat(provenance.value, rows),
                "generator": pa.repeat(generator, rows),
            },
            schema=MADE,
        )
    )
