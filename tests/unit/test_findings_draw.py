"""Findings drawn from a world whose truth is known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from findings_world import make_lake, make_study

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.findings.collect import collect
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.panels import ece_draws, recall_draws
from smc_dagster.findings.sentences import answer
from smc_dagster.findings.summary import summary
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.tables import PREDICTIONS

pytestmark = pytest.mark.unit
STUDY = make_study()
TRUTHS = {
    "nothing": lambda series, share: (0.0, 0.0),
    "line": lambda series, share: (-0.3 * share, 0.1 * share),
    "knee": lambda series, share: (-1.2 * max(share - 0.4, 0), 0.6 * max(share - 0.4, 0)),
    "synthetic": lambda series, share: ((-0.4 if series == "templated" else -0.1) * share, 0.0),
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return {name: make_lake(tmp_path_factory.mktemp(name), STUDY, truth) for name, truth in TRUTHS.items()}


@pytest.fixture(scope="module")
def drawn(worlds):
    return {name: draw_findings(STUDY, lake) for name, lake in worlds.items()}


def rows(table: pa.Table, **equal: object) -> list[dict]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in equal.items())]


def test_where_nothing_happens_nothing_is_found(drawn):
    found = drawn["nothing"]
    assert set(found.headline["verdict"].to_pylist()) <= {"contradicted", "undecided"}
    assert {row["status"] for row in rows(found.onset, domain="*")} == {"no_decline"}
    assert not rows(found.onset, status="identified")
    assert not rows(found.safe_shares, status="none_safe")
    assert answer(STUDY, found.headline, found.onset).startswith("No onset was found")


def test_a_smooth_decline_is_a_loss_without_an_onset(drawn):
    found = drawn["line"]
    assert {row["status"] for row in rows(found.onset, domain="*")} == {"smooth_decline"}
    assert not rows(found.onset, status="identified")
    assert {row["verdict"] for row in rows(found.headline, measure="onset")} == {"contradicted"}
    for row in rows(found.headline, measure="rare_recall"):
        assert row["verdict"] == "supported"
        assert row["share"] == 0.6
        # .18 off a recall of about .55
        assert row["low"] < -0.18 / 0.55 < row["high"]
    assert not rows(found.safe_shares, status="measured", domain="*")


def test_a_planted_knee_is_identified_and_covered(drawn):
    found = drawn["knee"]
    whole = rows(found.onset, domain="*")
    assert len(whole) == 4
    for row in whole:
        assert row["status"] == "identified"
        # four intervals at 95 % on shared documents: one may miss by a little
        assert row["low"] - 0.02 <= 0.4 <= row["high"] + 0.02
        # far smaller than the knee that is there
        assert -0.9 < row["smallest_knee"] < 0
        assert 0 < row["smallest_loss"] < 0.2
        # of 20 simulated studies
        assert row["false_knees"] <= 0.25
        assert row["coverage"] >= 0.7
    assert sum(row["low"] <= 0.4 <= row["high"] for row in whole) >= 3
    assert "An onset was identified in 3 of 3 synthetic series" in answer(STUDY, found.headline, found.onset)
    for row in rows(found.safe_shares, status="measured"):
        assert row["share"] <= 0.4
    assert rows(found.safe_shares, status="measured")


def test_domains_that_do_not_differ_say_nothing_of_their_own(drawn):
    found = drawn["knee"]
    by_domain = [row for row in found.onset.to_pylist() if row["domain"] != "*"]
    assert len(by_domain) == 4 * 3
    for row in by_domain:
        assert row["n"] == next(one["n"] for one in rows(found.safe_shares, domain=row["domain"], series=row["series"]))
        assert row["n_needed"] >= row["n"]
        assert (row["status"] == "insufficient_data") == (row["own_weight"] < 0.5)
    assert sum(row["status"] == "insufficient_data" for row in by_domain) >= 6


def test_safe_shares_need_tail_documents(tmp_path):
    lake = make_lake(tmp_path, STUDY, TRUTHS["nothing"], documents=90)
    found = draw_findings(STUDY, lake).safe_shares
    small = [row for row in found.to_pylist() if row["domain"] != "*"]
    assert {row["status"] for row in small} == {"insufficient_data"}
    assert all("would do" in row["note"] and row["n_needed"] >= 30 for row in small if row["n"] < 30)


def test_a_tighter_margin_than_the_noise_proves_little_and_blames_nothing(worlds):
    study = make_study(findings={"bootstrap_draws": 400, "margin": 0.001})
    found = draw_findings(study, worlds["nothing"])
    shares = found.safe_shares.to_pylist()
    # nothing happens here: what is proven by luck is true
    assert {row["status"] for row in shares} <= {"insufficient_data", "measured"}
    assert sum(row["status"] == "measured" for row in shares) < len(shares) / 2
    assert all(row["low"] > -0.001 for row in shares if row["status"] == "measured")
    assert any("too few" in note for note in found.notes)


def test_draws_without_weights_are_the_metrics(worlds, monkeypatch):
    from smc_dagster.findings import panels

    evidence = collect(STUDY, worlds["line"])
    monkeypatch.setattr(panels, "document_weights", lambda strata, *_: iter([np.ones((len(strata), 1))]))
    recall = recall_draws(evidence, ["*", "json"], 1, 0)
    calibration = ece_draws(evidence, STUDY.evaluation.ece_bins, 1, 0)
    for arm in evidence.arms:
        expected = evidence.metric("rare_recall", "rare")[arm.key][1]
        assert recall[arm.key, "*"][:, 0] == pytest.approx(expected)
        assert recall[arm.key, "json"][:, 0] == pytest.approx(
            evidence.metric("rare_recall", "rare", "json")[arm.key][1]
        )
        assert calibration[arm.key][:, 0] == pytest.approx(evidence.metric("ece", "test")[arm.key][1])


def test_row_order_of_predictions_is_nothing(worlds, tmp_path, drawn):
    shutil.copytree(worlds["line"].root, tmp_path / "lake")
    lake = Lake(tmp_path / "lake", STUDY.name)
    for arm in STUDY.arms[:7]:
        table = lake.read(PREDICTIONS, arm.key)
        turned = table.take(pa.array(np.random.default_rng(3).permutation(table.num_rows)))
        lake.write(PREDICTIONS, turned, Fingerprint("predictions", "p", "1"), arm.key)
    found = draw_findings(STUDY, lake)
    assert found.headline.equals(drawn["line"].headline)
    assert found.safe_shares.equals(drawn["line"].safe_shares)


def test_missing_and_stale_arms_are_told(tmp_path):
    class Stale:
        def is_fresh(self, table: str, key: str) -> bool:
            return key != "templated@60"

    lake = make_lake(tmp_path, STUDY, TRUTHS["nothing"], documents=200, arms=lambda key: not key.startswith("sampled@"))
    found = draw_findings(STUDY, lake, lineage=Stale())
    assert found.evidence.stale == ["templated@60"]
    assert len(found.evidence.missing) == 7
    assert {row["share"] for row in rows(found.headline, series="templated")} == {0.5}
    assert not rows(found.headline, series="sampled")
    assert any("7 of 28 arms" in note for note in found.notes)


def test_no_results_at_all_is_an_error(tmp_path):
    with pytest.raises(StaleInputError, match="28 missing"):
        draw_findings(STUDY, Lake(tmp_path, STUDY.name))


def test_arms_scored_on_other_documents_are_an_error(tmp_path):
    lake = make_lake(tmp_path, STUDY, TRUTHS["nothing"], documents=60)
    table = lake.read(PREDICTIONS, "drop@10")
    other = table.set_column(2, "doc_id", pc.binary_join_element_wise(table["doc_id"], "x", ""))
    lake.write(PREDICTIONS, other, Fingerprint("predictions", "p", "1"), "drop@10")
    with pytest.raises(LakeError, match=r"predictions\[drop@10\].*other documents"):
        collect(STUDY, lake)
    lake.write(
        PREDICTIONS, pa.concat_tables([table, table.slice(0, 1)]), Fingerprint("predictions", "p", "1"), "drop@10"
    )
    with pytest.raises(LakeError, match="each document once"):
        collect(STUDY, lake)


def test_a_series_of_one_arm_has_no_rows(tmp_path):
    lake = make_lake(tmp_path, STUDY, TRUTHS["nothing"], documents=60, arms=lambda key: key == "drop@00")
    found = draw_findings(STUDY, lake)
    assert rows(found.headline, measure="rare_recall") == []
    assert {row["status"] for row in found.onset.to_pylist()} == {"insufficient_data"}
    assert found.mitigation_effects.num_rows == found.safe_shares.num_rows == 0


def test_relative_change_and_difference_agree(worlds):
    effects = Effects(collect(STUDY, worlds["line"]), STUDY)
    relative = effects.change("drop@60", "drop@00", "rare_recall", relative=True)
    absolute = effects.change("drop@60", "drop@00", "rare_recall")
    base = absolute.estimate / relative.estimate
    assert 0.4 < base < 0.7
    assert effects.change("drop@60", "drop@00", "rare_recall", domain="nowhere") is None


def test_the_summary_has_the_promised_shape(drawn):
    found = summary(STUDY, drawn["knee"], "abc")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["study"], found["fingerprint"]) == ("known", "abc")
    assert [row["domain"] for row in found["domain_answer"]] == ["*", "asyncio", "json", "numpy"]
    assert {"status", "share_in_use", "safe_share", "cap", "note"} <= found["domain_answer"][0].keys()
    promised = {"measure", "claim", "estimate", "low", "high", "verdict", "series", "share"}
    assert all(promised <= row.keys() for row in found["headline"])
    assert {row["series"] for row in found["headline"] if row["control"]} == {"drop"}
    assert all({"series", "domain", "measure", "status", "knot", "low", "high"} <= row.keys() for row in found["onset"])
    assert found["budget"] == {"steps": 600.0, "examples_seen": 76800.0, "flops": 1.2e12, "equal_for_all_arms": True}
    assert len(found["arms"]["counted"]) == 28
