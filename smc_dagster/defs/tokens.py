"""Assets of the group `features` of a study that trains whole networks: every text tokenised once.

What belongs here: the Dagster side of training/full/tokens.py. What does not: the tokenizer, embeddings (features.py).
"""

import dagster as dg

from smc_dagster.defs import metadata
from smc_dagster.defs.features import GROUP
from smc_dagster.defs.partitions import ONE_RUN, pool_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.tables import TABLES
from smc_dagster.training.full.base import check_length, tokenizer_of
from smc_dagster.training.full.tokens import token_table
from smc_dagster.workbench import Workbench

KINDS = {"parquet", "huggingface"}


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The assets, where whole networks are trained; else none."""
    if not study.training.is_full:
        return []

    @dg.asset(
        group_name=GROUP,
        deps=["real_documents"],
        kinds=KINDS,
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["real_tokens"],
    )
    def real_tokens(smc: StudyResource) -> dg.MaterializeResult:
        """Token ids of the real documents, as the network that is trained takes them."""
        bench = smc.open()
        _tokenise(bench, "real_documents", "real_tokens", None)
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "real_tokens"), data_version=metadata.version(bench, "real_tokens")
        )

    @dg.asset(
        group_name=GROUP,
        deps=["synthetic_documents"],
        partitions_def=pool_partitions(study),
        backfill_policy=ONE_RUN,
        kinds=KINDS,
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["synthetic_tokens"],
    )
    def synthetic_tokens(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """Token ids of a pool's documents."""
        bench = smc.open()
        for pool in context.partition_keys:
            _tokenise(bench, "synthetic_documents", "synthetic_tokens", pool)
            context.add_asset_metadata(metadata.of_table(bench, "synthetic_tokens", pool), partition_key=pool)
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=["reality_anchors"],
        kinds=KINDS,
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["anchor_tokens"],
    )
    def anchor_tokens(smc: StudyResource) -> dg.MaterializeResult:
        """Token ids of the anchors, edits and documents that left the corpus included."""
        bench = smc.open()
        _tokenise(bench, "reality_anchors", "anchor_tokens", None)
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "anchor_tokens"), data_version=metadata.version(bench, "anchor_tokens")
        )

    return [real_tokens, synthetic_tokens, anchor_tokens]


def _tokenise(bench: Workbench, documents: str, tokens: str, pool: str | None) -> None:
    """Tokenise what is not tokenised yet."""
    spec, place = TABLES[tokens], bench.lineage.partition(tokens, pool)
    stored, due = bench.lake.fingerprint(spec, place), bench.lineage.due(tokens, pool)
    # a doc_id names its text, so rows made by the same tokenizer stay good when documents are added
    same = stored is not None and (stored.part, stored.code_version) == (due.part, due.code_version)
    known = bench.lake.read(spec, place) if same else None
    training = bench.study.training
    check_length(training.model, training.max_tokens)
    rows = bench.read(documents, pool, columns=["doc_id", "text"])
    bench.write(tokens, token_table(rows, tokenizer_of(training.model), training.max_tokens, known), pool)
