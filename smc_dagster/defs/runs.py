"""`smc study run`: what is stale, and running just that through a Dagster instance, stage by stage.

What belongs here: comparing the fingerprints due with the lake and the instance, and executing jobs in this process.
What does not: what to show of it (cli).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from smc_dagster import progress
from smc_dagster.corpora.landing import arrivals
from smc_dagster.corpora.sources import signature
from smc_dagster.defs import findings, jobs
from smc_dagster.defs.corpora import landing_of
from smc_dagster.defs.instance import run_tags
from smc_dagster.defs.partitions import DAYS, ranges
from smc_dagster.study import Arm
from smc_dagster.tables import RAW_DOCUMENTS, TABLES
from smc_dagster.workbench import Workbench

INGESTED = ("raw_documents", "day_drift")
# asset -> table whose fingerprint tells whether it is fresh
CORPUS = {name: name for name in ("real_documents", "real_embeddings", "reality_anchors", "anchor_embeddings")}
MODEL = {"generator_model": "generator_model"}
# made where whole networks are trained
CORPUS_TOKENS = {name: name for name in ("real_tokens", "anchor_tokens")}
POOL_TOKENS = {"synthetic_tokens": "synthetic_tokens"}
POOLS = {
    "synthetic_documents": "synthetic_documents",
    "synthetic_embeddings": "synthetic_embeddings",
    "synthetic_scores": "synthetic_scores",
    "synthetic_profile": "synthetic_profile",
    "drift_report": "drift",
}
COMPARED = {"pool_overlaps": "pool_overlaps"}
ARMS = {
    name: name for name in ("mixture_documents", "mixture_composition", "checkpoints", "predictions", "arm_metrics")
}


@dataclass
class Outcome:
    """What a study run did.

    Attributes:
        made: partitions made, by asset (1 for an unpartitioned asset).
        reused: partitions found fresh, by asset.
        runs: ids of the Dagster runs.
    """

    made: dict[str, int] = field(default_factory=dict)
    reused: dict[str, int] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)


class StudyRun:
    """One pass over a study: each stage makes what is stale and leaves the rest."""

    def __init__(self, bench: Workbench, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.bench = bench
        self.defs = defs
        self.instance = instance
        self.outcome = Outcome()

    def run(self, arms: list[Arm], announce: Callable[[str], None]) -> Outcome:
        """Make all that the arms given need, then the findings over all arms that are there.

        Raises:
            whatever a step raised; what earlier steps wrote stays and is reused by the next run.
        """
        announce("documents")
        self._ingest()
        self.bench.lineage.forget()
        announce("corpus")
        # the model is an asset only where a pool samples it
        study = self.bench.study
        tokens = CORPUS_TOKENS if study.training.is_full else {}
        self._stage(jobs.CORPUS, CORPUS | tokens | (MODEL if study.generations else {}), [None])
        # anchors may have been frozen just now, and frozen ones must be what they were
        self.bench.lineage.forget()
        self.bench.read("reality_anchors")
        announce("pools")
        self._stage(jobs.POOLS, POOLS | (POOL_TOKENS if study.training.is_full else {}), list(study.pools))
        self._stage(jobs.COMPARE, COMPARED, [None])
        announce("arms")
        self._stage(jobs.ARMS, ARMS, [arm.key for arm in study.arms], {arm.key for arm in arms})
        announce("findings")
        self._findings()
        return self.outcome

    # ------------------------------------------------------------------ stages

    def _ingest(self) -> None:
        bench = self.bench
        landing = landing_of(bench.study)
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        stored = {day: bench.lake.fingerprint(RAW_DOCUMENTS, day) for day in bench.lake.partitions(RAW_DOCUMENTS)}
        known = {one.digest for one in stored.values() if one is not None}
        recorded = self.instance.get_materialized_partitions(dg.AssetKey("raw_documents"))
        settled, _, _ = arrivals(landing, datetime.now(UTC))
        due: list[str] = []
        for day in sorted({*settled, today}):
            digest = bench.lineage.raw_documents(signature(bench.study, landing, day)).digest
            held = stored.get(day)
            fresh = digest in known if day not in settled else held is not None and held.digest == digest
            if not fresh or not recorded:
                due.append(day)
        for asset in INGESTED:
            # a day that was read before days were compared has no drift, which no run of a study makes up for
            there = {day for day in stored if bench.lake.fingerprint(TABLES[asset], day) is not None}
            self._count(asset, made=len(due), reused=len(there - set(due)))
        for day in due:
            self.instance.add_dynamic_partitions(str(DAYS.name), [day])
            self._execute(jobs.INGEST, INGESTED, partition_key=day)

    def _stage(
        self, job: str, tables: dict[str, str], keys: list[str] | list[None], chosen: set[str] | None = None
    ) -> None:
        stale: dict[str | None, tuple[str, ...]] = {}
        recorded = {asset: self._recorded(asset, keys) for asset in tables}
        for key in keys:
            if chosen is not None and key not in chosen:
                continue
            names = tuple(
                asset
                for asset, table in tables.items()
                if not self.bench.lineage.is_fresh(table, key) or key not in recorded[asset]
            )
            stale[key] = names
        for asset in tables:
            made = sum(asset in names for names in stale.values())
            self._count(asset, made=made, reused=len(stale) - made)
        for names in dict.fromkeys(one for one in stale.values() if one):
            wanted = [key for key, one in stale.items() if one == names]
            if wanted == [None]:
                self._execute(job, names)
                continue
            for stretch in ranges([str(key) for key in keys], [str(key) for key in wanted]):
                self._execute(job, names, stretch=stretch)

    def _findings(self) -> None:
        bench = self.bench
        arms = [arm.key for arm in bench.fresh_arms()]
        names = [*findings.DRAWN, findings.REPORT]
        stale = [name for name in names if not self._recorded(name, [None]) or not findings.is_fresh(bench, name, arms)]
        # one op makes them all
        for name in names:
            self._count(name, made=int(bool(stale)), reused=int(not stale))
        if stale:
            self._execute(jobs.REFRESH, names)

    # ------------------------------------------------------------------ one run

    def _recorded(self, asset: str, keys: list[str] | list[None]) -> set[str | None]:
        key = dg.AssetKey(asset)
        if keys == [None]:
            return {None} if self.instance.get_latest_materialization_event(key) else set()
        return set(self.instance.get_materialized_partitions(key))

    def _count(self, asset: str, made: int, reused: int) -> None:
        self.outcome.made[asset] = made
        self.outcome.reused[asset] = reused

    def _execute(
        self,
        job: str,
        assets: Iterable[str],
        partition_key: str | None = None,
        stretch: list[str] | None = None,
    ) -> None:
        definition = self.defs.resolve_job_def(job)
        chosen = {dg.AssetKey(name) for name in assets}
        if dg.AssetKey("mixture_documents") in chosen or dg.AssetKey("mixture_composition") in chosen:
            # the dbt project is one launch: its models are made together
            chosen |= {key for key in definition.asset_layer.executable_asset_keys if self._is_dbt(key)}
        tags = run_tags(self.bench.study.name)
        if stretch is not None:
            tags |= {
                "dagster/asset_partition_range_start": stretch[0],
                "dagster/asset_partition_range_end": stretch[-1],
            }
        progress.report(job, 0, 1)
        result = definition.execute_in_process(
            instance=self.instance,
            partition_key=partition_key,
            asset_selection=sorted(chosen),
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        progress.report(job, 1, 1)
        self.outcome.runs.append(result.run_id)

    def _is_dbt(self, key: dg.AssetKey) -> bool:
        return self.defs.resolve_asset_graph().get(key).group_name == "mixtures"
