"""Bootstrap draws of a paired difference between two arms on the same documents and replicates.

What belongs here: the panel of an arm's outcomes, the resample, the statistics and their draws. What does not: which
arms are contrasted and what is concluded (findings).

Replicates are drawn with replacement, then documents with replacement; the statistic is taken per drawn replicate and
averaged over them. All replicates of all arms are judged on the same documents, so one draw of documents serves every
replicate and both arms: drawing documents anew for each replicate would average the documents' sampling error away
(crossed, not nested, random effects; Owen 2007, "The pigeonhole bootstrap", Ann. Appl. Stat. 1(2)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.evaluation.calibration import equal_mass_bins
from smc_dagster.evaluation.seeding import generator

Statistic = Literal["macro_recall", "accuracy", "confidence", "gap", "ece"]
Change = Literal["absolute", "relative"]
# elements of a chunk of the count matrix [documents, draws]: 32 MB of float64
CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Panel:
    """One arm's outcomes on one slice; columns are documents in the order of their ids, rows are replicates.

    Attributes:
        doc_ids: [n] sorted.
        labels: [n] code of each document's label.
        replicates: [R] ascending.
        correct: [R, n] 0 or 1.
        confidence: [R, n] top-1 probability, 0-1.
    """

    doc_ids: list[str]
    labels: np.ndarray
    replicates: list[int]
    correct: np.ndarray
    confidence: np.ndarray

    @property
    def n(self) -> int:
        """Documents."""
        return len(self.doc_ids)


@dataclass(frozen=True)
class Draws:
    """A statistic's change from baseline to arm: on the full sample, and on each draw.

    Attributes:
        estimate: on the full sample; NaN where it is undefined (no documents, or relative to zero).
        draws: [draws]; NaN where a draw leaves it undefined.
        arm, baseline: the statistic itself on the full sample, mean over replicates.
        n: documents.
        replicates: number of replicates.
    """

    estimate: float
    draws: np.ndarray
    arm: float
    baseline: float
    n: int
    replicates: int


def panel(predictions: pa.Table, slice_name: str, *, tail: bool | None = None, domain: str | None = None) -> Panel:
    """The panel of one arm's predictions on a slice.

    Args:
        predictions: PREDICTIONS of one arm.
        slice_name: `test`, `rare` or `atypical`.
        tail: keep tail labels only (True), head labels only (False), or both (None).
        domain: keep one domain only.

    Raises:
        StaleInputError: a replicate lacks documents that another has, or has one twice.
    """
    keep = pc.equal(predictions["slice"], slice_name)
    if tail is not None:
        keep = pc.and_(keep, pc.equal(predictions["is_tail"], tail))
    if domain is not None:
        keep = pc.and_(keep, pc.equal(predictions["domain"], domain))
    columns = ["replicate", "doc_id", "label", "predicted", "confidence"]
    rows = predictions.select(columns).filter(keep).sort_by([("replicate", "ascending"), ("doc_id", "ascending")])
    replicates = sorted(pc.unique(predictions["replicate"]).to_pylist())
    n, odd = divmod(rows.num_rows, max(len(replicates), 1))
    ids = rows["doc_id"].combine_chunks().slice(0, n)
    same = not odd and all(rows["doc_id"].slice(r * n, n).combine_chunks().equals(ids) for r in range(len(replicates)))
    if not same or pc.count_distinct(ids).as_py() != n:
        raise StaleInputError(
            f"predictions of slice `{slice_name}`: replicates {replicates} do not cover the same documents once each",
            "materialise predictions again",
        )
    shape = (len(replicates), n)
    correct = pc.equal(rows["label"], rows["predicted"]).to_numpy().astype(np.float64).reshape(shape)
    confidence = rows["confidence"].to_numpy().astype(np.float64).reshape(shape)
    names = rows["label"].slice(0, n).combine_chunks()
    labels = pc.index_in(names, pc.unique(names).sort()).to_numpy(zero_copy_only=False).astype(np.int64)
    return Panel(ids.to_pylist(), labels, replicates, correct, confidence)


def paired_difference(
    arm: Panel,
    baseline: Panel,
    statistic: Statistic,
    *,
    draws: int,
    seed: int,
    change: Change = "absolute",
    bins: int = 15,
) -> Draws:
    """Draws of the change of a statistic from `baseline` to `arm`, the same resample for both.

    Args:
        arm, baseline: panels on the same documents and replicates.
        statistic: `macro_recall` (mean over labels of the share found; documents are drawn within their label, so no
            label goes missing), `accuracy`, `confidence` (mean top-1 probability), `gap` (confidence - accuracy), or
            `ece` (equal-mass, top-label; each replicate's bins stay those of its full sample). A resampled ECE is
            biased upwards, as it is a mean of absolute values; the bias is common to both arms and mostly cancels.
        draws: number of draws.
        seed: any integer; draws depend on it, `n`, the labels and the number of replicates only.
        change: `absolute` (arm - baseline) or `relative` ((arm - baseline) / baseline).
        bins: bins of the ECE.

    Raises:
        StaleInputError: the panels differ in documents or replicates.
        ValueError: unknown statistic or change.
    """
    if statistic not in get_args(Statistic) or change not in get_args(Change):
        raise ValueError(f"unknown statistic `{statistic}` or change `{change}`")
    if arm.doc_ids != baseline.doc_ids or arm.replicates != baseline.replicates:
        raise StaleInputError(
            f"two arms to be compared were evaluated on other documents or replicates ({arm.n} documents x "
            f"{len(arm.replicates)} replicates against {baseline.n} x {len(baseline.replicates)})",
            "materialise the predictions of both arms again",
        )
    replicates = len(arm.replicates)
    if arm.n == 0:
        nothing = np.full(draws, np.nan)
        return Draws(np.nan, nothing, np.nan, np.nan, 0, replicates)
    sums = [_functionals(one, statistic, bins) for one in (arm, baseline)]
    strata = arm.labels if statistic == "macro_recall" else np.zeros(arm.n, dtype=np.int64)
    everything = np.ones((arm.n, 1))
    full = [_statistic(one, everything, statistic, replicates)[:, 0].mean() for one in sums]
    chosen = _replicate_weights(replicates, draws, seed)
    parts: list[np.ndarray] = []
    done = 0
    for counts in _document_counts(strata, draws, seed):
        weights = chosen[:, done : done + counts.shape[1]]
        done += counts.shape[1]
        values = [(_statistic(one, counts, statistic, replicates) * weights).sum(axis=0) for one in sums]
        parts.append(_change(values[0], values[1], change))
    estimate = float(_change(np.array([full[0]]), np.array([full[1]]), change)[0])
    return Draws(estimate, np.concatenate(parts), float(full[0]), float(full[1]), arm.n, replicates)


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the draws that are defined; NaN where none is."""
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(draws: np.ndarray) -> float:
    """Two-sided p of no change, by inverting the percentile interval: 2 min(P(d <= 0), P(d >= 0)), at least 2/(B + 1).

    One draw is added to either side (Davison & Hinkley 1997, section 4.2), so it is never 0. NaN without draws.
    """
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return float("nan")
    below, above = int((defined <= 0).sum()), int((defined >= 0).sum())
    return float(min(1.0, 2 * (1 + min(below, above)) / (len(defined) + 1)))


def _change(arm: np.ndarray, baseline: np.ndarray, change: Change) -> np.ndarray:
    if change == "absolute":
        return np.asarray(arm - baseline)
    return np.asarray(np.divide(arm - baseline, baseline, out=np.full(len(arm), np.nan), where=baseline != 0))


def _replicate_weights(replicates: int, draws: int, seed: int) -> np.ndarray:
    """[replicates, draws]: how often each replicate was drawn, divided by their number; columns sum to 1."""
    drawn = generator("bootstrap replicates", seed).integers(0, replicates, size=(draws, replicates))
    flat = drawn * draws + np.arange(draws)[:, None]
    counts = np.bincount(flat.ravel(), minlength=replicates * draws).reshape(replicates, draws)
    return np.asarray(counts / replicates)


def _document_counts(strata: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks [n, draws of the chunk]: how often each document was drawn, within its stratum.

    The stream is read draw by draw, so the draws do not depend on the size of a chunk.
    """
    n = len(strata)
    by_stratum = np.argsort(strata, kind="stable")
    sizes = np.bincount(strata)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    own = strata[by_stratum]
    start, size = starts[own], sizes[own]
    rng = generator("bootstrap documents", seed)
    chunk = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, draws, chunk):
        width = min(chunk, draws - first)
        place = start + (rng.random((width, n)) * size).astype(np.int64)
        flat = by_stratum[place] * width + np.arange(width)[:, None]
        yield np.bincount(flat.ravel(), minlength=n * width).reshape(n, width).astype(np.float64)


def _functionals(one: Panel, statistic: Statistic, bins: int) -> Any:
    """Sparse [K, n] whose product with document counts gives what the statistic is made of.

    K = R (one weighted sum a replicate), or R x bins for the ECE. A sparse product runs on one thread, so the draws do
    not depend on how many threads a BLAS has.
    """
    from scipy.sparse import csr_matrix

    if statistic == "ece":
        return _bin_sums(one, bins)
    if statistic == "macro_recall":
        sizes = np.bincount(one.labels)
        per_document = 1.0 / (sizes[one.labels] * np.count_nonzero(sizes))
        return csr_matrix(one.correct * per_document)
    values = {"accuracy": one.correct, "confidence": one.confidence, "gap": one.confidence - one.correct}[statistic]
    return csr_matrix(values / one.n)


def _bin_sums(one: Panel, bins: int) -> Any:
    from scipy.sparse import csr_matrix

    replicates = len(one.replicates)
    group = np.repeat(np.arange(replicates), one.n)
    cell = group * bins + equal_mass_bins(one.confidence.ravel(), bins, group)
    document = np.tile(np.arange(one.n), replicates)
    value = (one.correct - one.confidence).ravel() / one.n
    return csr_matrix((value, (cell, document)), shape=(replicates * bins, one.n))


def _statistic(functionals: Any, counts: np.ndarray, statistic: Statistic, replicates: int) -> np.ndarray:
    """[R, draws]: the statistic of each replicate on each draw of documents."""
    sums = np.asarray(functionals @ counts)
    if statistic == "ece":
        return np.asarray(np.abs(sums).reshape(replicates, -1, counts.shape[1]).sum(axis=1))
    return sums
