"""One batch of texts drawn from the network, a token at a time.

What belongs here: the loop over tokens with the cache of keys and values, temperature and nucleus. What does not: which
texts are asked for, and whether they stand (sample.py).

Every batch has the same number of rows, filled up where there are fewer, and every row starts at the first column:
what a row must begin with is fed to it token by token while its neighbours already draw. So no row is padded, none
needs an attention mask, and what is drawn for one does not depend, bit for bit, on what its neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smc_dagster.hardware import bfloat16_pays

ROWS = 128


@dataclass(frozen=True)
class Wanted:
    """A text to draw.

    Attributes:
        begins: token ids it begins with, its label's first.
        uniform: [most tokens] numbers in 0-1 that decide it.
    """

    begins: Sequence[int]
    uniform: npt.NDArray[np.float64]


def draw(
    model: Any, wanted: Sequence[Wanted], end: int, banned: Any, temperature: float, top_p: float, most: int
) -> list[tuple[list[int], bool]]:
    """Token ids of each text, those it begins with included, label and end not, and whether it came to an end in time.

    Args:
        wanted: at most ROWS texts.
        end: id that ends a text; never drawn first.
        banned: [tokens] bool tensor on the model's device: ids that are never drawn.
        temperature, top_p: tokens are drawn from the smallest set that holds `top_p` of the probability (Holtzman et
            al. 2020) after logits are divided by `temperature`.
        most: tokens of a text at most, label and end counted.
    """
    import torch

    place = banned.device
    rows = [*wanted, *[wanted[0]] * (ROWS - len(wanted))]
    begins = np.full((ROWS, most), -1, np.int64)
    for number, row in enumerate(rows):
        begins[number, : len(row.begins)] = row.begins
    told = torch.from_numpy(begins).to(place)
    uniform = torch.from_numpy(np.stack([row.uniform for row in rows]).T.astype(np.float32)).to(place)
    first = torch.tensor([len(row.begins) for row in rows], device=place)
    tokens = torch.full((ROWS, most), end, device=place)
    tokens[:, 0] = told[:, 0]
    done = torch.zeros(ROWS, dtype=torch.bool, device=place)
    cache = None
    fast = bfloat16_pays(place)
    with torch.inference_mode(), torch.autocast(place.type, dtype=torch.bfloat16, enabled=fast):
        for column in range(1, most):
            out = model(input_ids=tokens[:, column - 1 : column], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logits = out.logits[:, -1].float().masked_fill(banned, float("-inf"))
            # a text has at least one word of its own
            logits[:, end] = torch.where(first == column, float("-inf"), logits[:, end])
            drawn = _choose(logits / temperature, top_p, uniform[column])
            drawn = torch.where(told[:, column] >= 0, told[:, column], drawn)
            tokens[:, column] = torch.where(done, end, drawn)
            done |= tokens[:, column] == end
            if bool(done[: len(wanted)].all()):
                break
    finished, ids = done.tolist(), tokens.tolist()
    return [
        (ids[row][1 : ids[row].index(end, 1)], True) if finished[row] else (ids[row][1:], False)
        for row in range(len(wanted))
    ]


def _choose(logits: Any, top_p: float, uniform: Any) -> Any:
    """[rows] token ids by inverse transform over [rows, tokens] logits."""
    import torch

    chance = torch.softmax(logits, dim=1)
    if top_p >= 1:
        sums = chance.cumsum(1)
        at = torch.searchsorted(sums, (uniform * sums[:, -1])[:, None], right=True)[:, 0]
        return at.clamp(max=logits.shape[1] - 1)
    chance, order = chance.sort(dim=1, descending=True, stable=True)
    sums = chance.cumsum(1)
    # the first token whose sum reaches top_p is the last of the nucleus
    last = torch.searchsorted(sums, torch.full_like(sums[:, :1], top_p)).clamp(max=logits.shape[1] - 1)
    at = torch.searchsorted(sums, uniform[:, None] * sums.gather(1, last), right=True)
    return order.gather(1, torch.minimum(at, last))[:, 0]
