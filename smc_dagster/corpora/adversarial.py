"""The adversarial anchors: held-out real documents, edited so that their label stays true.

What belongs here: which documents are edited, how, and the rows. What does not: the edits (edits.py), the slices of
unedited documents (anchors.py).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.draws import uniform
from smc_dagster.corpora.edits import EDITS, Stream
from smc_dagster.corpora.text import ID_DIGITS
from smc_dagster.study import Provenance
from smc_dagster.tables import REALITY_ANCHORS

SLICE = "adversarial"


def edit_text(text: str, doc_id: str, seed: int) -> tuple[str, str]:
    """Name of the edit and the edited text, which differs from `text`; both follow from seed, doc_id and text alone."""
    key = hashlib.sha256(f"{seed}\0adversarial\0{doc_id}".encode()).digest()
    names = sorted(EDITS)
    name = names[key[0] % len(names)]
    stream: Stream = np.random.Generator(np.random.Philox(key=int.from_bytes(key[8:24], "little")))
    return name, EDITS[name](text, stream)


def adversarial_id(edit: str, parent: str, text: str) -> str:
    """Identity of an edited document: a hash that no real document has, as those hash domain, label and text.

    Case and punctuation count here, unlike in a real document's identity, which an edit of case would share.
    """
    content = f"anchor\0{edit}\0{parent}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:ID_DIGITS]


def adversarial_documents(held: pa.Table, version: str, most: int, seed: int) -> pa.Table:
    """One edited document a held-out document; of more than `most` those with the smallest hash of (seed, doc_id).

    Args:
        held: doc_id, domain, label, text, is_tail of `anchor_eval`, any order.

    Returns:
        schema REALITY_ANCHORS, ordered by doc_id; `distance` is null.
    """
    if held.num_rows > most:
        order = np.argsort(uniform(held["doc_id"], seed, "adversarial"), kind="stable")
        held = held.take(pa.array(np.sort(order[:most])))
    parents, texts = held["doc_id"].to_pylist(), held["text"].to_pylist()
    made = [edit_text(text, parent, seed) for text, parent in zip(texts, parents, strict=True)]
    ids = [adversarial_id(edit, parent, text) for (edit, text), parent in zip(made, parents, strict=True)]
    rows = held.num_rows
    table = pa.table(
        {
            "version": pa.repeat(version, rows),
            "slice": pa.repeat(SLICE, rows),
            "doc_id": pa.array(ids, pa.string()),
            "domain": held["domain"],
            "label": held["label"],
            "is_tail": held["is_tail"],
            "text": pa.array([text for _, text in made], pa.string()),
            "provenance": pa.repeat(Provenance.edited.value, rows),
            "parent_doc_id": held["doc_id"],
            "edit": pa.array([edit for edit, _ in made], pa.string()),
            "distance": pa.nulls(rows, pa.float32()),
        },
        schema=REALITY_ANCHORS.schema,
    )
    return table.take(pc.sort_indices(table, sort_keys=[("doc_id", "ascending")]))
