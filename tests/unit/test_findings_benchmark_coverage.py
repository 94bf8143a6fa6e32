"""Which rare labels can be judged: labels with many, few and no evaluation documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings.benchmark_coverage import build_benchmark_coverage, by_domain
from smc_dagster.findings.collect import collect
from smc_dagster.findings.difference_noise import Noise
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.power import smallest_effect
from smc_dagster.findings.report import render
from smc_dagster.findings.summary import summary
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Study
from smc_dagster.tables import REAL_DOCUMENTS

pytestmark = pytest.mark.unit
HOSTILE = "<img src=x onerror=alert(1)>"
STUDY = make_study([{"name": "made", "pool": "templated"}], shares=[0, 0.5])
# three domains of four rare labels each
RICH, POOR = 1500, 60


def nothing(series: str, share: float) -> tuple[float, float]:
    return 0.0, 0.0


def corpus(lake: Lake, *labels: tuple[str, str, bool]) -> None:
    needed = {field.name: "x" for field in REAL_DOCUMENTS.schema if not field.nullable}
    rows = [needed | {"domain": domain, "label": label, "is_tail": tail} for domain, label, tail in labels]
    lake.write(
        REAL_DOCUMENTS, pa.Table.from_pylist(rows, REAL_DOCUMENTS.schema), Fingerprint("real_documents", "p", "1")
    )


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = make_lake(
        tmp_path_factory.mktemp("rich"), STUDY, lambda _, share: (-0.6 * share, 0.0), documents=RICH, noise=0.05
    )
    corpus(
        lake, ("json", HOSTILE, True), ("json", "json.part0", True), ("json", "json.part1", False), ("csv", "csv", True)
    )
    return lake


def build(lake: Lake, study: Study = STUDY) -> list[dict]:
    return build_benchmark_coverage(study, lake, collect(study, lake)).to_pylist()


def test_a_row_a_rare_label_of_the_corpus_and_of_no_other(rich: Lake) -> None:
    rows = {(row["domain"], row["label"]): row for row in build(rich)}
    evaluated = {(name, f"{name}.part{k}") for name in ("json", "asyncio", "numpy") for k in (0, 2, 4, 6)}
    assert rows.keys() == evaluated | {("json", HOSTILE), ("csv", "csv")}
    assert list(rows) == sorted(rows)
    assert sum(row["n"] for row in rows.values()) == len(collect(STUDY, rich).documents["rare"])


def test_a_label_without_a_document_is_not_judged(rich: Lake) -> None:
    (row,) = [row for row in build(rich) if row["label"] == HOSTILE]
    assert (row["n"], row["smallest_loss"], row["judged"]) == (0, None, False)
    # it would take as many as any other label of its domain
    (other,) = [one for one in build(rich) if one["label"] == "json.part0"]
    assert row["needed"] == other["needed"] > 0
    (alone,) = [row for row in build(rich) if row["domain"] == "csv"]
    assert (alone["base"], alone["judged"], alone["needed"]) == (None, False, None)


def test_judged_is_having_the_documents_needed(rich: Lake, tmp_path) -> None:
    poor = make_lake(tmp_path, STUDY, lambda _, share: (-0.6 * share, 0.0), documents=POOR, noise=0.05)
    for lake, judged in ((rich, True), (poor, False)):
        rows = [row for row in build(lake) if row["n"]]
        assert all(row["judged"] == (row["needed"] is not None and row["n"] >= row["needed"]) for row in rows)
        assert any(row["judged"] for row in rows) or not judged
        assert not all(row["judged"] for row in rows) or judged
    small = min((row for row in build(poor) if row["n"]), key=lambda row: row["n"])
    large = max(build(poor), key=lambda row: row["n"])
    assert (small["smallest_loss"] or 9) > (large["smallest_loss"] or 8)
    # a sign test over four documents cannot reach 95 %
    assert {row["n"] >= 5 for row in build(poor) if row["judged"]} <= {True}
    assert min(row["needed"] for row in build(rich) if row["needed"]) >= 5


def test_the_loss_said_to_be_seen_is_seen_four_times_in_five() -> None:
    """Worlds with a loss of the size claimed, judged by a one-sided z-test of a label's mean difference."""
    noise, n, r = Noise(0.04, 0.002, 0.09, 5), 12, 5
    error = float(noise.error(n))
    loss = smallest_effect(error, 0.95, sides=1)
    rng = np.random.default_rng(7)
    worlds = 4000
    means = (
        -loss
        + rng.normal(0, 0.2, (worlds, n)).mean(axis=1)
        + rng.normal(0, 0.002**0.5, (worlds, r)).mean(axis=1)
        + rng.normal(0, 0.3, (worlds, n, r)).mean(axis=(1, 2))
    )
    assert np.mean(means < -1.645 * error) == pytest.approx(0.8, abs=0.025)


def test_without_two_arms_there_is_nothing_to_say(tmp_path) -> None:
    lake = make_lake(tmp_path, STUDY, nothing, documents=60, arms=lambda key: key == "made@00")
    assert build(lake) == []
    assert 'id="benchmark"' not in render(STUDY, lake, draw_findings(STUDY, lake), "f")


def test_it_stands_in_the_summary_and_escaped_in_the_report(rich: Lake) -> None:
    found = draw_findings(STUDY, rich)
    assert len(summary(STUDY, found, "f")["benchmark_coverage"]) == found.benchmark_coverage.num_rows == 14
    page = render(STUDY, rich, found, "f")
    assert 'id="benchmark"' in page
    assert HOSTILE not in page
    assert "&lt;img src=x" in page


def test_by_domain_counts_what_the_table_holds(rich: Lake) -> None:
    table = build_benchmark_coverage(STUDY, rich, collect(STUDY, rich))
    rows = {row["domain"]: row for row in by_domain(table)}
    assert (rows["json"]["labels"], rows["json"]["without"], rows["csv"]["without"]) == (5, 1, 1)
    assert sum(row["judged"] for row in rows.values()) == sum(table["judged"].to_pylist())
