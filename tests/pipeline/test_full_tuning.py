"""Whole networks of arms: a run that is killed, and a study that trains them here and elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, Site
from small_network import config

from smc_dagster.errors import LakeError, ModelError
from smc_dagster.lake import Lake
from smc_dagster.tables import PREDICTIONS, REAL_DOCUMENTS, REAL_TOKENS
from smc_dagster.training.__main__ import main
from smc_dagster.training.full.job import ArmJob, Job, Settings, write_job, write_order, write_tokens
from smc_dagster.training.full.run import run
from smc_dagster.training.full.spread import launch
from smc_dagster.training.weights import DEFAULT_ENCODER, TOKENIZER_FILES, encoder_folder

SLOWLY = """
import sys, time
from pathlib import Path
from smc_dagster.training.full.job import read_job
from smc_dagster.training.full.run import run
def tell(arm, replicate, done, total):
    print(done, flush=True)
    time.sleep(0.05)
job = read_job(Path(sys.argv[1]))
run(job, job.folder / "work", job.folder / "out", workers=1, progress=tell)
"""


def made_job(folder: Path, replicates: int = 1) -> Job:
    """Twelve steps of replicates on made-up texts."""
    random = np.random.default_rng(0)
    folder.mkdir()
    config(folder / "base")
    counts = random.integers(3, 20, 50)
    write_tokens(folder, [(random.integers(4, 20, int(counts.sum())), counts)], 2)
    arm = ArmJob("one@00", "one@00", "digest")
    numbers = list(range(replicates))
    for replicate in numbers:
        write_order(folder, arm, replicate, random.integers(0, 50, (12, 8)), random.integers(0, 3, (12, 8)))
    job = Job(folder, "s", ["a", "b", "c"], Settings(1, True, 0, 20, 12, 8, 0.01, 0.1, 0.1, 4), 2, numbers, [arm])
    write_job(job)
    return job


def test_a_killed_run_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    job = made_job(tmp_path / "job")
    shutil.copytree(job.folder, tmp_path / "killed")
    began = []
    for lines in (6, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY, str(tmp_path / "killed")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        began.append(said[0])
    assert began == [1, 5], "the second run did not go on from the checkpoint of step 4"
    told: list[int] = []
    killed = Job(**{**job.__dict__, "folder": tmp_path / "killed"})
    run(killed, killed.folder / "work", killed.folder / "out", progress=lambda *given: told.append(given[2]))
    assert told[0] == 9
    run(job, tmp_path / "work", tmp_path / "out")
    names = [Path("one@00") / "replicate=0" / "model.safetensors"]
    assert [(killed.folder / "out" / one).read_bytes() for one in names] == [
        (tmp_path / "out" / one).read_bytes() for one in names
    ]
    records = [
        json.loads((place / "one@00" / "replicate=0" / "training.json").read_text())
        for place in (killed.folder / "out", tmp_path / "out")
    ]
    assert records[0]["losses"] == records[1]["losses"]
    assert records[0]["budget"] == records[1]["budget"]


# what transformers and torch bring along (numpy, yaml, fsspec) may be there; what the rest of the package takes may not
ALONE = """
import sys
class Without:
    # a finder that has never heard of some packages
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def find_spec(self, name, path=None, target=None):
        lacking = {"dagster", "dbt", "duckdb", "pydantic", "pandas", "daft", "faiss", "sklearn"}
        return None if name.split(".")[0] in lacking else self.inner.find_spec(name, path, target)
sys.meta_path[:] = [Without(one) for one in sys.meta_path]
from smc_dagster.training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_packed_job_runs_with_little_installed(tmp_path: Path) -> None:
    job = made_job(tmp_path / "job")
    command = [sys.executable, "-c", ALONE, str(job.folder)]
    there = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=there, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "one@00: done" in done.stdout
    run(job, tmp_path / "work", tmp_path / "out")
    trained = Path("out") / "one@00" / "replicate=0" / "model.safetensors"
    assert (job.folder / trained).read_bytes() == (tmp_path / trained).read_bytes()
    assert main([str(tmp_path)]) == 2


def test_several_processes_share_a_job(tmp_path: Path) -> None:
    """As on several GPUs: each replicate is trained by one of them, and comes out as by itself."""
    job = made_job(tmp_path / "job", replicates=3)
    done: list[str] = []
    told: set[int] = set()
    launch(
        job,
        tmp_path / "work",
        tmp_path / "parts",
        2,
        on_arm=lambda arm: done.append(arm.key),
        progress=lambda arm, replicate, step, steps: told.add(replicate),
    )
    assert (done, told) == (["one@00"], {0, 1, 2})
    run(job, tmp_path / "work", tmp_path / "alone")
    for replicate in range(3):
        name = Path("one@00") / f"replicate={replicate}" / "model.safetensors"
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_process_that_fails_leaves_the_others_their_part(tmp_path: Path) -> None:
    job = made_job(tmp_path / "job", replicates=2)
    # replicate 1 is the second process's
    (job.folder / "arms" / "one@00" / "rows-1.npy").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"rows-1\.npy"):
        launch(job, tmp_path / "w", tmp_path / "o", 2, on_arm=lambda arm: None, progress=lambda *given: None)
    assert [one.name for one in (tmp_path / "o" / "one@00").iterdir()] == ["replicate=0"]


@pytest.fixture
def full(tiny_copy: Site, tmp_path: Path) -> Site:
    """The tiny study as it was run, but that whole networks are due: small ones, with the default's tokenizer."""
    base = config(tmp_path / "base")
    for name in (*TOKENIZER_FILES, "tokenizer_config.json"):
        shutil.copyfile(encoder_folder(DEFAULT_ENCODER) / name, base / name)
    held = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(held | {"vocab_size": 30522}))
    spoken = yaml.safe_load((ROOT / "smc_dagster" / "studies" / "tiny.yaml").read_text())
    spoken["training"] = {
        "tuning": "full",
        "model": {"config": "base"},
        "max_tokens": 32,
        "steps": 12,
        "batch": 32,
        "learning_rate": 0.01,
    }
    (tmp_path / "full.yaml").write_text(yaml.safe_dump(spoken))
    return Site(tiny_copy.folder, str(tmp_path / "full.yaml"))


def test_a_study_of_whole_networks(full: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two arms trained in a run of the study, a third packed, trained apart and adopted."""
    from transformers import AutoModelForSequenceClassification

    from smc_dagster.cli.arms import arm_rows
    from smc_dagster.cli.training import adopt, pack
    from smc_dagster.defs.evaluation import evaluation_documents, full_judge
    from smc_dagster.defs.full_training import train_full
    from smc_dagster.workbench import open_workbench

    outcome = full.json("study", "run", "--arms", "templated@00,templated@30")
    made = outcome["made"]
    tokens = {name: made[name] for name in ("real_tokens", "anchor_tokens", "synthetic_tokens")}
    assert tokens == dict.fromkeys(tokens, 1)
    assert made["real_embeddings"] == 0
    assert (made["mixture_documents"], made["checkpoints"], made["arm_metrics"]) == (0, 2, 2)
    lake = Lake(full.folder / "lake" / "tiny", "tiny")
    predicted = lake.read(PREDICTIONS, "templated@30")
    assert set(predicted["replicate"].to_pylist()) == {0, 1}
    assert max(map(len, lake.read(REAL_TOKENS)["tokens"].to_pylist())) == 32
    folder = next((full.folder / "lake" / "tiny" / "checkpoints" / "arm=templated@30").glob("v-*/replicate=1"))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    labels = sorted(set(lake.read(REAL_DOCUMENTS, columns=["label"])["label"].to_pylist()))
    assert list(model.config.id2label.values()) == labels
    told = full.json("export", "templated@30", str(tmp_path / "exported"))
    assert told["verified"]["same_label"] == told["verified"]["documents"] > 100
    assert told["verified"]["largest_difference"] < 0.1
    exported = AutoModelForSequenceClassification.from_pretrained(tmp_path / "exported")
    assert list(exported.config.id2label.values()) == labels
    for name, value in full.environment.items():
        monkeypatch.setenv(name, value)
    job = tmp_path / "job"
    pack(job, study=full.study, select="real_dropped@60,templated@30", lake=None, as_json=True)
    assert json.loads((job / "job.json").read_text())["arms"][0]["key"] == "real_dropped@60"
    adopt(job, study=full.study, lake=None, as_json=True)
    assert not lake.fs.glob(lake.place("checkpoints", "arm=real_dropped@60", "v-*")), "adopted before it was trained"
    assert main([str(job)]) == 0
    adopt(job, study=full.study, lake=None, as_json=True)
    # what the lake holds is not trained again, and is judged
    bench = open_workbench(full.study, str(full.folder / "lake" / "tiny"))
    monkeypatch.setattr("smc_dagster.defs.full_training.run", None)
    told_of: list[str] = []
    train_full(bench, ["real_dropped@60", "templated@00"], labels, lambda key, arm, place: told_of.append(key))
    assert told_of == ["real_dropped@60", "templated@00"]
    # as with two GPUs: by two processes, which this one only starts
    monkeypatch.setattr("smc_dagster.defs.full_training.gpus", lambda: 2)
    train_full(bench, ["real_dropped@30"], labels, lambda key, arm, place: told_of.append(key))
    assert told_of[-1] == "real_dropped@30"
    trained = lake.fs.glob(lake.place("checkpoints", "arm=real_dropped@30", "v-*", "replicate=*"))
    assert {Path(one).name for one in trained} == {"replicate=0", "replicate=1"}
    documents, tokens = evaluation_documents(bench), [bench.read("real_tokens"), bench.read("anchor_tokens")]
    assert full_judge(bench, documents, tokens)("real_dropped@60").num_rows == predicted.num_rows
    again = full_judge(bench, documents.take(np.arange(documents.num_rows)[::-7]), tokens)("templated@30")
    known = {(row["replicate"], row["slice"], row["doc_id"]): row for row in predicted.to_pylist()}
    assert again.num_rows > 0
    assert all(known[row["replicate"], row["slice"], row["doc_id"]] == row for row in again.to_pylist())
    rows = {row["arm"]: row for row in arm_rows(bench, bench.study.arms)}
    assert [rows[arm]["checkpoints"] for arm in ("templated@30", "real_dropped@60", "templated@60")] == [
        "built",
        "built",
        "stale",
    ]
    assert rows["templated@30"]["seconds_from"] == "measured"
    assert rows["templated@60"]["seconds_from"] == "estimated"
    said = json.loads((job / "job.json").read_text())
    said["arms"][0]["digest"] = "another"
    (job / "job.json").write_text(json.dumps(said))
    for one in job.glob("out/*/*/training.json"):
        one.write_text(json.dumps(json.loads(one.read_text()) | {"digest": "another"}))
    with pytest.raises(LakeError, match="was trained on other inputs"):
        adopt(job, study=full.study, lake=None, as_json=True)
