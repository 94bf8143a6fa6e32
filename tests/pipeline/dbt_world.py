"""A small lake of real sentences with hostile names, and launches of the dbt project over it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from smc_dagster import frozen, places
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.mixing import launch, seeds
from smc_dagster.study import Arm, Study
from smc_dagster.tables import REAL_DOCUMENTS, REALITY_ANCHORS, SYNTHETIC_DOCUMENTS, SYNTHETIC_SCORES, TableSpec

# names as a team's own files may hold them: nothing here may reach a path or SQL as it stands
DOMAINS = {
    "argparse": ["argparse"],
    "O'Brien; drop table x -- ../[*]": ["json", "textwrap", "string"],
    '日本 <b>"é"</b>': ["logging", "logging.handlers"],
}
CAPS = [("mine", "*", "0.9"), ("mine", "O'Brien; drop table x -- ../[*]", "0.29"), ("other", "argparse", "0")]
SHARES = [0.0, 0.25, 0.5, 0.8]


def study(replicates: int = 2) -> Study:
    """Series that differ in filter, composition, caps, anchors, and in sharing out what these hold back."""
    return Study.model_validate(
        {
            "name": "mine",
            "title": "Small",
            "question": "Are the mixtures right?",
            "seed": 11,
            "corpus": {"source": {"kind": "files", "path": "."}},
            "pools": {"plain": {"generator": "none"}, "worn": {"generator": "none"}},
            "series": [
                {"name": "free", "pool": "plain", "caps": False},
                {"name": "capped", "pool": "plain"},
                {"name": "filtered", "pool": "worn", "strictness": "medium", "caps": False},
                {"name": "dropped", "composition": "drop"},
                {"name": "repeated", "composition": "repeat"},
                {"name": "added", "pool": "plain", "composition": "add"},
                {"name": "anchored", "pool": "plain", "caps": False, "anchors": True},
                {"name": "anchored_repeat", "composition": "repeat", "anchors": True},
                {"name": "anchored_drop", "composition": "drop", "caps": False, "anchors": True},
                {"name": "shared_out", "pool": "plain", "rebalance": True},
                {"name": "everything", "pool": "worn", "strictness": "weak", "anchors": True, "rebalance": True},
                {"name": "added_shared_out", "pool": "plain", "composition": "add", "anchors": True, "rebalance": True},
            ],
            "shares": SHARES,
            "replicates": replicates,
            "budget": 0.9,
            "anchors": {"train_share": 0.2},
        }
    )


@dataclass(frozen=True)
class World:
    """A filled lake and the project that mixes it."""

    lake: Lake
    lineage: Lineage
    study: Study

    def read(self, spec: TableSpec, pool: str | None = None) -> list[dict]:
        return self.lake.read(spec, pool).to_pylist()


def sentences() -> list[tuple[str, str, str]]:
    """Distinct (domain, label, text) from docstrings of the standard library."""
    found: dict[tuple[str, str, str], None] = {}
    for domain, names in DOMAINS.items():
        for name in names:
            module = importlib.import_module(name)
            texts = [module.__doc__ or ""]
            for one in vars(module).values():
                if inspect.isclass(one) or inspect.isfunction(one):
                    texts.append(inspect.getdoc(one) or "")
                    texts += [inspect.getdoc(part) or "" for part in vars(one).values() if inspect.isfunction(part)]
            for text in texts:
                for sentence in re.split(r"(?<=\.)\s+", text):
                    if len(sentence.split()) >= 4:
                        found[domain, f'{name}\'s "label"', " ".join(sentence.split())] = None
    return sorted(found)


def identity(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _share(key: str, salt: str) -> float:
    return int(identity(salt, key), 16) / 16**32


def _document(domain: str, label: str, text: str, provenance: str, *salt: str) -> dict:
    return {
        "doc_id": identity(domain, label, text, *salt),
        "domain": domain,
        "label": label,
        "text": text,
        "provenance": provenance,
        "source": "standard library",
    }


def fill(lake: Lake, lineage: Lineage, reverse: bool = False) -> None:
    """Write real documents, two pools and their scores; `reverse` writes the same rows in another order."""
    real, pools = [], {"plain": [], "worn": []}
    for domain, label, text in sentences():
        row = _document(domain, label, text, "human")
        at = _share(row["doc_id"], "split")
        split = "test" if at < 0.15 else "anchor_eval" if at < 0.25 else "validation" if at < 0.3 else "train"
        real.append(row | {"split": split, "is_tail": False, "day": "2026-01-01", "cluster_id": row["doc_id"]})
        if split != "train":
            continue
        pools["plain"].append(_document(domain, label, text.lower(), "templated", "plain"))
        # fewer than the shares ask for, so that the pool runs short
        if _share(row["doc_id"], "worn") < 0.7:
            pools["worn"].append(_document(domain, label, text.upper(), "generated", "worn"))
    # what the study does not count as synthetic is no part of a pool; nor is a domain without real rows
    pools["plain"].append(_document("argparse", 'argparse\'s "label"', "Edited by hand.", "edited", "plain"))
    pools["plain"].append(_document("nowhere", "nowhere", "A domain without real rows.", "templated", "plain"))
    freeze(lake, lineage, real)
    _write(lake, lineage, REAL_DOCUMENTS, None, real, reverse)
    for pool, rows in pools.items():
        _write(lake, lineage, SYNTHETIC_DOCUMENTS, pool, [row | {"pool": pool} for row in rows], reverse)
        _write(lake, lineage, SYNTHETIC_SCORES, pool, [_score(row["doc_id"], pool) for row in rows], not reverse)


def freeze(lake: Lake, lineage: Lineage, real: list[dict]) -> None:
    """A fifth of the training documents as anchors; besides, what a corpus that changed since leaves behind."""
    held = next(row for row in real if row["split"] == "test")
    chosen = [row for row in real if row["split"] == "train" and _share(row["doc_id"], "anchor") < 0.2]
    chosen.append(_document("argparse", 'argparse\'s "label"', "It has left the corpus since then.", "human"))
    chosen.append(_document("argparse", "a label that left", "Nothing of this label is left now.", "human"))
    rows = [row | {"slice": "anchor_train", "version": "v1", "is_tail": False} for row in [*chosen, held]]
    rows = [{name: row.get(name) for name in REALITY_ANCHORS.schema.names} for row in rows]
    table = pa.Table.from_pylist(rows, schema=REALITY_ANCHORS.schema)
    frozen.freeze(lake, table, lineage.study.anchors, lineage.due(REAL_DOCUMENTS.name).digest)
    lineage.forget()


def _score(doc_id: str, pool: str) -> dict:
    at = _share(doc_id, "score")
    return {
        "doc_id": doc_id,
        "pool": pool,
        "cluster_id": doc_id,
        "cluster_size": 1 + int(at * 5),
        "exact_copies": 1 + int(at * 17) % 3,
        "template_id": "t" if at > 0.6 else None,
        "template_size": 1 + int(at * 40),
        "template_share": 0.02 + at / 5,
        # every tenth resembles evaluation text; one was not measured
        "contamination": None if at < 0.01 else 0.95 if at < 0.1 else at / 2,
    }


def _write(lake: Lake, lineage: Lineage, spec: TableSpec, pool: str | None, rows: list[dict], reverse: bool) -> None:
    rows = rows[::-1] if reverse else rows
    lake.write(spec, pa.Table.from_pylist(rows, schema=spec.schema), lineage.due(spec.name, pool), pool)


def lineage_of(one: Study, lake: Lake) -> Lineage:
    return Lineage(
        one,
        lake,
        caps=seeds.caps_digest(one),
        strictness=seeds.strictness_digests(),
        mixture_code=seeds.mixture_code_digest(),
        encoder="none",
    )


def make_world(root: Path, reverse: bool = False) -> World:
    """A lake below a folder whose name would break unescaped SQL and wildcards."""
    one = study()
    lake = Lake(root / "la'ke [a-z]? *" / "x", one.name)
    lineage = lineage_of(one, lake)
    fill(lake, lineage, reverse)
    return World(lake, lineage, one)


def copy_project(target: Path, caps: list[tuple[str, str, str]] = CAPS) -> Path:
    """The dbt project with caps of the test's own."""
    shutil.copytree(places.CHECKOUT / "dbt_project", target, ignore=shutil.ignore_patterns("target", "logs"))
    lines = ["study,domain,cap,note", *(f'{name},"{domain}",{cap},' for name, domain, cap in caps)]
    (target / "seeds" / "caps.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def dbt(ready: launch.Launch, target: Path, *arguments: str) -> dict[str, str]:
    """Run dbt on a launch; the status of each node by its name."""
    done = subprocess.run(
        ready.command(*(arguments or ("build",)), target=target),
        env=os.environ | ready.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    results = target / "run_results.json"
    assert results.is_file(), done.stdout + done.stderr
    return {
        one["unique_id"].split(".")[2]: f"{one['status']} {one['message'] or ''}".strip()
        for one in json.loads(results.read_text())["results"]
    }


def build(world: World, arms: list[Arm], folder: Path, target: Path) -> launch.Launch:
    """Prepare and build; every model, data test and unit test must pass."""
    ready = launch.prepare(world.study, world.lake, arms, world.lineage, folder)
    statuses = dbt(ready, target)
    broken = {name: one for name, one in statuses.items() if not one.startswith(("success", "pass"))}
    assert broken == {}, broken
    return ready


@dataclass(frozen=True)
class Built:
    """A built and published world.

    Attributes:
        kept: copy of the launch's folder from before publishing.
        target: dbt's own artefacts; the next launch parses less with them.
    """

    world: World
    launch: launch.Launch
    published: dict[str, launch.MixtureSummary]
    project: Path
    target: Path
    kept: Path


def built_once(factory: pytest.TempPathFactory) -> Built:
    """All arms of the small study, built and published once a session."""
    return _build_all(factory.getbasetemp())


@cache
def _build_all(folder: Path) -> Built:
    root = folder / "dbt-world"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        project = copy_project(root / "project")
        patch.setenv("SMC_DBT_PROJECT", str(project))
        world = make_world(root)
        ready = build(world, world.study.arms, root / "it's a launch [1]", root / "target")
        kept = root / "kept"
        shutil.copytree(ready.folder, kept)
        published = launch.publish(ready, world.lake, world.lineage)
        return Built(world, ready, published, project, root / "target", kept)
