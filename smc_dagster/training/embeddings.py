"""The embedding table of a set of documents.

What belongs here: which texts are embedded, what is reused, the table. What does not: the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH, REAL_EMBEDDINGS
from smc_dagster.training.encoder import embed
from smc_dagster.training.vectors import Vectors


def embed_documents(
    docs: pa.Table, training: Training, known: pa.Table | None, progress: Callable[[int, int], None] | None = None
) -> pa.Table:
    """One row a document, in the order of ids (schema of REAL_EMBEDDINGS and SYNTHETIC_EMBEDDINGS).

    Each distinct text is embedded once.

    Args:
        docs: `doc_id`, `text`; a doc_id that occurs twice gives one row.
        training: encoder and max_tokens.
        known: rows made earlier by the same encoder and max_tokens, reused by doc_id; the caller vouches for that.
        progress: called with (texts embedded, texts to embed).

    Raises:
        WeightsError: see `encoder.embed`.
    """
    rows = docs.select(["doc_id", "text"]).group_by("doc_id").aggregate([("text", "min")]).sort_by("doc_id")
    ids = rows["doc_id"].combine_chunks()
    matrix = np.empty((len(ids), EMBEDDING_WIDTH), dtype=np.float32)
    fresh = np.ones(len(ids), dtype=bool)
    if known is not None and known.num_rows:
        vectors = Vectors.build([known])
        fresh = ~pc.is_in(ids, value_set=vectors.doc_ids).to_numpy(zero_copy_only=False)
        matrix[~fresh] = vectors.take(ids.filter(pa.array(~fresh)))
    if fresh.any():
        texts = rows["text_min"].filter(pa.array(fresh)).combine_chunks()
        distinct = pc.unique(texts)
        of_text = embed(distinct.to_pylist(), training.encoder, training.max_tokens, progress)
        matrix[fresh] = of_text[pc.index_in(texts, value_set=distinct).to_numpy()]
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), EMBEDDING_WIDTH)
    return pa.table([ids, embedding], schema=REAL_EMBEDDINGS.schema)
