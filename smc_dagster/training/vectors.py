"""Vectors by document id.

What belongs here: one matrix from several embedding tables, and look-up. What does not: making embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.tables import EMBEDDING_WIDTH


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of documents.

    Attributes:
        doc_ids: [n] ids.
        matrix: [n, 384] float32, one row an id. Do not write to it.
    """

    doc_ids: pa.Array
    matrix: np.ndarray

    @classmethod
    def build(cls, tables: Iterable[pa.Table]) -> Vectors:
        """Stack embedding tables (the real one, pools). An id in two tables names one text: its first row counts."""
        ids: list[pa.Array] = []
        parts: list[np.ndarray] = []
        for table in tables:
            for batch in table.select(["doc_id", "embedding"]).to_batches():
                ids.append(batch.column(0))
                # flatten heeds the batch's offset, which `values` would not
                parts.append(batch.column(1).flatten().to_numpy().reshape(-1, EMBEDDING_WIDTH))
        if not parts:
            return cls(pa.array([], pa.string()), np.zeros((0, EMBEDDING_WIDTH), dtype=np.float32))
        return cls(pa.concat_arrays(ids), np.ascontiguousarray(np.concatenate(parts)))

    def rows(self, doc_ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Row of each id in the matrix, int64.

        Raises:
            StaleInputError: an id has no vector.
        """
        found = pc.index_in(doc_ids, value_set=self.doc_ids)
        if found.null_count:
            missing = doc_ids.filter(pc.is_null(found))
            raise StaleInputError(
                f"{found.null_count} of {len(doc_ids)} documents have no embedding, the first is {missing[0].as_py()}",
                "materialise real_embeddings and synthetic_embeddings again",
            )
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def take(self, doc_ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Vectors of the ids in their order, [len(doc_ids), 384]; raises like `rows`."""
        return np.asarray(self.matrix[self.rows(doc_ids)])
