"""The smallest effect that the study could have seen.

What belongs here: the formula. What does not: the standard error it starts from (effects.py).
"""

from __future__ import annotations

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
