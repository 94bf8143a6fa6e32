"""Bootstrap draws of replicates and of documents, the same for every arm, so that differences stay paired.

What belongs here: the weights of the draws, made once for all arms and measures of a slice. What does not: any
statistic. `evaluation.resampling` draws one pair of arms; a study compares hundreds, so the draws of documents are
shared here.

Replicates and documents are crossed, not nested: every replicate answers the same documents. Documents are
therefore drawn once for all replicates, replicates once for all documents, and the two deviations are added (see
`combine`). Documents are taken m - 1 of m with replacement at weight m / (m - 1), which is unbiased for the variance
where m is small, as documents of a tail label are (Rao & Wu 1988). Replicates are fewer still: theirs are Student's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from smc_dagster.evaluation.seeding import generator

Floats = NDArray[np.float64]
# cells of a chunk of weights [documents, draws]: 32 MB of float64
CHUNK_CELLS = 4_000_000


def replicate_weights(replicates: int, draws: int, seed: int) -> Floats:
    """Weights of replicates, [replicates, draws], each column with sum 1.

    A weighted mean less the plain one is Student's t with replicates - 1 degrees of freedom, times the standard error
    of the mean: normal deviates on the replicates (a multiplier bootstrap), divided by the root of a chi-square over
    its degrees of freedom, one a draw. So few units drawn with replacement have no tails, while p-values that are
    adjusted for many tests lie far out in them. One replicate has weight 1: its noise cannot be seen.
    """
    if replicates == 1:
        return np.ones((1, draws))
    rng = generator("findings replicates", seed)
    normal = rng.standard_normal((draws, replicates)).T
    freedom = replicates - 1
    scale = np.sqrt(freedom / rng.chisquare(freedom, draws)) / np.sqrt(replicates * freedom)
    return np.asarray(1 / replicates + (normal - normal.mean(axis=0)) * scale)


def document_weights(strata: NDArray[np.int64], draws: int, seed: int, purpose: str) -> Iterator[Floats]:
    """Weights of documents in chunks [documents, draws of the chunk], drawn within strata; they sum to each
    stratum's size.

    The stream is read draw by draw, so the weights do not depend on the size of a chunk.

    Args:
        strata: [documents] code of each one's stratum; strata of one document are pooled, as alone they would not
            vary.
        purpose: names the stream beside the seed.
    """
    codes, counts = np.unique(strata, return_counts=True)
    pooled = np.where(np.isin(strata, codes[counts == 1]), -1, strata)
    order = np.argsort(pooled, kind="stable")
    _, starts, sizes = np.unique(pooled[order], return_index=True, return_counts=True)
    taken = np.maximum(sizes - 1, 1)
    first, size = np.repeat(starts, taken), np.repeat(sizes, taken)
    scale = np.empty(len(strata))
    scale[order] = np.repeat(sizes / taken, sizes)
    rng = generator(purpose, seed)
    chunk = max(1, CHUNK_CELLS // max(len(strata), 1))
    for done in range(0, draws, chunk):
        width = min(chunk, draws - done)
        picked = order[first + (rng.random((width, len(first))) * size).astype(np.int64)]
        flat = picked * width + np.arange(width)[:, None]
        drawn = np.bincount(flat.ravel(), minlength=len(strata) * width).reshape(len(strata), width)
        yield drawn * scale[:, None]


def combine(estimate: float, by_document: Floats, by_replicate: Floats, single: Floats, values: Floats) -> Floats:
    """Draws of one estimate: `combine_jointly` for one.

    Args:
        estimate: on the full sample.
        by_document: [draws] of the mean over replicates, documents drawn.
        by_replicate: [draws] on all documents, replicates drawn.
        single: [replicates, draws] of each replicate, documents drawn as in `by_document`.
        values: [replicates] of each replicate, on all documents.

    Returns:
        [draws], centred on the estimate.
    """
    one = combine_jointly(np.array([estimate]), by_document[None], by_replicate[None], single[None], values[None])
    return np.asarray(one[0])


def combine_jointly(
    estimates: Floats, by_document: Floats, by_replicate: Floats, single: Floats, values: Floats
) -> Floats:
    """Draws of k estimates from those of documents and those of replicates, in one piece.

    Drawing both at once, as in the plain pigeonhole bootstrap (Owen 2007), counts the noise of single answers three
    times: intervals came out up to 1.9 times too wide at 5 replicates. Added deviations count it twice. Its part in
    the replicates' spread is estimated by moments from how little the replicates' draws move together, and taken off
    (as DerSimonian & Laird 1986 do between studies); for several estimates as matrices, with what comes out negative
    set to 0 in the coordinates in which the replicates' spread is the unit (as Amemiya 1985 does). All k draws go
    through one linear map, so an estimate that is a sum of others has draws that are the sum of theirs. Simulated
    coverage of 95 % intervals, normal data of seven mixes of the three noises: .93-.96 at 5 replicates, .92-.96 at
    10, .92-.98 at 3. The interval of one of several is never narrower, up to the noise of the draws, than that of
    it alone.

    Args:
        estimates: [k] on the full sample, in one unit.
        by_document: [k, draws] of the mean over replicates, documents drawn.
        by_replicate: [k, draws] on all documents, replicates drawn.
        single: [k, replicates, draws] of each replicate, documents drawn as in `by_document`.
        values: [k, replicates] of each replicate, on all documents.

    Returns:
        [k, draws], centred on the estimates.
    """
    spread = by_document - by_document.mean(axis=1, keepdims=True)
    many, count, draws = single.shape
    if count > 1:
        # of the replicates: all that they differ by, in the directions in which they differ at all
        roots, axes = np.linalg.eigh(np.atleast_2d(np.cov(values)))
        there = roots > max(float(roots[-1]) * 1e-10, 0.0)
        roots, axes = roots[there], axes[:, there]
        covariance = np.cov(single.reshape(many * count, draws)).reshape(many, count, many, count)
        own = np.einsum("irjr->ij", covariance) / count
        shared = (covariance.sum(axis=(1, 3)) - own * count) / (count * (count - 1))
        white = axes / np.sqrt(roots)
        parts, turned = np.linalg.eigh(np.eye(len(roots)) - white.T @ (own - shared) @ white)
        kept = (turned * np.sqrt(np.maximum(parts, 0.0))) @ turned.T
        lift = (axes * np.sqrt(roots)) @ kept @ white.T
        # about their own mean and not the draws': with 2 or 3 replicates that of the draws is ruled by a few of them
        spread = spread + lift @ (by_replicate - values.mean(axis=1, keepdims=True))
    return np.asarray(estimates[:, None] + spread)
