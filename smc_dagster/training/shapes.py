"""Batches of fixed shape, so that what is computed of a text depends on that text alone.

What belongs here: which texts share a forward pass, and filling it up. What does not: the pass (encoder.py,
full/predict.py), batches of a training step (full/pieces.py).

The length that a text is padded to follows from its own number of tokens, and every batch of that length has the same
number of rows, the last one filled up: a matrix product of another shape may take another code path and round
differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# tokens of a batch, about: large enough for full speed, small enough that filling the last batch costs little
BATCH_TOKENS = 960
# texts are padded to the next of these lengths: few shapes, and few wasted tokens where most texts are
LENGTHS = np.array([*range(4, 33, 4), *range(40, 65, 8), *range(96, 513, 32)])


def fixed_batches(tokens: Sequence[int]) -> list[tuple[int, int, np.ndarray]]:
    """Padded length, rows, and places of the texts of each batch; a batch may have fewer texts than rows.

    Longest first: what runs out of memory does so at once, and the time left is never underestimated.

    Args:
        tokens: number of each text, at most 512.
    """
    lengths = LENGTHS[np.searchsorted(LENGTHS, tokens)]
    batches = []
    for length in np.unique(lengths)[::-1].tolist():
        places = np.flatnonzero(lengths == length)
        rows = max(1, BATCH_TOKENS // length)
        batches += [(length, rows, places[first : first + rows]) for first in range(0, len(places), rows)]
    return batches


def padded(batch: Sequence[Sequence[int]], rows: int, length: int, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and attention mask, both [rows, length] int64; rows beyond the batch repeat its first text."""
    filled = [*batch, *([batch[0]] * (rows - len(batch)))]
    mask = np.arange(length) < np.array([len(one) for one in filled])[:, None]
    ids = np.full((rows, length), padding, dtype=np.int64)
    ids[mask] = np.concatenate(filled)
    return ids, mask.astype(np.int64)
