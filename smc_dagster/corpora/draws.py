"""Draws that belong to a key, not to a place in a sequence.

What belongs here: uniform numbers that depend on a salt and a key alone, so that a sample or a split stays the same
whatever the order of the rows and whatever else is there. What does not: what is drawn with them (real.py, splits.py,
anchors.py).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def uniform(keys: pa.Array | pa.ChunkedArray, *salt: int | str) -> Floats:
    """One number in [0, 1) a key, float64: the first 53 bits of sha256 over salt and key.

    Args:
        keys: strings, n of them.
        salt: what the draw is for, e.g. the study's seed and a word; another salt gives independent numbers.
    """
    prefix = hashlib.sha256(("\0".join(str(one) for one in salt) + "\0").encode())
    heads = bytearray()
    for key in keys.to_pylist():
        state = prefix.copy()
        state.update(key.encode())
        heads += state.digest()[:8]
    bits = np.frombuffer(bytes(heads), dtype=">u8").astype(np.uint64)
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)
