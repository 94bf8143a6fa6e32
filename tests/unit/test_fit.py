"""The loop that trains networks: cut and gone on with, out of memory, a lost device, no number, a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_dagster.errors import DeviceError, ModelError
from smc_dagster.fit import checkpoint, loop
from smc_dagster.fit.gradients import Work
from smc_dagster.fit.loop import Fitted, fit
from smc_dagster.fit.optimiser import Schedule

pytestmark = pytest.mark.unit
SCHEDULE = Schedule(6, lambda step: 0.01 * (step + 1), 0.1, (0.8, 0.99), 0.1, 2)
INPUTS = torch.randn(48, 5, generator=torch.Generator().manual_seed(1))
ANSWERS = torch.randint(0, 3, (48,), generator=torch.Generator().manual_seed(2))


def network() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))


def work(step: int, halvings: int) -> Work:
    """Eight rows, in two lanes of four, cut in halves as often as is asked."""
    rows, size = list(range(step * 8, step * 8 + 8)), max(1, 4 >> halvings)
    lanes = [[rows[lane::2][first : first + size] for first in range(0, 4, size)] for lane in (0, 1)]
    return Work(lanes, {"rows": len(rows)}, size == 1)


Loss = Callable[[list[int]], Any]


def trained(
    folder: Path,
    *,
    loss: Callable[[torch.nn.Module], Loss] | None = None,
    until: int | None = None,
    schedule: Schedule = SCHEDULE,
) -> tuple[torch.nn.Module, Fitted]:
    model = network()

    def plain(rows: list[int]) -> Any:
        return torch.nn.functional.cross_entropy(model(INPUTS[rows]), ANSWERS[rows], reduction="sum") / 8

    def stop(done: int, total: int) -> None:
        if done == until:
            raise KeyboardInterrupt

    loss_of = plain if loss is None else loss(model)
    done = fit(model, work, loss_of, schedule, folder, "key", named="it", remedy="less", progress=stop)
    return model, done


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [one.detach() for one in model.parameters()]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def raising(error: Exception, rows: list[int]) -> Callable[[torch.nn.Module], Loss]:
    """A loss that raises where a micro-batch holds all of `rows`."""

    def of(model: torch.nn.Module) -> Loss:
        def loss(some: list[int]) -> Any:
            if set(rows) <= set(some):
                raise error
            return torch.nn.functional.cross_entropy(model(INPUTS[some]), ANSWERS[some], reduction="sum") / 8

        return loss

    return of


def test_it_is_adamw_on_the_mean_gradient(tmp_path: Path) -> None:
    """Against torch's own loop over whole batches."""
    model, done = trained(tmp_path)
    other = network()
    matrices = [one for one in other.parameters() if one.dim() > 1]
    rest = [one for one in other.parameters() if one.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], betas=(0.8, 0.99)
    )
    for step in range(6):
        for group in optimiser.param_groups:
            group["lr"] = SCHEDULE.rate(step)
        optimiser.zero_grad()
        rows = slice(step * 8, step * 8 + 8)
        loss = torch.nn.functional.cross_entropy(other(INPUTS[rows]), ANSWERS[rows])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(other.parameters(), 0.1)
        assert norm > 0.2, "nothing was clipped"
        optimiser.step()
        assert done.losses[step] == pytest.approx(loss.item(), abs=1e-6)
    for one, two in zip(weights(model), weights(other), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    assert done.counts == {"rows": 48}


def test_a_gradient_that_lies_otherwise_in_memory_is_taken_as_it_is(tmp_path: Path) -> None:
    """Fused AdamW takes numbers by their place in memory: a transposed gradient would move the wrong weights."""
    slopes = torch.arange(6.0).view(2, 3) - 2.5
    model = torch.nn.Module()
    model.w = torch.nn.Parameter(torch.zeros(3, 2))

    def due(step: int, halvings: int) -> Work:
        return Work([[0]], {}, True)

    def loss(part: int) -> Any:
        return (model.w.t() * slopes).sum()

    fit(model, due, loss, replace(SCHEDULE, steps=1), tmp_path, "key", named="it", remedy="less")
    # the first step of AdamW is the rate, against the sign
    assert torch.allclose(model.w.detach(), -0.01 * slopes.t().sign(), atol=1e-6)


@pytest.mark.parametrize("until", [1, 3, 4])
def test_a_run_that_was_cut_ends_the_same_on_one_core_as_on_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: int
) -> None:
    whole, told = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", until=until)
    monkeypatch.setattr(loop, "cores", lambda: 1)
    again, done = trained(tmp_path / "cut")
    # the checkpoint of a step is on disk before the step is told
    assert done.resumed == until - until % 2
    assert same(again, whole)
    assert (done.losses, done.counts) == (told.losses, told.counts)


def test_the_last_step_is_kept_whatever_the_interval(tmp_path: Path) -> None:
    seldom = replace(SCHEDULE, checkpoint_every=4)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, until=6, schedule=seldom)
    _, done = trained(tmp_path, schedule=seldom)
    assert done.resumed == 6


def test_where_memory_runs_out_the_micro_batch_is_halved(tmp_path: Path) -> None:
    rows = [16, 18, 20, 22]
    failing = raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), rows)
    model, done = trained(tmp_path / "short", loss=failing)
    assert done.halvings == 1
    assert done.counts == {"rows": 48}, "a step saw other rows than it was due"
    whole, before = trained(tmp_path / "whole")
    assert before.halvings == 0
    for one, two in zip(weights(model), weights(whole), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    found = checkpoint.latest(tmp_path / "short", "key")
    assert found is not None
    assert found.halvings == 1
    with pytest.raises(ModelError, match=r"it, step 3 of 6: memory does not suffice for one text"):
        trained(tmp_path / "none", loss=raising(torch.OutOfMemoryError("CUDA out of memory"), [17]))
    found = checkpoint.latest(tmp_path / "none", "key")
    assert found is not None
    assert found.step == 2


def test_a_lost_device_and_an_error_of_ours_are_told_apart(tmp_path: Path) -> None:
    for gone in (torch.AcceleratorError("the launch timed out"), RuntimeError("NCCL error: the launch timed out")):
        with pytest.raises(DeviceError, match=r"it, step 5 of 6: the device `cpu` failed: .*the launch timed out"):
            trained(tmp_path, loss=raising(gone, [33]))
        found = checkpoint.latest(tmp_path, "key")
        assert found is not None
        assert found.step == 4
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trained(tmp_path, loss=raising(RuntimeError("shapes do not fit"), [33]))


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    def bad(model: torch.nn.Module) -> Loss:
        return lambda rows: model(INPUTS[rows]).sum() * (float("nan") if 24 in rows else 1.0)

    with pytest.raises(ModelError, match="it: the loss is nan at step 4 of 6"):
        trained(tmp_path, loss=bad)
    found = checkpoint.latest(tmp_path, "key")
    assert found is not None
    assert found.step == 2


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = checkpoint.State(2, [1.5], {"rows": 9}, 0, {"w": torch.ones(3)}, {"exp_avg/w": torch.zeros(3)})
    checkpoint.save(tmp_path, "key", state)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        checkpoint.save(tmp_path, "key", checkpoint.State(4, [], {}, 0, {"w": torch.zeros(3)}, {"m": torch.ones(1)}))
    assert [one.name for one in tmp_path.iterdir()] == ["step-000000002"]
    found = checkpoint.latest(tmp_path, "key")
    assert found is not None
    assert (found.step, found.losses, found.counts, found.weights["w"].tolist()) == (2, [1.5], {"rows": 9}, [1, 1, 1])
    assert checkpoint.latest(tmp_path, "another") is None


def test_the_newest_whole_checkpoint_counts_and_older_ones_go(tmp_path: Path) -> None:
    def kept(step: int) -> None:
        checkpoint.save(tmp_path, "key", checkpoint.State(step, [], {}, 0, {"w": torch.ones(3)}, {"m": torch.ones(3)}))

    def found() -> int | None:
        state = checkpoint.latest(tmp_path, "key")
        return None if state is None else state.step

    kept(2)
    shutil.copytree(tmp_path / "step-000000002", tmp_path.with_name("aside"))
    kept(10)
    assert [one.name for one in tmp_path.iterdir()] == ["step-000000010"]
    # as it is after a kill between writing the new one and removing the old one
    shutil.copytree(tmp_path.with_name("aside"), tmp_path / "step-000000002")
    assert found() == 10
    (tmp_path / "step-000000010" / checkpoint.WEIGHTS).write_bytes(b"no safetensors")
    assert found() == 2
    (tmp_path / "step-000000002" / checkpoint.STATE).write_text("{}")
    assert found() is None
