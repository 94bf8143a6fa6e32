"""Training several networks of one shape as one: their tensors stacked, one operation for all of them.

What belongs here: the loop over a stack; whose loss, gradient norm, failure and checkpoint is whose. What does not: how
a network is called on a stack (the caller), the loop for one network (loop.py).

Members share steps and schedule and nothing else: each has its own texts, its gradient is clipped by its own norm, it
leaves checkpoints that the loop for one network goes on from as well, and where it fails the others go on without it.
Sums are taken in another order than for one network alone, so weights are the same within rounding and not to the bit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smc_dagster.errors import DeviceError, ModelError
from smc_dagster.fit import checkpoint
from smc_dagster.fit.checkpoint import State
from smc_dagster.fit.faults import is_lost_device, is_out_of_memory, lost_device, no_memory_for_one
from smc_dagster.fit.loop import Fitted
from smc_dagster.fit.optimiser import MOMENTS, Schedule, adamw, owned_by, restore, start_of
from smc_dagster.hardware import one_torch_thread, release_memory


@dataclass(frozen=True)
class Member:
    """A network of a stack.

    Attributes:
        model: as it starts; holds the trained weights once it is done.
        folder: of its checkpoints.
        key: what its run is made from; checkpoints of another key are left alone.
        named: what an error calls its run.
        remedy: what to do about a loss that is no number.
        progress: called with (steps done, steps).
    """

    model: Any
    folder: Path
    key: str
    named: str
    remedy: str
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class StackWork:
    """What a step of a stack works on.

    Attributes:
        parts: micro-batches, each of all members; what one is, only the loss knows.
        counts: what the step counts, of each member in order.
        finest: no micro-batch could be smaller.
    """

    parts: Sequence[Any]
    counts: Sequence[dict[str, int]]
    finest: bool


@dataclass
class _Course:
    """How a member's run went so far."""

    began: int
    losses: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _CrowdedError(Exception):
    """Memory does not hold so many members."""


Work = Callable[[int, int, Sequence[int]], StackWork]
Loss = Callable[[dict[str, Any], Any], Any]


def fit_stack(
    members: Sequence[Member],
    work: Work,
    loss_of: Loss,
    schedule: Schedule,
    place: Any,
    *,
    spared: Mapping[str, int] | None = None,
) -> list[Fitted | ModelError]:
    """Train all members in place, each going on from its newest checkpoint.

    Members of the same step make a stack. Where memory runs out, micro-batches are halved; where not even one text of
    each fits, half as many members are stacked, at last one.

    Args:
        work: called with (step from 0, halvings, numbers of the members in the stack); must give the same for the same.
        loss_of: called with (tensors [members, ...] by name, micro-batch); each member's part of its step's loss,
            [members].
        place: device of the stack; the models may lie elsewhere.
        spared: by name of a tensor the row whose gradient is 0.

    Returns:
        of each member what it did, or why it failed; its last checkpoint before that stays.

    Raises:
        DeviceError: the device is gone.
    """
    stacks: dict[int, list[int]] = {}
    began = {}
    for number, member in enumerate(members):
        found = checkpoint.latest(member.folder, member.key)
        began[number] = found.step if found is not None else 0
        stacks.setdefault(began[number], []).append(number)
    results: dict[int, Fitted | ModelError] = {}
    for numbers in stacks.values():
        _fit_all(_Runs(members, began, work, loss_of, schedule, place, spared or {}, results), numbers)
    return [results[number] for number in range(len(members))]


@dataclass(frozen=True)
class _Runs:
    """What all stacks share."""

    members: Sequence[Member]
    began: dict[int, int]
    work: Work
    loss_of: Loss
    schedule: Schedule
    place: Any
    spared: Mapping[str, int]
    results: dict[int, Fitted | ModelError]


def _fit_all(runs: _Runs, numbers: list[int]) -> None:
    """One stack of them, or halves of it where memory does not hold one."""
    try:
        _Stack(runs, numbers).run()
        return
    except DeviceError:
        raise
    except ModelError as error:
        # of a stack that began with one: others are left out, or halved
        runs.results[numbers[0]] = error
        return
    except _CrowdedError:
        # left before memory is asked for again, so that nothing of the stack is held any more
        pass
    release_memory(runs.place)
    half = (len(numbers) + 1) // 2
    for part in (numbers[:half], numbers[half:]):
        left = [one for one in part if one not in runs.results]
        if left:
            _fit_all(runs, left)


class _Stack:
    """Members at one step.

    Attributes:
        numbers: of the members that are left, in the order of the tensors.
        owned: tensors [members, ...] by name.
    """

    def __init__(self, runs: _Runs, numbers: list[int]) -> None:
        self._runs, self.numbers = runs, list(numbers)
        self._alone = len(numbers) == 1
        states = [self._state_of(number) for number in numbers]
        self._step = states[0].step
        self._halvings = max(one.halvings for one in states)
        self._courses = {
            number: _Course(runs.began[number], list(one.losses), Counter(one.counts))
            for number, one in zip(numbers, states, strict=True)
        }
        self._decayed = {name for name, one in states[0].weights.items() if one.dim() > 1}
        self._hold(
            {name: [one.weights[name] for one in states] for name in states[0].weights},
            {name: [one.moments[name] for one in states] for name in states[0].moments},
        )

    def run(self) -> None:
        """Every step that is left, of all members that do not fail."""
        schedule = self._runs.schedule
        with one_torch_thread():
            while self._step < schedule.steps and self.numbers:
                if not self._take_step():
                    continue
                if self._step % schedule.checkpoint_every == 0 or self._step == schedule.steps:
                    try:
                        self._save()
                    except RuntimeError as error:
                        # what a GPU met in the step is told by the first that reads from it
                        raise self._judged(error) from error
                self._tell()
        self._finish()

    def _take_step(self) -> bool:
        """Whether the step was taken; else it is to be taken again, by fewer or in smaller pieces."""
        due = self._runs.work(self._step, self._halvings, self.numbers)
        try:
            losses, found = self._gradients(due)
            bad = [at for at, loss in enumerate(losses) if not math.isfinite(loss)]
            if not bad:
                self._give(found)
        except (MemoryError, RuntimeError) as error:
            if not due.finest and is_out_of_memory(error):
                self._halvings += 1
                self._optimiser.zero_grad()
                release_memory(self._runs.place)
                return False
            raise self._judged(error) from error
        if bad:
            when = f"step {self._step + 1} of {self._runs.schedule.steps}"
            for at in bad:
                member = self._runs.members[self.numbers[at]]
                self._runs.results[self.numbers[at]] = ModelError(
                    f"{member.named}: the loss is {losses[at]} at {when}", member.remedy
                )
            del found
            self._keep([at for at in range(len(losses)) if at not in bad])
            return False
        for group in self._optimiser.param_groups:
            group["lr"] = self._runs.schedule.rate(self._step)
        self._optimiser.step()
        self._optimiser.zero_grad()
        for number, loss, counts in zip(self.numbers, losses, due.counts, strict=True):
            self._courses[number].losses.append(loss)
            self._courses[number].counts.update(counts)
        self._step += 1
        return True

    def _gradients(self, due: StackWork) -> tuple[list[float], list[Any]]:
        """Loss of each member, and the gradient of the stack; members do not share a tensor, so each gets its own."""
        import torch

        tensors = list(self.owned.values())
        losses: list[Any] = []
        total: list[Any] = []
        for part in due.parts:
            loss = self._runs.loss_of(self.owned, part)
            found = torch.autograd.grad(loss.sum(), tensors, allow_unused=True, materialize_grads=True)
            losses.append(loss.detach())
            if total:
                torch._foreach_add_(total, found)
            else:
                total = list(found)
        return torch.stack(losses).sum(dim=0).tolist(), total

    def _give(self, found: list[Any]) -> None:
        """Give the tensors their gradients, each member's clipped as `torch.nn.utils.clip_grad_norm_` does."""
        import torch

        for at, (name, one) in enumerate(zip(self.owned, found, strict=True)):
            # fused AdamW reads weights and gradients by their place in memory
            found[at] = one.contiguous()
            if name in self._runs.spared:
                found[at][:, self._runs.spared[name]] = 0
        norms = torch.stack([one.view(len(one), -1).norm(dim=1) for one in found]).norm(dim=0)
        factors = (self._runs.schedule.clip / (norms + 1e-6)).clamp(max=1.0)
        for tensor, one in zip(self.owned.values(), found, strict=True):
            tensor.grad = one.mul_(factors.view(-1, *[1] * (one.dim() - 1)))

    def _save(self) -> None:
        lost = []
        for at, number in enumerate(self.numbers):
            member, course = self._runs.members[number], self._courses[number]
            weights = {name: one[at].detach().cpu().contiguous() for name, one in self.owned.items()}
            moments = {
                f"{moment}/{name}": self._optimiser.state[one][moment][at].cpu().contiguous()
                for name, one in self.owned.items()
                for moment in MOMENTS
            }
            state = State(self._step, course.losses, dict(course.counts), self._halvings, weights, moments)
            try:
                checkpoint.save(member.folder, member.key, state)
            except ModelError as error:
                self._runs.results[number] = error
                lost.append(at)
        if lost:
            self._keep([at for at in range(len(self.numbers)) if at not in lost])

    def _tell(self) -> None:
        for number in self.numbers:
            progress = self._runs.members[number].progress
            if progress is not None:
                progress(self._step, self._runs.schedule.steps)

    def _finish(self) -> None:
        import torch

        for at, number in enumerate(self.numbers):
            course = self._courses[number]
            with torch.no_grad():
                for name, one in owned_by(self._runs.members[number].model).items():
                    one.copy_(self.owned[name][at])
            self._runs.results[number] = Fitted(course.losses, dict(course.counts), self._halvings, course.began)

    def _keep(self, places: list[int]) -> None:
        """Leave out all but the members at these places."""
        self.numbers = [self.numbers[at] for at in places]
        if self.numbers:
            state = self._optimiser.state
            weights = {name: [one[at] for at in places] for name, one in self.owned.items()}
            moments = {
                f"{moment}/{name}": [state[one][moment][at] for at in places]
                for name, one in self.owned.items()
                for moment in MOMENTS
            }
            self._hold(weights, moments)

    def _hold(self, weights: dict[str, list[Any]], moments: dict[str, list[Any]]) -> None:
        """Make tensors and optimiser of what each member has."""
        import torch

        def stacked(tensors: list[Any]) -> Any:
            return torch.stack([one.detach().to(self._runs.place) for one in tensors])

        try:
            self.owned = {name: stacked(one).requires_grad_() for name, one in weights.items()}
            self._optimiser = adamw(self.owned, self._decayed, self._runs.schedule)
            restore(self._optimiser, self.owned, self._step, lambda name: stacked(moments[name]))
        except (MemoryError, RuntimeError) as error:
            raise self._judged(error) from error

    def _state_of(self, number: int) -> State:
        member = self._runs.members[number]
        return checkpoint.latest(member.folder, member.key) or start_of(owned_by(member.model))

    def _judged(self, error: BaseException) -> BaseException:
        """What an error means that smaller micro-batches do not mend."""
        first = self._runs.members[self.numbers[0]]
        at = f"{first.named}, step {self._step + 1} of {self._runs.schedule.steps}"
        if is_out_of_memory(error):
            # one that is left of several may fit once what the others took is given back
            return no_memory_for_one(at) if self._alone else _CrowdedError()
        if is_lost_device(error):
            return lost_device(at, self._runs.place, error)
        return error
