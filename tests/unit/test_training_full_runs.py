"""Runs of whole networks beside a plain loop of torch: starts, schedule, micro-batches, what is told, what is due."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from full_jobs import LABELS, documents, job_of, study
from small_network import config

from smc_dagster.errors import ModelError
from smc_dagster.fit.loop import Fitted
from smc_dagster.training.full import network, outputs, replicates, run, store
from smc_dagster.training.full.base import tokenizer_of
from smc_dagster.training.full.flops import Cost

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return config(tmp_path_factory.mktemp("config"))


def test_networks_are_those_of_a_plain_loop(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torch's own loop over whole batches of padded texts, from the texts on."""
    asked = study(base, weight_decay=0.5, warmup=0.5, label_smoothing=0.3)
    job = job_of(tmp_path / "job", asked, "one@00")
    starts: list[torch.nn.Module] = []
    began = network.begin

    def begin(*given: object, **named: object) -> torch.nn.Module:
        starts.append(copy.deepcopy(model := began(*given, **named)))
        return model

    monkeypatch.setattr(network, "begin", begin)
    run.run(job, tmp_path / "work", tmp_path / "out", workers=1)
    tokenizer = tokenizer_of(asked.training.model)
    for replicate, model in enumerate(starts):
        groups = [
            {"params": [one for one in model.parameters() if one.dim() > 1], "weight_decay": 0.5},
            {"params": [one for one in model.parameters() if one.dim() < 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, foreach=False)
        losses = []
        for step, (rows, codes) in enumerate(zip(*job.order(job.arms[0], replicate), strict=True)):
            for group in optimiser.param_groups:
                # 3 steps up, 3 down
                group["lr"] = 0.01 * ((step + 1) / 3 if step < 3 else (1 + np.cos(np.pi * (step - 3) / 3)) / 2)
            texts = documents()["text"].take(pa.array(rows)).to_pylist()
            # padded beyond the longest, which must change nothing
            given = tokenizer(texts, padding="max_length", max_length=20, return_tensors="pt")
            z = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
            loss = torch.nn.functional.cross_entropy(z, torch.from_numpy(codes.astype(np.int64)), label_smoothing=0.3)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
        folder = tmp_path / "out" / "one@00" / f"replicate={replicate}"
        assert json.loads((folder / outputs.RECORD).read_text())["losses"] == pytest.approx(losses, abs=1e-4)
        # a parameter whose gradient is near 0 goes a step up or down by how its sum was rounded
        apart = [
            (one - two).abs() for one, two in zip(network.opened(folder).parameters(), model.parameters(), strict=True)
        ]
        assert torch.cat([one.flatten() for one in apart]).quantile(0.99) < 1e-4


def test_a_start_is_that_of_its_seed(base: Path) -> None:
    def start(seed: int) -> list[torch.Tensor]:
        before = torch.get_rng_state()
        model = network.begin(base, LABELS, seed, scratch=True, padding=0)
        assert torch.equal(torch.get_rng_state(), before), "the process's own generator was disturbed"
        return list(model.parameters())

    first = start(1)
    torch.rand(1)
    assert all(torch.equal(one, two) for one, two in zip(first, start(1), strict=True))
    assert not torch.equal(first[0], start(2)[0])


def test_starts_differ_by_replicate_and_study_seed_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    began = network.begin

    def begin(folder: Path, labels: list[str], seed: int, **named: object) -> torch.nn.Module:
        seeds.append(seed)
        return began(folder, labels, seed, **named)

    monkeypatch.setattr(network, "begin", begin)
    job = job_of(tmp_path / "job", study(base, steps=1), "one@00", "two@30")
    run.run(job, tmp_path / "work", tmp_path / "out", workers=1)
    assert seeds[:2] == seeds[2:]
    run.run(replace(job, settings=replace(job.settings, seed=99)), tmp_path / "w", tmp_path / "o", workers=1)
    assert len(set(seeds)) == 4


def test_where_memory_is_short_texts_go_one_at_a_time(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path / "job", study(base, steps=2), "one@00")
    run.run(job, tmp_path / "work", tmp_path / "out")
    inner, most = network.logits, 1

    def short(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> torch.Tensor:
        if len(ids) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return inner(model, ids, mask)

    monkeypatch.setattr(network, "logits", short)
    run.run(job, tmp_path / "work", tmp_path / "short")
    plain, halved = (store.gather(tmp_path / name / "one@00", LABELS) for name in ("out", "short"))
    # from 2048 positions to 8, in which no two texts of 5 tokens or more fit
    assert (plain.facts["halvings"], halved.facts["halvings"]) == (0, 8)
    assert [one[2] for one in halved.curve] == pytest.approx([one[2] for one in plain.curve], abs=1e-5)
    most = 0
    with pytest.raises(ModelError, match="memory does not suffice for one text at a time"):
        run.run(job, tmp_path / "work", tmp_path / "none")


def test_weights_that_the_last_step_broke_are_noticed(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", study(base, steps=1), "one@00")
    # beyond the largest float32
    broken = replace(job, settings=replace(job.settings, learning_rate=1e39))
    with pytest.raises(ModelError, match="holds a number that is not finite"):
        run.run(broken, tmp_path / "work", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/replicate=*"))


def test_what_is_due_anew_is_trained_anew(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", study(base, steps=2), "one@00")
    told: list[tuple[str, int, int, int]] = []

    def tell(*given: Any) -> None:
        told.append(given)

    work, out = tmp_path / "work", tmp_path / "out"
    run.run(job, work, out, progress=tell)
    again = len(told)
    run.run(job, work, out, progress=tell)
    assert len(told) == again
    # a replicate that is not due any more
    shutil.copytree(out / "one@00" / "replicate=1", out / "one@00" / "replicate=7")
    run.run(job, work, out, progress=tell)
    assert sorted(one.name for one in (out / "one@00").glob("rep*")) == ["replicate=0", "replicate=1"]
    assert len(told) == again
    other = replace(job, arms=[replace(job.arms[0], digest="another mixture")])
    run.run(other, work, out, progress=tell)
    assert len(told) == 2 * again


def test_what_is_told_of_an_arm(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", study(base), "one@00")
    counts = {"examples": 48, "text_tokens": 300, "positions": 400, "squares": 5000}
    folder = tmp_path / "out"
    for replicate in (0, 1):
        # three of six steps were done before this part of the run, which took 5 s
        fitted = Fitted([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], counts, 0, 3)
        one = replicates.Replicate(job, job.arms[0], replicate, tmp_path / "work", folder)
        said = replicates._record(one, fitted, Cost(1, 10, 100), torch.device("cpu"), 5.0, 2)
        (folder / f"replicate={replicate}").mkdir(parents=True)
        assert (said["memory_peak_bytes"] > 10**7, said["gpu_memory_peak_bytes"]) == (True, 0)
        said |= {"memory_peak_bytes": 7 - replicate}
        (folder / f"replicate={replicate}" / outputs.RECORD).write_text(json.dumps(said))
    arm = store.gather(folder, LABELS)
    # 10 s a replicate, of two threads
    assert arm.seconds == 40.0
    assert arm.facts["tokens_per_second"] == 30.0
    assert arm.facts["memory_peak_bytes"] == 7
    assert arm.curve == [(0, 6, 3.5), (1, 6, 3.5)]
    assert arm.budget["flops_spent"] == 3 * (48 + 4000 + 500_000)
