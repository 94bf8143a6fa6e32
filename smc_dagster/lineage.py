"""Which fingerprint each table is due, from the study, the seeds, the code versions and what the lake holds.

What belongs here: the one description of what each table is made from. The assets write under these fingerprints,
readers check against them, and `smc study run` compares them with the lake to know what can be reused. What does
not: making any table.

A fingerprint says how a table is derived, so it is known before the table is made. Bump a code version when the code
that makes a table changes what it writes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

from smc_dagster import frozen, weight_files
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Arm, Study, arm_key, digest_of
from smc_dagster.tables import RAW_DOCUMENTS, REALITY_ANCHORS, TABLES

Made = tuple[object, dict[str, str]]
# what is no table is told by the table that is written after it
MARKERS = {"checkpoints": "training_curves", "generator_model": "generator_curves"}
# one partition a version of the anchors: that of the study unless another is named
VERSIONED = ("reality_anchors", "anchor_embeddings", "anchor_tokens")
# findings that show what the pools are like
PROFILED = ("domain_sensitivity", "domain_correlations", "study_report")

CODE_VERSIONS = {
    "raw_documents": "2",
    "real_documents": "2",
    "real_embeddings": "1",
    "reality_anchors": "2",
    "anchor_embeddings": "1",
    "real_tokens": "1",
    "synthetic_tokens": "1",
    "anchor_tokens": "1",
    "generator_model": "1",
    "synthetic_documents": "2",
    "synthetic_embeddings": "1",
    "synthetic_scores": "6",
    "pool_overlaps": "1",
    "synthetic_profile": "2",
    "drift": "1",
    "day_drift": "1",
    "mixture_documents": "2",
    "mixture_composition": "2",
    "checkpoints": "4",
    "predictions": "2",
    "arm_metrics": "3",
    "headline": "3",
    "collapse_onset": "3",
    "safe_shares": "5",
    "attribution": "2",
    "mitigation_effects": "3",
    "provenance_thresholds": "3",
    "strictness_trade": "2",
    "domain_sensitivity": "2",
    "domain_correlations": "2",
    "benchmark_coverage": "1",
    "study_report": "8",
    "arm_audit": "1",
    "released_model": "1",
}


class Lineage:
    """Fingerprints due for one study over one lake.

    Args:
        study: the study.
        lake: its lake; read for the days it holds, never written.
        caps: digest of the caps in force for this study.
        strictness: digest of each row of the strictness seed, by level.
        mixture_code: digest of the dbt models that make mixtures.
        encoder: digest of the encoder weights.
        pool_files: hash of the files that a pool is read from; None for a pool that is no files'.
        language_model: digest of what the language model is trained on from.
        network: digest of what the networks of arms are trained from, where they are trained in full.
    """

    def __init__(
        self,
        study: Study,
        lake: Lake,
        *,
        caps: str,
        strictness: Mapping[str, str],
        mixture_code: str,
        encoder: str,
        pool_files: Callable[[str], str | None] = lambda pool: None,
        language_model: str = "",
        network: str = "",
    ) -> None:
        self.study = study
        self.lake = lake
        self._caps = caps
        self._strictness = strictness
        self._mixture_code = mixture_code
        self._encoder = encoder
        self._pool_files = pool_files
        self._language_model = language_model
        self._network = network
        self._memo: dict[tuple[str, str | None], Fingerprint] = {}
        self._frozen: frozen.Frozen | None = None

    def due(self, table: str, partition: str | None = None) -> Fingerprint:
        """The fingerprint that a table (or its partition: pool or arm) is due.

        `raw_documents` has its own method, as it depends on what the source holds on a day. Findings depend on the arms
        that are there: see `findings`. Anchors that are frozen are due as they are.

        Raises:
            StudyError, LakeError: see `frozen.find`.
        """
        key = (table, partition)
        if key not in self._memo and table == "reality_anchors" and (held := self.frozen_anchors()) is not None:
            self._memo[key] = held.fingerprint
        if key not in self._memo:
            part, inputs = getattr(self, f"_{table}")(*([] if partition is None else [partition]))
            self._memo[key] = self._make(table, part, inputs)
        return self._memo[key]

    def forget(self) -> None:
        """Read the lake anew; call after the days in it changed, or anchors were frozen."""
        self._memo.clear()
        self._frozen = None

    def under_caps(self, caps: str) -> Lineage:
        """What would be due if other caps were in force; `caps` is their digest."""
        other = copy.copy(self)
        other._caps, other._memo = caps, {}
        return other

    def partition(self, table: str, partition: str | None = None) -> str | None:
        """The partition of a table that is meant: the study's version of the anchors where none is named."""
        return self.study.anchors.version if table in VERSIONED and partition is None else partition

    def frozen_anchors(self) -> frozen.Frozen | None:
        """The study's version of the anchors; None where it is not frozen yet.

        Raises:
            StudyError, LakeError: see `frozen.find`.
        """
        if self._frozen is None:
            self._frozen = frozen.find(self.lake, self.study.anchors)
        return self._frozen

    def anchors_are_to_restore(self) -> bool:
        """Whether the frozen anchors' file is lost or cut, and the corpus they were chosen from is the one due."""
        held = self.frozen_anchors()
        if held is None or self.lake.fingerprint(REALITY_ANCHORS, held.version) is not None:
            return False
        return held.made_from == self.due("real_documents").digest

    def pinned_anchors(self) -> frozen.Frozen | None:
        """The frozen anchors whose splits `real_documents` must keep; None where the corpus is the one they came from.

        So the corpus that a version was chosen from is not made again because that version now is there.
        """
        held = self.frozen_anchors()
        unpinned = self._make("real_documents", *self._unpinned_documents())
        return None if held is None or held.made_from == unpinned.digest else held

    def raw_documents(self, signature: str) -> Fingerprint:
        """Fingerprint of a day's raw documents, given the signature of what the source holds."""
        corpus = self.study.corpus
        limits = {"min_words": corpus.min_words, "max_characters": corpus.max_characters}
        # what a path or a name holds is in the signature
        source = corpus.source.model_dump(mode="json", exclude={"path", "name"})
        part = {"source": source, "landing": corpus.landing.model_dump(mode="json"), **limits}
        return self._make("raw_documents", part, {"source": signature})

    def findings(self, table: str, arms: Iterable[str]) -> Fingerprint:
        """Fingerprint of a findings table drawn from the arms given."""
        study = self.study
        part = {
            "findings": study.findings.model_dump(mode="json"),
            "evaluation": study.evaluation.model_dump(mode="json"),
            "screening": study.screening.model_dump(mode="json"),
            "text": [study.name, study.title, study.question],
        }
        inputs = {f"arm_metrics[{arm}]": self.due("arm_metrics", arm).digest for arm in sorted(arms)}
        if table in PROFILED:
            for pool in study.pools:
                inputs[f"synthetic_profile[{pool}]"] = self.due("synthetic_profile", pool).digest
        return self._make(table, part, inputs)

    def is_fresh(self, table: str, partition: str | None = None) -> bool:
        """Whether the lake holds the table under the fingerprint it is due; of weights, whether they are whole too."""
        stored = self.lake.fingerprint(TABLES[MARKERS.get(table, table)], self.partition(table, partition))
        if stored is None or stored.digest != self.due(table, partition).digest:
            return False
        if table == "generator_model":
            places = map(weight_files.of_generation, range(self.study.generations))
            return all(weight_files.folder_is_whole(self.lake, place) for place in places)
        if table == "checkpoints" and partition is not None:
            if self.study.training.is_full:
                return weight_files.folder_is_whole(self.lake, weight_files.of_arm(partition))
            return weight_files.heads_are_whole(self.lake, partition)
        return True

    # ------------------------------------------------------------------ what each table is made from

    def _make(self, table: str, part: object, inputs: dict[str, str]) -> Fingerprint:
        return Fingerprint(table, digest_of(part), CODE_VERSIONS[table], inputs, self.study.seed)

    def _inputs(self, *tables: tuple[str, str | None]) -> dict[str, str]:
        return {name if key is None else f"{name}[{key}]": self.due(name, key).digest for name, key in tables}

    def _real_documents(self) -> Made:
        part, inputs = self._unpinned_documents()
        pinned = self.pinned_anchors()
        return part, inputs if pinned is None else inputs | {f"anchors[{pinned.version}]": pinned.content}

    def _unpinned_documents(self) -> Made:
        # the day is not part of a raw fingerprint: a day that brings nothing new leaves everything after it fresh
        found = [self.lake.fingerprint(RAW_DOCUMENTS, day) for day in self.lake.partitions(RAW_DOCUMENTS)]
        digests = sorted({one.digest for one in found if one is not None})
        study = self.study
        part = {
            "limits": [study.corpus.max_documents, study.corpus.min_label_documents],
            "exclude_labels": sorted(study.corpus.exclude_labels),
            "split": study.split.model_dump(mode="json"),
            "tail": study.tail.model_dump(mode="json"),
            "screening": [study.screening.jaccard],
            "synthetic_from": study.synthetic_from.value,
        }
        return part, {f"raw_documents#{i}": one for i, one in enumerate(digests)}

    def _real_embeddings(self) -> Made:
        return self._embedding_part(), self._inputs(("real_documents", None))

    def _embedding_part(self) -> object:
        return {"encoder": self._encoder, "max_tokens": self.study.training.max_tokens}

    def _reality_anchors(self) -> Made:
        inputs = self._inputs(("real_documents", None), ("real_embeddings", None))
        return self.study.anchors.model_dump(mode="json"), inputs

    def _anchor_embeddings(self) -> Made:
        return self._embedding_part(), self._inputs(("reality_anchors", None))

    def _real_tokens(self) -> Made:
        return self._token_part(), self._inputs(("real_documents", None))

    def _synthetic_tokens(self, pool: str) -> Made:
        return self._token_part(), self._inputs(("synthetic_documents", pool))

    def _anchor_tokens(self) -> Made:
        return self._token_part(), self._inputs(("reality_anchors", None))

    def _token_part(self) -> object:
        return {"network": self._network, "max_tokens": self.study.training.max_tokens}

    def _generator_model(self, generation: str | None = None) -> Made:
        """One generation, or the asset: all that the pools need."""
        if generation is None:
            return "all", self._inputs(*(("generator_model", str(one)) for one in range(self.study.generations)))
        # how often a checkpoint is written changes no weight
        section = self.study.language_model.model_dump(mode="json", exclude={"model", "checkpoint_every", "recursion"})
        part: dict[str, object] = {"section": section, "base": self._language_model}
        inputs = self._inputs(("real_documents", None))
        if generation != "0":
            part["recursion"] = self.study.language_model.recursion.model_dump(mode="json")
            inputs |= self._inputs(("generator_model", str(int(generation) - 1)))
        return part, inputs

    def _synthetic_documents(self, pool: str) -> Made:
        part, inputs = self.study.pools[pool].model_dump(mode="json"), self._inputs(("real_documents", None))
        generation = self.study.generation_of(pool)
        if generation is not None:
            inputs |= self._inputs(("generator_model", str(generation)))
        held = self._pool_files(pool)
        if held is not None:
            # what the path holds is in the signature
            part["settings"].pop("path", None)
            inputs["files"] = held
            part["limits"] = self.study.corpus.model_dump(mode="json", include={"min_words", "max_characters"})
            part["synthetic_from"] = self.study.synthetic_from.value
        return part, inputs

    def _synthetic_embeddings(self, pool: str) -> Made:
        return self._embedding_part(), self._inputs(("synthetic_documents", pool))

    def _synthetic_scores(self, pool: str) -> Made:
        part = self.study.screening.model_dump(mode="json", include={"jaccard", "contamination_floor", "run_words"})
        return part, self._inputs(("synthetic_documents", pool), ("real_documents", None), ("reality_anchors", None))

    def _synthetic_profile(self, pool: str) -> Made:
        inputs = self._inputs(("synthetic_scores", pool), ("synthetic_embeddings", pool), ("real_embeddings", None))
        return self.study.screening.model_dump(mode="json"), inputs

    def _pool_overlaps(self) -> Made:
        pools = [("synthetic_documents", pool) for pool in sorted(self.study.pools)]
        return self.study.screening.jaccard, self._inputs(("real_documents", None), *pools)

    def _drift(self, pool: str) -> Made:
        return "drift", self._inputs(("synthetic_embeddings", pool), ("real_embeddings", None))

    def _day_drift(self, day: str) -> Made:
        """A day and those before it, as the lake holds them."""
        days = [one for one in self.lake.partitions(RAW_DOCUMENTS) if one <= day]
        found = {f"raw_documents[{one}]": self.lake.fingerprint(RAW_DOCUMENTS, one) for one in days}
        inputs = {name: one.digest for name, one in found.items() if one is not None}
        return [self._embedding_part(), self.study.gates.drift.model_dump(mode="json")], inputs

    def _mixture_documents(self, key: str) -> Made:
        arm: Arm = self.study.arm(key)
        part = {
            "series": arm.series.model_dump(mode="json"),
            "share": arm.share,
            "replicates": self.study.replicates,
            "budget": self.study.budget,
            "synthetic_from": self.study.synthetic_from.value,
            "sql": self._mixture_code,
        }
        inputs = self._inputs(("real_documents", None))
        if arm.series.anchors:
            inputs |= self._inputs(("reality_anchors", None))
        if arm.series.caps:
            inputs["caps"] = self._caps
        if arm.series.pool is not None:
            inputs["strictness"] = self._strictness[arm.series.strictness.value]
            inputs |= self._inputs(("synthetic_scores", arm.series.pool))
        return part, inputs

    _mixture_composition = _mixture_documents

    def _checkpoints(self, key: str) -> Made:
        training, series = self.study.training, self.study.arm(key).series
        # of frozen vectors a head is made, of tokens a whole network
        text = "tokens" if training.is_full else "embeddings"
        inputs = self._inputs(("mixture_documents", key), (f"real_{text}", None))
        if series.anchors:
            inputs |= self._inputs((f"anchor_{text}", None))
        if series.pool is not None:
            inputs |= self._inputs((f"synthetic_{text}", series.pool))
        # how often a checkpoint is written changes no weight; where the network lies neither
        part = training.model_dump(mode="json", exclude={"model", "checkpoint_every"})
        if not training.label_smoothing:
            # what is trained without it does not depend on it: checkpoints from before the setting came stay fresh
            del part["label_smoothing"]
        return part | ({"network": self._network} if training.is_full else {}), inputs

    def _predictions(self, key: str) -> Made:
        text = "anchor_tokens" if self.study.training.is_full else "anchor_embeddings"
        return "predictions", self._inputs(("checkpoints", key), ("reality_anchors", None), (text, None))

    def _arm_metrics(self, key: str) -> Made:
        part = {"evaluation": self.study.evaluation.model_dump(mode="json"), "level": self.study.findings.level}
        return part, self._inputs(("predictions", key))

    def _arm_audit(self, key: str) -> Made:
        """An arm held to the gates; caps bind it even where its series does not obey them."""
        study, base = self.study, arm_key(self.study.arm(key).series.name, 0.0)
        inputs = self._inputs(("mixture_documents", key), ("arm_metrics", key), ("arm_metrics", base))
        gates = study.gates.model_dump(mode="json", exclude={"drift"})
        return [gates, study.findings.margin, study.findings.bootstrap_draws], inputs | {"caps": self._caps}

    def _released_model(self, key: str) -> Made:
        return "released", self._inputs(("checkpoints", key), ("arm_audit", key))
