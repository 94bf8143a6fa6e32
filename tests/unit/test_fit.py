"""The loop that trains networks: cut and gone on with, out of memory, a lost device, no number, a full disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_dagster.errors import DeviceError, ModelError
from smc_dagster.fit import checkpoint, loop
from smc_dagster.fit.gradients import Work
from smc_dagster.fit.loop import Fitted, Schedule, fit

pytestmark = pytest.mark.unit
SCHEDULE = Schedule(6, lambda step: 0.01 * (step + 1), 0.1, (0.9, 0.999), 1.0, 2)
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
    folder: Path, *, loss: Callable[[torch.nn.Module], Loss] | None = None, until: int | None = None
) -> tuple[torch.nn.Module, Fitted]:
    model = network()

    def plain(rows: list[int]) -> Any:
        return torch.nn.functional.cross_entropy(model(INPUTS[rows]), ANSWERS[rows], reduction="sum") / 8

    def stop(done: int, total: int) -> None:
        if done == until:
            raise KeyboardInterrupt

    loss_of = plain if loss is None else loss(model)
    done = fit(model, work, loss_of, SCHEDULE, folder, "key", named="it", remedy="less", progress=stop)
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
        [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], betas=(0.9, 0.999)
    )
    for step in range(6):
        for group in optimiser.param_groups:
            group["lr"] = SCHEDULE.rate(step)
        optimiser.zero_grad()
        rows = slice(step * 8, step * 8 + 8)
        loss = torch.nn.functional.cross_entropy(other(INPUTS[rows]), ANSWERS[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimiser.step()
        assert done.losses[step] == pytest.approx(loss.item(), abs=1e-6)
    for one, two in zip(weights(model), weights(other), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    assert done.counts == {"rows": 48}


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
    gone = torch.AcceleratorError("CUDA error: the launch timed out")
    with pytest.raises(DeviceError, match=r"it, step 5 of 6: the device `cpu` failed: CUDA error"):
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


def test_a_damaged_checkpoint_is_none(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "key", checkpoint.State(2, [], {}, 0, {"w": torch.ones(3)}, {"m/w": torch.ones(3)}))
    (tmp_path / "step-000000002" / checkpoint.WEIGHTS).write_bytes(b"no safetensors")
    assert checkpoint.latest(tmp_path, "key") is None
