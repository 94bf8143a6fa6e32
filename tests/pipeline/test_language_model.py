"""The language model killed in the middle, and as an asset of a small study with an `lm` and a `recursive` pool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Site

from smc_dagster.lake import Lake
from smc_dagster.study import load_study
from smc_dagster.tables import GENERATOR_CURVES, REAL_DOCUMENTS, SYNTHETIC_DOCUMENTS

RUN = Path(__file__).with_name("language_model_run.py")
CANARY = "qzxjkvwyqzxj"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(RUN), str(folder), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def kill_after(folder: Path, lines: int) -> None:
    """Run, and kill once so many steps or blocks are done."""
    process = start(folder, "--slow")
    for _ in range(lines):
        assert process.stdout is not None
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finish(folder: Path) -> list[int]:
    done, _ = start(folder).communicate(timeout=300)
    return [int(line) for line in done.split()]


def files(folder: Path) -> dict[str, bytes]:
    wanted = ["model/model.safetensors", "model/tokenizer.json", *(f"texts/texts-{i:06d}.json" for i in range(3))]
    return {name: (folder / name).read_bytes() for name in wanted}


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert finish(whole)[:3] == [1, 2, 3]
    kill_after(cut, 33)
    steps = [one.name for one in (cut / "checkpoints").iterdir()]
    assert steps == ["step-000000030"]
    assert not (cut / "model").exists()
    assert finish(cut)[0] == 31, "it began anew"
    assert files(cut) == files(whole)


def test_a_killed_sampler_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(whole)
    steps = json.loads((whole / "model" / "training_curve.json").read_text())["facts"]["steps"]
    kill_after(cut, steps + 1)
    first = cut / "texts" / "texts-000000.json"
    assert first.exists()
    assert not (cut / "texts" / "texts-000002.json").exists()
    written = first.stat().st_mtime_ns
    assert finish(cut) == [20, 40, 60]
    assert first.stat().st_mtime_ns == written, "a block that was there was drawn again"
    assert files(cut) == files(whole)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The tiny study with a language model of two generations, run up to its pools; a canary in what is held out."""
    folder = tmp_path_factory.mktemp("lm")
    spoken = yaml.safe_load((ROOT / "smc_dagster" / "studies" / "tiny.yaml").read_text())
    spoken |= {"name": "small_lm", "replicates": 1, "shares": [0, 0.6]}
    spoken["corpus"]["source"] = {"kind": "docstrings", "packages": ["jinja2"]}
    spoken["pools"] = {
        "sampled": {"generator": "lm", "settings": {"prototypes": 3}, "ratio": 0.5},
        "again": {"generator": "recursive", "settings": {"generation": 2}, "ratio": 0.5},
    }
    spoken["series"] = [{"name": "sampled", "pool": "sampled"}, {"name": "again", "pool": "again"}]
    spoken["language_model"] = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 400, "max_tokens": 32, "epochs": 1}
    study = folder / "small_lm.yaml"
    study.write_text(yaml.safe_dump(spoken))
    site = Site(folder / "data", str(study))
    outcome = site.json("study", "run")
    assert outcome["made"]["generator_model"] == 1
    return site


def lake(site: Site) -> Lake:
    return Lake(site.folder / "lake" / "small_lm", "small_lm")


def model_folder(site: Site, generation: int) -> Path:
    parent = site.folder / "lake" / "small_lm" / "generator_model" / f"generation={generation}"
    return parent / json.loads((parent / "current.json").read_text())["version"]


def test_the_model_is_a_folder_that_transformers_loads(ran: Site) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for generation in (0, 1):
        folder = model_folder(ran, generation)
        assert not [one for one in folder.rglob("*") if one.suffix in (".bin", ".pt", ".pkl", ".pth")]
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert model.get_output_embeddings().weight.shape[0] == len(tokenizer)
        labels = json.loads((folder / "labels.json").read_text())
        assert set(tokenizer.convert_tokens_to_ids([f"<|label:{i}|>" for i in range(len(labels))])) <= set(
            range(len(tokenizer))
        )
    first, second = (model_folder(ran, one) / "model.safetensors" for one in (0, 1))
    assert first.read_bytes() != second.read_bytes()


def test_pools_carry_grade_and_generator(ran: Site) -> None:
    found = {pool: lake(ran).read(SYNTHETIC_DOCUMENTS, pool) for pool in ("sampled", "again")}
    assert set(found["sampled"]["provenance"].to_pylist()) == {"generated"}
    assert set(found["again"]["provenance"].to_pylist()) == {"recursive"}
    assert set(found["again"]["generator"].to_pylist()) == {"recursive"}
    curves = lake(ran).read(GENERATOR_CURVES)
    assert set(curves["generation"].to_pylist()) == {0, 1}
    assert not (ran.folder / "work" / "small_lm" / "generator_model").exists()


def test_a_second_run_reuses_the_model(ran: Site) -> None:
    outcome = ran.json("study", "run")
    assert sum(outcome["made"].values()) == 0
    assert outcome["reused"]["generator_model"] == 1


def test_one_more_generation_leaves_the_first_ones(ran: Site) -> None:
    before = {one: model_folder(ran, one) for one in (0, 1)}
    study = Path(ran.study)
    spoken = yaml.safe_load(study.read_text())
    spoken["pools"]["third"] = {"generator": "recursive", "settings": {"generation": 3}, "ratio": 0.5}
    study.write_text(yaml.safe_dump(spoken))
    outcome = ran.json("study", "run")
    assert outcome["made"]["generator_model"] == 1
    assert outcome["made"]["synthetic_documents"] == 1
    assert {one: model_folder(ran, one) for one in (0, 1)} == before
    assert model_folder(ran, 2).is_dir()


def test_only_training_text_reaches_the_tokenizer(ran: Site) -> None:
    """A word that stands in held-out text alone, often enough to become a token if it were seen, is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from smc_dagster.defs.language_model import generation
    from smc_dagster.workbench import open_workbench

    bench = open_workbench(ran.study, str(ran.folder / "lake" / "small_lm"))
    real = lake(ran).read(REAL_DOCUMENTS)
    held = pc.invert(pc.is_in(real["split"], value_set=pa.array(["train", "anchor_train"])))
    assert pc.sum(held).as_py() > 20
    text = pc.if_else(held, CANARY, real["text"])
    planted = real.set_column(real.schema.get_field_index("text"), "text", text)
    bench.write("real_documents", planted)
    bench.lake.fs.rm(bench.lake.place("generator_model"), recursive=True)
    generation(bench, 0, print)
    assert CANARY[:4] not in (model_folder(ran, 0) / "tokenizer.json").read_text()


def test_the_diversity_study_loads_and_its_pools_are_valid() -> None:
    from smc_dagster.synthesis.registry import check_pools

    study = load_study("diversity")
    check_pools(study)
    assert len(study.pools) == 5
    assert {one.generator for one in study.pools.values()} == {"lm"}
    assert [one.pool for one in study.series] == list(study.pools)
