"""Texts to measure on.

What belongs here: documents of a given number and length in the vocabulary of the installed docstrings, with a
realistic share of near-duplicates and templates. What does not: what is measured on them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.docstrings import read
from smc_dagster.study.sources import DocstringSource

PACKAGES = ["python", "numpy", "pandas", "networkx", "scipy", "scikit-learn"]
EDITED, TEMPLATED, TEMPLATES = 0.1, 0.1, 50
_BLOCK = 250_000


def docstrings() -> list[str]:
    """Distinct docstrings of packages that the lock pins, in a fixed order."""
    source = DocstringSource(kind="docstrings", packages=PACKAGES)
    return sorted({text for batch in read(source) for text in batch.records.column("text").to_pylist()})


def documents(count: int, words: int, seed: int = 7) -> tuple[pa.Array, pa.Array]:
    """`count` ids and texts of `words` words, drawn as often as docstrings use them, each in its own block of ids.

    A tenth are near-copies of another (one word in 24 replaced, at least one), a tenth fill one of fifty templates of
    one slot. The others are drawn word by word.
    """
    tally: dict[str, int] = {}
    for text in docstrings():
        for word in text.split():
            tally[word] = tally.get(word, 0) + 1
    vocabulary = pa.array(sorted(tally))
    heights = np.cumsum(np.array([tally[word] for word in vocabulary.to_pylist()], np.float64))
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return np.searchsorted(heights, random.random(shape) * heights[-1], side="right").astype(np.int32)

    patterns = drawn(TEMPLATES, words)
    texts = []
    for start in range(0, count, _BLOCK):
        rows = min(_BLOCK, count - start)
        code = drawn(rows, words)
        kind = random.random(rows)
        edited = np.flatnonzero(kind < EDITED)
        code[edited] = code[random.integers(0, rows, len(edited))]
        for _ in range(max(1, words // 24)):
            code[edited, random.integers(0, words, len(edited))] = drawn(len(edited))
        filled = np.flatnonzero(kind > 1 - TEMPLATED)
        pattern = random.integers(0, TEMPLATES, len(filled))
        code[filled] = patterns[pattern]
        code[filled, pattern % words] = drawn(len(filled))
        flat = vocabulary.take(pa.array(code.ravel()))
        lists = pa.ListArray.from_arrays(pa.array(np.arange(0, rows * words + 1, words, dtype=np.int32)), flat)
        texts.append(pc.binary_join(lists, " "))
    ids = pa.array(np.char.mod("%08d", np.arange(count)), pa.string())
    return ids, pa.concat_arrays(texts)
