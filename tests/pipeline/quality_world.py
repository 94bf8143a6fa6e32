"""A small sound study for the quality tests: every table of it passes every check.

Text is real: lines of the standard library's docstrings, a label a module.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa

from smc_dagster.corpora.adversarial import adversarial_id
from smc_dagster.corpora.edits import EDITS
from smc_dagster.quality.expectations import Context
from smc_dagster.study import Provenance
from smc_dagster.tables import (
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    PREDICTIONS,
    REAL_DOCUMENTS,
    REALITY_ANCHORS,
    SYNTHETIC_DOCUMENTS,
    TableSpec,
)

Rows = list[dict[str, Any]]
HEAD = {"text": ("argparse", "difflib", "textwrap"), "data": ("datetime", "fractions", "statistics")}
TAIL = {"text": ("shlex",), "data": ("bisect",)}
REPLICATES = 2
SHARE = 0.4
SPLIT_BY_PLACE = ("train", "train", "train", "test", "anchor_eval", "validation")


def doc_id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def lines(module: str, count: int) -> tuple[str, ...]:
    """Distinct docstring lines of at least four words."""
    found = importlib.import_module(module)
    members = [one for _, one in inspect.getmembers(found, inspect.isclass)]
    members += [one for _, one in inspect.getmembers(found, inspect.isroutine)]
    for kind in list(members):
        members += [one for _, one in inspect.getmembers(kind, inspect.isroutine)] if inspect.isclass(kind) else []
    documented = [inspect.getdoc(found) or "", *(inspect.getdoc(one) or "" for one in members)]
    usable = [one.strip() for text in documented for one in text.splitlines() if len(one.split()) >= 4]
    distinct = list(dict.fromkeys(usable))[:count]
    assert len(distinct) == count, f"{module} has {len(distinct)} lines, {count} wanted"
    return tuple(distinct)


def real_rows() -> Rows:
    rows: Rows = []
    for groups, count, tail in ((HEAD, 36, False), (TAIL, 12, True)):
        for domain, modules in groups.items():
            for module in modules:
                for place, text in enumerate(lines(module, count)):
                    identity = doc_id(domain, module, text)
                    rows.append(
                        {
                            "doc_id": identity,
                            "domain": domain,
                            "label": module,
                            "text": text,
                            "provenance": "human",
                            "source": "docstrings",
                            "generator": None,
                            "parent_doc_id": None,
                            "day": "2024-05-01",
                            "cluster_id": identity,
                            "split": SPLIT_BY_PLACE[place % len(SPLIT_BY_PLACE)],
                            "is_tail": tail,
                        }
                    )
    return rows


def synthetic_rows() -> Rows:
    """One document from every second training document, in two pools."""
    train = [one for one in real_rows() if one["split"] == "train"]
    rows: Rows = []
    for pool, grade in (("templated", "templated"), ("sampled", "generated")):
        for place, parent in enumerate(train):
            if place % 2:
                continue
            text = f"In short, {pool}: {parent['text']}"
            rows.append(
                {
                    **{name: parent[name] for name in ("domain", "label")},
                    "doc_id": doc_id(pool, parent["label"], text),
                    "text": text,
                    "provenance": grade,
                    "source": pool,
                    "generator": pool,
                    "parent_doc_id": parent["doc_id"],
                    "pool": pool,
                }
            )
    return rows


def _domains() -> dict[str, Rows]:
    train = [one for one in real_rows() if one["split"] == "train"]
    return {name: [one for one in train if one["domain"] == name] for name in HEAD}


def _arms() -> list[dict[str, Any]]:
    return [
        {"arm": "plain@00", "series": "plain", "share": 0.0, "composition": "replace", "pool": "templated"},
        {"arm": "plain@40", "series": "plain", "share": SHARE, "composition": "replace", "pool": "templated"},
        {"arm": "lost@40", "series": "lost", "share": SHARE, "composition": "drop", "pool": None},
    ]


def _mixed_arms() -> list[dict[str, Any]]:
    return [
        *_arms(),
        {"arm": "again@40", "series": "again", "share": SHARE, "composition": "repeat", "pool": None},
        {"arm": "top@20", "series": "top", "share": 0.2, "composition": "add", "pool": "templated"},
        {"arm": "held@40", "series": "held", "share": SHARE, "composition": "replace", "pool": "templated"},
    ]


def composition_rows() -> Rows:
    rows: Rows = []
    pool = [one for one in synthetic_rows() if one["pool"] == "templated"]
    anchors = {one["doc_id"] for one in anchor_rows() if one["slice"] == "anchor_train"}
    for arm in _mixed_arms():
        on_top, repeats = arm["composition"] == "add", arm["composition"] == "repeat"
        level = arm["share"] / (1 - arm["share"]) if on_top else arm["share"]
        for replicate in range(REPLICATES):
            for domain, train in _domains().items():
                budget = len(train)
                asked = int(level * budget + 0.5)
                displaced = 0 if on_top else asked
                left = sum(one["domain"] == domain for one in pool)
                rows.append(
                    {
                        **arm,
                        "strictness": "off",
                        "replicate": replicate,
                        "domain": domain,
                        "rows_available": budget,
                        "budget": budget,
                        "cap": 0.5,
                        "pool_available": left if arm["pool"] else None,
                        "rows_asked": asked,
                        "rows_displaced": displaced,
                        "rows_synthetic": asked if arm["pool"] else 0,
                        "rows_real": budget - displaced,
                        "rows_repeated": displaced if repeats else 0,
                        "rows_anchor": sum(one["doc_id"] in anchors for one in train) if arm["series"] == "held" else 0,
                        "rows_taken_over": 0,
                        "shortfall": 0,
                        "why": None,
                    }
                )
    return rows


def mixture_rows() -> Rows:
    rows: Rows = []
    pool = [one for one in synthetic_rows() if one["pool"] == "templated"]
    anchors = {one["doc_id"] for one in anchor_rows() if one["slice"] == "anchor_train"}
    for cell in composition_rows():
        train = _domains()[cell["domain"]]
        if cell["series"] == "held":
            train = sorted(train, key=lambda one: one["doc_id"] not in anchors)
        real = train[: cell["rows_real"]]
        made = [one for one in pool if one["domain"] == cell["domain"]][: cell["rows_synthetic"]]
        made = made or [real[at % len(real)] for at in range(cell["rows_repeated"])]
        first = cell["budget"] if cell["composition"] == "add" else cell["budget"] - len(made)
        for slot, document in [*enumerate(real), *enumerate(made, first)]:
            rows.append(
                {
                    **{name: cell[name] for name in ("arm", "replicate")},
                    **{name: document[name] for name in ("doc_id", "domain", "label", "provenance")},
                    "slot": slot,
                    "weight": 1.0,
                }
            )
    return rows


def anchor_rows() -> Rows:
    """Every held-out anchor document as atypical, those of tail labels as rare, and one edit of each."""
    rows: Rows = []
    for at, one in enumerate(real_rows()):
        same = {name: one[name] for name in ("domain", "label", "is_tail")} | {"version": "v1"}
        real = same | {name: one[name] for name in ("doc_id", "text", "provenance")} | {"distance": 0.4}
        real |= {"parent_doc_id": None, "edit": None}
        if one["split"] == "train" and at % 5 == 0:
            rows.append(real | {"slice": "anchor_train"})
        if one["split"] == "anchor_eval":
            rows.append(real | {"slice": "atypical"})
            if one["is_tail"]:
                rows.append(real | {"slice": "rare"})
            edit = sorted(EDITS)[at % len(EDITS)]
            text = one["text"] + " !!"
            own = adversarial_id(edit, one["doc_id"], text)
            edited = {"slice": "adversarial", "doc_id": own, "text": text, "provenance": "edited", "edit": edit}
            rows.append(same | edited | {"parent_doc_id": one["doc_id"], "distance": None})
    return rows


def prediction_rows() -> Rows:
    documents = [one | {"slice": "test"} for one in real_rows() if one["split"] == "test"]
    documents += [one for one in anchor_rows() if one["slice"] != "anchor_train"]
    rows: Rows = []
    for arm in _arms():
        for replicate in range(REPLICATES):
            for place, document in enumerate(documents):
                hit = place % 3 != 0
                rows.append(
                    {
                        **{name: arm[name] for name in ("arm",)},
                        "replicate": replicate,
                        **{name: document[name] for name in ("doc_id", "domain", "label", "is_tail", "slice")},
                        "predicted": document["label"] if hit else "argparse",
                        "confidence": 0.6,
                        "p_label": 0.6 if hit or document["label"] == "argparse" else 0.3,
                        "sum_p2": 0.46,
                        "entropy": 0.9,
                    }
                )
    return rows


ROWS = {
    "real_documents": (REAL_DOCUMENTS, real_rows),
    "reality_anchors": (REALITY_ANCHORS, anchor_rows),
    "synthetic_documents": (SYNTHETIC_DOCUMENTS, synthetic_rows),
    "mixture_documents": (MIXTURE_DOCUMENTS, mixture_rows),
    "mixture_composition": (MIXTURE_COMPOSITION, composition_rows),
    "predictions": (PREDICTIONS, prediction_rows),
}


def table_of(spec: TableSpec, rows: Rows) -> pa.Table:
    """The rows under the table's schema, but with every column nullable, so that faults can be planted."""
    nullable = pa.schema([one.with_nullable(True) for one in spec.schema])
    return pa.Table.from_pylist(rows, schema=nullable)


def context(**changes: Any) -> Context:
    sound = Context(
        synthetic_from=Provenance.templated,
        max_characters=600,
        min_label_documents=12,
        tail_share=0.15,
        replicates=REPLICATES,
        budget=1.0,
        min_tail_labels=2,
        real=table_of(REAL_DOCUMENTS, real_rows()),
        anchors=table_of(REALITY_ANCHORS, anchor_rows()),
        repeating=frozenset({"again@40"}),
        anchored=frozenset({"held@40"}),
    )
    return replace(sound, **changes)
