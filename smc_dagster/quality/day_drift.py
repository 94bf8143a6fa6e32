"""How far a new day has drifted from the days before it, and whether that is more than chance.

What belongs here: what is new in a day, sampling, its scores, and what chance alone would score. What does not: the
methods (drift.py), the history of reports (drift_history.py), limits (study/gates.py).

A day brings what no day before it held: a source that is read anew every day repeats itself. It counts as drifted in
a column where its score is at or above the study's limit, and above what chance makes of so few documents: over a few
hundred labels, a day of a few hundred documents is by itself some tenths away from the corpus it was drawn from.
Chance is measured: the 99 % quantile of the score over 99 random partitions of all documents of both sides into two
of the same sizes (a permutation test). For the embedding it is that of the Mann-Whitney statistic of two equal
distributions, .5 + 2.326 sqrt((m + n + 1) / 12mn), on the half that the classifier is judged by. So a day like those
before exceeds chance in one of the five columns at most one time in 20.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality.drift import MEANINGS, METHODS, described, evidently_report, page, sample, tell_apart, vectors
from smc_dagster.study import DayDrift

if TYPE_CHECKING:
    import pandas as pd
    from evidently.core.report import Snapshot

COLUMNS = ["doc_id", "domain", "label", "text"]
_PLAIN = pa.schema([(name, pa.string()) for name in COLUMNS])
# fewer documents are not compared; of more than so many of a side, no more are embedded
FEWEST, EMBEDDED = 20, 1000
PARTITIONS, QUANTILE, NORMAL_QUANTILE = 99, 0.99, 2.3263


class DayScore(NamedTuple):
    """One column of a day; score and limits as the module says."""

    column: str
    method: str
    score: float
    limit: float
    chance: float

    @property
    def drifted(self) -> bool:
        """Whether the score reaches the limit and exceeds chance."""
        return self.score >= self.limit and self.score > self.chance


@dataclass(frozen=True)
class DayReport:
    """A day against the days before it.

    Attributes:
        html: a page that needs nothing from the network, without corpus text; names are escaped.
        snapshot: Evidently's, dated with the day.
        scores: one a column of `drift.METHODS`, in that order.
        n, n_reference: documents compared.
    """

    html: bytes
    snapshot: Snapshot
    scores: list[DayScore]
    n: int
    n_reference: int


def new_documents(day: pa.Table, before: Iterable[pa.ChunkedArray]) -> pa.Table:
    """The rows of a day whose doc_id is in none of the days before, each of which is given by its doc_ids."""
    for ids in before:
        day = day.filter(pc.invert(pc.is_in(day["doc_id"], value_set=ids.combine_chunks())))
    return day


def sample_days(days: Iterable[pa.Table], seed: int) -> pa.Table | None:
    """At most 5,000 different documents of several days, with no more than one day in memory at once.

    Those with the smallest hash of (seed, doc_id), whatever the order of days and rows. None for fewer than 20.

    Args:
        days: columns doc_id, domain, label, text at least.
    """
    kept: pa.Table | None = None
    for day in days:
        rows = day.select(COLUMNS).cast(_PLAIN)
        rows = rows if kept is None else pa.concat_tables([kept, rows])
        # a doc_id names its text: what else a row holds is the same
        found = rows.group_by("doc_id").aggregate([(name, "min") for name in COLUMNS[1:]])
        rows = found.rename_columns([name.removesuffix("_min") for name in found.column_names]).select(COLUMNS)
        kept = sample(rows, seed, "raw_documents") if rows.num_rows >= FEWEST else rows
    return None if kept is None or kept.num_rows < FEWEST else kept


def embedded_part(documents: pa.Table) -> pa.Table:
    """The documents of a side, from `sample_days`, whose embeddings are compared: the first 1,000 by hash."""
    return documents.slice(0, EMBEDDED)


def day_drift(
    day: str, reference: pa.Table, current: pa.Table, embeddings: pa.Table, limits: DayDrift, seed: int
) -> DayReport:
    """Compare a day with those before it.

    Args:
        day: ISO 8601.
        reference, current: from `sample_days`.
        embeddings: doc_id and embedding of (at least) the `embedded_part` of both sides.
        limits: by column.
        seed: the study's.

    Raises:
        LakeError: a document has no embedding.
    """
    before, now = described(reference), described(current)
    dated = datetime.fromisoformat(day).replace(tzinfo=UTC)
    sides = [embedded_part(one) for one in (reference, current)]
    chance = by_chance(before, now, seed) | {"embedding": _auc_by_chance(*(one.num_rows / 2 for one in sides))}
    least = {one: max(getattr(limits, one), chance[one]) for one in METHODS}
    snapshot, found = evidently_report(before, now, least, timestamp=dated, name=day, tags=[day])
    auc = tell_apart(*(vectors(one, embeddings, "real") for one in sides))
    scores = [
        DayScore(one, METHODS[one], round(found.get(one, auc), 6), getattr(limits, one), round(chance[one], 6))
        for one in METHODS
    ]
    rows = [
        (
            one.column,
            one.method,
            f"{one.score:.3f}",
            f"{'drifted' if one.drifted else 'close'} (limit {one.limit:g}, by chance up to {one.chance:.3f})",
            MEANINGS[one.method],
        )
        for one in scores
    ]
    said = f"{len(now):,} documents of the day (current), {len(before):,} of the days before (reference)."
    html = page(snapshot, f"{day} against the days before", said, rows)
    return DayReport(html, snapshot, scores, len(now), len(before))


def by_chance(reference: pd.DataFrame, current: pd.DataFrame, seed: int) -> dict[str, float]:
    """The 99 % quantile of each column's score over random partitions of both sides together.

    Args:
        reference, current: from `drift.described`.
    """
    import pandas as pd

    both = pd.concat([reference, current], ignore_index=True)
    # rows in an order of their own, so that those of the input do not count
    both = both.sort_values(list(both.columns), ignore_index=True)
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(both)) for _ in range(PARTITIONS)]
    parts = [(order[: len(current)], order[len(current) :]) for order in orders]
    found: dict[str, float] = {}
    for column, method in METHODS.items():
        if column not in both:
            continue
        if method == "jensenshannon":
            codes = pd.factorize(both[column])[0]
            scores = [mix_distance(codes[now], codes[before]) for now, before in parts]
        else:
            values = both[column].to_numpy()
            scores = [length_distance(values[now], values[before]) for now, before in parts]
        found[column] = float(np.quantile(scores, QUANTILE))
    return found


def mix_distance(current: np.ndarray, reference: np.ndarray) -> float:
    """Jensen-Shannon distance of the mixes of two lists of codes, in nats: what Evidently calls jensenshannon."""
    from scipy.spatial.distance import jensenshannon

    size = int(max(current.max(), reference.max())) + 1
    return float(jensenshannon(np.bincount(current, minlength=size), np.bincount(reference, minlength=size)))


def length_distance(current: np.ndarray, reference: np.ndarray) -> float:
    """Wasserstein distance in standard deviations of the reference: what Evidently calls wasserstein."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(reference, current) / max(float(np.std(reference)), 0.001))


def _auc_by_chance(m: float, n: float) -> float:
    return min(1.0, 0.5 + NORMAL_QUANTILE * math.sqrt((m + n + 1) / (12 * m * n)))
