"""What a filter saves and costs, on mixtures whose rows are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.report import render
from smc_dagster.findings.strictness_trade import comparisons
from smc_dagster.findings.summary import summary
from smc_dagster.lake import Fingerprint, Lake
from smc_dagster.study import Study
from smc_dagster.tables import (
    EMBEDDING_WIDTH,
    MIXTURE_DOCUMENTS,
    REAL_DOCUMENTS,
    REAL_EMBEDDINGS,
    SYNTHETIC_EMBEDDINGS,
    SYNTHETIC_SCORES,
    TableSpec,
)

pytestmark = pytest.mark.unit
LEVELS = ("off", "weak", "strong")
SERIES = [
    *({"name": level, "pool": "p", "strictness": level} for level in LEVELS),
    {"name": "uncapped", "pool": "p", "strictness": "strong", "caps": False},
    {"name": "drop", "composition": "drop"},
]
ROWS = 120
# rows of the pool by kind: 0 contaminated, 1 templated, 2 duplicated, 3 clean and far from all others
KIND = np.arange(ROWS) % 4
# which kinds each level lets into its mixtures
LETS = {"off": (0, 1, 2, 3), "weak": (1, 2, 3), "strong": (3,), "uncapped": (3,)}


def study() -> Study:
    return make_study(
        series=SERIES,
        pools={"p": {"generator": "template"}},
        shares=[0, 0.2, 0.4],
        findings={"bootstrap_draws": 200},
        screening={"coverage_sample": 20},
    )


def fingerprint(spec: TableSpec) -> Fingerprint:
    return Fingerprint(spec.name, "p", "1")


def vectors(ids: list[str], directions: np.ndarray) -> pa.Table:
    matrix = np.zeros((len(ids), EMBEDDING_WIDTH), np.float32)
    matrix[np.arange(len(ids)), directions] = 1.0
    flat = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), EMBEDDING_WIDTH)
    return pa.table([ids, flat], schema=REAL_EMBEDDINGS.schema)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("trade")
    made = make_lake(folder / "lake", study(), lambda series, share: (-0.5 * share if series == "strong" else 0.0, 0.0))
    ids = [f"s{n:03d}" for n in range(ROWS)]
    scores = {
        "doc_id": ids,
        "pool": ["p"] * ROWS,
        "cluster_id": ["s002" if kind == 2 else one for one, kind in zip(ids, KIND, strict=True)],
        "template_id": ["t" if kind == 1 else None for kind in KIND],
        "contamination_kind": ["near_duplicate" if kind == 0 else "similar" if kind == 1 else None for kind in KIND],
    }
    columns = [
        pa.array(scores[field.name], field.type) if field.name in scores else pa.nulls(ROWS, field.type)
        for field in SYNTHETIC_SCORES.schema
    ]
    made.write(SYNTHETIC_SCORES, pa.table(columns, schema=SYNTHETIC_SCORES.schema), fingerprint(SYNTHETIC_SCORES), "p")
    # clean rows lie in ten directions as real text does, the others all in one
    made.write(
        SYNTHETIC_EMBEDDINGS,
        vectors(ids, np.where(KIND == 3, np.arange(ROWS) // 4 % 10, 11)),
        fingerprint(SYNTHETIC_EMBEDDINGS),
        "p",
    )
    real = [f"r{n:03d}" for n in range(100)]
    known = {"doc_id": real, "split": ["train"] * 100}
    columns = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else pa.array([False] * 100)
        if field.type == pa.bool_()
        else pa.array(["x"] * 100)
        for field in REAL_DOCUMENTS.schema
    ]
    made.write(REAL_DOCUMENTS, pa.table(columns, schema=REAL_DOCUMENTS.schema), fingerprint(REAL_DOCUMENTS))
    near = vectors(real, np.arange(100) % 10)
    # no two real rows coincide, so that each has a radius above 0
    matrix = near["embedding"].combine_chunks().flatten().to_numpy().reshape(100, -1).copy()
    matrix[np.arange(100), 20 + np.arange(100)] = 0.05
    flat = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), EMBEDDING_WIDTH)
    made.write(REAL_EMBEDDINGS, pa.table([real, flat], schema=REAL_EMBEDDINGS.schema), fingerprint(REAL_EMBEDDINGS))
    for arm in study().arms:
        lets = LETS.get(arm.series.name, ())
        drawn = [one for one, kind in zip(ids, KIND, strict=True) if kind in lets] if arm.share else []
        rows = [(replicate, one) for replicate in range(2) for one in [*real[:50], *drawn]]
        write_mixture(made, folder / "made" / arm.key, arm.key, rows)
    return made


def write_mixture(lake: Lake, folder: Path, key: str, rows: list[tuple[int, str]]) -> None:
    folder.mkdir(parents=True)
    replicates, ids = zip(*rows, strict=True)
    n = len(rows)
    table = pa.table(
        {
            "replicate": pa.array(replicates, pa.int32()),
            "doc_id": list(ids),
            "domain": ["x"] * n,
            "slot": pa.array(range(n), pa.int32()),
            "provenance": ["human" if one.startswith("r") else "templated" for one in ids],
        }
    )
    pq.write_table(table, folder / "rows.parquet")
    lake.publish_folder(MIXTURE_DOCUMENTS, folder, fingerprint(MIXTURE_DOCUMENTS), key)


@pytest.fixture(scope="module")
def drawn(lake: Lake):
    return draw_findings(study(), lake)


def test_levels_are_compared_where_nothing_else_differs() -> None:
    assert [[one.name for one in group] for group in comparisons(study())] == [list(LEVELS)]
    assert comparisons(make_study(series=[SERIES[0], SERIES[3]], pools={"p": {"generator": "template"}})) == []


def test_what_is_left_is_counted(drawn) -> None:
    rows = {row["strictness"]: row for row in drawn.strictness_trade.to_pylist()}
    assert list(rows) == list(LEVELS)
    assert {row["share"] for row in rows.values()} == {0.4}
    assert {level: row["contaminated"] for level, row in rows.items()} == {"off": 0.25, "weak": 0.0, "strong": 0.0}
    assert rows["weak"]["templated"] == pytest.approx(1 / 3)
    assert rows["strong"]["templated"] == 0
    # thirty rows of one cluster: all but one are beyond the first
    assert rows["off"]["duplicated"] == pytest.approx(29 / 120)
    assert rows["strong"]["duplicated"] == 0
    assert rows["off"]["pool_rows"] == ROWS


def test_coverage_is_measured_at_one_size(drawn) -> None:
    rows = {row["strictness"]: row for row in drawn.strictness_trade.to_pylist()}
    assert {row["n_coverage"] for row in rows.values()} == {30}
    # only the clean rows reach real text, and a strict filter leaves nothing else
    assert rows["off"]["coverage"] < rows["strong"]["coverage"]


def test_tail_recall_is_paired_against_the_mildest_level(drawn) -> None:
    rows = {row["strictness"]: row for row in drawn.strictness_trade.to_pylist()}
    assert rows["off"]["change"] is None
    assert rows["strong"]["high"] < 0
    assert rows["weak"]["low"] < 0 < rows["weak"]["high"]
    change = rows["strong"]["tail_recall"] - rows["off"]["tail_recall"]
    assert rows["strong"]["change"] == pytest.approx(change)


def test_it_stands_in_the_report_and_the_summary(drawn, lake: Lake) -> None:
    assert "What the filter saves and costs" in render(study(), lake, drawn, "f" * 16)
    assert len(summary(study(), drawn, "f" * 16)["strictness_trade"]) == 3


def test_without_mixtures_it_is_left_out_with_a_note(tmp_path: Path) -> None:
    found = draw_findings(study(), make_lake(tmp_path, study(), lambda *_: (0.0, 0.0)))
    assert found.strictness_trade.num_rows == 0
    assert any("was not drawn: synthetic_scores[p] is not in the lake" in note for note in found.notes)
