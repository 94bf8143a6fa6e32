"""Answers that were paid for, kept so that nothing is asked twice.

What belongs here: the key of a request and its answer on disk. What does not: asking.

The key covers all that shapes an answer: server, model, messages, sampling settings and the number of the request. A
secret is no part of it. A file appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def key_of(request: Mapping[str, Any]) -> str:
    """sha256 of the request as JSON with sorted keys, as hex digits."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class AnswerCache:
    """Answers below a folder, one file each; a damaged file counts as no answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> str | None:
        """The answer kept under the key."""
        try:
            answer = json.loads(self._path(key).read_text(encoding="utf-8"))["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if isinstance(answer, str) else None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_text(json.dumps({"answer": answer}, ensure_ascii=True), encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
