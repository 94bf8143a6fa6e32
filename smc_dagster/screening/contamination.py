"""How much of the evaluation text a document carries.

What belongs here: contamination of documents with the splits `test` and `anchor_eval`. What does not: duplication
inside a pool (scores.py), and deleting what is contaminated (mixing).

Contamination of a document: 1 where it shares a run of at least `run_words` words with an evaluation text, else its
largest Jaccard with one where that reaches the threshold, else 0: what lies below the threshold is not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.near_duplicates import similar
from smc_dagster.corpora.shingles import word_forms, word_runs
from smc_dagster.study import Screening
from smc_dagster.tables import EVALUATION_SPLITS


@dataclass(frozen=True)
class Contamination:
    """By document: how contaminated (0-1, float32) and by which evaluation document (null where by none)."""

    value: pa.Array
    contaminant: pa.Array


def evaluation_text(real: pa.Table) -> pa.Table:
    """The rows of `real_documents` that models are judged on."""
    return real.filter(pc.is_in(real.column("split"), value_set=pa.array(EVALUATION_SPLITS)))


def contamination(texts: pa.Array | pa.ChunkedArray, evaluation: pa.Table, screening: Screening) -> Contamination:
    """Contamination of each text by `evaluation` (doc_id, text), in the order of `texts`.

    Of several contaminants the one with the highest Jaccard is named, of a shared run the one of smallest doc_id.
    """
    made = pc.dictionary_encode(word_forms(texts))
    row = made.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # equal texts once on either side, as equal texts on both give the product of their numbers in pairs
    known = evaluation.select(["doc_id", "text"]).sort_by("doc_id").combine_chunks()
    forms = word_forms(known.column("text"))
    encoded = pc.dictionary_encode(forms)
    first = np.unique(encoded.indices.to_numpy(zero_copy_only=False), return_index=True)[1]
    ids, known_forms = known.column("doc_id").combine_chunks().take(pa.array(first)), encoded.dictionary
    value = np.zeros(len(made.dictionary), np.float32)
    by = np.full(len(made.dictionary), -1, np.int64)

    numbers = pa.array(np.char.mod("%d", np.arange(len(made.dictionary))), pa.string())
    places = pa.array(np.char.mod("%d", np.arange(len(ids))), pa.string())
    pairs = similar(numbers, made.dictionary, places, known_forms, screening.jaccard)
    left = pairs.column("a").cast(pa.int64()).to_numpy()
    right = pairs.column("b").cast(pa.int64()).to_numpy()
    found = pairs.column("jaccard").to_numpy()
    rank = pc.rank(ids).to_numpy(zero_copy_only=False).astype(np.int64)
    order = np.lexsort((rank[right], -found, left))
    best = order[np.unique(left[order], return_index=True)[1]]
    value[left[best]], by[left[best]] = found[best], right[best]

    runs, theirs = word_runs(made.dictionary, screening.run_words), word_runs(known_forms, screening.run_words)
    # of the evaluation texts with a run, the one of smallest id
    ordered = np.lexsort((rank[theirs.owners], theirs.hashes))
    keys, at = np.unique(theirs.hashes[ordered], return_index=True)
    if len(keys):
        place = np.minimum(np.searchsorted(keys, runs.hashes), len(keys) - 1)
        hit = np.flatnonzero(keys[place] == runs.hashes)
        owner, contaminant = runs.owners[hit], theirs.owners[ordered[at[place[hit]]]]
        first_hit = np.lexsort((rank[contaminant], owner))
        shared, once = np.unique(owner[first_hit], return_index=True)
        # a text whose Jaccard already names a contaminant keeps that name
        by[shared] = np.where(by[shared] < 0, contaminant[first_hit][once], by[shared])
        value[shared] = 1.0
    named = pa.array(by, mask=by < 0)
    return Contamination(pa.array(value[row], pa.float32()), ids.take(named).take(pa.array(row)))
