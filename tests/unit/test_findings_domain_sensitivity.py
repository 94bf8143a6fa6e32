"""Domains that break first, and what they have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from findings_world import make_lake, make_study
from scipy.stats import spearmanr

from smc_dagster.findings import rank_correlation as module
from smc_dagster.findings.collect import collect
from smc_dagster.findings.domain_sensitivity import build_domain_correlations, loss_slope
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.pairs import Compositions
from smc_dagster.findings.rank_correlation import LEAST_PAIRS, rank_correlation
from smc_dagster.findings.report import render
from smc_dagster.findings.summary import summary
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.tables import DOMAIN_SENSITIVITY, EMBEDDING_WIDTH, REAL_DOCUMENTS, REAL_EMBEDDINGS

pytestmark = pytest.mark.unit
SERIES = [{"name": "mixed", "pool": "templated"}, {"name": "drop", "composition": "drop"}]
STUDY = make_study(SERIES)
DOMAINS = ("json", "asyncio", "numpy")
# share of the training documents that are of tail labels, and share of labels that lie among others
TAIL = {"json": 0.1, "asyncio": 0.5, "numpy": 0.9}
MIXED_UP = {"json": 0.0, "asyncio": 0.5, "numpy": 1.0}


def write_corpus(lake: Lake, each: int = 40) -> None:
    """Training documents of each domain; those mixed up have a label of their own in the midst of another."""
    domain = np.repeat(DOMAINS, each)
    place = np.tile(np.arange(each), len(DOMAINS))
    odd = place < np.array([MIXED_UP[one] for one in domain]) * each
    known = {
        "doc_id": [f"r{i:03d}" for i in range(len(domain))],
        "domain": domain.tolist(),
        "label": [f"{one}.{'odd' + str(k) if o else 'even'}" for one, k, o in zip(domain, place, odd, strict=True)],
        "split": ["train"] * len(domain),
        "is_tail": (place < np.array([TAIL[one] for one in domain]) * each).tolist(),
    }
    rows = len(domain)
    columns = [
        pa.array(known[field.name], field.type) if field.name in known else pa.array(["x"] * rows, field.type)
        for field in REAL_DOCUMENTS.schema
    ]
    lake.write(REAL_DOCUMENTS, pa.table(columns, schema=REAL_DOCUMENTS.schema), Fingerprint("real_documents", "p", "1"))
    vectors = np.zeros((rows, EMBEDDING_WIDTH), np.float32)
    vectors[np.arange(rows), np.searchsorted(sorted(DOMAINS), domain)] = 1.0
    vectors[np.arange(rows), 10 + place] = 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), EMBEDDING_WIDTH)
    table = pa.table([known["doc_id"], flat], schema=REAL_EMBEDDINGS.schema)
    lake.write(REAL_EMBEDDINGS, table, Fingerprint("real_embeddings", "p", "1"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = make_lake(tmp_path_factory.mktemp("domains"), STUDY, lambda _, share: (-0.3 * share, 0.0))
    write_corpus(made)
    return made


@pytest.fixture(scope="module")
def drawn(lake):
    return draw_findings(STUDY, lake)


def test_the_slope_is_that_of_least_squares_with_its_interval(lake):
    evidence = collect(STUDY, lake)
    effects = Effects(evidence, STUDY)
    for series in ("mixed", "drop"):
        for domain in DOMAINS:
            effect = loss_slope(evidence, effects, Compositions(evidence), series, domain)
            recall = evidence.metric("rare_recall", "rare", domain)
            arms = evidence.of_series(series)
            means = [recall[arm.key][1].mean() for arm in arms]
            assert effect.estimate == pytest.approx(np.polyfit([arm.share for arm in arms], means, 1)[0], abs=1e-9)
            assert effect.low < -0.3 < effect.high


def test_a_row_a_series_and_domain_with_traits_and_fate(drawn):
    rows = {(row["series"], row["domain"]): row for row in drawn.domain_sensitivity.to_pylist()}
    assert set(rows) == {(series, domain) for series in ("mixed", "drop") for domain in DOMAINS}
    for (series, domain), row in rows.items():
        assert row["documents"] == 40
        assert row["tail_share"] == pytest.approx(TAIL[domain])
        assert row["coverage"] == (pytest.approx(0.37) if series == "mixed" else None)
    noise = [rows["mixed", domain]["noise"] for domain in DOMAINS]
    assert noise[0] == 0
    assert noise[2] == 1
    assert 0.4 < noise[1] < 1


def test_a_domain_none_of_whose_shares_is_safe_counts_as_nought(drawn):
    for row in drawn.domain_sensitivity.to_pylist():
        if row["safe_status"] == "none_safe":
            assert row["safe_share"] == 0
        if row["safe_status"] == "insufficient_data":
            assert row["safe_share"] is None


def test_three_domains_are_too_few_for_a_correlation(drawn):
    rows = drawn.domain_correlations.to_pylist()
    assert len(rows) == 2 * 3 * 3
    assert {row["verdict"] for row in rows} == {"undecided"}
    assert {row["rho"] for row in rows} == {None}
    assert any(row["note"] == f"3 domains have both figures; {LEAST_PAIRS} are needed" for row in rows)


def test_it_stands_in_the_report_and_the_summary(lake, drawn):
    page = render(STUDY, lake, drawn, "f" * 16)
    assert "Which domains break first" in page
    assert f"3 domains have both figures; {LEAST_PAIRS} are needed" in page
    assert 'id="plot-domain-sensitivity"' in page
    found = summary(STUDY, drawn, "f" * 16)
    assert (len(found["domain_sensitivity"]), len(found["domain_correlations"])) == (6, 18)


def test_without_the_corpus_it_is_left_out_with_a_note(tmp_path: Path):
    found = draw_findings(STUDY, make_lake(tmp_path, STUDY, lambda *_: (0.0, 0.0)))
    assert found.domain_sensitivity.num_rows == found.domain_correlations.num_rows == 0
    assert any("was not drawn: real_documents is not in the lake" in note for note in found.notes)


def made_up(slopes: list[float], tail_shares: list[float], tail_documents: int = 50) -> pa.Table:
    """DOMAIN_SENSITIVITY of one series with those slopes and tail shares."""
    rows = [
        {
            "series": "mixed",
            "domain": f"d{i}",
            "tail_documents": tail_documents,
            "tail_share": tail,
            "noise": 0.3,
            "loss_slope": slope,
        }
        for i, (slope, tail) in enumerate(zip(slopes, tail_shares, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=DOMAIN_SENSITIVITY.schema)


def correlation(table: pa.Table, trait: str = "tail_share") -> dict:
    rows = build_domain_correlations(STUDY, table).to_pylist()
    return next(row for row in rows if (row["sensitivity"], row["trait"]) == ("loss_slope", trait))


def test_a_planted_trend_is_told_with_its_direction():
    tail = np.linspace(0.1, 0.9, 12)
    assert correlation(made_up((-tail).tolist(), tail.tolist()))["verdict"] == "falls"
    assert correlation(made_up(tail.tolist(), tail.tolist()))["verdict"] == "rises"
    flat = correlation(made_up([0.1, -0.2, 0.3, -0.1, 0.2, -0.3] * 2, tail.tolist()))
    assert flat["verdict"] == "undecided"
    assert flat["n"] == 12


def test_a_figure_that_is_the_same_everywhere_tells_nothing():
    tail = np.linspace(0.1, 0.9, 12).tolist()
    row = correlation(made_up(tail, tail), "noise")
    assert (row["rho"], row["note"]) == (None, "the figure is the same in all domains")


def test_domains_with_few_tail_documents_are_not_judged():
    tail = np.linspace(0.1, 0.9, 12).tolist()
    assert correlation(made_up(tail, tail, tail_documents=29))["n"] == 0


def test_rho_is_scipy_s_with_ties():
    rng = np.random.default_rng(1)
    for n in (8, 13, 40):
        one, other = rng.integers(0, 5, n).astype(float), rng.normal(size=n)
        assert rank_correlation(one, other, 0.95, 1, "t").rho == pytest.approx(spearmanr(one, other)[0])
    assert rank_correlation(np.arange(7.0), np.arange(7.0), 0.95, 1, "t") is None


@pytest.mark.parametrize(("n", "true"), [(8, 0.0), (12, 0.5), (12, 0.8)])
def test_intervals_cover_and_p_values_hold_their_level(monkeypatch: pytest.MonkeyPatch, n: int, true: float):
    monkeypatch.setattr(module, "_PERMUTATIONS", 199)
    rng = np.random.default_rng(2)
    # Spearman's rho of a bivariate normal with that correlation
    rho = 6 / np.pi * np.arcsin(true / 2)
    pairs = [rng.multivariate_normal([0, 0], [[1, true], [true, 1]], n) for _ in range(300)]
    found = [rank_correlation(pair[:, 0], pair[:, 1], 0.95, i, "t") for i, pair in enumerate(pairs)]
    assert np.mean([one.low <= rho <= one.high for one in found]) >= 0.92
    rejected = np.mean([one.p_value < 0.05 for one in found])
    assert rejected <= 0.08 if true == 0 else rejected > 0.3
