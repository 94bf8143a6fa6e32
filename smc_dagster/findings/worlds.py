"""Worlds whose truth is known: how recall falls with the share, and which of them have a knee.

What belongs here: the shapes. What does not: noise (noise.py), answers of models in such a world (the benchmark
known_truth), the study at hand (reach.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smc_dagster.findings.curves import Floats

# shapes without a knee, falling by 1 from the first share to the last; `real_lost` goes by the logarithm of the real
# rows left
SMOOTH: dict[str, Callable[[Floats], Floats]] = {
    "linear": lambda x: -_along(x),
    "quadratic": lambda x: -(_along(x) ** 2),
    "cubic": lambda x: -(_along(x) ** 3),
    "real_lost": lambda x: (np.log1p(-x) - np.log1p(-x[0])) / (np.log1p(-x[0]) - np.log1p(-x[-1])),
}


def smooth(shape: str, loss: float, shares: Floats) -> Floats:
    """Change of recall in a world without a knee, [shares]; `loss` is positive, at the last share."""
    return loss * SMOOTH[shape](shares)


def knee(at: float, slope: float, shares: Floats) -> Floats:
    """Change of recall, [shares], where it holds up to a share and then changes by `slope` per unit of share."""
    return np.asarray(slope * np.maximum(shares - at, 0.0))


def _along(x: Floats) -> Floats:
    return np.asarray((x - x[0]) / (x[-1] - x[0]))
