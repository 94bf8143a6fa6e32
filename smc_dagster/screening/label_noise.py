"""How far the labels of a domain disagree with those of the texts next to them.

What belongs here: the disagreement of nearest neighbours. What does not: the search (corpora/neighbours.py), what it
is set against (findings/domain_sensitivity.py).

It rises with wrong and overlapping labels, and with rare ones: a label with fewer documents than neighbours are
looked at disagrees with some of them in any case.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from smc_dagster.corpora.neighbours import DECIMALS, Places, Vectors, index_of, nearest
from smc_dagster.screening.coverage import hash_order

NEIGHBOURS = 10
# documents of a domain that are looked at, against all
MOST = 500


def label_disagreement(documents: pa.Table, vectors: Vectors, seed: int) -> dict[str, tuple[float, int]]:
    """Mean share of a document's NEIGHBOURS nearest other documents that have another label, by domain.

    Neighbours are sought among all documents, whatever their domain. Where several lie at the distance of the last,
    they share its place, as far as twice so many were found. At most MOST documents of a domain, drawn by hash of id
    and seed, are looked at. A document whose neighbours were not found in full is left out.

    Args:
        documents: doc_id, domain, label of real training documents, any order.
        vectors: [n, width] their unit vectors, in the same order.

    Returns:
        (share 0-1, documents it is a mean over) by domain; empty where there are not more documents than neighbours.
    """
    rows = documents.num_rows
    if rows <= NEIGHBOURS:
        return {}
    # in one order whatever the order given: ties and inverted lists depend on it
    order = np.argsort(documents["doc_id"].to_numpy(zero_copy_only=False).astype(str), kind="stable")
    documents, vectors = documents.take(pa.array(order)), np.ascontiguousarray(vectors[order])
    labels, domains = (np.unique(np.array(documents[name].to_pylist(), str), return_inverse=True) for name in _CODED)
    asked = _drawn(documents, domains[1], seed)
    distances, places = nearest(index_of(vectors), vectors[asked], min(2 * NEIGHBOURS + 1, rows))
    other = _other(labels[1], asked, places, distances.round(DECIMALS))
    found = {}
    for code, name in enumerate(domains[0].tolist()):
        values = other[(domains[1][asked] == code) & ~np.isnan(other)]
        if len(values):
            found[str(name)] = (float(values.mean()), len(values))
    return found


_CODED = ("label", "domain")


def _drawn(documents: pa.Table, domain: Places, seed: int) -> Places:
    """Places, ascending, of at most MOST documents a domain."""
    drawn = hash_order(documents["doc_id"], seed)
    by_domain = drawn[np.argsort(domain[drawn], kind="stable")]
    counts = np.unique(domain, return_counts=True)[1]
    rank = np.arange(len(by_domain)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_domain[rank < MOST])


def _other(label: Places, asked: Places, places: Places, distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[asked] share of neighbours with another label; NaN where there are too few."""
    distances = np.where((places == asked[:, None]) | (places < 0), np.inf, distances)
    last = np.sort(distances, axis=1)[:, NEIGHBOURS - 1 : NEIGHBOURS]
    nearer, tied = distances < last, (distances == last) & np.isfinite(distances)
    left = NEIGHBOURS - nearer.sum(axis=1)
    weight = nearer + tied * (left / np.maximum(tied.sum(axis=1), 1))[:, None]
    disagree = label[places] != label[asked][:, None]
    return np.asarray(np.where(np.isfinite(last[:, 0]), (weight * disagree).sum(axis=1) / NEIGHBOURS, np.nan))
