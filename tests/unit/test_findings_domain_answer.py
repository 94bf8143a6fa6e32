"""The answer for a domain: which series decides, what counts as in use, and what status follows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from findings_world import make_study

from smc_dagster.findings.domain_answer import caps_met, domain_answers
from smc_dagster.findings.reached import reached_shares
from smc_dagster.tables import MIXTURE_COMPOSITION, SAFE_SHARES

pytestmark = pytest.mark.unit
SERIES = [
    {"name": "one", "pool": "templated"},
    {"name": "two", "pool": "sampled"},
    {"name": "free", "pool": "sampled", "caps": False},
    {"name": "drop", "composition": "drop"},
]
STUDY = make_study(SERIES)
HOSTILE = "<b>'; drop"


def safe(series: str, share: float | None, status: str = "measured", domain: str = "json", **more: object) -> dict:
    row = {"series": series, "domain": domain, "status": status, "share": share, "margin": 0.02, "n": 50, "note": "n"}
    return row | more


def table(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SAFE_SHARES.schema)


def composition(caps: dict[str, float], budget: int = 101, replicates: int = 2) -> pa.Table:
    """What dbt gives: rows asked round half up, a cap rounds down; `drop` takes no synthetic row."""
    rows = []
    for arm in STUDY.arms:
        for domain, cap in caps.items():
            asked = int(arm.share * budget + 0.5)
            limit = cap if arm.series.caps else 1.0
            given = min(asked, int(limit * budget))
            rows += [
                {
                    "arm": arm.key,
                    "series": arm.series.name,
                    "pool": arm.series.pool,
                    "replicate": replicate,
                    "domain": domain,
                    "budget": budget,
                    "cap": limit,
                    "rows_asked": asked,
                    "rows_displaced": given,
                    "rows_synthetic": given if arm.series.pool else 0,
                    "shortfall": asked - given,
                }
                for replicate in range(replicates)
            ]
    return pa.Table.from_pylist(rows, MIXTURE_COMPOSITION.schema)


def added(budget: int) -> pa.Table:
    """60 % asked on top of the real rows, of which a budget of 101 leaves room for 152."""
    row = {"arm": "one@60", "domain": "json", "replicate": 0, "budget": budget, "rows_displaced": 0}
    return pa.Table.from_pylist([row | {"rows_synthetic": 152}], MIXTURE_COMPOSITION.schema)


def answer(*rows: dict, caps: dict[str, float] | None = None, **given: object) -> dict:
    found = domain_answers(STUDY, table(*rows), composition(caps or {"json": 1.0}), **given)
    return next(row for row in found if row["domain"] == "json")


def test_the_share_reached_is_that_asked_but_for_caps():
    found = reached_shares(STUDY.arms, composition({"json": 0.25, HOSTILE: 1.0}))
    assert [found[f"one@{at}", HOSTILE] for at in ("00", "10", "30")] == [0.0, 0.1, 0.3]
    assert found["one@10", "json"] == 0.1
    assert found["one@60", "json"] == found["drop@60", "json"] == 25 / 101
    assert found["free@60", "json"] == 0.6
    assert found["one@60", "*"] == pytest.approx((25 + 61) / 202)
    assert reached_shares(STUDY.arms, added(budget=101)) == {("one@60", one): 0.6 for one in ("json", "*")}
    assert reached_shares(STUDY.arms, added(budget=300))["one@60", "json"] == pytest.approx(152 / 452)
    assert reached_shares(STUDY.arms, MIXTURE_COMPOSITION.schema.empty_table()) == {}


def test_a_cap_is_that_of_the_arms_that_obey_it():
    assert caps_met(composition({"json": 0.25, HOSTILE: 1.0})) == {HOSTILE: 1.0, "json": 0.25}


def test_over_several_series_the_least_safe_share_counts():
    rows = [safe("one", 0.3), safe("two", 0.1), safe("free", 0.05), safe("drop", 0.0)]
    found = answer(*rows)
    # series that obey no caps, and controls, are not what a cap governs
    assert (found["safe_share"], found["series"], found["safe_status"]) == (0.1, "two", "measured")
    assert answer(*rows, series="one")["safe_share"] == 0.3


@pytest.mark.parametrize(
    ("rows", "status", "series"),
    [
        ([safe("one", 0.3), safe("two", None, "insufficient_data")], "insufficient_data", "two"),
        ([safe("one", None, "insufficient_data"), safe("two", None, "none_safe")], "none_safe", "two"),
        ([safe("one", 0.3)], "insufficient_data", "two"),
        ([], "insufficient_data", None),
    ],
)
def test_where_one_series_has_none_there_is_none(rows, status, series):
    found = answer(*rows)
    assert (found["safe_status"], found["safe_share"], found["series"]) == (status, None, series)


def test_a_domain_without_rare_cases_is_told_from_a_study_without_arms():
    mixed = composition({"json": 1.0, HOSTILE: 1.0})
    judged = table(safe("one", 0.3), safe("two", 0.3), safe("one", 0.3, domain="*"), safe("two", 0.3, domain="*"))
    notes = {row["domain"]: row["note"] for row in domain_answers(STUDY, judged, mixed)}
    assert notes[HOSTILE] == "no label of this domain is rare: nothing to judge it by"
    assert notes["json"] == "n"
    assert {row["note"] for row in domain_answers(STUDY, table(), mixed)} == {"no arm was measured"}


def test_a_loss_is_told_once_and_whose_it_is():
    own = safe("one", None, "none_safe", harm_from=0.2, note="low; a loss beyond the margin is proven from 20 % on")
    assert answer(own, safe("two", 0.3, harm_from=0.5))["note"] == own["note"]
    found = answer(safe("one", None, "none_safe", note="low"), safe("two", 0.1, harm_from=0.4))
    assert (found["series"], found["harm_from"]) == ("one", 0.4)
    assert found["note"] == "low; two: a loss beyond the margin is proven from 40 % on"


@pytest.mark.parametrize(
    ("rows", "cap", "status"),
    [
        ([safe("one", 0.6), safe("two", 0.6)], 1.0, "safe"),
        ([safe("one", 0.3), safe("two", 0.3)], 1.0, "unproven"),
        ([safe("one", 0.3), safe("two", 0.3)], 0.3, "safe"),
        ([safe("one", 0.3), safe("two", 0.3, harm_from=0.5)], 1.0, "harmful"),
        ([safe("one", 0.3), safe("two", 0.3, harm_from=0.5)], 0.4, "unproven"),
        ([safe("one", None, "none_safe"), safe("two", 0.3)], 0.2, "unproven"),
        ([safe("one", None, "none_safe"), safe("two", 0.3)], 0.0, "safe"),
        ([safe("one", None, "insufficient_data"), safe("two", 0.3)], 0.2, "insufficient_data"),
        ([safe("one", None, "insufficient_data"), safe("two", 0.3, harm_from=0.2)], 0.25, "harmful"),
    ],
)
def test_status_follows_from_the_share_in_use(rows, cap, status):
    found = answer(*rows, caps={"json": cap})
    assert found["status"] == status
    assert found["share_in_use"] <= min(cap, 0.6)
    assert found["cap"] == cap


def test_caps_given_are_those_shown_and_the_whole_has_none():
    rows = [safe(name, 0.3, domain=domain) for name in ("one", "two") for domain in ("json", "*", HOSTILE)]
    found = domain_answers(STUDY, table(*rows), composition({"json": 1.0, HOSTILE: 1.0}), {"*": 0.7, "json": 0.2})
    assert [(row["domain"], row["cap"]) for row in found] == [("*", None), (HOSTILE, 0.7), ("json", 0.2)]


def test_without_mixtures_nothing_is_in_use():
    (found,) = domain_answers(
        STUDY, table(safe("one", 0.3), safe("two", 0.3)), MIXTURE_COMPOSITION.schema.empty_table()
    )
    assert (found["share_in_use"], found["status"], found["safe_share"]) == (None, "unused", 0.3)
