"""Several networks trained as one: each as by itself, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_dagster.errors import DeviceError, ModelError
from smc_dagster.fit import checkpoint
from smc_dagster.fit.gradients import Work
from smc_dagster.fit.loop import Fitted, fit
from smc_dagster.fit.optimiser import Schedule
from smc_dagster.fit.stack import Member, StackWork, fit_stack

pytestmark = pytest.mark.unit
# 0.1 clips every gradient
SCHEDULE = Schedule(6, lambda step: 0.01 * (step + 1), 0.1, (0.8, 0.99), 0.1, 2)
INPUTS = torch.randn(200, 5, generator=torch.Generator().manual_seed(1))
ANSWERS = torch.randint(0, 3, (200,), generator=torch.Generator().manual_seed(2))
CPU = torch.device("cpu")
Part = list[list[int]]


def network(number: int) -> torch.nn.Module:
    torch.manual_seed(number)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))


def rows_of(number: int, step: int) -> list[int]:
    """Eight rows, others for each member."""
    return list(range(step * 8 + number * 40, step * 8 + number * 40 + 8))


def work(step: int, halvings: int, numbers: Sequence[int]) -> StackWork:
    size = max(1, 4 >> halvings)
    rows = [rows_of(number, step) for number in numbers]
    parts = [[own[first : first + size] for own in rows] for first in range(0, 8, size)]
    return StackWork(parts, [{"rows": 8, "mine": number} for number in numbers], size == 1)


def loss(owned: dict[str, Any], part: Part) -> Any:
    call = network(0)
    z = torch.func.vmap(lambda weights, x: torch.func.functional_call(call, weights, (x,)))(
        owned, INPUTS[torch.tensor(part)]
    )
    return (
        torch.nn.functional.cross_entropy(z.flatten(0, 1), ANSWERS[torch.tensor(part)].flatten(), reduction="none")
        .view(len(part), -1)
        .sum(1)
        / 8
    )


def alone(folder: Path, number: int, schedule: Schedule = SCHEDULE) -> tuple[torch.nn.Module, Fitted]:
    """The same run by the loop for one network."""
    model = network(number)

    def due(step: int, halvings: int) -> Work:
        return Work([[rows_of(number, step)]], {"rows": 8, "mine": number}, False)

    def own(rows: list[int]) -> Any:
        return torch.nn.functional.cross_entropy(model(INPUTS[rows]), ANSWERS[rows], reduction="sum") / 8

    return model, fit(model, due, own, schedule, folder, "key", named="it", remedy="less")


def stacked(
    folder: Path,
    numbers: Sequence[int] = (0, 1, 2),
    *,
    loss_of: Callable[[dict[str, Any], Part], Any] = loss,
    until: int | None = None,
    schedule: Schedule = SCHEDULE,
) -> tuple[list[torch.nn.Module], list[Fitted | ModelError]]:
    def stop(done: int, total: int) -> None:
        if done == until:
            raise KeyboardInterrupt

    models = [network(number) for number in numbers]
    members = [
        Member(model, folder / str(number), "key", f"member {number}", "less", stop)
        for number, model in zip(numbers, models, strict=True)
    ]

    def due(step: int, halvings: int, places: Sequence[int]) -> StackWork:
        return work(step, halvings, [numbers[place] for place in places])

    return models, fit_stack(members, due, loss_of, schedule, CPU)


def close(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def fitted(result: Fitted | ModelError) -> Fitted:
    assert isinstance(result, Fitted), result
    return result


@pytest.mark.parametrize("clip", [0.1, 100.0])
def test_each_is_trained_as_by_itself(tmp_path: Path, clip: float) -> None:
    schedule = replace(SCHEDULE, clip=clip)
    models, results = stacked(tmp_path / "stack", schedule=schedule)
    for number, model in enumerate(models):
        other, told = alone(tmp_path / f"alone {number}", number, schedule)
        assert close(model, other)
        found = fitted(results[number])
        assert found.losses == pytest.approx(told.losses, abs=1e-6)
        assert (found.counts, found.halvings, found.resumed) == (told.counts, 0, 0)


def test_each_gradient_is_clipped_by_its_own_norm(tmp_path: Path) -> None:
    """One member's loss is a thousand times the others'; theirs must not be clipped by it."""

    def steep(owned: dict[str, Any], part: Part) -> Any:
        return loss(owned, part) * torch.tensor([1000.0, 1.0, 1.0])

    models, _ = stacked(tmp_path / "stack", loss_of=steep)
    for number in (1, 2):
        assert close(models[number], alone(tmp_path / f"alone {number}", number)[0])


def test_a_stack_that_was_cut_is_gone_on_with_stacked_or_one_by_one(tmp_path: Path) -> None:
    whole, told = stacked(tmp_path / "whole")
    for folder in ("together", "apart"):
        with pytest.raises(KeyboardInterrupt):
            stacked(tmp_path / folder, until=3)
    again, results = stacked(tmp_path / "together")
    for number in range(3):
        one, done = alone(tmp_path / "apart" / str(number), number)
        assert close(again[number], whole[number])
        assert close(one, whole[number])
        assert done.resumed == fitted(results[number]).resumed == 2
        expected = fitted(told[number])
        assert fitted(results[number]).losses == pytest.approx(expected.losses, abs=1e-6)
        assert (done.counts, fitted(results[number]).counts) == (expected.counts, expected.counts)


def test_members_at_other_steps_are_stacked_apart(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stacked(tmp_path, (1,), until=4)
    models, results = stacked(tmp_path)
    assert [fitted(one).resumed for one in results] == [0, 4, 0]
    for number, model in enumerate(models):
        assert close(model, alone(tmp_path / f"alone {number}", number)[0])


def test_one_whose_loss_is_no_number_is_left_out(tmp_path: Path) -> None:
    def bad(owned: dict[str, Any], part: Part) -> Any:
        # row 40 + 24 is of member 1, step 4
        return loss(owned, part) * torch.tensor([float("nan") if 64 in own else 1.0 for own in part])

    models, results = stacked(tmp_path / "stack", loss_of=bad)
    assert str(results[1]).startswith("member 1: the loss is nan at step 4 of 6")
    kept = checkpoint.latest(tmp_path / "stack" / "1", "key")
    assert kept is not None
    assert kept.step == 2
    for number in (0, 2):
        assert close(models[number], alone(tmp_path / f"alone {number}", number)[0])
        assert fitted(results[number]).counts == {"rows": 48, "mine": 6 * number}


def test_all_may_fail(tmp_path: Path) -> None:
    _, results = stacked(tmp_path, loss_of=lambda owned, part: loss(owned, part) * float("nan"))
    assert all(isinstance(one, ModelError) for one in results)


@pytest.mark.parametrize(
    ("held", "halvings"),
    [
        # rows of all members at once, and what that leads to
        (6, 1),  # two rows of each of three
        (3, 2),  # one of each
        (2, 2),  # one of each of two: the third is trained by itself, at four rows less
        (1, 2),
    ],
)
def test_where_memory_runs_out_pieces_are_halved_then_the_stack(tmp_path: Path, held: int, halvings: int) -> None:
    most: list[int] = []

    def short(owned: dict[str, Any], part: Part) -> Any:
        size = sum(map(len, part))
        if size > held:
            raise torch.OutOfMemoryError("CUDA out of memory")
        most.append(size)
        return loss(owned, part)

    models, results = stacked(tmp_path / "stack", loss_of=short)
    assert max(most) == held
    assert max(fitted(one).halvings for one in results) == halvings
    for number, model in enumerate(models):
        assert close(model, alone(tmp_path / f"alone {number}", number)[0])
        assert fitted(results[number]).counts == {"rows": 48, "mine": 6 * number}, (
            "a step saw other rows than it was due"
        )


def test_a_stack_that_is_gone_on_with_keeps_its_halvings(tmp_path: Path) -> None:
    def short(owned: dict[str, Any], part: Part) -> Any:
        if sum(map(len, part)) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(owned, part)

    with pytest.raises(KeyboardInterrupt):
        stacked(tmp_path, loss_of=short, until=3)
    _, results = stacked(tmp_path)
    assert [fitted(one).halvings for one in results] == [1, 1, 1]


def test_where_memory_does_not_hold_one_row_each_fails_for_itself(tmp_path: Path) -> None:
    def short(owned: dict[str, Any], part: Part) -> Any:
        # member 2's third step alone
        if any(96 in own for own in part):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return loss(owned, part)

    models, results = stacked(tmp_path / "stack", loss_of=short)
    assert str(results[2]).startswith("member 2, step 3 of 6: memory does not suffice for one text at a time")
    for number in (0, 1):
        assert close(models[number], alone(tmp_path / f"alone {number}", number)[0])


def test_one_that_is_left_of_several_may_fit_when_the_others_are_gone(tmp_path: Path) -> None:
    refused = []

    def short(owned: dict[str, Any], part: Part) -> Any:
        # step 2 of member 2, once: what the others took is still held
        if not refused and len(part) == 1 and len(part[0]) == 1 and part[0][0] == 88:
            refused.append(part)
            raise torch.OutOfMemoryError("CUDA out of memory")
        if part[0][0] >= 88 and not refused and len(part) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(owned, part) * torch.tensor([float("nan") if own[0] < 80 else 1.0 for own in part])

    models, results = stacked(tmp_path / "stack", loss_of=short)
    assert refused
    for number in (0, 1):
        assert str(results[number]).startswith(f"member {number}: the loss is nan at step 1 of 6")
    assert fitted(results[2]).counts == {"rows": 48, "mine": 12}
    assert close(models[2], alone(tmp_path / "alone", 2)[0])


def test_memory_that_does_not_hold_the_stack_itself_halves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, sizes = torch.stack, []

    def stack(tensors: Any, *given: Any, **named: Any) -> Any:
        if len(tensors) == 3 and tensors[0].shape == (7, 5):
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(tensors))
        return inner(tensors, *given, **named)

    monkeypatch.setattr(torch, "stack", stack)
    models, _ = stacked(tmp_path / "stack")
    monkeypatch.undo()
    for number, model in enumerate(models):
        assert close(model, alone(tmp_path / f"alone {number}", number)[0])


def test_a_lost_device_and_an_error_of_ours_are_told_apart(tmp_path: Path) -> None:
    def raising(error: Exception) -> Callable[[dict[str, Any], Part], Any]:
        def of(owned: dict[str, Any], part: Part) -> Any:
            if 32 in part[0]:
                raise error
            return loss(owned, part)

        return of

    with pytest.raises(DeviceError, match=r"member 0, step 5 of 6: the device `cpu` failed: .*the launch timed out"):
        stacked(tmp_path, loss_of=raising(torch.AcceleratorError("the launch timed out")))
    found = checkpoint.latest(tmp_path / "1", "key")
    assert found is not None
    assert found.step == 4
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        stacked(tmp_path, loss_of=raising(RuntimeError("shapes do not fit")))


def test_one_whose_checkpoint_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "0").write_text("a file where a folder is due")
    models, results = stacked(tmp_path / "stack")
    assert "the checkpoint of step 2 could not be written" in str(results[0])
    for number in (1, 2):
        assert close(models[number], alone(tmp_path / f"alone {number}", number)[0])


def test_the_last_step_is_kept_whatever_the_interval(tmp_path: Path) -> None:
    seldom = replace(SCHEDULE, checkpoint_every=4)
    with pytest.raises(KeyboardInterrupt):
        stacked(tmp_path, until=6, schedule=seldom)
    _, results = stacked(tmp_path, schedule=seldom)
    assert [fitted(one).resumed for one in results] == [6, 6, 6]
