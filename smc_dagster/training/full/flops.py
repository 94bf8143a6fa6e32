"""Floating-point operations of training a transformer, from its layers.

What belongs here: the formula. What does not: budgets (compute.py).

A matrix product of [m, k] and [k, n] is 2 m k n operations. For a text of L tokens, the forward pass is

    F(L) = sum of 2 x inputs x outputs over linear layers, x L where the layer works on every token, x 1 where it works
           on one vector of the text (pooler, classifier)
         + 4 L^2 x width for each attention layer: scores and weighted values.

The backward pass takes the gradient of both factors of each product, 2 F(L), so training is 3 F(L) a text. Look-ups,
norms, activations, softmax and the optimiser are left out, as is usual. Padded positions cost as much as others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# tokens of the text that tells how often a layer is at work
_PROBE = 8


@dataclass(frozen=True)
class Cost:
    """Coefficients of F(L) = fixed + linear L + quadratic L^2, operations of one text's forward pass."""

    fixed: int
    linear: int
    quadratic: int

    def training(self, texts: int, positions: int, squares: int) -> int:
        """Operations of training on texts: 3 F summed over them.

        Args:
            texts: how many.
            positions: sum of their lengths, padding included.
            squares: sum of the squares of these lengths.
        """
        return 3 * (self.fixed * texts + self.linear * positions + self.quadratic * squares)


def cost_of(model: Any) -> Cost:
    """The coefficients of a model for sequence classification, as its layers work on one text.

    Args:
        model: of transformers, an encoder or a decoder; weights may be on the device `meta`.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    fixed = linear = 0

    def count(layer: Any, given: tuple[Any, ...], _: Any) -> None:
        nonlocal fixed, linear
        inputs, outputs = layer.weight.shape
        # how many vectors of that width went in
        number = given[0].numel() // given[0].shape[-1]
        if number == 1:
            fixed += 2 * inputs * outputs
        else:
            linear += 2 * inputs * outputs * number // _PROBE

    layers = [one for one in model.modules() if isinstance(one, torch.nn.Linear | Conv1D)]
    hooks = [one.register_forward_hook(count) for one in layers]
    try:
        with torch.inference_mode():
            model(input_ids=torch.ones((1, _PROBE), dtype=torch.int64, device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    config = model.config
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    return Cost(fixed, linear, 4 * width * config.num_hidden_layers)
