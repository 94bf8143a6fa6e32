"""The model card: whatever a corpus holds is shown as text, and the front matter is read by the hub's own reader."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml

from smc_dagster.export.card import card, escaped
from smc_dagster.export.trained import Origin
from smc_dagster.study import load_study

pytestmark = pytest.mark.unit
HOSTILE = "<script>alert(1)</script>|**x**\n---\n[y](http://z.example)\x1b[31m\u202e`@all"


def _found() -> dict:
    study = load_study("tiny")
    metric = {"slice": "test", "metric": "accuracy", "mean": 0.5, "low": 0.4, "high": None, "n": 30}
    row = {"domain": HOSTILE, "cap": 1.0, "rows_real": 3, "rows_synthetic": 1, "rows_repeated": None, "shortfall": 0}
    return {
        "study": study,
        "title": HOSTILE,
        "question": HOSTILE,
        "arm": study.arms[1],
        "pool": "template",
        "training": study.training,
        "budget": {"examples_seen": 3840.0},
        "origin": Origin("a local folder", None, "ab" * 32),
        "documents": [{"domain": HOSTILE, "labels": [HOSTILE, "plain.label"], "train": 1234, "test": 0}],
        "mixture": [row | {"why": None}],
        "rows": {"rows_real": 3, "rows_synthetic": 1, "rows_repeated": 0, "shortfall": 0},
        "share": 0.25,
        "level": 0.95,
        "metrics": [metric],
        "arm_means": {("test", "accuracy"): metric},
        "fingerprints": {"study": "0123456789abcdef"},
        "made": "Made so.",
        "positions": 512,
        "rounded": False,
        "choice": SimpleNamespace(replicate=1, rule="asked for", losses={0: 1.25, 1: 1.5}, documents=40),
        "verified": SimpleNamespace(documents=5, same=5, mean=0.0, largest=0.0),
        "checks": [
            {
                "asset": "predictions",
                "check": HOSTILE,
                "partition": None,
                "passed": False,
                "severity": "warn",
                "time": "2026-01-02 03:04",
            },
            {
                "asset": "predictions",
                "check": "same",
                "partition": None,
                "passed": True,
                "severity": "error",
                "time": "2026-01-02 03:05",
            },
        ],
    }


def test_front_matter_is_yaml_and_text_stays_text() -> None:
    text = card(_found())
    _, front, body = text.split("---\n", 2)
    read = yaml.safe_load(front)
    assert (read["pipeline_tag"], read["library_name"]) == ("text-classification", "transformers")
    (result,) = read["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 0.5
    assert result["metrics"][0]["args"] == {"level": 0.95, "low": 0.4, "n": 30}
    for bad in ("<script", "|**", "\x1b", "\u202e", "[y](", "http://", "\n---", "`@"):
        assert bad not in body, bad
    assert body.count(escaped(HOSTILE)) == 6
    assert "plain.label" in body
    assert "| 1,234 | 0 |" in body
    assert f"| predictions | - | {escaped(HOSTILE)} (warn) | 1 | same |" in body
    assert "`0123456789abcdef`" in body


def test_escaping_hides_nothing() -> None:
    assert escaped("a_b <c>") == "a\\_b &lt;c&gt;"
    assert escaped("x\ny\u200b") == "x\\\\x000ay\\\\x200b"
    assert escaped("\\<") == "\\\\&lt;"
