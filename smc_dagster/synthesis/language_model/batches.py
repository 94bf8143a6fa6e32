"""Which texts a step trains on.

What belongs here: the order of texts by epoch, in batches of like length, and their tensors. What does not: the step.

Step s is a function of the seed and s alone, so that a run that goes on from a checkpoint needs no state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from smc_dagster.synthesis.streams import stream

# batches are filled by length within so many batches' worth of shuffled texts
_WINDOW = 16
IGNORED = -100
Ints = npt.NDArray[np.int64]


def sequences(tokens: Sequence[Sequence[int]], labels: Sequence[int], end: int, most: int) -> list[Ints]:
    """`<label> token ... <end>` of each text, cut at `most` tokens."""
    return [np.array([label, *one, end][:most], np.int64) for label, one in zip(labels, tokens, strict=True)]


def steps_of(texts: int, batch: int, epochs: float) -> int:
    """Steps of a training run, at least one."""
    return max(1, round(epochs * math.ceil(texts / batch)))


def order(lengths: Ints, batch: int, seed: int, epoch: int) -> list[Ints]:
    """The batches of an epoch: places of texts, each text in one batch."""
    draw = stream(seed, "order", epoch)
    shuffled = draw.permutation(len(lengths))
    batches: list[Ints] = []
    for first in range(0, len(shuffled), batch * _WINDOW):
        some = shuffled[first : first + batch * _WINDOW]
        some = some[np.argsort(lengths[some], kind="stable")]
        batches += [some[start : start + batch] for start in range(0, len(some), batch)]
    return [batches[place] for place in draw.permutation(len(batches))]


def padded(rows: Sequence[Ints], end: int) -> tuple[Ints, Ints]:
    """Inputs and targets, both [rows, longest - 1]: the target is the next token, IGNORED beyond a text's end."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), end, np.int64)
    inside = np.arange(longest) < np.array([len(one) for one in rows])[:, None]
    ids[inside] = np.concatenate(rows)
    return ids[:, :-1], np.where(inside, ids, IGNORED)[:, 1:]
