"""The anchors in the report: means over replicates, and the version they were measured on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.findings.anchor_slices import SLICES, slice_table, versions
from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.report_tables import anchor_rows
from smc_dagster.study import load_study
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION

pytestmark = pytest.mark.unit
STUDY = load_study("tiny")


def evidence() -> Evidence:
    rows = []
    for arm in STUDY.arms:
        for replicate in range(2):
            for place, name in enumerate(SLICES):
                same = {"arm": arm.key, "series": arm.series.name, "share": arm.share, "replicate": replicate}
                same |= {"domain": "*", "slice": name, "anchors": "v4"}
                empty = name == "rare" and arm.series.name == "real_dropped"
                accuracy = None if empty else 0.9 - arm.share / 2 - 0.1 * place + 0.01 * replicate
                near = {} if empty else {"low": accuracy - 0.03, "high": accuracy + 0.02}
                rows.append(same | near | {"metric": "accuracy", "value": accuracy, "n": 0 if empty else 100 + place})
                rows.append(same | {"metric": "gap", "value": None if empty else 0.1 * replicate - 0.2, "n": 100})
    metrics = pa.Table.from_pylist(rows, schema=ARM_METRICS.schema)
    return Evidence(STUDY.arms, metrics, {}, {}, MIXTURE_COMPOSITION.schema.empty_table())


def test_a_row_a_series_and_slice_at_both_ends() -> None:
    rows = {(row["series"], row["slice"]): row for row in slice_table(STUDY, evidence()).to_pylist()}
    assert len(rows) == 2 * len(SLICES)
    row = rows["templated", "adversarial"]
    assert (row["share"], row["n"]) == (0.6, 103)
    assert row["accuracy_base"] == pytest.approx(np.mean([0.6, 0.61]))
    assert row["accuracy"] == pytest.approx(np.mean([0.3, 0.31]))
    assert row["gap"] == pytest.approx(-0.15)
    # documents and replicates: two replicates .01 apart, t of one degree of freedom
    spread = (12.7062 * 0.005) ** 2
    assert row["accuracy_low"] == pytest.approx(0.305 - np.sqrt(0.03**2 + spread), abs=1e-4)
    assert row["accuracy_high"] == pytest.approx(0.305 + np.sqrt(0.02**2 + spread), abs=1e-4)
    assert versions(evidence()) == ["v4"]


def test_an_empty_slice_is_shown_as_such() -> None:
    shown = anchor_rows(slice_table(STUDY, evidence()))
    row = next(one for one in shown if (one["series"], one["slice"]) == ("real_dropped", "rare"))
    assert row["n"] == "0"
    assert row["accuracy"] == row["gap"] == {"value": "–", "ends": ""}
    row = next(one for one in shown if (one["series"], one["slice"]) == ("templated", "test"))
    assert row["accuracy_base"] == {"value": "0.905", "ends": "0.835 to 0.972"}
