"""A word planted in held-out text alone must be found nowhere that a model or a generator could have learned it.

The corpus is real text in a file; documents that carry the word are those whose split is `test` or `anchor_eval`. After
the whole flow ran through Dagster with a pool of every generator, the word may stand in the tables that hold text as it
came, and nowhere else: not in what an endpoint was asked either. The team's own synthetic rows carry it where they name
a held-out document as their parent, and are refused for that.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from chat_server import Fronted, front
from conftest import Site

from smc_dagster.corpora.real import build_real_documents
from smc_dagster.corpora.text import doc_ids
from smc_dagster.definitions import build_defs
from smc_dagster.lake import Lake
from smc_dagster.study import Study, load_study
from smc_dagster.synthesis.registry import GENERATORS
from smc_dagster.tables import (
    ANCHOR_EVAL_SLICES,
    EVALUATION_SPLITS,
    MIXTURE_DOCUMENTS,
    RAW_DOCUMENTS,
    REAL_DOCUMENTS,
    REALITY_ANCHORS,
    SPLITS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_QUARANTINE,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from docstring_text import docstrings

WORD = "zyqcanaryqz"
# tables that hold text as it came
ALLOWED = ("raw_documents", "real_documents", "reality_anchors", "synthetic_quarantine")
MIXED = {"templated": "template", "sampled": "markov", "edited": "edit"}
OWN = "ours"
ASKED = "asked"
Row = tuple[str, str, str]


@dataclass(frozen=True)
class World:
    """A finished run, the endpoint that it asked, and what was asked."""

    site: Site
    server: Fronted
    asked: list[str]


def study_file(folder: Path, url: str) -> Path:
    pools: dict[str, dict] = {name: {"generator": generator, "ratio": 3} for name, generator in MIXED.items()}
    pools |= {"modelled": {"generator": "lm"}, "again": {"generator": "recursive"}}
    columns = {"domain": None, "parent_doc_id": "parent"}
    pools[OWN] = {"generator": "files", "settings": {"path": "ours.jsonl", "columns": columns}}
    pools[ASKED] = {"generator": "endpoint", "ratio": 0.1, "settings": {"base_url": url, "model": "m"}}
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": "canary",
        "title": "A planted word",
        "question": "Does held-out text reach anything that learns?",
        "seed": 7,
        "corpus": {"source": {"kind": "files", "path": "corpus.jsonl"}, "min_label_documents": 12},
        "tail": {"share": 0.3},
        "synthetic_from": "edited",
        "anchors": {"neighbours": 3},
        "pools": pools,
        "language_model": {"width": 32, "layers": 1, "heads": 2, "vocabulary": 400, "max_tokens": 32, "epochs": 1},
        "series": [{"name": name, "pool": name} for name in MIXED],
        "shares": [0, 0.5],
        "replicates": 1,
        "screening": {"coverage_sample": 20},
        "training": {"max_tokens": 16, "hidden": 16, "steps": 20, "batch": 32},
        "evaluation": {"null_draws": 20},
        "findings": {"bootstrap_draws": 100},
    }
    path = folder / "canary.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def columns_of(rows: list[Row]) -> list[pa.Array]:
    return [pa.array(one, pa.string()) for one in zip(*rows, strict=True)]


def splits(rows: list[Row], study: Study) -> list[str | None]:
    """The split of each row, as the flow draws it; None where the row does not stay."""
    domains, labels, texts = columns_of(rows)
    columns = {name: pa.nulls(len(rows), RAW_DOCUMENTS.schema.field(name).type) for name in RAW_DOCUMENTS.schema.names}
    columns |= {"doc_id": doc_ids(domains, labels, texts), "domain": domains, "label": labels, "text": texts}
    same = {"provenance": "human", "source": "files", "day": "2026-01-01", "file": "corpus.jsonl"}
    columns |= {name: pa.repeat(value, len(rows)) for name, value in same.items()}
    raw = pa.table(columns, schema=pa.schema([one.with_nullable(True) for one in RAW_DOCUMENTS.schema]))
    real = build_real_documents(raw, study)
    found = dict(zip(real["doc_id"].to_pylist(), real["split"].to_pylist(), strict=True))
    return [found.get(one) for one in columns["doc_id"].to_pylist()]


def planted(study: Study) -> list[Row]:
    """Real rows, some of which carry the word: those alone that land on the held-out side with it."""
    rows = [one for one in docstrings() if one[0] in ("email", "asyncio", "unittest")]
    carries = [True] * len(rows)
    for _ in range(20):
        now = [
            (domain, label, f"{text} {WORD}" if carry else text)
            for (domain, label, text), carry in zip(rows, carries, strict=True)
        ]
        found = splits(now, study)
        wrong = [carry and split not in EVALUATION_SPLITS for carry, split in zip(carries, found, strict=True)]
        if not any(wrong):
            return now
        carries = [carry and not bad for carry, bad in zip(carries, wrong, strict=True)]
    raise AssertionError("no set of planted rows settled on the held-out side")


def own_rows(rows: list[Row], study: Study) -> list[dict[str, str]]:
    """Rows of the team's own: training text in other words, and held-out text with the word, its parent named."""
    ids = doc_ids(*columns_of(rows)).to_pylist()
    found = list(zip(rows, splits(rows, study), ids, strict=True))
    own = [{"label": row[1], "text": f"As a rule: {row[2]}"} for row, split, _ in found if split == "train"]
    held = [one for one in found if one[1] in EVALUATION_SPLITS and WORD in one[0][2]][: len(own) // 5]
    assert len(held) > 10
    return own + [{"label": row[1], "text": f"As a rule: {row[2]}", "parent": parent} for row, _, parent in held]


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("canary")
    with front() as server:
        path = study_file(folder, server.url)
        study = load_study(str(path))
        rows = planted(study)
        names = ("domain", "label", "text")
        write_lines(folder / "corpus.jsonl", [dict(zip(names, row, strict=True)) for row in rows])
        write_lines(folder / "ours.jsonl", own_rows(rows, study))
        made = Site(folder / "data", "canary")
        done = made.smc("study", "run", "--study", str(path))
        assert done.returncode == 0, done.stderr
        yield World(made, server, asked_of(server))


def asked_of(server: Fronted) -> list[str]:
    """What a server was asked, as text."""
    return [json.dumps(body, ensure_ascii=False).lower() for _, body, _ in server.seen]


@pytest.fixture(scope="module")
def site(world: World) -> Site:
    return world.site


def carriers(folder: Path, word: str) -> set[str]:
    """Files below a folder that hold the word, whatever its case; Parquet is read, as it is compressed."""
    found = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            texts = (column for column in pq.read_table(path).columns if pa.types.is_string(column.type))
            held = any(pc.any(pc.match_substring(one, word, ignore_case=True)).as_py() for one in texts)
        else:
            held = word.encode() in path.read_bytes().lower()
        if held:
            found.add(str(path.relative_to(folder)))
    return found


def test_the_word_is_in_enough_held_out_text_to_be_found(site: Site) -> None:
    lake = Lake(site.lake, "canary")
    real = lake.read(REAL_DOCUMENTS)
    carrying = real.filter(pc.match_substring(real["text"], WORD))
    counts = {split: carrying["split"].to_pylist().count(split) for split in SPLITS}
    assert counts["train"] == counts["validation"] == 0
    assert counts["test"] > 30
    assert counts["anchor_eval"] > 30
    anchors = lake.read(REALITY_ANCHORS, "v1")
    of_slice = anchors.filter(pc.match_substring(anchors["text"], WORD, ignore_case=True))["slice"].to_pylist()
    assert set(of_slice) == set(ANCHOR_EVAL_SLICES)


def test_the_word_is_nowhere_but_in_real_text(site: Site) -> None:
    found = carriers(site.lake, WORD)
    assert {one.split("/")[0] for one in found} == set(ALLOWED)
    # unfinished work and caches of generators
    for name in ("work", "cache"):
        assert carriers(site.folder / name, WORD) == set()


def test_an_endpoint_is_asked_without_the_word(world: World) -> None:
    assert len(world.asked) > 10
    assert not [one for one in world.asked if WORD in one]


def test_a_row_of_the_teams_own_whose_parent_is_held_out_is_refused(site: Site) -> None:
    refused = Lake(site.lake, "canary").read(SYNTHETIC_QUARANTINE, OWN)
    assert set(refused["field"].to_pylist()) == {"parent_doc_id"}
    assert pc.all(pc.match_substring(refused["row"], WORD)).as_py()


def test_every_generator_and_both_language_models_are_among_what_was_searched(site: Site) -> None:
    study = load_study(str(site.folder.parent / "canary.yaml"))
    assert {pool.generator for pool in study.pools.values()} == set(GENERATORS)
    assert set(Lake(site.lake, "canary").partitions(SYNTHETIC_DOCUMENTS)) == set(study.pools)
    files = [path for path in (site.lake / "generator_model").rglob("*") if path.is_file()]
    assert len([path for path in files if "tokenizer.json" in path.name]) == study.generations == 2
    assert len([path for path in files if path.suffix == ".safetensors"]) == 2


def test_no_held_out_document_is_mixed_or_the_parent_of_what_is_made(site: Site) -> None:
    lake = Lake(site.lake, "canary")
    real = lake.read(REAL_DOCUMENTS)
    held = set(real.filter(pc.is_in(real["split"], value_set=pa.array(EVALUATION_SPLITS)))["doc_id"].to_pylist())
    held |= set(lake.read(REALITY_ANCHORS, "v1").filter(pc.field("slice") == "adversarial")["doc_id"].to_pylist())
    for arm in lake.partitions(MIXTURE_DOCUMENTS):
        assert not held & set(lake.read(MIXTURE_DOCUMENTS, arm)["doc_id"].to_pylist()), arm
    for path in (site.lake / "synthetic_documents").rglob("*.parquet"):
        table = pq.read_table(path)
        assert table.num_rows
        assert not held & {*table["doc_id"].to_pylist(), *table["parent_doc_id"].to_pylist()}, path


@pytest.mark.parametrize("pool", [*sorted(MIXED), OWN, ASKED])
def test_a_generator_that_is_handed_held_out_text_is_found_out(
    world: World, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: with every split handed to the generator, its pool or its prompts hold the word.

    A language model is no such pool: what trains it reads its split itself, and so small a one learns no rare word.
    """
    site, before = world.site, len(world.server.seen)
    shutil.copytree(site.folder, tmp_path / "data")
    other = Site(tmp_path / "data", "canary")
    monkeypatch.setattr("smc_dagster.synthesis.registry.TRAINING_SPLITS", SPLITS)
    for name, value in other.environment.items():
        if name.startswith("SMC_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(other.home))
    defs = build_defs(str(site.folder.parent / "canary.yaml"), str(other.lake))
    with dg.DagsterInstance.from_config(str(other.home)) as instance:
        result = defs.resolve_job_def("pools").execute_in_process(
            instance=instance,
            partition_key=pool,
            asset_selection=[dg.AssetKey("synthetic_documents")],
            raise_on_error=False,
        )
    assert result.asset_materializations_for_node("synthetic_documents")
    if pool == ASKED:
        assert any(WORD in one for one in asked_of(world.server)[before:])
    else:
        assert f"synthetic_documents/pool={pool}/data.parquet" in carriers(other.lake, WORD)
