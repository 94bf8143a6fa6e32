"""The frozen anchors that a launch is given: those to train on, and those that no mixture may hold.

What belongs here: reading them for a launch, and whether the budget has room for them. What does not: choosing and
freezing them (corpora/anchors.py, frozen.py), or keeping them in a mixture, which the SQL of the dbt project does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster import frozen
from smc_dagster.errors import StaleInputError, StudyError
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study
from smc_dagster.tables import ANCHOR_TRAIN

SCHEMA = pa.schema([(name, pa.string()) for name in ("doc_id", "slice", "domain", "label", "provenance")])


def read_frozen(lake: Lake, lineage: Lineage, *, needed: bool) -> pa.Table:
    """The frozen anchors of the study's version, all slices: columns of SCHEMA. None before a version is frozen.

    Args:
        needed: an arm holds the training anchors.

    Raises:
        StaleInputError: they are needed, and the version is not frozen yet.
        LakeError: see `frozen.read`.
    """
    held = lineage.frozen_anchors()
    if held is not None:
        return frozen.read(lake, held).select(SCHEMA.names).cast(SCHEMA)
    if needed:
        raise StaleInputError(
            f"reality_anchors: version `{lineage.study.anchors.version}` is not frozen yet, and an arm holds it",
            "materialise reality_anchors first, or run `smc study run`",
        )
    return SCHEMA.empty_table()


def check_room(study: Study, domains: Mapping[str, int], anchors: pa.Table) -> None:
    """Check that each domain's budget holds its training anchors, which count in it.

    Args:
        domains: real training documents by domain.
        anchors: see `read_frozen`.

    Raises:
        StudyError: a domain's does not.
    """
    held = Counter(anchors.filter(pc.equal(anchors["slice"], ANCHOR_TRAIN))["domain"].to_pylist())
    for domain, rows in domains.items():
        budget = int(study.budget * rows + 0.5 + 1e-6)
        if held[domain] > budget:
            raise StudyError(
                f"study `{study.name}`: domain `{domain}` has {held[domain]} training anchors, and `budget` "
                f"{study.budget:g} leaves its mixtures {budget} of {rows} real rows",
                "raise budget, lower anchors.train_share under a new anchors.version, or take `anchors` off the series",
            )
