"""The nearest documents by embedding.

What belongs here: the faiss index and the search. What does not: what neighbours tell (anchors.py,
screening/label_noise.py), the measures on small samples that need every distance (screening/coverage.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

# above so many vectors the search is by an inverted index
EXACT_LIMIT = 100_000
LISTS = 512
PROBES = 16
# cosine distances are equal to this many decimals whatever the number of threads that added them up
DECIMALS = 5


def index_of(known: Vectors) -> Any:
    """An index over unit vectors [n, width]: exact up to EXACT_LIMIT of them, by inverted lists above."""
    import faiss

    width = known.shape[1]
    index = faiss.IndexFlatIP(width)
    if len(known) > EXACT_LIMIT:
        index = faiss.IndexIVFFlat(index, width, LISTS, faiss.METRIC_INNER_PRODUCT)
        index.train(known)
        index.nprobe = PROBES
    index.add(known)
    return index


def nearest(index: Any, queries: Vectors, count: int) -> tuple[Distances, Places]:
    """Cosine distances (0-2) to the `count` nearest vectors of the index, ascending, and their places, both [n, count].

    A place is -1, and its distance infinite, where an inverted index found no more.
    """
    if not len(queries):
        return np.empty((0, count)), np.empty((0, count), np.int64)
    similarity, places = index.search(queries, count)
    distances = np.where(places < 0, np.inf, 1.0 - similarity.astype(np.float64))
    return np.asarray(distances), np.asarray(places)
