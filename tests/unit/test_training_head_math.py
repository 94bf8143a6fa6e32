"""The head's gradient against autograd, its cost against torch's counter, its schedule and its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from smc_dagster.training.head_math import PARAMETERS, gradients, initial_parameters, rate_factor, training_flops

pytestmark = pytest.mark.unit
WIDTH, HIDDEN, LABELS, BATCH = 12, 7, 5, 9


def _stacked(replicates: list[int]) -> dict[str, torch.Tensor]:
    starts = [initial_parameters(WIDTH, HIDDEN, LABELS, seed=3, replicate=one) for one in replicates]
    return {name: torch.from_numpy(np.stack([start[name] for start in starts])) for name in PARAMETERS}


def _batch(replicates: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(replicates, BATCH, WIDTH)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, LABELS, (replicates, BATCH)))


def test_gradient_is_that_of_autograd() -> None:
    parameters, (x, y) = _stacked([0, 1, 2]), _batch(3)
    out = {name: torch.full_like(value, 7.0) for name, value in parameters.items()}
    losses = gradients(parameters, x, y, out)
    for place in range(3):
        own = {name: value[place].clone().requires_grad_() for name, value in parameters.items()}
        hidden = torch.relu(x[place] @ own["hidden.weight"] + own["hidden.bias"])
        z = hidden @ own["output.weight"] + own["output.bias"]
        loss = torch.nn.functional.cross_entropy(z, y[place])
        loss.backward()
        assert losses[place].item() == pytest.approx(loss.item(), abs=1e-6)
        for name in PARAMETERS:
            torch.testing.assert_close(out[name][place], own[name].grad, atol=1e-6, rtol=1e-5)


def test_flops_are_those_torch_counts() -> None:
    parameters, (x, y) = _stacked([0]), _batch(1)
    own = {name: value[0].clone().requires_grad_() for name, value in parameters.items()}
    with FlopCounterMode(display=False) as counter:
        hidden = torch.relu(x[0] @ own["hidden.weight"] + own["hidden.bias"])
        torch.nn.functional.cross_entropy(hidden @ own["output.weight"] + own["output.bias"], y[0]).backward()
    assert training_flops(WIDTH, HIDDEN, LABELS, steps=1, batch=BATCH) == counter.get_total_flops()
    assert training_flops(WIDTH, HIDDEN, LABELS, steps=10, batch=BATCH) == 10 * counter.get_total_flops()


def test_flops_of_the_manual_step_are_the_same() -> None:
    parameters, (x, y) = _stacked([0, 1]), _batch(2)
    out = {name: torch.empty_like(value) for name, value in parameters.items()}
    with FlopCounterMode(display=False) as counter:
        gradients(parameters, x, y, out)
    assert counter.get_total_flops() == 2 * training_flops(WIDTH, HIDDEN, LABELS, steps=1, batch=BATCH)


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
    assert np.array_equal(start, _stacked([0, 1])["hidden.weight"][1].numpy())
    assert not np.array_equal(start, initial_parameters(WIDTH, HIDDEN, LABELS, seed=4, replicate=1)["hidden.weight"])
    assert not np.array_equal(start, initial_parameters(WIDTH, HIDDEN, LABELS, seed=3, replicate=2)["hidden.weight"])
    assert start.dtype == np.float32
    assert 0.9 / np.sqrt(WIDTH) < np.abs(start).max() <= 1 / np.sqrt(WIDTH)
