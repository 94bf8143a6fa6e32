"""Documents from CLINC150's own JSON.

What belongs here: its two files, `<variant>.json` (`{split: [[text, intent], ...]}`) and `domains.json`
(`{domain: [intent, ...]}`). What does not: the same data as a dataset of the Hugging Face hub (huggingface.py).

Label = intent. `file` is the variant's file and the split after a `#`, `line` the place in that split's list (1-based).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.pieces import Piece, Wanted
from smc_dagster.errors import CorpusError
from smc_dagster.study import digest_of
from smc_dagster.study.sources import OUT_OF_SCOPE, ClincSource

DOMAINS = "domains.json"
_WANTED = Wanted({"domain": "domain", "label": "intent", "text": "text"})


def signature(source: ClincSource) -> str:
    """What the source holds: hash of the content of both files.

    Raises:
        CorpusError: a file is not there.
    """
    return digest_of([hashlib.sha256(_content(source, name)).hexdigest() for name in (_file(source), DOMAINS)])


def read(source: ClincSource) -> Iterator[Batch]:
    """One batch a split, in the order named; an entry that is not [text, intent], or whose intent is in no domain, is
    refused.

    Raises:
        CorpusError: a file is not there or is not what it should be.
    """
    domains = _json(source, DOMAINS)
    lists = domains.values() if isinstance(domains, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(intent, str) for intent in one) for one in lists):
        raise CorpusError(f"{DOMAINS}: a mapping of domains to lists of intents is expected", "fetch the file again")
    homes = {intent: domain for domain, intents in domains.items() for intent in intents}
    content = _json(source, _file(source))
    ours = {"train": "train", "val": source.validation, "test": "test"}
    for split in source.splits:
        for key in (split, f"oos_{split}") if source.out_of_scope else (split,):
            entries = content.get(key) if isinstance(content, dict) else None
            if not isinstance(entries, list):
                raise CorpusError(f"{_file(source)}: no list `{key}`", "fetch the file again, or name other splits")
            known = homes if key == split else {OUT_OF_SCOPE: OUT_OF_SCOPE}
            yield _split(entries, f"{_file(source)}#{key}", known, ours[split] if source.own_splits else None)


def _split(entries: list[Any], file: str, homes: dict[str, str], ours: str | None) -> Batch:
    piece = Piece(file, _WANTED, settled=ours)
    for line, entry in enumerate(entries, start=1):
        piece.rows += 1
        came = json.dumps(entry, ensure_ascii=False)
        if not (isinstance(entry, list) and len(entry) == 2):
            piece.refuse(line, None, "not a pair of text and intent", came)
        elif isinstance(entry[1], str) and entry[1] not in homes:
            piece.refuse(line, "label", f"the intent is in no domain of {DOMAINS}", came)
        else:
            piece.sort(line, (homes.get(str(entry[1])), entry[1], entry[0]), came)
    return piece.batch()


def _file(source: ClincSource) -> str:
    return f"{source.variant}.json"


def _json(source: ClincSource, name: str) -> Any:
    try:
        return json.loads(_content(source, name))
    except ValueError as error:
        raise CorpusError(f"{name}: not readable as JSON: {error}", "fetch the file again") from error


def _content(source: ClincSource, name: str) -> bytes:
    try:
        return (Path(source.path) / name).read_bytes()
    except OSError as error:
        raise CorpusError(
            f"corpus.source.path: {name} cannot be read in {source.path}: {error.strerror}",
            f"name the folder that holds {name}; the variant is the other file's name without `.json`",
        ) from error
