"""Jobs, named for what people want.

What belongs here: which assets a job makes. What does not: when it runs (automation.py).
"""

from __future__ import annotations

import dagster as dg

from smc_dagster.study import Study

# the work of `smc study run`, in order: one job for each kind of partition
INGEST, CORPUS, POOLS, ARMS, REFRESH = "ingest", "corpus", "pools", "arms", "refresh_findings"
COMPARE, AUDIT, RELEASE, STUDY = "compare_pools", "audit", "release", "study"


def jobs(study: Study) -> list[dg.UnresolvedAssetJobDefinition]:
    """Every job of the code location."""
    groups = dg.AssetSelection.groups
    models = dg.AssetSelection.assets(*(["generator_model"] if study.generations else []))
    tokens = ["real_tokens", "anchor_tokens"] if study.training.is_full else []
    by_pool = dg.AssetSelection.assets(
        *["synthetic_documents", "synthetic_embeddings", "synthetic_scores", "synthetic_profile", "drift_report"],
        *(["synthetic_tokens"] if study.training.is_full else []),
    )
    return [
        dg.define_asset_job(
            INGEST,
            selection=dg.AssetSelection.assets("raw_documents", "day_drift"),
            description="Read one day's documents, check the contract, quarantine what breaks it; compare with before.",
        ),
        dg.define_asset_job(
            CORPUS,
            selection=dg.AssetSelection.assets(
                "real_documents", "real_embeddings", "reality_anchors", "anchor_embeddings", *tokens
            )
            | models,
            description="Join all days, cluster, split, fix the tail, embed, freeze anchors; train what pools sample.",
        ),
        dg.define_asset_job(
            POOLS,
            selection=by_pool,
            description="Make and judge the synthetic pools.",
        ),
        dg.define_asset_job(
            COMPARE,
            selection=dg.AssetSelection.assets("pool_overlaps"),
            description="How much pools share with each other and with real training text.",
        ),
        dg.define_asset_job(
            ARMS,
            selection=groups("mixtures", "training", "evaluation") - dg.AssetSelection.assets("arm_audit"),
            description="Mix, train, predict and measure arms.",
        ),
        dg.define_asset_job(
            REFRESH,
            selection=groups("findings") - dg.AssetSelection.assets("released_model"),
            description="Draw the findings and the report from the arms that are there.",
            # one step, which often finds nothing to do: a process of its own would cost more than that
            executor_def=dg.in_process_executor,
        ),
        dg.define_asset_job(
            AUDIT,
            selection=dg.AssetSelection.assets("arm_audit"),
            description="Hold arms to the gates of a release; the run fails where an arm does not pass.",
        ),
        dg.define_asset_job(
            RELEASE,
            selection=dg.AssetSelection.assets("released_model"),
            description="Audit an arm and, where it passes, put it in force; the release before stays until then.",
        ),
    ]
