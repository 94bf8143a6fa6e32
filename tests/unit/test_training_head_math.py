"""The head's gradient against autograd, its cost against torch's counter, its schedule and its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from smc_dagster.training.head_math import (
    PARAMETERS,
    gradients,
    initial_parameters,
    logits,
    rate_factor,
    training_flops,
)

pytestmark = pytest.mark.unit
WIDTH, HIDDEN, LABELS, BATCH = 12, 7, 5, 9


def _start(replicate: int = 0) -> dict[str, torch.Tensor]:
    start = initial_parameters(WIDTH, HIDDEN, LABELS, seed=3, replicate=replicate)
    return {name: torch.from_numpy(start[name]) for name in PARAMETERS}


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(BATCH, WIDTH)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, LABELS, BATCH))


def _loss(own: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """By torch's own, for autograd."""
    hidden = torch.relu(x @ own["hidden.weight"] + own["hidden.bias"])
    return torch.nn.functional.cross_entropy(hidden @ own["output.weight"] + own["output.bias"], y)


def test_gradient_is_that_of_autograd() -> None:
    parameters, (x, y) = _start(), _batch()
    out = {name: torch.full_like(value, 7.0) for name, value in parameters.items()}
    found = gradients(parameters, x, y, out)
    own = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    loss = _loss(own, x, y)
    loss.backward()
    assert found.item() == pytest.approx(loss.item(), abs=1e-6)
    for name in PARAMETERS:
        torch.testing.assert_close(out[name], own[name].grad, atol=1e-6, rtol=1e-5)


def test_stacked_heads_say_what_each_says() -> None:
    heads, (x, _) = [_start(0), _start(1)], _batch()
    stacked = {name: torch.stack([head[name] for head in heads]) for name in PARAMETERS}
    for found, head in zip(logits(stacked, x.expand(2, -1, -1)), heads, strict=True):
        due = torch.relu(x @ head["hidden.weight"] + head["hidden.bias"]) @ head["output.weight"] + head["output.bias"]
        torch.testing.assert_close(found, due, atol=1e-6, rtol=1e-5)


def test_flops_are_those_torch_counts() -> None:
    parameters, (x, y) = _start(), _batch()
    own = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    with FlopCounterMode(display=False) as counter:
        _loss(own, x, y).backward()
    assert training_flops(WIDTH, HIDDEN, LABELS, steps=1, batch=BATCH) == counter.get_total_flops()
    assert training_flops(WIDTH, HIDDEN, LABELS, steps=10, batch=BATCH) == 10 * counter.get_total_flops()


def test_flops_of_the_manual_step_are_the_same() -> None:
    parameters, (x, y) = _start(), _batch()
    out = {name: torch.empty_like(value) for name, value in parameters.items()}
    with FlopCounterMode(display=False) as counter:
        gradients(parameters, x, y, out)
    assert counter.get_total_flops() == training_flops(WIDTH, HIDDEN, LABELS, steps=1, batch=BATCH)


def test_rate_rises_then_falls() -> None:
    factors = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert factors[10] == 1.0
    assert (np.diff(factors[10:]) < 0).all()
    assert 0 < factors[-1] < 0.01
    assert rate_factor(0, 1, 0.0) == 1.0
    assert rate_factor(0, 1, 0.9) == 1.0


def test_start_depends_on_seed_and_replicate_only() -> None:
    start = initial_parameters(WIDTH, HIDDEN, LABELS, seed=3, replicate=1)["hidden.weight"]
    assert np.array_equal(start, _start(1)["hidden.weight"].numpy())
    assert not np.array_equal(start, initial_parameters(WIDTH, HIDDEN, LABELS, seed=4, replicate=1)["hidden.weight"])
    assert not np.array_equal(start, initial_parameters(WIDTH, HIDDEN, LABELS, seed=3, replicate=2)["hidden.weight"])
    assert start.dtype == np.float32
    assert 0.9 / np.sqrt(WIDTH) < np.abs(start).max() <= 1 / np.sqrt(WIDTH)
