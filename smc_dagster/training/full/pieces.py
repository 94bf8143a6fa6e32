"""Cutting the texts of a step into micro-batches of like length.

What belongs here: which texts share a micro-batch. What does not: which texts a step takes (order.py), their gradient
(fit/gradients.py).

A step takes its texts as the study draws them, whatever their lengths, so that arms stay paired. Within the step they
are sorted by length and cut where that costs least, so that few positions are filled up: texts of like length meet in
a micro-batch without ever changing which texts meet in a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smc_dagster.fit.gradients import LANES

# what a micro-batch costs beside its positions, in positions: the gradient of the table of words, mostly. Measured on a
# CPU; set by judgement for a GPU
OVERHEAD = {"cpu": 32, "cuda": 4096}
# most positions of a micro-batch: enough for full speed
LARGEST = {"cpu": 2048, "cuda": 65536}


def cut(lengths: Sequence[int], overhead: int, largest: int) -> list[list[int]]:
    """Places of the texts of each micro-batch, longest first; a micro-batch is padded to its longest text.

    The cut of the sorted texts that is cheapest in sum of (overhead + texts x longest), found by dynamic programming.

    Args:
        lengths: of each text, tokens.
        overhead: cost of a micro-batch, in positions.
        largest: most positions of a micro-batch; a text that is longer has one of its own.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    sizes = np.array([lengths[place] for place in order], dtype=np.int64)
    best = np.zeros(len(order) + 1, dtype=np.int64)
    begins = np.zeros(len(order) + 1, dtype=np.int64)
    for end in range(1, len(order) + 1):
        starts = np.arange(end)
        positions = (end - starts) * sizes[:end]
        costs = np.where((positions <= largest) | (starts == end - 1), best[:end] + overhead + positions, 1 << 60)
        begins[end] = int(costs.argmin())
        best[end] = costs[begins[end]]
    pieces: list[list[int]] = []
    end = len(order)
    while end:
        begin = int(begins[end])
        pieces.append(order[begin:end])
        end = begin
    return pieces[::-1]


def lanes_of(lengths: Sequence[int], kind: str, halvings: int) -> list[list[list[int]]]:
    """Places of the texts of each micro-batch of each lane.

    Every other text of the sorted ones goes to the same lane, so that lanes cost the same. A GPU has one lane.

    Args:
        lengths: of the step's texts, tokens.
        kind: of the device, `cpu` or `cuda`.
        halvings: how often `LARGEST` is halved.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    number = LANES if kind == "cpu" else 1
    largest = LARGEST[kind] >> halvings
    lanes = []
    for first in range(number):
        own = order[first::number]
        found = cut([lengths[place] for place in own], OVERHEAD[kind], largest)
        lanes.append([[own[place] for place in piece] for piece in found])
    return lanes


def stack_pieces(lengths: Sequence[Sequence[int]], kind: str, halvings: int) -> list[list[list[int]]]:
    """Places of the texts of each micro-batch of a stack, of each member; all members have as many texts in each.

    Each member's texts are sorted by length, and all are cut at the same places, as if each text were as long as the
    longest of its rank.

    Args:
        lengths: of the step's texts, tokens, of each member; all as many.
        kind: of the device, `cpu` or `cuda`.
        halvings: how often `LARGEST` is halved.
    """
    orders = [sorted(range(len(own)), key=lambda place: (-own[place], place)) for own in lengths]
    ranks = zip(*([own[place] for place in order] for own, order in zip(lengths, orders, strict=True)), strict=True)
    members = len(lengths)
    overhead, largest = OVERHEAD[kind] // members, LARGEST[kind] // members >> halvings
    # of sorted texts a cut's places are ranks
    pieces = cut([max(rank) for rank in ranks], overhead, largest)
    return [[[order[rank] for rank in piece] for order in orders] for piece in pieces]
