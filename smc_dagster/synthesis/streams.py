"""Where the randomness of a generator comes from.

What belongs here: streams of random numbers by name. What does not: what is drawn from them.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """A Philox stream of its own for a seed and a name, e.g. a label: what others draw does not move it."""
    key = hashlib.sha256("\0".join([str(seed), *map(str, name)]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


def seed_of(seed: int, *name: str) -> int:
    """A seed below 2^63 that follows from a seed and a name."""
    key = hashlib.sha256("\0".join([str(seed), *name]).encode()).digest()
    return int.from_bytes(key[:8], "little") >> 1
