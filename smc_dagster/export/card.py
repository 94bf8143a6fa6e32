"""The model card: README.md with front matter that the Hugging Face hub reads.

What belongs here: the front matter, and making what comes from outside safe in Markdown. What does not: the facts
(facts.py), the wording (card.md.jinja).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

# what Markdown gives a meaning to within a line: marks, cells, formulae, and what becomes a link or a mention
_MARKDOWN = re.compile(r"([\\`*_\[\]|~:$@]|(?<=www)\.)", re.IGNORECASE)
# line ends, control characters, separators of Unicode, and what turns the direction of writing
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# slices and metrics that the front matter carries
INDEXED = (("test", "accuracy"), ("test", "macro_recall"), ("test", "ece"), ("rare", "rare_recall"))


def card(found: Mapping[str, Any]) -> str:
    """README.md, from facts.facts and the names that folder.py adds."""
    from huggingface_hub import EvalResult, ModelCardData
    from jinja2 import Environment, PackageLoader, StrictUndefined

    study, arm = found["study"], found["arm"]
    by_name = {(one["slice"], one["metric"]): one for one in found["metrics"]}
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=study.name,
            dataset_name=study.name,
            dataset_split=name[0],
            metric_type=name[1],
            metric_value=round(by_name[name]["mean"], 6),
            metric_args={
                "low": by_name[name]["low"],
                "high": by_name[name]["high"],
                "level": found["level"],
                "n": by_name[name]["n"],
            },
        )
        for name in INDEXED
        if name in by_name and by_name[name]["mean"] is not None
    ]
    front = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=found["origin"].hub,
        model_name=f"{study.name} {arm.key}",
        tags=["text-classification", "synthetic-data"],
        eval_results=results or None,
    )
    # no autoescape of HTML: `finalize` escapes for Markdown and HTML both, whatever the template prints
    pages = Environment(  # noqa: S701
        loader=PackageLoader("smc_dagster.export", "."),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = dict(found) | {"checks": _by_asset(found["checks"])}
    return f"---\n{front.to_yaml()}\n---\n\n{pages.get_template('card.md.jinja').render(names)}"


def _by_asset(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row an asset and partition: how many checks ran, what passed, and what did not with its severity."""
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for one in checks:
        key = (one["asset"], one["partition"])
        row = rows.setdefault(key, {"asset": key[0], "partition": key[1], "passed": [], "others": [], "time": ""})
        row["passed" if one["passed"] else "others"].append(
            one["check"] if one["passed"] else f"{one['check']} ({one['severity']})"
        )
        row["time"] = max(row["time"], one["time"])
    return list(rows.values())


def _shown(value: Any) -> str:
    """A value as Markdown: numbers short, text with nothing in it that Markdown, HTML or a terminal would obey."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.4g}"
    return escaped(str(value))


def escaped(text: str) -> str:
    """Text that shows as it is in a line or cell of Markdown; what a reader cannot see is written as its code."""
    seen = _OBEYED.sub(lambda found: f"\\x{ord(found[0]):04x}", text)
    return html.escape(_MARKDOWN.sub(r"\\\1", seen))
