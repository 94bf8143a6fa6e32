"""How much of the real variety a set of embeddings reaches, and how varied it is in itself.

What belongs here: the mode-coverage index, the Vendi score and distinct-2, each at a size that is fixed by the real
text, and the draw of a sample. What does not: which sets are compared (profile.py) and how embeddings are made
(training/).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from smc_dagster.corpora.shingles import string_hashes, word_forms, word_runs

Vectors = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def hash_order(ids: pa.Array | pa.ChunkedArray, seed: int) -> Rows:
    """Row numbers in an order drawn by hash of id and seed: its first n rows are a sample that knows no row order."""
    return np.argsort(string_hashes(ids, seed), kind="stable")


def mode_coverage(real: Vectors, made: Vectors, neighbours: int) -> float:
    """Share of real rows that have a made row nearer than their k-th nearest real neighbour (0-1).

    mean_i [ min_j d(r_i, s_j) < d_k(r_i) ] (coverage of Naeem, Oh, Uh, Choi, Yoo 2020); d is Euclidean, r_i is not
    counted as its own neighbour. The index grows with the number of made rows: compare it only between sets of equal
    sizes.

    Args:
        real: [n, width], n > neighbours.
        made: [m, width], m > 0.

    A real row with `neighbours` exact copies or more has a radius of 0 and is reached by nothing: the index of a corpus
    by itself is the share of the other rows, and no set reaches more.

    Raises:
        ValueError: so few rows that none has a k-th neighbour, or no made rows.
    """
    if not 0 < neighbours < len(real) or not len(made):
        raise ValueError(f"{len(real)} real and {len(made)} made rows for the distance to neighbour {neighbours}")
    within = _squared(real, real)
    np.fill_diagonal(within, np.inf)
    radius = np.partition(within, neighbours - 1, axis=1)[:, neighbours - 1]
    return float(np.mean(_squared(real, made).min(axis=1) < radius))


def vendi(vectors: Vectors) -> float:
    """Effective number of different rows, 1 to n: exp of the entropy of the eigenvalues of K / n.

    K holds the cosine similarities (the Vendi score of Friedman and Dieng 2023). It grows with n: compare it only at
    equal n.

    Args:
        vectors: [n, width], each of length 1.
    """
    rows, width = vectors.shape
    # the smaller of the two products has the same eigenvalues above 0
    kernel = vectors @ vectors.T if rows <= width else vectors.T @ vectors
    values = np.linalg.eigvalsh(kernel / rows)
    values = values[values > 1e-12]
    return float(np.exp(-np.sum(values * np.log(values))))


def distinct_2(texts: pa.Array | pa.ChunkedArray, pairs: int) -> float | None:
    """Different ones among the first `pairs` pairs of neighbouring words, over `pairs` (0-1); None if there are fewer.

    Li et al. 2016, at a fixed number of pairs, as the ratio falls with it.
    """
    hashes = word_runs(word_forms(texts), 2).hashes
    return float(len(np.unique(hashes[:pairs])) / pairs) if 0 < pairs <= len(hashes) else None


def unit_vectors(embeddings: pa.Array | pa.ChunkedArray) -> Vectors:
    """A list column as [n, width], each row scaled to length 1."""
    chunk = embeddings.combine_chunks() if isinstance(embeddings, pa.ChunkedArray) else embeddings
    if not len(chunk):
        return np.zeros((0, 1))
    flat = chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(chunk), -1)
    unit: Vectors = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return unit


def _squared(left: Vectors, right: Vectors) -> Vectors:
    """Squared Euclidean distances of rows of length 1; rounded, so that rows that are equal are at 0 on any machine."""
    return np.asarray(np.round(np.maximum(0.0, 2.0 - 2.0 * (left @ right.T)), 9), np.float64)
