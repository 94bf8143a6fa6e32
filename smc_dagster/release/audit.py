"""The confidence audit: whether an arm may be released, figure by figure.

What belongs here: the figures, the limits they are held to, and the sentences that say so. What does not: the limits
themselves (study/gates.py), which arm is asked for (choice.py), how the measures are made (evaluation/, findings/).

An arm passes where every ruling does:

- `gap`: mean confidence less accuracy on `test_tail` and `rare`, mean over replicates, is at most `gates.gap`. It is
  signed: a model that is less sure than right has a negative gap and passes here.
- `ece`: equal-mass ECE on the same slices, mean over replicates, is at most `gates.ece`, or at most the upper end of
  the band that a perfectly calibrated model shows at that n: what the sample size makes is not held against an arm.
- `rare_recall`: the lower bound of its paired difference to the series' own 0 % arm is above -`findings.margin`, on at
  least 30 documents: the rule by which a share is safe (findings/safe_shares.py). The 0 % arm passes.
- `cap`: no domain has a larger share of synthetic rows than the cap in force for it, whether or not the series obeys
  caps.
- `contamination`: of the synthetic rows, at most `gates.contamination` are near-duplicates of evaluation text or share
  a long run with it.
- `anchors`: every figure was measured on the version of the anchors that the study names.

A figure that is not defined passes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings.collect import collect
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.safe_shares import MIN_TAIL_DOCUMENTS
from smc_dagster.mixing.seeds import read_caps
from smc_dagster.screening.contamination import CONTAMINATED
from smc_dagster.study import Arm, Provenance, arm_key
from smc_dagster.tables import ALL_DOMAINS, ARM_AUDIT
from smc_dagster.workbench import Workbench

TAIL_SLICES = ("test_tail", "rare")


@dataclass(frozen=True)
class Ruling:
    """One figure against its limit.

    Attributes:
        rule: see the module's list.
        where: slice or domain that the figure is of; empty for the whole arm.
        figure: None where it is not defined, or is no number.
        limit: None where it is no number.
        passed: whether the figure holds the limit.
        said: figure and limit in words.
    """

    rule: str
    where: str
    figure: float | None
    limit: float | None
    passed: bool
    said: str


@dataclass(frozen=True)
class Audit:
    """What came of the audit of an arm.

    Attributes:
        arm: its key.
        fingerprint: digest of all that was audited and of the limits; the same for the same outcome.
        rulings: one a figure.
        recall: rare-case recall of the arm, mean over replicates, 0-1; None where it is not defined.
    """

    arm: str
    fingerprint: str
    rulings: list[Ruling]
    recall: float | None

    @property
    def passed(self) -> bool:
        """Whether every ruling passed."""
        return all(one.passed for one in self.rulings)

    @property
    def refusal(self) -> str:
        """The rulings that failed, in words; empty where none did."""
        return "; ".join(one.said for one in self.rulings if not one.passed)

    def rows(self) -> list[dict[str, Any]]:
        """The rulings as plain values."""
        return [asdict(one) for one in self.rulings]

    def table(self) -> pa.Table:
        """The rulings as ARM_AUDIT."""
        return pa.Table.from_pylist([{"arm": self.arm, **row} for row in self.rows()], schema=ARM_AUDIT.schema)


def audit(bench: Workbench, arm: Arm) -> Audit:
    """Hold an arm to the study's gates.

    Raises:
        StaleInputError: a table of the arm or of its 0 % arm is missing or stale.
        LakeError: a table is damaged, or the anchors are not what was frozen.
        CapsError: the caps seed breaks a rule.
    """
    base = bench.study.arm(arm_key(arm.series.name, 0.0))
    metrics = bench.read("arm_metrics", arm.key)
    bench.read("arm_metrics", base.key, columns=["arm"])
    values = _means(metrics)
    gates = bench.study.gates
    rulings = [_gap(values, name, gates.gap) for name in TAIL_SLICES]
    rulings += [_ece(values, name, gates.ece) for name in TAIL_SLICES]
    rulings += [_recall(bench, arm, base), _caps(bench, arm), _contamination(bench, arm), _anchors(bench, metrics)]
    fingerprint = bench.lineage.due("arm_audit", arm.key).digest
    return Audit(arm.key, fingerprint, rulings, values.get(("rare", "rare_recall")))


def _means(metrics: pa.Table) -> dict[tuple[str, str], float]:
    """Mean over replicates by (slice, metric), of all domains; one that a replicate lacks is left out."""
    own = metrics.filter(pc.equal(metrics["domain"], ALL_DOMAINS))
    found = own.group_by(["slice", "metric"]).aggregate([("value", "mean"), (["value"], "count"), ([], "count_all")])
    return {
        (row["slice"], row["metric"]): row["value_mean"]
        for row in found.to_pylist()
        if row["value_count"] == row["count_all"]
    }


def _gap(values: dict[tuple[str, str], float], slice_name: str, limit: float) -> Ruling:
    figure = values.get((slice_name, "gap"))
    return _number("gap", slice_name, figure, limit, f"confidence gap on slice `{slice_name}`")


def _ece(values: dict[tuple[str, str], float], slice_name: str, limit: float) -> Ruling:
    chance = values.get((slice_name, "ece_null_high"), 0.0)
    what = f"ECE on slice `{slice_name}`"
    if chance > limit:
        what += f" (a calibrated model shows up to {chance:.3f} at this n)"
    return _number("ece", slice_name, values.get((slice_name, "ece")), max(limit, chance), what)


def _number(rule: str, where: str, figure: float | None, limit: float, what: str) -> Ruling:
    if figure is None:
        return Ruling(rule, where, None, limit, False, f"{what} is not defined; the limit is {limit:.3f}")
    return Ruling(rule, where, figure, limit, figure <= limit, f"{what} is {figure:+.3f}, the limit {limit:.3f}")


def _recall(bench: Workbench, arm: Arm, base: Arm) -> Ruling:
    limit = -bench.study.findings.margin
    if arm.key == base.key:
        return Ruling("rare_recall", "rare", 0.0, limit, True, "the 0 % arm is what others are compared with")
    effects = Effects(collect(bench.study, bench.lake, [base, arm], bench.lineage), bench.study)
    found, n = effects.change(arm.key, base.key, "rare_recall"), effects.tail_documents(ALL_DOMAINS)
    if found is None or n < MIN_TAIL_DOCUMENTS:
        said = f"change of rare_recall is not defined: {n} documents of rare labels, {MIN_TAIL_DOCUMENTS} are needed"
        return Ruling("rare_recall", "rare", None, limit, False, said)
    said = (
        f"rare_recall changed by {found.estimate:+.3f} against `{base.key}`, its lower bound {found.bound:+.3f}; "
        f"the limit is {limit:+.3f}"
    )
    return Ruling("rare_recall", "rare", found.bound, limit, found.bound > limit, said)


def _caps(bench: Workbench, arm: Arm) -> Ruling:
    """The domain that is furthest above its cap, or nearest to it."""
    caps = read_caps().of(bench.study.name)
    table = bench.read("mixture_composition", arm.key)
    synthetic = table["rows_synthetic"].to_numpy().astype(float)
    rows = sum(table[name].to_numpy() for name in ("rows_real", "rows_repeated")) + synthetic
    share = synthetic / np.maximum(rows, 1)
    domains = table["domain"].to_pylist()
    allowed = np.array([caps.get(one, caps.get(ALL_DOMAINS, 1.0)) for one in domains])
    if not len(share):
        return Ruling("cap", "", None, None, False, "the mixture has no domain")
    at = int(np.argmax(share - allowed))
    said = f"domain `{domains[at]}` has a synthetic share of {share[at]:.4g}, its cap is {allowed[at]:.4g}"
    # a row may be part of a floating-point share
    kept = synthetic[at] <= allowed[at] * rows[at] + 1e-5
    return Ruling("cap", domains[at], float(share[at]), float(allowed[at]), bool(kept), said)


def _contamination(bench: Workbench, arm: Arm) -> Ruling:
    limit, what = bench.study.gates.contamination, "share of contaminated synthetic rows"
    if arm.series.pool is None:
        return _number("contamination", "", 0.0, limit, what)
    scores = bench.read("synthetic_scores", arm.series.pool, columns=["doc_id", "contamination_kind"])
    kinds = pc.is_in(scores["contamination_kind"], value_set=pa.array(CONTAMINATED))
    mixture = bench.read("mixture_documents", arm.key, columns=["doc_id", "provenance"])
    grades = pa.array([one.value for one in Provenance if one.grade >= bench.study.synthetic_from.grade])
    drawn = mixture["doc_id"].filter(pc.is_in(mixture["provenance"], value_set=grades))
    bad = pc.sum(pc.is_in(drawn, value_set=scores["doc_id"].filter(kinds).combine_chunks())).as_py() or 0
    return _number("contamination", "", bad / max(len(drawn), 1), limit, what)


def _anchors(bench: Workbench, metrics: pa.Table) -> Ruling:
    asked = bench.study.anchors.version
    # reading them checks their content
    bench.read("reality_anchors", columns=["doc_id"])
    found = sorted({str(one) for one in pc.unique(metrics["anchors"]).to_pylist()})
    said = f"measured on anchors {', '.join(f'`{one}`' for one in found)}, the study asks for `{asked}`"
    return Ruling("anchors", "", None, None, found == [asked], said)
