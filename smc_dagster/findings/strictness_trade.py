"""What each strictness of a pool's filter saves and what it costs, side by side.

What belongs here: STRICTNESS_TRADE: what is left of contamination, templates and duplicates in mixtures, how much
of the real text their synthetic rows still reach, and tail recall. What does not: the filter itself (dbt), and the
contrasts of whole series (mitigation_effects.py).

Levels are compared where they differ in nothing else: series of one pool, composition and caps, at the largest share
that all of them were measured at. Coverage grows with the number of rows, so all levels of a pool are measured at one
number, the smallest that a level offers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.mixtures import Mixtures
from smc_dagster.lake import Lake
from smc_dagster.screening.contamination import CONTAMINATED
from smc_dagster.screening.coverage import Vectors, hash_order, mode_coverage, unit_vectors
from smc_dagster.screening.profile import ALL_DOMAINS_TIMES
from smc_dagster.study import Arm, Series, Strictness, Study
from smc_dagster.tables import (
    REAL_DOCUMENTS,
    REAL_EMBEDDINGS,
    STRICTNESS_TRADE,
    SYNTHETIC_EMBEDDINGS,
    SYNTHETIC_SCORES,
    TRAINING_SPLITS,
)

_LEVELS = list(Strictness)


@dataclass(frozen=True)
class _Level:
    series: Series
    arm: Arm
    rows: pa.Table  # replicate, doc_id of the synthetic rows, with their scores


def build_strictness_trade(
    study: Study, lake: Lake, mixtures: Mixtures, evidence: Evidence, effects: Effects
) -> pa.Table:
    """STRICTNESS_TRADE: a row for each pool and level of a comparison, mildest first.

    Raises:
        LakeError: a mixture, scores or embeddings are missing or damaged.
    """
    rows: list[dict[str, object]] = []
    for group in comparisons(study):
        shares = [{arm.share for arm in evidence.of_series(one.name) if arm.share > 0} for one in group]
        common = set.intersection(*shares)
        if common:
            rows += _rows(study, lake, mixtures, evidence, effects, group, max(common))
    return pa.Table.from_pylist(rows, schema=STRICTNESS_TRADE.schema)


def comparisons(study: Study) -> list[list[Series]]:
    """Series that differ in strictness alone, two or more, mildest first."""
    groups: dict[tuple[object, ...], list[Series]] = {}
    for one in study.series:
        if one.pool is not None:
            alike = one.model_dump(mode="json", exclude={"name", "strictness"})
            groups.setdefault(tuple(alike.items()), []).append(one)
    ordered = [sorted(group, key=lambda one: _LEVELS.index(one.strictness)) for group in groups.values()]
    return [group for group in ordered if len({one.strictness for one in group}) > 1]


def _rows(
    study: Study,
    lake: Lake,
    mixtures: Mixtures,
    evidence: Evidence,
    effects: Effects,
    group: list[Series],
    share: float,
) -> list[dict[str, object]]:
    pool = str(group[0].pool)
    columns = ["doc_id", "cluster_id", "template_id", "contamination_kind"]
    scores = lake.read(SYNTHETIC_SCORES, pool, columns=columns)
    arms = [next(arm for arm in evidence.of_series(one.name) if arm.share == share) for one in group]
    levels = [_Level(one, arm, _drawn(mixtures.rows(arm), scores)) for one, arm in zip(group, arms, strict=True)]
    coverage, size = _coverages(study, lake, pool, levels)
    found = []
    for level, covered in zip(levels, coverage, strict=True):
        left = _per_replicate(evidence, level.arm.key, "pool_available")
        change = None if level is levels[0] else effects.change(level.arm.key, arms[0].key, "rare_recall")
        recall, low, high = evidence.mean_of("rare_recall", "rare", level.arm.key, study.findings.level)
        found.append(
            {
                "pool": pool,
                "strictness": level.series.strictness.value,
                "series": level.series.name,
                "share": share,
                "pool_rows": scores.num_rows,
                "pool_left": left,
                "contaminated": _share(pc.is_in(level.rows["contamination_kind"], value_set=pa.array(CONTAMINATED))),
                "templated": _share(pc.is_valid(level.rows["template_id"])),
                "duplicated": _duplicated(level.rows),
                "coverage": covered,
                "n_coverage": size,
                "tail_recall": recall,
                "recall_low": low,
                "recall_high": high,
                "change": change and change.estimate,
                "low": change and change.low,
                "high": change and change.high,
                "n": effects.tail_documents("*"),
            }
        )
    return found


def _drawn(rows: pa.Table, scores: pa.Table) -> pa.Table:
    """Synthetic rows of a mixture, with their scores."""
    place = pc.index_in(rows["doc_id"], value_set=scores["doc_id"].combine_chunks())
    mine = pc.is_valid(place)
    taken = scores.drop(["doc_id"]).take(place.filter(mine))
    rows = rows.filter(mine)
    for name in taken.column_names:
        rows = rows.append_column(name, taken[name])
    return rows.combine_chunks()


def _per_replicate(evidence: Evidence, key: str, column: str) -> int:
    """Sum over domains of a column of the composition that is the same in every replicate."""
    own = evidence.composition.filter((pc.field("arm") == key) & (pc.field("replicate") == 0))
    return int(pc.sum(own[column]).as_py() or 0)


def _share(mask: pa.ChunkedArray) -> float | None:
    return float(np.mean(mask.to_numpy(zero_copy_only=False))) if len(mask) else None


def _duplicated(rows: pa.Table) -> float | None:
    """Share of rows beyond the first of their near-duplicate cluster, each replicate by itself."""
    if not rows.num_rows:
        return None
    distinct = int(rows.group_by(["replicate", "cluster_id"]).aggregate([]).num_rows)
    return 1 - distinct / int(rows.num_rows)


def _coverages(study: Study, lake: Lake, pool: str, levels: list[_Level]) -> tuple[list[float | None], int]:
    """Mode coverage by the synthetic rows of replicate 0, level by level, and the number of rows on either side."""
    real = lake.read(REAL_DOCUMENTS, columns=["doc_id", "split"])
    train = real.filter(pc.is_in(real["split"], value_set=pa.array(TRAINING_SPLITS)))["doc_id"]
    ours = [level.rows.filter(pc.equal(level.rows["replicate"], 0))["doc_id"] for level in levels]
    most = study.screening.coverage_sample * ALL_DOMAINS_TIMES
    size = min(most, len(train), *map(len, ours))
    if size <= study.screening.coverage_neighbours:
        return [None] * len(levels), size
    seed = study.seed
    known = _vectors(lake.read(REAL_EMBEDDINGS), _sample(train, size, seed))
    embeddings = lake.read(SYNTHETIC_EMBEDDINGS, pool)
    neighbours = study.screening.coverage_neighbours
    return [mode_coverage(known, _vectors(embeddings, _sample(ids, size, seed)), neighbours) for ids in ours], size


def _sample(ids: pa.ChunkedArray, size: int, seed: int) -> pa.ChunkedArray:
    return ids.take(pa.array(hash_order(ids, seed)[:size]))


def _vectors(embeddings: pa.Table, ids: pa.ChunkedArray) -> Vectors:
    place = pc.index_in(ids, value_set=embeddings["doc_id"].combine_chunks())
    return unit_vectors(embeddings["embedding"].take(place))
