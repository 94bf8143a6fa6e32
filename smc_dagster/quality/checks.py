"""What a check is: its name, how bad its failure is, what it asserts, and what came of it.

What belongs here: the declarations that suites are written in, and the context that they read. What does not: the
suites themselves, Great Expectations (runner.py), or showing results to a person (samples.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from smc_dagster.study import Composition, Provenance, Study

Severity = Literal["critical", "warning"]
Frames = dict[str, pa.Table]


@dataclass(frozen=True)
class Context:
    """What the suites need beside the table itself. Make it with `Context.of`.

    Attributes:
        synthetic_from: grade from which on a document counts as synthetic.
        max_characters: longest text the study takes, in characters.
        min_label_documents: fewest documents of a label that the study takes.
        tail_share: largest share of training documents that tail labels may hold together, 0-1.
        replicates: replicates that every arm must have.
        budget: rows of a mixture per real training row, 0-1.
        min_tail_labels: fewer tail labels than this raise a warning: rare recall is a mean over tail labels, so with a
            handful of them one label decides it.
        max_duplicate_share: a pool with a larger share of exact duplicates (rows whose text another row has too)
            raises a warning. An alarm for looking at the pool, not a rule of the study.
        real: real documents, columns doc_id, domain, label, split, is_tail at least; needed by every suite but those of
            real_documents and mixture_composition.
        anchors: the anchors in force, schema REALITY_ANCHORS; needed by the suite of predictions, and where series
            protect them; used by that of real_documents where there are any.
        repeating: keys of the arms whose mixtures repeat real rows.
        anchored: keys of the arms whose mixtures hold the training anchors.
    """

    synthetic_from: Provenance
    max_characters: int
    min_label_documents: int
    tail_share: float
    replicates: int
    budget: float
    min_tail_labels: int = 10
    max_duplicate_share: float = 0.5
    real: pa.Table | None = None
    anchors: pa.Table | None = None
    repeating: frozenset[str] = frozenset()
    anchored: frozenset[str] = frozenset()

    @classmethod
    def of(cls, study: Study, real: pa.Table | None = None, anchors: pa.Table | None = None) -> Context:
        """The context of a study; `real` and `anchors` as described above."""
        return cls(
            synthetic_from=study.synthetic_from,
            max_characters=study.corpus.max_characters,
            min_label_documents=study.corpus.min_label_documents,
            tail_share=study.tail.share,
            replicates=study.replicates,
            budget=study.budget,
            real=real,
            anchors=anchors,
            repeating=frozenset(arm.key for arm in study.arms if arm.series.composition is Composition.REPEAT),
            anchored=frozenset(arm.key for arm in study.arms if arm.series.anchors),
        )

    def real_documents(self) -> pa.Table:
        """The real documents.

        Raises:
            ValueError: the context was made without them.
        """
        if self.real is None:
            raise ValueError("this suite compares with the real documents: make its context with `real=`")
        return self.real

    def reality_anchors(self) -> pa.Table:
        """The anchors in force.

        Raises:
            ValueError: the context was made without them.
        """
        if self.anchors is None:
            raise ValueError("this suite compares with the anchors: make its context with `anchors=`")
        return self.anchors


@dataclass(frozen=True)
class CheckSpec:
    """A check as its readers see it: snake_case name (unique in its table), severity, and what must hold."""

    name: str
    severity: Severity
    description: str


@dataclass(frozen=True)
class CheckResult:
    """What came of a check.

    Attributes:
        checked: values looked at: documents, or labels, clusters, arms, ... where the check is about those.
        unexpected: how many of them broke the rule.
        sample: at most ten of those, as plain values, text cut to 200 characters. Corpus text is hostile: show it with
            `samples.to_markdown`, never raw.
        error: why the check could not be evaluated; None where it could. An error never counts as passed.
    """

    name: str
    severity: Severity
    passed: bool
    checked: int
    unexpected: int
    sample: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def _no_arguments(context: Context) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Check:
    """A check and the Great Expectations expectation that decides it.

    Attributes:
        frame: which of the suite's frames it reads.
        column: the column of that frame it asserts on. A boolean column must be true in every row unless `expectation`
            says otherwise.
        expectation: class name in `great_expectations.expectations`.
        arguments: its arguments beside `column`, given the context.
    """

    name: str
    severity: Severity
    description: str
    frame: str
    column: str
    expectation: str = "ExpectColumnValuesToBeInSet"
    arguments: Callable[[Context], Mapping[str, Any]] = lambda context: {"value_set": [True]}

    @property
    def spec(self) -> CheckSpec:
        """The check without how it is decided."""
        return CheckSpec(self.name, self.severity, self.description)


@dataclass(frozen=True)
class Suite:
    """The checks of one table.

    Attributes:
        table: name of the table, a key of `tables.TABLES`.
        frames: derives, vectorised, what the checks read from the table: one row a document, label, arm, ... Great
            Expectations sees only the columns that a check names, so it never holds corpus text.
        shown: by frame, the columns that a sample of offending rows shows beside the offending value.
    """

    table: str
    checks: tuple[Check, ...]
    frames: Callable[[pa.Table, Context], Frames]
    shown: Mapping[str, tuple[str, ...]]


def between(low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """Fields of a check whose numeric column must lie in [low, high]; None is open."""
    return {
        "expectation": "ExpectColumnValuesToBeBetween",
        "arguments": lambda context: {"min_value": low, "max_value": high},
    }


def one_of(values: Callable[[Context], list[str]]) -> dict[str, Any]:
    """Fields of a check whose column must hold one of the values that the context gives; null is let through."""
    return {
        "expectation": "ExpectColumnValuesToBeInSet",
        "arguments": lambda context: {"value_set": values(context)},
    }


UNIQUE: dict[str, Any] = {"expectation": "ExpectColumnValuesToBeUnique", "arguments": _no_arguments}
HEX_ID: dict[str, Any] = {
    "expectation": "ExpectColumnValuesToMatchRegex",
    "arguments": lambda context: {"regex": r"^[0-9a-f]{32}\Z"},
}
# `table` is the frame of `groups.size`, `arms` that of `groups.replicates`
HAS_ROWS = Check("has_rows", "critical", "There is at least one row.", "table", "rows", **between(1))
REPLICATES_COMPLETE = Check(
    "replicates_complete",
    "critical",
    "Every arm has all replicates of the study.",
    "arms",
    "replicates",
    arguments=lambda context: {"value_set": [context.replicates]},
)
