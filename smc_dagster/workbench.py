"""A study opened over its lake: what an asset, a command or a notebook needs at hand.

What belongs here: putting study, lake and lineage together, and reading tables under the fingerprint they are due.
What does not: making tables.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pyarrow as pa

from smc_dagster import frozen, places
from smc_dagster.errors import StaleInputError
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Arm, Study, load_study
from smc_dagster.tables import REALITY_ANCHORS, TABLES


@dataclass(frozen=True)
class Workbench:
    """A study, its lake and the fingerprints its tables are due."""

    study: Study
    lake: Lake
    lineage: Lineage

    def read(self, table: str, partition: str | None = None, columns: list[str] | None = None) -> pa.Table:
        """Read a table, checking that it is the one the study now asks for.

        The anchors are checked against their content hash besides.

        Raises:
            StaleInputError: it is missing, or was made from other inputs.
            LakeError: frozen anchors are not what was frozen; or the file is damaged.
        """
        if table == REALITY_ANCHORS.name and partition in (None, self.study.anchors.version):
            anchors = self._anchors()
            return anchors if columns is None else anchors.select(columns)
        due = self.lineage.due(table, partition).digest
        return self.lake.read(TABLES[table], self.lineage.partition(table, partition), columns=columns, expect=due)

    def _anchors(self) -> pa.Table:
        held = self.lineage.frozen_anchors()
        if held is None:
            raise StaleInputError(
                f"reality_anchors: version `{self.study.anchors.version}` is not frozen yet",
                "materialise reality_anchors first, or run `smc study run`",
            )
        return frozen.read(self.lake, held)

    def write(self, table: str, content: pa.Table, partition: str | None = None) -> None:
        """Write a table under the fingerprint it is due."""
        place = self.lineage.partition(table, partition)
        self.lake.write(TABLES[table], content, self.lineage.due(table, partition), place)

    def fresh_arms(self) -> list[Arm]:
        """Arms whose metrics are there and are what the study now asks for."""
        return [arm for arm in self.study.arms if self.lineage.is_fresh("arm_metrics", arm.key)]


def open_workbench(study: str | None = None, lake: str | None = None, *, claim: bool = False) -> Workbench:
    """Open a study over its lake.

    Args:
        study: shipped name or path of a YAML file; without it SMC_STUDY, else `default`.
        lake: root of the lake; without it SMC_LAKE, else the study's own folder.
        claim: mark the lake as this study's where it is new. Do so before writing.

    Raises:
        StudyError, CapsError, WeightsError, LakeError: see their messages.
    """
    from smc_dagster.mixing import seeds
    from smc_dagster.synthesis.language_model.network import base_digest
    from smc_dagster.synthesis.registry import check_pools, files_signature
    from smc_dagster.training.encoder import encoder_digest
    from smc_dagster.training.full.base import base_digest as network_digest

    opened = load_study(study)
    check_pools(opened)
    seeds.check_strictness(opened)
    store = Lake(lake or places.lake_root(opened.name), opened.name)
    if claim or store.is_claimed():
        store.claim()
    lineage = Lineage(
        opened,
        store,
        caps=seeds.caps_digest(opened),
        strictness=seeds.strictness_digests(),
        mixture_code=seeds.mixture_code_digest(),
        encoder=encoder_digest(opened.training.encoder),
        pool_files=lambda pool: files_signature(opened, pool, places.synthetic_landing(opened.name)),
        language_model=base_digest(opened.language_model) if opened.generations else "",
        network=network_digest(opened.training.model) if opened.training.is_full else "",
    )
    return Workbench(opened, store, lineage)


def study_reference() -> str:
    """The study that this process is about."""
    return os.environ.get("SMC_STUDY") or "default"
