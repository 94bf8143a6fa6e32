"""How much of the evaluation text a document carries.

What belongs here: contamination of documents with the splits `test` and `anchor_eval`, and with the frozen evaluation
anchors. What does not: duplication inside a pool (scores.py), and deleting what is contaminated (mixing).

Contamination of a document: 1 where it shares a run of at least `run_words` words with an evaluation text, else its
largest Jaccard with one where that reaches `contamination_floor`, else 0: what lies below is not measured. The filter's
strictest limit can be no lower than the floor. A document counts as a near-duplicate from `jaccard` on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.near_duplicates import closest
from smc_dagster.corpora.shingles import word_forms, word_runs
from smc_dagster.study import Screening
from smc_dagster.tables import ANCHOR_EVAL_SLICES, EVALUATION_SPLITS

# kinds that count as contamination in a profile; `similar` text does not, and only the stricter filters delete it
CONTAMINATED = ("shared_run", "near_duplicate")


@dataclass(frozen=True)
class Contamination:
    """By document; each explains itself by one match, and what is null where there is none.

    Attributes:
        value: 0-1, float32.
        contaminant: doc_id of the evaluation document.
        kind: `shared_run`; `near_duplicate`; `similar`, between the floor and a near-duplicate.
        run: the words shared, in their form for comparison, where the kind is `shared_run`.
    """

    value: pa.Array
    contaminant: pa.Array
    kind: pa.Array
    run: pa.Array


def evaluation_text(real: pa.Table, anchors: pa.Table) -> pa.Table:
    """All text that models are judged on, each document once: doc_id, split, text.

    First what the corpus holds out, then the frozen anchors that are not among it, with their slice for a split: edits
    of held-out documents, and documents that have left the corpus since.

    Args:
        real: `real_documents`. anchors: `reality_anchors` of the version in force.
    """
    columns = ["doc_id", "split", "text"]
    held = real.filter(pc.is_in(real.column("split"), value_set=pa.array(EVALUATION_SPLITS))).select(columns)
    judged = anchors.filter(pc.is_in(anchors.column("slice"), value_set=pa.array(ANCHOR_EVAL_SLICES)))
    judged = judged.select(["doc_id", "slice", "text"]).rename_columns(columns)
    judged = judged.filter(pc.invert(pc.is_in(judged["doc_id"], value_set=held["doc_id"].combine_chunks())))
    # a document may be in two slices
    _, first = np.unique(judged["doc_id"].to_numpy(), return_index=True)
    return pa.concat_tables([held, judged.take(pa.array(np.sort(first)))], promote_options="permissive")


def contamination(texts: pa.Array | pa.ChunkedArray, evaluation: pa.Table, screening: Screening) -> Contamination:
    """Contamination of each text by `evaluation` (doc_id, text), in the order of `texts`.

    A shared run counts before a Jaccard. Of several documents that share a run with a text, the one of smallest doc_id
    is named, with the first run of the text that it has; else the one with the highest Jaccard.
    """
    made = pc.dictionary_encode(word_forms(texts))
    row = made.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # equal texts once on either side: they have the same matches
    known = evaluation.select(["doc_id", "text"]).sort_by("doc_id").combine_chunks()
    forms = word_forms(known.column("text"))
    encoded = pc.dictionary_encode(forms)
    first = np.unique(encoded.indices.to_numpy(zero_copy_only=False), return_index=True)[1]
    ids, known_forms = known.column("doc_id").combine_chunks().take(pa.array(first)), encoded.dictionary
    # the evaluation texts are in the order of their ids, so the first of several is that of the smallest id
    by, value = closest(made.dictionary, known_forms, screening.floor)

    runs, theirs = word_runs(made.dictionary, screening.run_words), word_runs(known_forms, screening.run_words)
    # of the evaluation texts with a run, the one of smallest id
    ordered = np.lexsort((theirs.owners, theirs.hashes))
    keys, at = np.unique(theirs.hashes[ordered], return_index=True)
    if len(keys):
        place = np.minimum(np.searchsorted(keys, runs.hashes), len(keys) - 1)
        hit = np.flatnonzero(keys[place] == runs.hashes)
        owner, contaminant = runs.owners[hit], theirs.owners[ordered[at[place[hit]]]]
        first_hit = np.lexsort((hit, contaminant, owner))
        shared, once = np.unique(owner[first_hit], return_index=True)
        by[shared] = contaminant[first_hit][once]
        value[shared] = 1.0
        # runs of a text follow one another, so the number of a run is the place of its first word
        begin = hit[first_hit][once] - np.searchsorted(runs.owners, shared)
        run = _runs(made.dictionary, shared, begin, screening.run_words)
    else:
        shared, run = np.zeros(0, np.int64), pa.nulls(len(value), pa.string())
    kind = np.where(value >= np.float32(screening.jaccard), "near_duplicate", "similar").astype(object)
    kind[shared] = "shared_run"
    named = pa.array(by, mask=by < 0)
    rows = pa.array(row)
    return Contamination(
        pa.array(value[row], pa.float32()),
        ids.take(named).take(rows),
        pa.array(kind, pa.string(), mask=by < 0).take(rows),
        run.take(rows),
    )


def _runs(forms: pa.Array, owners: np.ndarray, begin: np.ndarray, words: int) -> pa.Array:
    """The run of so many words of each owner's form; null for the other forms."""
    found = forms.take(pa.array(owners)).to_pylist()
    texts = [
        " ".join(form.split(" ")[start : start + words]) for form, start in zip(found, begin.tolist(), strict=True)
    ]
    out: list[str | None] = [None] * len(forms)
    for owner, text in zip(owners.tolist(), texts, strict=True):
        out[owner] = text
    return pa.array(out, pa.string())
