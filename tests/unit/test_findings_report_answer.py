"""The answer by domain in words, marks and colours."""

from __future__ import annotations

from importlib import resources

import pytest

from smc_dagster.findings import report_answer
from smc_dagster.findings.report_answer import STATUS, rows, table, tally

pytestmark = pytest.mark.unit


def answer(domain: str, status: str, **more: object) -> dict:
    row = {"domain": domain, "status": status, "share_in_use": 0.6, "safe_share": None, "cap": 1.0, "series": "sampled"}
    row |= {"safe_status": "none_safe", "margin": 0.02, "n": 80, "n_needed": None, "harm_from": None, "note": "a note"}
    return row | more


ANSWERS = [
    answer("*", "unproven", cap=None),
    answer("beta", "safe", safe_share=0.6, safe_status="measured"),
    answer("delta", "insufficient_data", safe_status="insufficient_data", n_needed=400),
    answer("alpha", "harmful", harm_from=0.4, safe_share=0.2, safe_status="measured", cap=0.3),
    answer("gamma", "unproven"),
    answer("epsilon", "unused", share_in_use=None, series=None, safe_status="insufficient_data", note="nothing here"),
]


def test_all_domains_come_first_then_the_worst():
    assert [row["domain"] for row in rows(ANSWERS)] == ["all domains", "alpha", "gamma", "delta", "epsilon", "beta"]
    assert [row["whole"] for row in rows(ANSWERS)] == [True] + [False] * 5


def test_marks_and_words_tell_what_the_colour_tells():
    shown = {row["domain"]: row for row in rows(ANSWERS)}
    assert (
        len({mark for mark, *_ in STATUS.values()}) == len(STATUS) == len({words for _, words, *_ in STATUS.values()})
    )
    assert (shown["beta"]["mark"], shown["beta"]["words"], shown["beta"]["safe"]) == ("✓", "proven safe", "60 %")
    assert (shown["alpha"]["mark"], shown["alpha"]["words"], shown["alpha"]["cap"]) == ("✗", "loss proven", "30 %")
    assert (shown["gamma"]["safe"], shown["gamma"]["cap"]) == ("none proven", "none")
    assert (shown["delta"]["safe"], shown["all domains"]["cap"]) == ("too few data", "–")
    assert (shown["epsilon"]["in_use"], shown["epsilon"]["why"]) == ("–", "nothing here")
    style = resources.files("smc_dagster.findings").joinpath("page", "style.css").read_text(encoding="utf-8")
    assert all(f".{look}" in style for _, _, look, _ in STATUS.values())


def test_a_cap_above_the_safe_share_is_marked():
    assert [row["domain"] for row in rows(ANSWERS) if row["loose"]] == ["alpha", "beta"]
    held = answer("alpha", "safe", safe_share=0.3, cap=0.3)
    assert not rows([held])[0]["loose"]


def test_bars_are_percent_of_the_width():
    (bar,) = (row["bar"] for row in rows(ANSWERS) if row["domain"] == "alpha")
    assert bar == {"safe": 20.0, "harm": 40.0, "in_use": 60.0, "cap": 30.0}
    assert rows([answer("a", "safe", share_in_use=1 / 3)])[0]["bar"] == {
        "safe": None,
        "harm": None,
        "in_use": 33.33,
        "cap": None,
    }


def test_the_sentence_counts_domains_and_not_all_of_them_together():
    assert tally(ANSWERS) == (
        "The largest synthetic share in use, over 5 domains: proven to lose rare cases in 1, not proven safe in 1, "
        "too few data to tell in 1, nothing in use in 1, proven safe in 1."
    )
    assert tally(ANSWERS[:1]) is None


def test_the_download_has_every_figure():
    assert table(ANSWERS).to_pylist() == [{name: row[name] for name in report_answer.TABLE.names} for row in ANSWERS]
