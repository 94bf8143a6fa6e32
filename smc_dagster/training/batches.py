"""Which rows of a mixture each training step sees.

What belongs here: the order of batches. What does not: the training step (heads.py), which rows a mixture has (mixing).

Arms are compared replicate by replicate, so what they share should come at the same place in each. The order is one of
slots, not of rows: in each pass a slot (domain, place in the domain's budget) has a key drawn from (seed, replicate,
pass, domain), the same in every arm, and the slots that the arm fills come in the order of their keys. A row that two
arms hold has one slot and therefore one place.
"""

from __future__ import annotations

import hashlib

import numpy as np


def batch_rows(
    domain: np.ndarray, slot: np.ndarray, domains: list[str], *, steps: int, batch: int, seed: int, replicate: int
) -> np.ndarray:
    """Row numbers of each batch, [steps, batch] int64.

    Each pass holds every row once; passes follow on each other without a gap, so an arm with fewer rows makes more
    passes in the same number of steps.

    Args:
        domain: [n] code of each row's domain, into `domains`.
        slot: [n] place in the domain's budget, from 0; (domain, slot) is unique.
        domains: names, as the keys are drawn by name.
    """
    needed = steps * batch
    passes = -(-needed // len(slot))
    rows_of = [np.flatnonzero(domain == code) for code in range(len(domains))]
    order = np.empty((passes, len(slot)), dtype=np.int64)
    keys = np.empty(len(slot))
    for one in range(passes):
        for name, rows in zip(domains, rows_of, strict=True):
            if len(rows):
                # a stream's start does not depend on how far it is read: slots keep their keys in any budget
                keys[rows] = _generator(seed, replicate, one, name).random(int(slot[rows].max()) + 1)[slot[rows]]
        order[one] = np.argsort(keys, kind="stable")
    return order.ravel()[:needed].reshape(steps, batch)


def _generator(seed: int, replicate: int, one_pass: int, domain: str) -> np.random.Generator:
    text = "\x1f".join(["batch order", str(seed), str(replicate), str(one_pass), domain])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
