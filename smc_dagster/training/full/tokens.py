"""The token table of a set of documents.

What belongs here: which texts are tokenised, what is reused, the table. What does not: the tokenizer (base.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.tables import REAL_TOKENS
from smc_dagster.training.encoder import tokenise


def token_table(docs: pa.Table, tokenizer: Any, max_tokens: int, known: pa.Table | None) -> pa.Table:
    """One row a document, in the order of ids (schema of REAL_TOKENS, SYNTHETIC_TOKENS and ANCHOR_TOKENS).

    Args:
        docs: `doc_id`, `text`; a doc_id that occurs twice gives one row.
        tokenizer: of transformers.
        max_tokens: longer texts are cut, special tokens included.
        known: rows made earlier by the same tokenizer and max_tokens, reused by doc_id; the caller vouches for that.
    """
    rows = docs.select(["doc_id", "text"]).group_by("doc_id").aggregate([("text", "min")])
    parts = []
    if known is not None and known.num_rows:
        there = pc.is_in(known["doc_id"], value_set=rows["doc_id"].combine_chunks())
        parts.append(known.filter(there).cast(REAL_TOKENS.schema))
        rows = rows.filter(pc.invert(pc.is_in(rows["doc_id"], value_set=known["doc_id"].combine_chunks())))
    found = tokenise(tokenizer, rows["text_min"].to_pylist(), max_tokens)
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int32)
    ids = np.fromiter((one for text in found for one in text), dtype=np.int32, count=int(offsets[-1]))
    tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))
    parts.append(pa.table([rows["doc_id"].combine_chunks(), tokens], schema=REAL_TOKENS.schema))
    return pa.concat_tables(parts).sort_by("doc_id")
