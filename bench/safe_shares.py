"""How often a share is called safe that is not, and how often one that is: `python -m bench.safe_shares`.

Studies are simulated whose truth is known, and go through the same code as real ones. Documents differ in difficulty,
and in how a share changes them; replicates differ; single answers are luck, partly shared by the arms of a replicate.
Target: a share whose true loss is the margin, or more, is called safe in at most 5 % of studies, but for the error of
so many simulated studies.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa

from smc_dagster.findings.collect import Documents, Evidence, Outcome
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.safe_shares import build_safe_shares
from smc_dagster.study import Study
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION

STUDIES = 1000
LEVEL, MARGIN = 0.95, 0.05
SHARES = (0.0, 0.2, 0.4, 0.6)
# loss of tail recall at each share, in margins
WORLDS = {
    "none": (0.0, 0.0, 0.0, 0.0),
    "of the margin everywhere": (0.0, 1.0, 1.0, 1.0),
    "of the margin from 40 % on": (0.0, 0.0, 1.0, 1.0),
    "of the margin at 40 % alone": (0.0, 0.0, 1.0, 0.0),
}


def study(replicates: int) -> Study:
    """One series of four shares; nothing of it is ever run."""
    return Study.model_validate(
        {
            "name": "simulated",
            "title": "A study that is simulated",
            "question": "How often is a share called safe that is not?",
            "seed": 1,
            "corpus": {"source": {"kind": "docstrings", "packages": ["python"]}},
            "pools": {"made": {"generator": "template"}},
            "series": [{"name": "made", "pool": "made"}],
            "shares": list(SHARES),
            "replicates": replicates,
            "findings": {"bootstrap_draws": 500, "level": LEVEL, "margin": MARGIN},
        }
    )


def simulate(one: Study, losses: tuple[float, ...], documents: int, rng: np.random.Generator) -> Evidence:
    """Answers of every arm and replicate on the rare documents of eight labels in one domain."""
    label = np.sort(np.arange(documents) % 8)
    ease = rng.uniform(0.35, 0.65, documents)
    luck = rng.random((one.replicates, documents))
    held, outcomes, rows = [], {}, []
    names = np.array([f"l{k}" for k in label], object)
    for arm, loss in zip(one.arms, losses, strict=True):
        # what a document gains or loses is its own; documents as a population lose the loss planted
        own = rng.normal(-loss * MARGIN, 0.1, documents) if arm.share else np.zeros(documents)
        wobble = rng.normal(0, 0.01, (one.replicates, 1)) if arm.share else np.zeros((one.replicates, 1))
        # half of the luck is that of the replicate, which all arms share
        fresh = np.where(rng.random(luck.shape) < 0.5, luck, rng.random(luck.shape))
        correct = fresh < ease + own + wobble
        outcomes[arm.key, "rare"] = Outcome(np.arange(one.replicates), correct, np.full(correct.shape, 0.5, np.float32))
        recall = np.stack([correct[:, label == k].mean(axis=1) for k in range(8)]).mean(axis=0)
        rows += [
            {
                "arm": arm.key,
                "series": "made",
                "share": arm.share,
                "replicate": r,
                "domain": "*",
                "slice": "rare",
                "metric": "rare_recall",
                "value": float(value),
                "n": documents,
            }
            for r, value in enumerate(recall)
        ]
        held.append(arm)
    ids = np.array([f"d{i:05d}" for i in range(documents)], object)
    found = Documents(ids, np.array(["one"] * documents, object), names, np.ones(documents, bool))
    metrics = pa.Table.from_pylist(rows, ARM_METRICS.schema)
    return Evidence(held, metrics, {"rare": found}, outcomes, MIXTURE_COMPOSITION.schema.empty_table())


def safe_share(one: Study, evidence: Evidence) -> float | None:
    """The safe share over all domains."""
    effects = Effects(evidence, one)
    effects.domains = ["*"]
    (row,) = build_safe_shares(one, evidence, effects).to_pylist()
    return None if row["share"] is None else float(row["share"])


def main() -> int:
    """Print the table; exit status 1 where a share that is not safe is called so too often."""
    # three standard errors of a rate of 5 %
    allowed = 1 - LEVEL + 3 * (LEVEL * (1 - LEVEL) / STUDIES) ** 0.5
    missed = 0
    print(f"{STUDIES} studies a row, margin {MARGIN:g}, level {LEVEL:g}; wrongly: a share that loses the margin")
    print(f"{'loss':<30}{'documents':>10}{'replicates':>11}{'called wrongly':>15}{'all called safe':>16}")
    started = time.perf_counter()
    for name, losses in WORLDS.items():
        first = next((share for share, loss in zip(SHARES, losses, strict=True) if loss >= 1), 2.0)
        for documents, replicates in ((40, 5), (160, 5), (640, 5), (160, 3), (160, 10)):
            one = study(replicates)
            rng = np.random.default_rng([documents, replicates, len(name)])
            found = [safe_share(one, simulate(one, losses, documents, rng)) for _ in range(STUDIES)]
            wrong = np.mean([share is not None and share >= first for share in found])
            every = np.mean([share == SHARES[-1] for share in found])
            over = wrong > allowed
            missed += over
            mark = "  above the target" if over else ""
            print(f"{name:<30}{documents:>10}{replicates:>11}{wrong:>15.3f}{every:>16.3f}{mark}", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
