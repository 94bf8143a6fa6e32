"""The tables of findings: one file each, drawn from all arms that are there.

What belongs here: their schemas. What does not: how they are drawn (the package findings). `share` columns are in 0-1
unless a comment says otherwise.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.tables.spec import TableSpec

HEADLINE = TableSpec(
    "headline",
    # estimate, low, high: relative change for recall and confidence, absolute for ECE, a share for the onset
    pa.schema(
        [
            ("measure", pa.string()),
            ("claim", pa.string()),
            ("claimed", pa.float64()),
            ("estimate", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p_value", pa.float64()),
            ("p_holm", pa.float64()),
            ("verdict", pa.string()),  # supported | contradicted | undecided
            ("series", pa.string()),
            ("share", pa.float64()),
            ("n", pa.int64()),
            ("replicates", pa.int32()),
            # null unless undecided with too few data: so many of both would let an effect of the size claimed be seen
            ("n_needed", pa.int64()),
            ("replicates_needed", pa.int64()),
        ]
    ),
)
COLLAPSE_ONSET = TableSpec(
    "collapse_onset",
    pa.schema(
        [
            ("series", pa.string()),
            ("domain", pa.string()),
            ("measure", pa.string()),
            ("status", pa.string()),  # identified | smooth_decline | no_decline | insufficient_data
            ("best_model", pa.string()),
            ("knot", pa.float64()),  # null unless identified
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("note", pa.string()),
            ("n", pa.int64()),  # tail documents
            ("n_needed", pa.int64()),  # tail documents at which a loss of the size claimed would be seen
            ("own_weight", pa.float64()),  # of a domain's own curve against the series', 0-1; null for all domains
            # what the study could have seen; null where not asked (a domain, too few data)
            ("smallest_loss", pa.float64()),  # at the largest share, part of recall at 0 %; power .8
            ("smallest_knee", pa.float64()),  # change of slope, recall per unit of share; power .8; null: none
            ("false_knees", pa.float64()),  # share of simulated smooth declines called a knee
            ("coverage", pa.float64()),  # of the intervals of simulated knees that were found
        ]
    ),
)
SAFE_SHARES = TableSpec(
    "safe_shares",
    pa.schema(
        [
            ("series", pa.string()),
            ("domain", pa.string()),
            ("status", pa.string()),  # measured | none_safe | insufficient_data
            # largest share that the domain really got and is provably within the margin; null unless measured
            ("share", pa.float64()),
            ("arm", pa.string()),  # the arm that proves it
            ("margin", pa.float64()),
            (
                "low",
                pa.float64(),
            ),  # lower bound of the change in tail recall at that share, else where the proof failed
            ("harm_from", pa.float64()),  # from this share on a loss beyond the margin is proven; null where at none
            ("n", pa.int64()),  # tail documents of the domain
            ("n_needed", pa.int64()),  # that would do, if the share does no harm; null unless data are too few
            ("note", pa.string()),
        ]
    ),
)
ATTRIBUTION = TableSpec(
    "attribution",
    # the total change of an arm of a `replace` series against its 0 % arm and the parts of it, which add up to it
    # path by path, share by share; differences in the measure's own unit
    pa.schema(
        [
            ("series", pa.string()),
            ("share", pa.float64()),  # asked
            ("realised", pa.float64()),
            ("path", pa.string()),  # loss_first | synthetic_first
            ("part", pa.string()),  # total, or a part (findings/attribution.py)
            ("arm", pa.string()),  # `arm` minus `against`
            ("against", pa.string()),
            ("measure", pa.string()),
            ("estimate", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p_value", pa.float64()),
            ("p_holm", pa.float64()),  # null but for the parts at the largest share
            ("n", pa.int64()),
        ]
    ),
)
MITIGATION_EFFECTS = TableSpec(
    "mitigation_effects",
    # paired difference `series` minus `against`, at one realised global share
    pa.schema(
        [
            ("contrast", pa.string()),
            ("question", pa.string()),
            ("series", pa.string()),
            ("against", pa.string()),
            ("share", pa.float64()),  # asked of `series`
            ("share_against", pa.float64()),  # asked of `against`; null where no arm of it is at that share
            ("realised", pa.float64()),
            ("realised_against", pa.float64()),
            ("measure", pa.string()),
            ("estimate", pa.float64()),  # null where the shares differ, as the note says
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p_value", pa.float64()),
            ("p_holm", pa.float64()),  # null but for the largest matched share of a contrast
            ("n", pa.int64()),
            ("note", pa.string()),
        ]
    ),
)

PROVENANCE_THRESHOLDS = TableSpec(
    "provenance_thresholds",
    # one row a threshold and series; counted: share (0-1) of an arm's rows at or above the threshold
    pa.schema(
        [
            ("synthetic_from", pa.string()),
            ("series", pa.string()),
            ("share", pa.float64()),  # largest share asked
            ("counted_base", pa.float64()),  # counted at the 0 % arm: rows of the real corpus that count
            ("counted", pa.float64()),  # counted at the largest share
            ("status", pa.string()),  # as collapse_onset, or not_counted
            ("best_model", pa.string()),
            ("knot", pa.float64()),  # a counted share
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("safe_share", pa.float64()),  # of all domains, as asked; null where none is proven
            ("safe_counted", pa.float64()),  # the share that counts there
            ("note", pa.string()),
        ]
    ),
)

BENCHMARK_COVERAGE = TableSpec(
    "benchmark_coverage",
    # one row a rare label: whether its evaluation documents could show even the loss of all its domain's rare recall
    pa.schema(
        [
            ("domain", pa.string()),
            ("label", pa.string()),
            ("n", pa.int64()),  # evaluation documents, slice `rare`
            ("base", pa.float64()),  # mean recall of the domain's rare labels at 0 %
            ("smallest_loss", pa.float64()),  # of recall, seen with probability .8; null where none would be
            ("judged", pa.bool_()),
            ("needed", pa.int64()),  # documents that would do; null where no number would
        ]
    ),
)

STRICTNESS_TRADE = TableSpec(
    "strictness_trade",
    # what each strictness of a pool's filter costs and saves; shares are 0-1, of the synthetic rows of the mixtures
    pa.schema(
        [
            ("pool", pa.string()),
            ("strictness", pa.string()),
            ("series", pa.string()),
            ("share", pa.float64()),  # of the arms compared: the largest that all levels have
            ("pool_rows", pa.int64()),
            ("pool_left", pa.int64()),  # rows that the filter leaves to draw on
            ("contaminated", pa.float64()),  # near-duplicates of evaluation text, or sharing a long run with it
            ("templated", pa.float64()),  # rows in over-used skeletons
            ("duplicated", pa.float64()),  # rows beyond the first of their near-duplicate cluster
            ("coverage", pa.float64()),  # mode coverage of real training text by replicate 0, at n_coverage a side
            ("n_coverage", pa.int64()),
            ("tail_recall", pa.float64()),  # mean over replicates
            ("recall_low", pa.float64()),
            ("recall_high", pa.float64()),
            ("change", pa.float64()),  # of tail recall against the mildest level; null for that level
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),  # tail documents
        ]
    ),
)

DOMAIN_SENSITIVITY = TableSpec(
    "domain_sensitivity",
    # what a domain was like before mixing, and how it fared in a series
    pa.schema(
        [
            ("series", pa.string()),
            ("domain", pa.string()),
            ("documents", pa.int64()),  # real training documents
            ("tail_documents", pa.int64()),  # evaluation documents of tail labels
            ("tail_share", pa.float64()),  # of the training documents
            ("noise", pa.float64()),  # label disagreement of nearest neighbours, 0-1
            ("n_noise", pa.int64()),  # documents it is a mean over
            ("coverage", pa.float64()),  # mode coverage by the series' pool, 0-1
            ("loss_slope", pa.float64()),  # change of tail recall for a share of 1; negative: a loss
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("safe_status", pa.string()),
            ("safe_share", pa.float64()),  # 0 where none is safe; null where there are too few data
            ("onset_status", pa.string()),
            ("onset", pa.float64()),
        ]
    ),
)
DOMAIN_CORRELATIONS = TableSpec(
    "domain_correlations",
    # Spearman's rank correlation over domains of a sensitivity with a trait
    pa.schema(
        [
            ("series", pa.string()),
            ("sensitivity", pa.string()),  # loss_slope | safe_share | onset
            ("trait", pa.string()),  # tail_share | noise | coverage
            ("n", pa.int64()),  # domains with both
            ("rho", pa.float64()),  # null where they are too few
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p_value", pa.float64()),
            ("p_holm", pa.float64()),
            ("smallest", pa.float64()),  # least correlation that would probably have been seen
            ("verdict", pa.string()),  # rises | falls | undecided
            ("note", pa.string()),
        ]
    ),
)
