"""The smallest effect that the study could have seen, and how many documents would do.

What belongs here: the formulas. What does not: the standard error they start from (effects.py), the reach of the
search for a knee (reach.py).
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8


def smallest_effect(standard_error: float, level: float, sides: int = 2, power: float = POWER) -> float:
    """The true effect that an interval of that level would tell from 0 with that probability.

    (z_{1 - alpha/sides} + z_power) * standard error, alpha = 1 - level: the minimum detectable effect of Bloom
    (1995). At 95 %, two-sided and power .8 this is 2.80 standard errors.

    Args:
        standard_error: of the estimated change, in its unit; over replicates and documents.
        level: coverage of the interval, 0-1.
        sides: 2 for an interval, 1 for a bound.

    Returns:
        The effect's size, in the unit of the standard error.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - (1 - level) / sides) + normal.inv_cdf(power)) * standard_error


def enough(n: int, smallest: float, wanted: float) -> int | None:
    """How many of n units would let an effect of the size wanted be seen: n (smallest / wanted)^2, at least n.

    Standard errors fall with the root of the number. With so many times the documents and so many times the
    replicates every part of the noise shrinks enough; where one of the two makes most of the noise, fewer of the other
    will do.

    Args:
        n: documents, or replicates, now.
        smallest: smallest effect seen now, as `smallest_effect`.
        wanted: size of the effect to be seen, in the same unit.

    Returns:
        None where no number would do: the effect wanted is 0, or the noise is not known.
    """
    if not (math.isfinite(smallest) and wanted > 0):
        return None
    return max(n, math.ceil(n * (smallest / wanted) ** 2))
