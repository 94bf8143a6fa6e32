"""A word planted in held-out text alone must be found nowhere that a model or a generator could have learned it.

The corpus is real text in a file; documents that carry the word are those whose split is `test` or `anchor_eval`. After
the whole flow ran through Dagster, the word may stand in the tables that hold real text, and nowhere else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Site

from smc_dagster.corpora.real import build_real_documents
from smc_dagster.corpora.text import doc_ids
from smc_dagster.definitions import build_defs
from smc_dagster.lake import Lake
from smc_dagster.study import Study, load_study
from smc_dagster.tables import (
    ANCHOR_EVAL_SLICES,
    EVALUATION_SPLITS,
    MIXTURE_DOCUMENTS,
    RAW_DOCUMENTS,
    REAL_DOCUMENTS,
    REALITY_ANCHORS,
    SPLITS,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from docstring_text import docstrings

WORD = "zyqcanaryqz"
# tables that hold real text as it came
ALLOWED = ("raw_documents", "real_documents", "reality_anchors")
POOLS = {"templated": "template", "sampled": "markov", "edited": "edit"}
Row = tuple[str, str, str]


def study_file(folder: Path) -> Path:
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
        "pools": {name: {"generator": generator} for name, generator in [*POOLS.items(), ("modelled", "lm")]},
        "language_model": {"width": 32, "layers": 1, "heads": 2, "vocabulary": 400, "max_tokens": 32, "epochs": 1},
        "series": [{"name": name, "pool": name} for name in POOLS],
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


def splits(rows: list[Row], study: Study) -> list[str | None]:
    """The split of each row, as the flow draws it; None where the row does not stay."""
    domains, labels, texts = (pa.array(one, pa.string()) for one in zip(*rows, strict=True))
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
    carries = [place % 2 == 0 for place in range(len(rows))]
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("canary")
    path = study_file(folder)
    rows = planted(load_study(str(path)))
    lines = [json.dumps(dict(zip(("domain", "label", "text"), row, strict=True))) for row in rows]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    made = Site(folder / "data", "canary")
    done = made.smc("study", "run", "--study", str(path))
    assert done.returncode == 0, done.stderr
    return made


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


def test_the_language_model_and_its_tokenizer_are_among_what_was_searched(site: Site) -> None:
    files = {path.name for path in (site.lake / "generator_model").rglob("*") if path.is_file()}
    assert any("tokenizer" in name for name in files)
    assert any(name.endswith(".safetensors") for name in files)
    assert (site.lake / "synthetic_documents" / "pool=modelled" / "data.parquet").is_file()


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


@pytest.mark.parametrize("pool", sorted(POOLS))
def test_a_generator_that_is_handed_held_out_text_is_found_out(
    site: Site, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with every split handed to the generator, the pool's table holds the word."""
    import shutil

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
    assert f"synthetic_documents/pool={pool}/data.parquet" in carriers(other.lake, WORD)
