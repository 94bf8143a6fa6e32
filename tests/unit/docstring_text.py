"""Real text for unit tests: the docstrings of a few packages of the standard library, read with `ast`."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pyarrow as pa

from smc_dagster.corpora.text import doc_ids
from smc_dagster.tables import REAL_DOCUMENTS

PACKAGES = ("json", "email", "asyncio", "logging", "unittest", "http", "importlib", "concurrent")
SPLITS = ("train", "train", "train", "test", "train", "anchor_eval", "validation", "train")


@cache
def docstrings() -> tuple[tuple[str, str, str], ...]:
    """(domain, label, first paragraph), each triple once, in a fixed order; label = package and module."""
    root = Path(json.__file__).parents[1]
    found: dict[tuple[str, str, str], None] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                    text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                    if 3 <= len(text.split()) <= 90:
                        found[package, f"{package}.{path.stem}", text] = None
    return tuple(found)


@cache
def real_documents() -> pa.Table:
    """The docstrings as `real_documents`; labels with fewer than 25 are the tail."""
    domains, labels, texts = (pa.array(column) for column in zip(*docstrings(), strict=True))
    ids = doc_ids(domains, labels, texts)
    rows = len(ids)
    sizes: dict[str, int] = {}
    for label in labels.to_pylist():
        sizes[label] = sizes.get(label, 0) + 1
    return pa.table(
        {
            "doc_id": ids,
            "domain": domains,
            "label": labels,
            "text": texts,
            "provenance": pa.repeat("human", rows),
            "source": pa.repeat("docstrings", rows),
            "generator": pa.nulls(rows, pa.string()),
            "parent_doc_id": pa.nulls(rows, pa.string()),
            "day": pa.repeat("2026-01-01", rows),
            "cluster_id": ids,
            "split": [SPLITS[int(one[:8], 16) % len(SPLITS)] for one in ids.to_pylist()],
            "is_tail": [sizes[label] < 25 for label in labels.to_pylist()],
        },
        schema=REAL_DOCUMENTS.schema,
    )
