"""The tables from raw documents to the metrics of arms, and the drift of pools.

What belongs here: schemas and partition columns of what the stages before the findings write. What does not: findings
(findings.py). `share` columns are in 0-1 unless a comment says otherwise.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.tables.spec import EMBEDDING_WIDTH, TableSpec

_DOCUMENT = [
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("provenance", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("generator", pa.string()),
    pa.field("parent_doc_id", pa.string()),
]

RAW_DOCUMENTS = TableSpec(
    "raw_documents",
    pa.schema(
        [
            *_DOCUMENT,
            ("day", pa.string()),
            ("file", pa.string()),
            ("line", pa.int64()),
            ("source_split", pa.string()),  # a split of ours that the source itself settles, else null
        ]
    ),
    "day",
)
QUARANTINE = TableSpec(
    "quarantine",
    # the row as it came, where from, and why it was refused
    pa.schema(
        [
            ("day", pa.string()),
            ("file", pa.string()),
            ("line", pa.int64()),
            ("field", pa.string()),
            ("reason", pa.string()),
            ("row", pa.string()),
        ]
    ),
    "day",
)
# what a day was refused for whose share of refused rows was too large: the tables of such a day stay as they were
FAILED_QUARANTINE = TableSpec("failed_quarantine", QUARANTINE.schema, "day")
REAL_DOCUMENTS = TableSpec(
    "real_documents",
    pa.schema(
        [*_DOCUMENT, ("day", pa.string()), ("cluster_id", pa.string()), ("split", pa.string()), ("is_tail", pa.bool_())]
    ),
)
REALITY_ANCHORS = TableSpec(
    "reality_anchors",
    # frozen: the documents themselves, so that a version outlives the corpus it was chosen from.
    # slice: anchor_train (of the split train) | rare | atypical | adversarial (of anchor_eval, or edits of it); a
    # document may be in rare and atypical. distance: mean cosine distance to its k nearest training rows; null: an edit
    pa.schema(
        [
            ("version", pa.string(), False),
            ("slice", pa.string(), False),
            ("doc_id", pa.string(), False),
            ("domain", pa.string(), False),
            ("label", pa.string(), False),
            ("is_tail", pa.bool_(), False),
            ("text", pa.string(), False),
            ("provenance", pa.string(), False),
            ("parent_doc_id", pa.string()),  # the document that an adversarial one is an edit of
            ("edit", pa.string()),  # typo | negation | fragment | noise | register
            ("distance", pa.float32()),
        ]
    ),
    "version",
)
GENERATOR_CURVES = TableSpec(
    "generator_curves",
    # generation 0 is trained on real text, each later one on the last one's; loss: mean of a token, nats
    pa.schema(
        [
            ("generation", pa.int32(), False),
            ("step", pa.int32(), False),
            ("loss", pa.float64(), False),
        ]
    ),
)
SYNTHETIC_DOCUMENTS = TableSpec("synthetic_documents", pa.schema([*_DOCUMENT, ("pool", pa.string(), False)]), "pool")
# rows that a pool's files held and that broke the contract
SYNTHETIC_QUARANTINE = TableSpec(
    "synthetic_quarantine",
    pa.schema([("pool", pa.string()) if field.name == "day" else field for field in QUARANTINE.schema]),
    "pool",
)
SYNTHETIC_SCORES = TableSpec(
    "synthetic_scores",
    pa.schema(
        [
            ("doc_id", pa.string(), False),
            ("pool", pa.string(), False),
            ("cluster_id", pa.string()),  # smallest doc_id of the near-duplicate cluster
            ("cluster_size", pa.int32()),  # different texts of the pool in that cluster, its own included
            ("exact_copies", pa.int32()),  # documents of the pool with the same normalised text, itself included
            ("template_id", pa.string()),  # null where its skeleton is not over-used
            ("template", pa.string()),  # that skeleton as text; null where template_id is
            ("template_size", pa.int32()),  # different texts of its (pool, domain) with the same skeleton
            ("template_share", pa.float32()),  # their share of the different texts of its (pool, domain)
            ("contamination", pa.float32()),  # largest Jaccard with evaluation text; 1 where a long word run is shared
            ("contaminant_doc_id", pa.string()),  # the evaluation document it resembles
            ("contamination_kind", pa.string()),  # shared_run | near_duplicate | similar | null
            ("contaminating_run", pa.string()),  # the words shared, where the kind is shared_run
        ]
    ),
    "pool",
)
SYNTHETIC_PROFILE = TableSpec(
    "synthetic_profile",
    # domain `*` is all domains. reference: the real training corpus's own value, null where it has none
    pa.schema(
        [
            ("pool", pa.string(), False),
            ("domain", pa.string(), False),
            ("measure", pa.string(), False),
            ("value", pa.float64()),
            ("reference", pa.float64()),
            ("n", pa.int64()),
        ]
    ),
    "pool",
)
POOL_OVERLAPS = TableSpec(
    "pool_overlaps",
    # against: another pool, or `*training*`, the real training text
    pa.schema(
        [
            ("pool", pa.string(), False),
            ("against", pa.string(), False),
            ("documents", pa.int64()),
            ("matched", pa.int64()),  # documents of the pool with a near-duplicate there
            ("share", pa.float64()),  # 0-1, null for an empty pool
            ("example_doc_id", pa.string()),
            ("matched_doc_id", pa.string()),
        ]
    ),
)
_EMBEDDING = pa.schema([("doc_id", pa.string(), False), ("embedding", pa.list_(pa.float32(), EMBEDDING_WIDTH), False)])
REAL_EMBEDDINGS = TableSpec("real_embeddings", _EMBEDDING)
SYNTHETIC_EMBEDDINGS = TableSpec("synthetic_embeddings", _EMBEDDING, "pool")
# of every document of a version of the anchors, those that left the corpus and edits included
ANCHOR_EMBEDDINGS = TableSpec("anchor_embeddings", _EMBEDDING, "version")
# token ids of each document, cut as the network that is trained takes them; only where `training.tuning` is `full`
_TOKENS = pa.schema([("doc_id", pa.string(), False), ("tokens", pa.list_(pa.int32()), False)])
REAL_TOKENS = TableSpec("real_tokens", _TOKENS)
SYNTHETIC_TOKENS = TableSpec("synthetic_tokens", _TOKENS, "pool")
ANCHOR_TOKENS = TableSpec("anchor_tokens", _TOKENS, "version")
MIXTURE_DOCUMENTS = TableSpec(
    "mixture_documents",
    pa.schema(
        [
            ("arm", pa.string()),
            ("replicate", pa.int32()),
            ("doc_id", pa.string()),
            ("domain", pa.string()),
            ("label", pa.string()),
            ("provenance", pa.string()),
            (
                "slot",
                pa.int32(),
            ),  # place in the domain, 0-based, `add` beyond the budget; a row kept by two arms keeps its slot
            ("weight", pa.float32()),
        ]
    ),
    "arm",
    folder=True,
    order=("replicate", "domain", "slot"),
)
MIXTURE_COMPOSITION = TableSpec(
    "mixture_composition",
    pa.schema(
        [
            ("arm", pa.string()),
            ("series", pa.string()),
            ("pool", pa.string()),
            ("share", pa.float64()),
            ("composition", pa.string()),
            ("strictness", pa.string()),
            ("replicate", pa.int32()),
            ("domain", pa.string()),
            ("rows_available", pa.int64()),  # real training rows of the domain, n_d
            ("budget", pa.int64()),  # rows the mixture may hold, round(budget * n_d)
            ("cap", pa.float64()),  # cap in force, 1 where there is none
            ("pool_available", pa.int64()),  # pool rows left by the filter
            ("rows_asked", pa.int64()),  # round(share * budget); `add`: round(share / (1 - share) * budget)
            ("rows_displaced", pa.int64()),  # real rows that left; `add`: 0
            ("rows_synthetic", pa.int64()),
            ("rows_real", pa.int64()),  # different real rows
            ("rows_repeated", pa.int64()),  # further copies of real rows; 0 but in `repeat`
            ("rows_anchor", pa.int64()),  # training anchors among the real rows; 0 where the series protects none
            ("rows_taken_over", pa.int64()),  # rows beyond those asked, for domains that could not give theirs
            ("shortfall", pa.int64()),  # rows asked that cap, pool or anchors held back
            ("why", pa.string()),  # `cap` | `pool` | `anchors` | null
        ]
    ),
    "arm",
)
TRAINING_CURVES = TableSpec(
    "training_curves",
    pa.schema([("arm", pa.string()), ("replicate", pa.int32()), ("step", pa.int32()), ("loss", pa.float32())]),
    "arm",
)
PREDICTIONS = TableSpec(
    "predictions",
    # slice: test | rare | atypical | adversarial; a document in two slices has two rows
    pa.schema(
        [
            ("arm", pa.string()),
            ("replicate", pa.int32()),
            ("doc_id", pa.string()),
            ("slice", pa.string()),
            ("domain", pa.string()),
            ("label", pa.string()),
            ("is_tail", pa.bool_()),
            ("predicted", pa.string()),
            ("confidence", pa.float32()),  # top-1 probability
            ("p_label", pa.float32()),  # probability of the true label
            ("sum_p2", pa.float32()),  # sum over labels of p^2: Brier = 1 - 2 p_label + sum_p2
            ("entropy", pa.float32()),  # nats
        ]
    ),
    "arm",
)
ARM_METRICS = TableSpec(
    "arm_metrics",
    # slice: test | test_tail | test_head | rare | atypical | adversarial | train (budget); domain `*` is all
    pa.schema(
        [
            ("arm", pa.string()),
            ("series", pa.string()),
            ("share", pa.float64()),
            ("replicate", pa.int32()),
            ("domain", pa.string()),
            ("slice", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("n", pa.int64()),
            ("low", pa.float64()),  # interval over documents, the replicate's model held fixed; null where undefined
            ("high", pa.float64()),
            ("anchors", pa.string()),  # version of the anchors that the anchor slices were measured on
        ]
    ),
    "arm",
)
ARM_AUDIT = TableSpec(
    "arm_audit",
    # an arm's figures against the limits of a release, one row a figure; see release/audit.py
    pa.schema(
        [
            ("arm", pa.string(), False),
            ("rule", pa.string(), False),  # gap | ece | rare_recall | cap | contamination | anchors
            ("where", pa.string(), False),  # slice or domain; empty: the whole arm
            ("figure", pa.float64()),  # null where it is not defined, or is no number
            ("limit", pa.float64()),
            ("passed", pa.bool_(), False),
            ("said", pa.string(), False),
        ]
    ),
    "arm",
)
DRIFT = TableSpec(
    "drift",
    pa.schema([("pool", pa.string()), ("column", pa.string()), ("method", pa.string()), ("score", pa.float64())]),
    "pool",
)
DAY_DRIFT = TableSpec(
    "day_drift",
    # a day against the days before it, one row a column; empty where there is too little on a side to compare
    pa.schema(
        [
            ("day", pa.string(), False),
            ("column", pa.string(), False),
            ("method", pa.string(), False),
            ("score", pa.float64()),
            ("limit", pa.float64()),
            ("chance", pa.float64()),  # 99 % quantile of the score where the day is like those before
            ("drifted", pa.bool_()),
            ("n", pa.int64()),  # documents compared
            ("n_reference", pa.int64()),
        ]
    ),
    "day",
)
