"""Docstrings with planted edits, and their near-duplicates by definition, for the tests of near-duplicates.

What belongs here: texts, and pairs found without signatures. What does not: any assertion.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from smc_dagster.corpora.shingles import REACH_WORDS, SHORT_WORDS, word_forms
from tests.unit.docstring_text import docstrings


def edited(text: str, times: int, source: random.Random, vocabulary: list[str]) -> str:
    words = text.split()
    for _ in range(times):
        place = source.randrange(len(words))
        kind = source.random()
        if kind < 0.4:
            words[place] = source.choice(vocabulary)
        elif kind < 0.7 and len(words) > 3:
            del words[place]
        else:
            words.insert(place, source.choice(vocabulary))
    return " ".join(words)


@cache
def corpus() -> tuple[pa.Array, pa.Array]:
    """About 1100 docstrings and edits of them, short and long, in a shuffled order of ids."""
    source = random.Random(5)
    texts = [text for _, _, text in docstrings()]
    source.shuffle(texts)
    vocabulary = sorted(set(" ".join(texts).split()))
    long = [text for text in texts if len(text.split()) >= SHORT_WORDS - 2][:200]
    planted = [edited(source.choice(texts[:150]), source.choice((1, 1, 2)), source, vocabulary) for _ in range(150)]
    planted += [edited(source.choice(long), source.choice((1, 2, 3)), source, vocabulary) for _ in range(150)]
    texts = texts[:600] + long + planted
    ids = [f"{number:05d}" for number in range(len(texts))]
    source.shuffle(ids)
    return pa.array(ids), pa.array(texts)


def python_shingles(form: str, kind: str) -> frozenset[str]:
    if kind == "chars":
        return frozenset(form[i : i + 4] for i in range(max(1, len(form) - 3)))
    words = form.split()
    return frozenset(" ".join(words[i : i + 2]) for i in range(max(1, len(words) - 1)))


@cache
def brute_force(threshold: float) -> list[tuple[int, int]]:
    """Pairs of the corpus by definition."""
    return true_pairs(corpus()[1], threshold)


def true_pairs(texts: pa.Array, threshold: float) -> list[tuple[int, int]]:
    """Pairs by definition: every text with every other, on sets that Python made."""
    forms = word_forms(texts).to_pylist()
    words = np.array([len(form.split()) for form in forms])
    short, long = np.minimum.outer(words, words), np.maximum.outer(words, words)
    pairs = np.zeros(short.shape, bool)
    for kind, judged in (("chars", short < SHORT_WORDS), ("words", short >= SHORT_WORDS)):
        made = [python_shingles(form, kind) for form in forms]
        number = {one: i for i, one in enumerate(sorted(frozenset().union(*made)))}
        holds = csr_matrix(
            (np.ones(sum(map(len, made))), [number[x] for one in made for x in one], np.cumsum([0, *map(len, made)]))
        )
        both = (holds @ holds.T).toarray()
        size = both.diagonal()
        pairs |= judged & (both >= threshold * (np.add.outer(size, size) - both))
    pairs &= ~((short < SHORT_WORDS) & (long >= REACH_WORDS))
    return list(zip(*np.nonzero(np.triu(pairs, 1)), strict=True))
