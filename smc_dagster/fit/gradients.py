"""The gradient of one step, taken piece by piece.

What belongs here: a step's micro-batches, their lanes, adding their gradients up. What does not: which texts they hold,
the optimiser (loop.py).

The texts of a step are cut into micro-batches, which lie in two lanes. A lane is worked on by one thread, one
micro-batch after the other, and the gradients are added in one order: as fast as two threads on one batch or faster,
and the same sum, bit for bit, whatever number of threads there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from smc_dagster.hardware import one_torch_thread

LANES = 2


@dataclass(frozen=True)
class Work:
    """What a step works on.

    Attributes:
        lanes: micro-batches of each lane, in order; what one is, only the loss knows.
        counts: what the step counts, by name: tokens, for example.
        finest: no micro-batch could be smaller.
    """

    lanes: Sequence[Sequence[Any]]
    counts: dict[str, int]
    finest: bool


def gradients(
    lanes: Sequence[Sequence[Any]], loss_of: Callable[[Any], Any], parameters: list[Any], pool: ThreadPoolExecutor
) -> tuple[float, list[Any]]:
    """The loss of a step and its gradient, summed over micro-batches.

    Args:
        loss_of: a micro-batch's part of the step's loss, a scalar tensor.
        parameters: that the gradient is taken of; one that the loss does not depend on gets zeros.
        pool: at most as many threads as there are lanes.

    Raises:
        the first lane's error, once no lane is at work any more.
    """
    import torch

    def along(lane: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        losses: list[Any] = []
        total: list[Any] = []
        with one_torch_thread():
            for part in lane:
                loss = loss_of(part)
                found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
                losses.append(loss.detach())
                if total:
                    torch._foreach_add_(total, found)
                else:
                    total = list(found)
        return losses, total

    running = [pool.submit(along, lane) for lane in lanes if lane]
    wait(running)
    results = [one.result() for one in running]
    total = results[0][1]
    for _, found in results[1:]:
        torch._foreach_add_(total, found)
    return math.fsum(float(loss) for losses, _ in results for loss in losses), total
