"""A small corpus of hostile names and texts, the team's own synthetic rows of the same kind, and a study of both.

What belongs here: what is planted. What does not: running it, and what must come of it (test_hostile_corpus.py).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

# what a browser, a shell, a template engine, a spreadsheet or a file system would obey
SCRIPT = "<script>window.pwned=1</script>"
IMAGE = "<img src=x onerror=window.pwned=1>"
REMOTE = "![x](http://127.0.0.1:9/pixel.png)"
DOMAINS = (
    "../../etc",
    "'; drop table x; --",
    "{{ 7 * 7 }}{% raw %}",
    'a,b"c',
    "=HYPERLINK(A1)",
    "\U0001f991 squid",
    "right\u202eleft",
    "line\nbreak",
    "n" * 200,
    "Case",
    "case",
    "caf\u00e9",
    "cafe\u0301",
    "CON",
    "dots...",
    "%2e%2e%2f",
    "/",
    SCRIPT,
    f"</title></table>{IMAGE}",
    REMOTE,
    "[red]rich[/red]",
    "[x](javascript:window.pwned=1) `|`",
    "$(touch pwned)",
    "true",
    "007",
    "C:\\temp\\*?",
    "domain_slug=x",
)
# nothing that the contract takes for a name
REFUSED = {"*": "stands for all domains", "n" * 201: "longer than 200 characters", "nul\0": "NUL byte"}
# an adversary's text as a whole; each stands in a row of its own
TEXTS = (
    SCRIPT,
    f"]]></style></svg>{IMAGE}",
    "{{ config }} {% for x in y %} {{ x }}",
    "'; drop table documents; -- of the list",
    "=cmd|' /C calc'!A0 of the list",
    "... !!! ??? ---",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f991 \u202etfel ot thgir\u202c",
    "\u0417\u0434\u0440\u0430\u0432\u043e \u4f60\u597d \u0645\u0631\u062d\u0628\u0627",
    "a\nb\r\nc\u2028d\x1b[31m",
    "%s %n {0} ${HOME} $(touch pwned) `touch pwned`",
)
LABELS = 2
ROWS = 11
RARE_ROWS = 6
HUGE_CHARACTERS = 10_000_000
UNBROKEN_WORDS = 100_000
WORDS = (
    *("open", "close", "read", "write", "file", "socket", "queue", "value", "key", "list", "dict", "path", "name"),
    *("error", "signal", "thread", "lock", "graph", "node", "edge", "table", "row", "column", "index", "cursor"),
    *("page", "frame", "block", "cache", "store", "fetch", "merge", "split", "join", "sort", "hash", "tree", "leaf"),
)


def label_of(domain: str, number: int) -> str:
    """A label that is as hostile as its domain: each belongs to one domain."""
    return f"{domain[:180]}{' ' if number else ''}{'#' * number}"


def sentence(draw: random.Random, domain: str, number: int) -> str:
    """A text that no other nearly equals, with some of what is hostile in it."""
    words = draw.choices(WORDS, k=draw.randint(5, 14))
    words.insert(draw.randrange(len(words)), f"{domain[:40]} {number}")
    return " ".join(words)


def real_rows(seed: int = 1) -> list[dict[str, Any]]:
    """Every domain with its labels, the last of each pair rare, and the adversary's texts spread over the first."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for domain in DOMAINS:
        for number in range(LABELS):
            label = label_of(domain, number)
            rows += [
                {"team": domain, "intent": label, "body": sentence(draw, domain, n), "ticket": f"{label}:{n}"}
                for n in range(RARE_ROWS if number else ROWS)
            ]
    plain = rows[0] | {"ticket": None}
    rows += [plain | {"body": text} for text in TEXTS]
    # one that is long for its letters, and one of a single word
    rows.append(plain | {"body": " ".join(draw.choices(WORDS, k=HUGE_CHARACTERS // 5))[:HUGE_CHARACTERS]})
    rows.append(plain | {"body": "".join(draw.choices(WORDS, k=UNBROKEN_WORDS))})
    rows += [plain | {"team": name, "intent": f"of a refused domain {n}"} for n, name in enumerate(REFUSED)]
    return rows


def own_rows(seed: int = 2) -> list[dict[str, Any]]:
    """Synthetic rows of the team's own: hostile text, labels that do not exist, and parents that point elsewhere."""
    draw = random.Random(seed)
    rows = [
        {"intent": label_of(domain, number), "body": f"{draw.choice(TEXTS)} {sentence(draw, domain, n)}"}
        for domain in DOMAINS
        for number in range(LABELS)
        for n in range(8)
    ]
    return [*rows, {"intent": f"{SCRIPT} unknown", "body": "of no label that there is"}]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as JSONL; what is None is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({key: value for key, value in row.items() if value is not None}) + "\n")


def write_study(
    folder: Path, rows: list[dict[str, Any]], own: list[dict[str, Any]], server: str = "", **changes: Any
) -> Path:
    """The rows and a study over them, in a folder; `changes` replace sections of the study.

    Args:
        own: synthetic rows of the team's own; a pool and a series of them, where there are any.
        server: base URL of a chat server; a pool of what it says, where there is one.
    """
    write_rows(folder / "real" / "tickets.jsonl", rows)
    columns: dict[str, Any] = {"label": "intent", "text": "body"}
    study: dict[str, Any] = {
        "name": "hostile",
        "title": f"Hostile {SCRIPT} names",
        "question": f"Is text data? {IMAGE}",
        "seed": 7,
        "corpus": {
            "source": {"kind": "files", "path": "real", "columns": {**columns, "domain": "team", "id": "ticket"}},
            "min_label_documents": 5,
            "min_words": 1,
            "max_characters": 2 * HUGE_CHARACTERS,
        },
        "tail": {"share": 0.3},
        "anchors": {"neighbours": 2},
        "pools": {"templated": {"generator": "template"}},
        "series": [{"name": "templated", "pool": "templated", "strictness": "medium"}],
        "shares": [0, 0.5],
        "replicates": 1,
        "screening": {"coverage_sample": 20, "coverage_neighbours": 2},
        "training": {"max_tokens": 32, "hidden": 32, "steps": 40, "batch": 64},
        "evaluation": {"null_draws": 20},
        "findings": {"bootstrap_draws": 100, "reach_studies": 20},
    }
    if own:
        write_rows(folder / "own" / "made.jsonl", own)
        settings = {"path": "own", "columns": {**columns, "domain": None}}
        study["pools"]["ours"] = {"generator": "files", "settings": settings}
        study["series"].append({"name": "ours", "pool": "ours"})
    if server:
        settings = {"base_url": server, "model": "m", "api_key_env": "PLANTED_KEY", "first_wait": 0.01, "rounds": 9}
        study["pools"]["asked"] = {"generator": "endpoint", "ratio": 0.2, "settings": settings}
    path = folder / "hostile.yaml"
    path.write_text(yaml.safe_dump(study | changes, allow_unicode=True))
    return path
