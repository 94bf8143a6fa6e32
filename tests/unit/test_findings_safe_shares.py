"""Safe shares: the order of the proofs, what a cap makes of a share, and what is said where data are too few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from findings_world import SHARES, make_lake, make_study

from smc_dagster.findings.collect import collect
from smc_dagster.findings.effects import Effect
from smc_dagster.findings.safe_shares import build_safe_shares
from smc_dagster.tables import MIXTURE_COMPOSITION

pytestmark = pytest.mark.unit
STUDY = make_study([{"name": "made", "pool": "templated"}], findings={"bootstrap_draws": 300})
MARGIN = STUDY.findings.margin
UP = SHARES[1:]


class Told:
    """Effects as told, by share: (lower bound, upper end of the interval, standard error)."""

    domains = ("*",)

    def __init__(self, told: dict[float, tuple[float, float, float] | None], n: int = 100) -> None:
        self._told, self._n = told, n

    def tail_documents(self, domain: str) -> int:
        return self._n

    def change(self, key: str, against: str, measure: str, *, domain: str) -> Effect | None:
        assert (against, measure) == ("made@00", "rare_recall")
        told = self._told[int(key.removeprefix("made@")) / 100]
        if told is None:
            return None
        bound, high, error = told
        return Effect((bound + high) / 2, bound, high, bound, 0.5, error, 0.0, self._n, 5)


SAFE, FAILS, HARMS = (-0.01, 0.02, 0.005), (-0.03, 0.01, 0.005), (-0.09, -0.04, 0.005)
NOISY = (-0.2, 0.2, 0.1)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return collect(STUDY, make_lake(tmp_path_factory.mktemp("lake"), STUDY, lambda *_: (0.0, 0.0), documents=200))


def test_where_there_is_no_recall_to_lose_nothing_is_safe(evidence) -> None:
    outcomes = dict(evidence.outcomes)
    base = outcomes["made@00", "rare"]
    outcomes["made@00", "rare"] = replace(base, correct=np.zeros_like(base.correct))
    row = judged(replace(evidence, outcomes=outcomes), [(0.0, 0.0, 0.0)] * 6)
    assert (row["status"], row["share"], row["n_needed"]) == ("insufficient_data", None, None)
    assert "recall at 0 % is 0.000" in row["note"]


def judged(evidence, told: list, n: int = 100) -> dict:
    effects = Told(dict(zip(UP, told, strict=True)), n)
    (row,) = build_safe_shares(STUDY, evidence, effects).to_pylist()
    return row


@pytest.mark.parametrize(
    ("told", "status", "share", "harm_from"),
    [
        ([SAFE] * 6, "measured", 0.6, None),
        ([SAFE, SAFE, FAILS, SAFE, SAFE, SAFE], "measured", 0.2, None),
        ([FAILS, SAFE, SAFE, SAFE, SAFE, SAFE], "none_safe", None, None),
        ([SAFE, SAFE, FAILS, HARMS, HARMS, HARMS], "measured", 0.2, 0.4),
        # from the top: a share that is not proven harmful breaks the chain
        ([SAFE, HARMS, HARMS, FAILS, HARMS, HARMS], "measured", 0.1, 0.5),
        ([HARMS] * 6, "none_safe", None, 0.1),
        ([NOISY, SAFE, SAFE, SAFE, SAFE, SAFE], "insufficient_data", None, None),
        # a bound above the margin is a proof, however large the noise
        ([(-0.01, 0.5, 0.1)] * 6, "measured", 0.6, None),
        ([SAFE, NOISY, SAFE, SAFE, SAFE, SAFE], "measured", 0.1, None),
        # noise too large to prove safety, and harm proven all the same
        ([(-0.9, -0.1, 0.2)] * 6, "none_safe", None, 0.1),
    ],
)
def test_proofs_go_upwards_and_stop_at_the_first_failure(evidence, told, status, share, harm_from):
    row = judged(evidence, told)
    assert (row["status"], row["share"], row["harm_from"]) == (status, share, harm_from)
    assert row["arm"] == (None if share is None else f"made@{share * 100:.0f}")
    assert (row["n_needed"] is not None or "no number" in row["note"]) == (status == "insufficient_data")


def test_the_bound_must_lie_above_the_margin(evidence):
    assert judged(evidence, [(-MARGIN, 0.0, 0.001)] * 6)["status"] == "none_safe"
    assert judged(evidence, [(-MARGIN + 1e-9, 0.0, 0.001)] * 6)["status"] == "measured"


def test_shares_that_were_not_measured_are_told(evidence):
    row = judged(evidence, [SAFE, None, SAFE, FAILS, SAFE, SAFE])
    assert row["share"] == 0.3
    assert "not measured at 20 %" in row["note"]
    assert judged(evidence, [None] * 6)["status"] == "insufficient_data"


def test_too_few_documents_name_how_many_would_do(evidence):
    row = judged(evidence, [SAFE] * 6, n=29)
    assert row["status"] == "insufficient_data"
    assert row["n_needed"] >= 30
    assert "29 tail documents" in row["note"]


def test_where_a_domain_has_too_few_documents_the_plan_goes_by_the_noise_of_all(evidence):
    class InDomains(Told):
        domains = ("*", "json")

        def tail_documents(self, domain: str) -> int:
            return 2 if domain == "json" else 100

        def change(self, key: str, against: str, measure: str, *, domain: str) -> Effect | None:
            found = super().change(key, against, measure, domain=domain)
            # two documents that happen to agree have no noise to plan by
            return replace(found, standard_error=0.0) if found and domain == "json" else found

    effects = InDomains(dict.fromkeys(UP, (-0.2, 0.2, 0.05)))
    rows = {row["domain"]: row for row in build_safe_shares(STUDY, evidence, effects).to_pylist()}
    assert rows["json"]["n_needed"] == rows["*"]["n_needed"] > 100
    assert f"2 tail documents: about {rows['json']['n_needed']:,} would do" in rows["json"]["note"]


def capped(evidence, cap: float):
    rows = [
        row | {"rows_synthetic": given, "rows_displaced": given, "shortfall": row["rows_asked"] - given, "cap": cap}
        for row in evidence.composition.to_pylist()
        for given in [min(row["rows_asked"], int(cap * row["budget"] + 1e-9))]
    ]
    return replace(evidence, composition=pa.Table.from_pylist(rows, MIXTURE_COMPOSITION.schema))


def test_under_a_cap_no_larger_share_is_called_safe(evidence):
    row = judged(capped(evidence, 0.25), [SAFE] * 6)
    assert (row["status"], row["share"], row["arm"]) == ("measured", 0.25, "made@60")
    # the larger arms fail, though this domain got no more
    assert judged(capped(evidence, 0.25), [SAFE, SAFE, FAILS, FAILS, FAILS, FAILS])["share"] == 0.2


def test_a_cap_of_nothing_leaves_nothing_to_prove(evidence):
    row = judged(capped(evidence, 0.0), [SAFE] * 6)
    assert (row["status"], row["share"]) == ("insufficient_data", None)
    assert "no synthetic row" in row["note"]


def answering(evidence, answers):
    """The same evidence with other answers on the rare documents: at 0 % the same ones in every replicate, at 10 % a
    function of those, [replicates, documents]."""
    start = evidence.outcomes["made@00", "rare"]
    base = np.repeat(start.correct[:1], len(start.correct), axis=0)
    changed = {
        ("made@00", "rare"): replace(start, correct=base),
        ("made@10", "rare"): replace(start, correct=answers(base)),
    }
    return replace(evidence, outcomes={**evidence.outcomes, **changed})


def test_documents_needed_follow_from_the_noise_that_documents_bring(evidence):
    turned = np.random.default_rng(3).random(len(evidence.documents["rare"])) < 0.2
    # the same documents change in every replicate: all noise is that of documents
    row = judged(answering(evidence, lambda base: base ^ turned), [(-0.2, 0.2, 0.05)] * 6)
    spread = (0.05 * (1.6449 + 0.8416) / MARGIN) ** 2
    assert row["n_needed"] == pytest.approx(spread * len(evidence.documents["rare"]), rel=0.01)
    assert f"about {row['n_needed']:,} would do" in row["note"]


def test_where_replicates_differ_too_much_no_number_of_documents_would_do(evidence):
    lost = np.arange(STUDY.replicates)[:, None] % 2 == 0
    row = judged(answering(evidence, lambda base: base & ~lost), [(-0.2, 0.2, 0.05)] * 6)
    assert row["status"] == "insufficient_data"
    assert row["n_needed"] is None
    assert "no number of documents would do" in row["note"]
