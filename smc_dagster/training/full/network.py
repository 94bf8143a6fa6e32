"""The network for sequence classification: begun from a base folder, opened from a trained one.

What belongs here: transformers' side of opening and calling, with weights from safetensors only and no code that comes
with a model. What does not: which base a study means (base.py), training (run.py).
"""

from __future__ import annotations

import copy
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import WeightsError
from smc_dagster.hardware import bfloat16_pays, device, has_bfloat16

# initial weights are drawn from torch's one generator: networks are begun one at a time
_lock = threading.Lock()
_REMEDY = (
    "give a folder of config.json, a tokenizer and model.safetensors that transformers can classify sequences with"
)


def begin(folder: Path, labels: list[str], seed: int, *, scratch: bool, padding: int) -> Any:
    """A network to train, float32, in evaluation mode; what is not in the folder starts at random, from the seed alone.

    Args:
        folder: config, and weights unless `scratch`.
        labels: outputs, in order.
        scratch: start from the config with random weights.
        padding: id of the token that fills up batches.

    Raises:
        WeightsError: transformers cannot read it, or weights of the encoder are missing.
    """
    with _lock:
        return _begin(folder, labels, seed, scratch, padding)


def _begin(folder: Path, labels: list[str], seed: int, scratch: bool, padding: int) -> Any:
    hush()
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSequenceClassification

    local = {"local_files_only": True, "trust_remote_code": False}
    names = dict(enumerate(labels))
    kind = AutoModelForSequenceClassification
    try:
        config = AutoConfig.from_pretrained(
            folder, id2label=names, label2id={label: code for code, label in names.items()}, **local
        )
        config.pad_token_id = padding
        config.problem_type = "single_label_classification"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if scratch:
                return kind.from_config(config, **_attention()).float().eval()
            model, report = kind.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                # a head for other labels is replaced
                ignore_mismatched_sizes=True,
                **_attention(),
                **local,
            )
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder}: not readable as a classifier of sequences: {error}", _REMEDY) from error
    lost = {*report["missing_keys"], *(str(one[0]) for one in report["mismatched_keys"])}
    inner = f"{model.base_model_prefix}."
    missing = sorted(name for name in lost if name.startswith(inner) and "pooler." not in name)
    if missing:
        raise WeightsError(f"{folder}: lacks {len(missing)} weights of its model, {missing[0]} the first", _REMEDY)
    return model.eval()


def opened(folder: Path) -> Any:
    """A trained network, float32, in evaluation mode.

    Raises:
        WeightsError: it is not readable.
    """
    hush()
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    try:
        return AutoModelForSequenceClassification.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            **_attention(),
        ).eval()
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder}: {error}", "materialise checkpoints again") from error


def shape_only(folder: Path, labels: int) -> Any:
    """The network without weights, on the device `meta`, to count what it costs.

    Raises:
        WeightsError: transformers cannot read the config.
    """
    hush()
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        config = AutoConfig.from_pretrained(folder, num_labels=labels, local_files_only=True, trust_remote_code=False)
        config.pad_token_id = getattr(config, "pad_token_id", None) or 0
        with torch.device("meta"):
            # fused attention looks into its mask, and there is none to look into
            return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder}: not readable as a classifier of sequences: {error}", _REMEDY) from error


def logits(model: Any, ids: Any, mask: Any) -> Any:
    """Logits [rows, labels] float32 of token ids and attention mask [rows, length], int64 arrays of numpy."""
    import torch

    place = model.device
    given = {"input_ids": torch.from_numpy(ids).to(place), "attention_mask": torch.from_numpy(mask).to(place)}
    with torch.autocast(place.type, dtype=torch.bfloat16, enabled=bfloat16_pays(place)):
        return model(**given).logits.float()


class StackCall:
    """Calling a network on a stack of its parameters, each member on texts of its own."""

    def __init__(self, model: Any, place: Any) -> None:
        import torch

        # fused attention has no form for stacks everywhere
        self._model = copy.deepcopy(model).eval()
        self._model.set_attn_implementation("eager")
        self._place = place
        self._buffers = {name: one.detach().to(place) for name, one in self._model.named_buffers()}
        # rows of tables that a network by itself does not train, by parameter name: a stack spares that of its first
        # member alone, as tables of all members are looked up as one
        self.spared = {
            f"{name}.weight": int(one.padding_idx)
            for name, one in self._model.named_modules()
            if isinstance(one, torch.nn.Embedding) and one.padding_idx is not None
        }
        # its own weights are never read: the stack's stand in for them
        self._model.to("meta")

    def logits(self, owned: dict[str, Any], ids: Any, mask: Any) -> Any:
        """Logits [members, rows, labels] float32, like `logits` of each member.

        Args:
            owned: parameters [members, ...] by name.
            ids: token ids int64 [members, rows, length], an array of numpy.
            mask: 1 where there is a token, else 0, of the same shape.
        """
        import torch

        with torch.autocast(self._place.type, dtype=torch.bfloat16, enabled=bfloat16_pays(self._place)):
            return self.plain(owned, ids, mask).float()

    def plain(self, owned: dict[str, Any], ids: Any, mask: Any) -> Any:
        """As `logits`, in the type of the parameters."""
        import torch

        # a mask of rows and lengths would be looked into, which a stack cannot be; of this shape it is added as it is
        added = np.where(mask[:, :, None, None, :] > 0, 0.0, np.finfo(np.float32).min).astype(np.float32)
        given = torch.from_numpy(ids).to(self._place), torch.from_numpy(added).to(self._place)

        def one(weights: dict[str, Any], own_ids: Any, own_mask: Any) -> Any:
            named = {"attention_mask": own_mask}
            return torch.func.functional_call(self._model, (weights, self._buffers), (own_ids,), named).logits

        return torch.func.vmap(one)(owned, *given)


def can_stack(model: Any, longest: int) -> bool:
    """Whether a network gives the same on a stack as by itself, tried on two copies and texts of two lengths.

    Causal networks do not, nor those that look at a window of longer texts: their masks are made from what a stack
    cannot look into.

    Args:
        longest: tokens of the longest text that it will be called with.
    """
    import torch

    ids = np.arange(4 * longest, dtype=np.int64).reshape(2, 2, longest) % (int(model.config.vocab_size) - 1) + 1
    mask = np.ones_like(ids)
    mask[:, 1, longest // 2 + 1 :] = 0
    ids[mask == 0] = model.config.pad_token_id or 0
    try:
        with torch.no_grad():
            alone = [
                model(input_ids=torch.from_numpy(one), attention_mask=torch.from_numpy(two)).logits
                for one, two in zip(ids, mask, strict=True)
            ]
            stacked = {name: torch.stack([one.detach()] * 2) for name, one in model.named_parameters()}
            found = StackCall(model, model.device).plain(stacked, ids, mask)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError):
        return False
    expected = torch.stack(alone)
    return bool(torch.allclose(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())))


def _attention() -> dict[str, str]:
    """torch's fused attention with bfloat16 on a CPU takes ten times as long on texts this short; else it pays."""
    return {"attn_implementation": "eager"} if device().type == "cpu" and has_bfloat16() else {}


def hush() -> None:
    """Keep transformers off the network unless the user says otherwise, and its bars and advice out of the output."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
