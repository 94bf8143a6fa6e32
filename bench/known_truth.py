"""Whether what is there is found and what is not there is not: simulated studies of known truth through the real code.

Answers of models (answers.py) in worlds without an effect, with smooth declines, with a decline that is due to lost
real rows alone, and with a knee, each at 13 shares x 5 replicates, go the way of real predictions: evidence, effects,
proven losses, onsets, headline. Exit status 1 where a bar is missed: its figure lies on the wrong side, and the
simulations do not leave it open.

    python -m bench.known_truth [--studies 12]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import beta

from bench.answers import REPLICATE_SD, World, evidence, study, wobble_for
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.headline import SUPPORTED, build_headline
from smc_dagster.findings.onsets import find_onsets, losing_series
from smc_dagster.findings.reach import nearest_smooth
from smc_dagster.findings.worlds import SMOOTH, knee, smooth
from smc_dagster.study import Study

SHARES = np.round(np.arange(0, 0.601, 0.05), 2)
REPLICATES, DRAWS = 5, 400
LOSSES, KNOTS, SLOPES = (0.06, 0.12, 0.25), (0.2, 0.3, 0.4, 0.5), (-0.2, -0.35, -0.5, -0.7, -1.0)
FALSE_KNEES, POWER, COVERAGE, WRONG, ASKED_SLOPE = 0.05, 0.8, (0.92, 0.98), 0.05, -0.35


@dataclass(frozen=True)
class Tally:
    """What came of the studies of one world: each [studies].

    Attributes:
        found: whether a knee was identified in any series.
        held: whether its interval holds the true knot.
        wrong: whether a claim that is false there was called supported.
    """

    found: np.ndarray
    held: np.ndarray
    wrong: np.ndarray


def run(world: World, design: Study, studies: int, wobble: float, at: float | None = None) -> Tally:
    """Simulate and judge; the headline is drawn where nothing changes, as there every claim is false."""
    found, held, wrong = np.zeros((3, studies), bool)
    null = not any(change.any() for change in world.change.values())
    for i in range(studies):
        seen = evidence(design, world, 1000 + i, wobble)
        one = design.model_copy(update={"seed": 1000 + i})
        effects = Effects(seen, one)
        losing = losing_series(one, seen, effects)
        onsets = find_onsets(one, seen, effects, losing)
        knees = [onset for onset in onsets.values() if onset.status == "identified"]
        found[i] = bool(knees)
        held[i] = at is not None and any(k.low - 1e-9 <= at <= k.high + 1e-9 for k in knees)  # type: ignore[operator]
        if null:
            headline = build_headline(seen, effects, onsets, one.findings.level)
            wrong[i] = SUPPORTED in headline["verdict"].to_pylist()
    return Tally(found, held, wrong)


def best_possible(change: np.ndarray) -> float:
    """Power against the nearest smooth shape of the most powerful test that calls 5 % of its curves a knee.

    The two curves taken as known, and the noise as that of replicates alone: Neyman and Pearson's bound, which no
    search over shapes and knots can pass.
    """
    smooth_one = nearest_smooth(change[None], SHARES)[0]
    apart = float(np.sqrt(REPLICATES * np.sum((change - change.mean() - smooth_one) ** 2))) / REPLICATE_SD
    return NormalDist().cdf(apart - NormalDist().inv_cdf(1 - FALSE_KNEES))


def bounds(hits: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a rate."""
    n, k, half = len(hits), int(hits.sum()), (1 - level) / 2
    return float(beta.ppf(half, k, n - k + 1)) if k else 0.0, float(beta.ppf(1 - half, k + 1, n - k)) if k < n else 1.0


def rate(hits: np.ndarray) -> str:
    low, high = bounds(hits)
    return f"{hits.mean() * 100:5.1f} % ({low * 100:.1f} to {high * 100:.1f}, n = {len(hits):,})" if len(hits) else "–"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and the bars; exit status 1 where one is missed."""
    parser = argparse.ArgumentParser(description="Known truths through the code of the findings.")
    parser.add_argument("--studies", type=int, default=12, help="simulated studies of each world")
    count = parser.parse_args(arguments).studies
    began = time.monotonic()
    alone, with_drop = (study(names, SHARES, REPLICATES, DRAWS) for names in (["replace"], ["replace", "drop"]))
    wobble = wobble_for(alone, REPLICATE_SD)
    flat = np.zeros(len(SHARES))
    # the fewest worlds are those without an effect: they get as many studies as the smooth ones together
    none = run(World("no effect", {"replace": flat}), alone, count * 10, wobble)
    lines = [("no effect", none)]
    smooth_ones, lost = [], []
    for shape in SMOOTH:
        for loss in LOSSES:
            change = smooth(shape, loss, SHARES)
            both = shape == "real_lost"
            world = World(shape, {"replace": change, **({"drop": change} if both else {})})
            tally = run(world, with_drop if both else alone, count, wobble)
            (lost if both else smooth_ones).append(tally)
            lines.append((f"{shape.replace('_', ' ')}, loss {loss:g}", tally))
    print(
        f"{len(SHARES)} shares x {REPLICATES} replicates, replicate sd {REPLICATE_SD}, of it {wobble:.4f} of the arm\n"
    )
    print("no knee there           called a knee")
    for words, tally in lines:
        print(f"{words:<23} {rate(tally.found)}")
    print("\nknee at  slope   found                              best test  interval holds it (of those found)")
    knees: dict[tuple[float, float], Tally] = {}
    for at in KNOTS:
        for slope in SLOPES:
            change = knee(at, slope, SHARES)
            tally = knees[at, slope] = run(World("knee", {"replace": change}), alone, count, wobble, at)
            told = f"{rate(tally.found):<34} {best_possible(change) * 100:5.1f} %   {rate(tally.held[tally.found])}"
            print(f"{at:>6g} {slope:>6g}   {told}", flush=True)
    held = np.concatenate([tally.held[tally.found] for tally in knees.values()])
    asked = np.concatenate([knees[at, ASKED_SLOPE].found for at in KNOTS])
    reachable = np.mean([best_possible(knee(at, ASKED_SLOPE, SHARES)) for at in KNOTS])
    print()
    met = [
        _most("false knees, no effect", none.found, FALSE_KNEES),
        _most("false knees, smooth declines", np.concatenate([t.found for t in smooth_ones]), FALSE_KNEES),
        _most("false knees, real rows lost", np.concatenate([t.found for t in lost]), FALSE_KNEES),
        _most("false claims supported, no effect", none.wrong, WRONG),
        _least(f"knees of slope {ASKED_SLOPE:g} found", asked, POWER),
        _least("intervals that hold the knot, at least", held, COVERAGE[0]),
        _most("intervals that hold the knot, at most", held, COVERAGE[1]),
    ]
    print(
        f"knees of slope {ASKED_SLOPE:g}: no test finds more than {reachable * 100:.0f} % of them "
        f"where it calls {FALSE_KNEES:.0%} of smooth declines a knee"
    )
    everywhere = np.concatenate([tally.held for tally in knees.values()])
    print(f"of all studies with a knee, found and inside the interval: {rate(everywhere)}")
    total = len(none.found) + sum(len(t.found) for t in [*smooth_ones, *lost, *knees.values()])
    print(f"{total:,} studies in {time.monotonic() - began:.0f} s")
    return int(not all(met))


def _most(words: str, hits: np.ndarray, bar: float) -> bool:
    return _told(words, hits, f"at most {bar:.0%}", bounds(hits)[0] <= bar)


def _least(words: str, hits: np.ndarray, bar: float) -> bool:
    return _told(words, hits, f"at least {bar:.0%}", bounds(hits)[1] >= bar)


def _told(words: str, hits: np.ndarray, bar: str, met: bool) -> bool:
    print(f"{words:<40} {rate(hits):<34} {bar}: {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
