"""What the search for a knee could have seen in the study at hand, and how often it errs there.

What belongs here: simulated studies of this study's own shares, replicates and noise, judged by the code that judges
the measured curve. What does not: simulation of models' answers (the benchmark known_truth), effects (power.py).

The noise is that of the measured curve (noise.py), the truths are those of worlds.py. A knee is seen where it is
called one and where the loss at the largest share is proven, as in the study itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from smc_dagster.evaluation.seeding import generator
from smc_dagster.findings.comparison import compare, foretells, lead
from smc_dagster.findings.curves import Floats, rivals
from smc_dagster.findings.judging import critical_leads, judge
from smc_dagster.findings.noise import Noise
from smc_dagster.findings.power import POWER
from smc_dagster.findings.worlds import knee

# of the way from the first to the last share
PLACES = (1 / 3, 1 / 2, 2 / 3)
# changes of slope tried, as parts of the largest that recall at 0 % allows
STEPS = 2.0 ** np.arange(-5, 0.1, 0.5)


@dataclass(frozen=True)
class Reach:
    """How a search for a knee does in simulated studies like the one at hand.

    Attributes:
        smallest_knee: change of slope (recall per unit of share, negative) seen with power .8 wherever in the middle
            third of the shares the knee lies; None where even the largest possible is not.
        false_knees: share of smooth declines like that measured that are called a knee.
        coverage: share of the intervals of knees found that hold the true knot; NaN where too few were found.
    """

    smallest_knee: float | None
    false_knees: float
    coverage: float


def reach(
    values: Floats, shares: Floats, level: float, seed: int, noise: Noise, standard_error: float, studies: int
) -> Reach:
    """Simulate studies around a measured curve.

    Args:
        values: [replicates, shares], complete.
        shares: [shares], ascending.
        level: as in `find_onset`.
        noise: of `values`.
        standard_error: of the change of recall from the first to the last share.
        studies: simulated for each truth, and simulations by which each of them is judged.
    """
    replicates = len(values)
    rng = generator("findings reach", seed)
    places = [float(np.clip(shares[0] + part * np.ptp(shares), shares[1], shares[-2])) for part in PLACES]
    base = float(values[:, 0].mean())
    slopes = [STEPS * -base / (shares[-1] - at) for at in places]
    truth = np.array([knee(at, slope, shares) for at, own in zip(places, slopes, strict=True) for slope in own])
    critical = critical_leads(nearest_smooth(truth, shares), shares, noise, replicates, level, rng, studies)
    drawn = noise.curves(np.repeat(truth, studies, axis=0), replicates, rng)
    leads = lead(compare(drawn, shares, held_out=False)) > np.repeat(critical, studies)
    z = NormalDist().inv_cdf((1 + level) / 2)
    proven = (drawn[:, :, -1] - drawn[:, :, 0]).mean(axis=1) < -z * standard_error
    seen = leads & proven
    # fits with replicates left out cost five times the others
    seen[seen] = foretells(compare(drawn[seen], shares))
    power = seen.reshape(len(places), len(STEPS), studies).mean(axis=2)
    smallest = [_where_reached(slope, one) for slope, one in zip(slopes, power, strict=True)]
    # the largest change where none is seen reliably: then few are found, and coverage is of those
    tried = [own[-1] if one is None else max(2 * one, own[-1]) for own, one in zip(slopes, smallest, strict=True)]
    measured = compare(values[None], shares)
    smooth = measured.fitted[:, int(measured.best("smooth")[0])]
    false = judge(_studies(smooth, noise, replicates, rng, studies), shares, noise, level, rng, studies).found.mean()
    middle = len(places) // 2
    sharp = knee(places[middle], tried[middle], shares)[None]
    found = judge(_studies(sharp, noise, replicates, rng, studies), shares, noise, level, rng, studies)
    holds = (found.low - 1e-9 <= places[middle]) & (places[middle] <= found.high + 1e-9)
    coverage = float(holds[found.found].mean()) if found.found.sum() >= studies // 5 else float("nan")
    worst = None if None in smallest else min(one for one in smallest if one is not None)
    return Reach(worst, float(false), coverage)


def _studies(truth: Floats, noise: Noise, replicates: int, rng: np.random.Generator, studies: int) -> Floats:
    return noise.curves(np.repeat(truth, studies, axis=0), replicates, rng)


def nearest_smooth(truth: Floats, shares: Floats) -> Floats:
    """The smooth shape nearest to each true curve, [n, shares]: the one it is most easily taken for."""
    centred = truth - truth.mean(axis=1, keepdims=True)
    fits = np.stack([model.fit(centred)[0] for model in rivals(shares) if model.kind == "smooth"])
    nearest = np.argmin(np.sum((fits - centred) ** 2, axis=2), axis=0)
    return np.asarray(fits[nearest, np.arange(len(truth))])


def _where_reached(sizes: Floats, power: Floats) -> float | None:
    """The size from which on power stays at `POWER` or above, by logarithm between sizes; None where there is none."""
    enough = np.logical_and.accumulate((power >= POWER)[::-1])[::-1]
    if not enough.any():
        return None
    first = int(np.argmax(enough))
    if first == 0:
        return float(sizes[0])
    part = (POWER - power[first - 1]) / (power[first] - power[first - 1])
    return float(sizes[first - 1] * (sizes[first] / sizes[first - 1]) ** part)
