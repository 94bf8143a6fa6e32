"""The most similar of some texts for each of others, by comparing all with all.

What belongs here: counts of common shingles as products of matrices. What does not: which texts are compared this way
(near_duplicates.py), and their shingle sets (shingles.py).

Worth it where most pairs are alike, as where few words make many texts. Of the shingles that texts of both sides have,
a thousand make nearly all that pairs have in common: they are columns of dense matrices, whose product costs some
nanoseconds a pair. The others are left to a sparse product. The counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from smc_dagster.corpora.shingles import Comparison, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]

_TEXTS = 1 << 15
_ROWS = 256
_DENSE = 1024


def most_similar(
    within: Comparison, left: Ints, right: Ints, jaccard: float
) -> Iterator[tuple[Ints, Ints, npt.NDArray[np.float64]]]:
    """For each of `left` the most similar of a part of `right`, where their Jaccard is at least `jaccard`.

    Args:
        within: what compares forms.
        left: forms.
        right: forms; of several at the same Jaccard the first counts.
        jaccard: 0-1, above 0.

    Yields:
        (forms of `left`, a form of `right` for each, their Jaccard), part by part of `right`.
    """
    for others in _parts(right):
        theirs, _ = within.sets_of(others)
        for own in _parts(left):
            mine, _ = within.sets_of(own)
            at, value = _best(within, own, others, mine, theirs)
            near = value >= jaccard
            yield own[near], others[at[near]], value[near].astype(np.float64)


def _parts(forms: Ints) -> list[Ints]:
    return np.split(forms, range(_TEXTS, len(forms), _TEXTS))


def _best(within: Comparison, own: Ints, others: Ints, mine: csr_matrix, theirs: csr_matrix) -> tuple[Ints, Floats]:
    """Position in `others` and Jaccard of the best of them, for each of `own`."""
    sizes, their_sizes = (np.diff(one.indptr).astype(np.float32) for one in (mine, theirs))
    mine, theirs = _common_columns(mine, theirs)
    dense, rest = mine[:, :_DENSE].toarray(), mine[:, _DENSE:]
    their_dense, their_rest = theirs[:, :_DENSE].toarray().T, theirs[:, _DENSE:].T.tocsr()
    at, value = np.zeros(len(own), np.int64), np.zeros(len(own), np.float32)
    for start in range(0, len(own), _ROWS):
        some = slice(start, start + _ROWS)
        both = dense[some] @ their_dense
        if their_rest.nnz:
            both += (rest[some] @ their_rest).toarray()
        found = both / np.maximum(sizes[some, None] + their_sizes - both, 1)
        found[~within.judges(own[some, None], others[None, :])] = 0
        at[some] = found.argmax(axis=1)
        value[some] = np.take_along_axis(found, at[some, None], axis=1)[:, 0]
    return at, value


def _common_columns(mine: csr_matrix, theirs: csr_matrix) -> tuple[csr_matrix, csr_matrix]:
    """Both sides with the shingles that are on both for columns, those first that most pairs share; float32."""
    from scipy.sparse import csr_matrix

    shared = np.intersect1d(mine.indices, theirs.indices)
    held = []
    for one in (mine, theirs):
        kept = np.isin(one.indices, shared)
        row = np.repeat(np.arange(one.shape[0]), np.diff(one.indptr))[kept]
        held.append((row, np.searchsorted(shared, one.indices[kept]), one.shape[0]))
    pairs = np.prod([np.bincount(column, minlength=len(shared)) for _, column, _ in held], axis=0)
    place = np.empty(len(shared), np.int64)
    place[np.argsort(-pairs, kind="stable")] = np.arange(len(shared))
    ours, others = (
        csr_matrix((np.ones(len(row), np.float32), (row, place[column])), shape=(rows, len(shared)))
        for row, column, rows in held
    )
    return ours, others
