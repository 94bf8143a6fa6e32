"""Random streams that depend on what they are for, and on nothing else.

What belongs here: the one way in which evaluation makes a generator. What does not: any draw.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(purpose: str, seed: int, *key: object) -> np.random.Generator:
    """A Philox generator keyed by sha256 of purpose, seed and key, so that streams are independent of each other."""
    text = "\x1f".join([purpose, str(seed), *(str(part) for part in key)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
