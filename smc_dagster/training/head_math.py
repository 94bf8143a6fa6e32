"""The head: its parameters, its gradient in closed form, its schedule and its cost.

What belongs here: the arithmetic of one step, for R replicates stacked. What does not: data, batches, the loop
(heads.py).

One hidden layer: h = max(0, x W1 + b1), z = h W2 + b2, trained on the mean cross-entropy of softmax(z). All float32.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# names and order of the parameters, in checkpoints as well
PARAMETERS = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")
Parameters = dict[str, "torch.Tensor"]


def initial_parameters(width: int, hidden: int, labels: int, *, seed: int, replicate: int) -> dict[str, np.ndarray]:
    """One replicate's start: weights uniform in +-1/sqrt(inputs of the layer), biases 0.

    Drawn from (seed, replicate) only, so that every arm starts alike.

    Returns:
        hidden.weight [width, hidden], hidden.bias [1, hidden], output.weight [hidden, labels], output.bias [1, labels].
    """
    digest = hashlib.sha256(f"initial weights\x1f{seed}\x1f{replicate}".encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))

    def layer(inputs: int, outputs: int) -> np.ndarray:
        return ((2 * rng.random((inputs, outputs), dtype=np.float32) - 1) / np.float32(math.sqrt(inputs))).astype(
            np.float32
        )

    return {
        "hidden.weight": layer(width, hidden),
        "hidden.bias": np.zeros((1, hidden), dtype=np.float32),
        "output.weight": layer(hidden, labels),
        "output.bias": np.zeros((1, labels), dtype=np.float32),
    }


def logits(parameters: Parameters, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden activations [R, B, hidden] and logits [R, B, labels] of inputs x [R, B, width]."""
    import torch

    h = torch.baddbmm(parameters["hidden.bias"], x, parameters["hidden.weight"]).relu_()
    return h, torch.baddbmm(parameters["output.bias"], h, parameters["output.weight"])


def gradients(parameters: Parameters, x: torch.Tensor, y: torch.Tensor, out: Parameters) -> torch.Tensor:
    """Write the gradient of each replicate's mean cross-entropy to `out`; returns the losses, [R], nats.

    With p = softmax(z): dz = (p - onehot(y)) / B; dW2 = h' dz; db2 = sum dz; dh = dz W2' where h > 0, else 0;
    dW1 = x' dh; db1 = sum dh. The inputs are frozen, so their gradient is not taken.

    Args:
        parameters: of R replicates, stacked.
        x: [R, B, width] inputs.
        y: [R, B] label codes, int64.
        out: tensors shaped like the parameters, overwritten.
    """
    import torch

    h, z = logits(parameters, x)
    codes = y.unsqueeze(2)
    p = torch.log_softmax(z, dim=2)
    losses = -p.gather(2, codes).mean(dim=(1, 2))
    p.exp_().scatter_add_(2, codes, p.new_full((1, 1, 1), -1.0).expand_as(codes))
    dz = p.mul_(1.0 / x.shape[1])
    torch.bmm(h.transpose(1, 2), dz, out=out["output.weight"])
    torch.sum(dz, dim=1, keepdim=True, out=out["output.bias"])
    dh = torch.bmm(dz, parameters["output.weight"].transpose(1, 2)).mul_(h > 0)
    torch.bmm(x.transpose(1, 2), dh, out=out["hidden.weight"])
    torch.sum(dh, dim=1, keepdim=True, out=out["hidden.bias"])
    return losses


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate at a step, 0-1.

    It rises linearly to 1 over the first `warmup` of steps, then falls to 0 as half a cosine (Loshchilov & Hutter 2017,
    without restarts). Steps count from 0.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def training_flops(width: int, hidden: int, labels: int, *, steps: int, batch: int) -> int:
    """Floating-point operations of the matrix products of one replicate's training.

    Forward 2 B (D H + H L), backward 2 B D H for the hidden weights and 4 B H L for the output weights and the hidden
    activations. Biases, activations, softmax and the optimiser are left out, as is usual.
    """
    return steps * batch * (4 * width * hidden + 6 * hidden * labels)
