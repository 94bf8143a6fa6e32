"""Texts to unit vectors by a frozen sentence encoder.

What belongs here: tokenising, running, pooling. What does not: batching (shapes.py), where the weights come from
(weights.py), which texts are embedded and what is reused (embeddings.py).

A vector depends on its own text alone (shapes.py). The tests hold vectors to be equal, bit for bit, whatever else is in
the call.
Across machines (bfloat16 or not, another BLAS) expect a cosine of at least .999.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import WeightsError
from smc_dagster.hardware import has_bfloat16, one_torch_thread
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.shapes import fixed_batches, padded
from smc_dagster.training.weights import encoder_digest, encoder_folder

__all__ = ["embed", "encoder_digest"]

TOKENISE_AT_ONCE = 10_000


def embed(
    texts: list[str], encoder: str, max_tokens: int, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Vectors of the texts: [n, 384] float32, each of length 1.

    Mean of the last hidden states over all tokens, the special ones included, then L2 normalisation (Reimers & Gurevych
    2019, as the published model was trained). Longer texts are cut at `max_tokens` tokens, special ones included.

    Args:
        texts: n texts; empty ones are allowed (they are their special tokens).
        encoder: as in `study.Training`.
        max_tokens: 8-512.
        progress: called with (texts done, n).

    Raises:
        WeightsError: the weights are missing, wrong, or not of width 384.
    """
    out = np.empty((len(texts), EMBEDDING_WIDTH), dtype=np.float32)
    if not texts:
        return out
    tokenizer, model = _load(str(encoder_folder(encoder)), encoder_digest(encoder))
    tokens = tokenise(tokenizer, texts, max_tokens)
    padding = tokenizer.pad_token_id or 0

    def run(one: tuple[int, int, np.ndarray]) -> int:
        length, rows, batch = one
        with one_torch_thread():
            vectors = _forward(model, *padded([tokens[place] for place in batch], rows, length, padding))
        out[batch] = vectors[: len(batch)]
        return len(batch)

    # a core a batch: one batch over all cores waits for the slowest at every layer, six times as long beside other work
    done = 0
    cores = len(os.sched_getaffinity(0))
    with one_torch_thread(), ThreadPoolExecutor(cores, thread_name_prefix="embed") as pool:
        for count in pool.map(run, fixed_batches([len(one) for one in tokens])):
            done += count
            if progress is not None:
                progress(done, len(texts))
    return out


def tokenise(tokenizer: Any, texts: list[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, special ones included, cut at `max_tokens`."""
    tokens: list[list[int]] = []
    for first in range(0, len(texts), TOKENISE_AT_ONCE):
        some = texts[first : first + TOKENISE_AT_ONCE]
        encoded = tokenizer(some, padding=False, truncation=True, max_length=max_tokens, return_attention_mask=False)
        tokens.extend(encoded["input_ids"])
    return tokens


def _forward(model: Any, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    import torch

    attended = torch.from_numpy(mask)
    with torch.inference_mode():
        hidden = model(input_ids=torch.from_numpy(ids), attention_mask=attended).last_hidden_state
        weight = attended.unsqueeze(2).float()
        pooled = (hidden.float() * weight).sum(dim=1) / weight.sum(dim=1)
        return np.asarray(torch.nn.functional.normalize(pooled, dim=1).numpy())


@lru_cache(maxsize=1)
def _load(folder: str, digest: str) -> tuple[Any, Any]:
    """Tokenizer and model of a checked folder; the digest is only there so that changed files are read again."""
    import torch

    tokenizer, model = read_encoder(folder)
    # the weights are cast once: autocast casts them anew for every batch
    return tokenizer, (model.to(torch.bfloat16) if has_bfloat16() else model).eval()


def read_encoder(folder: str) -> tuple[Any, Any]:
    """Tokenizer and model, as transformers reads them from a checked folder.

    Raises:
        WeightsError: they are not readable, not whole, or not of width 384.
    """
    # set before the import, which reads them: nothing here may reach for the network
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    spoken = logging.get_verbosity()
    # what it would warn of is an error here, raised below
    logging.set_verbosity_error()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        # torch's fused attention takes ten times as long on texts this short with bfloat16
        model, report = AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, attn_implementation="eager", **local
        )
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(
            f"{folder}: not readable as a transformers encoder: {error}",
            "give a folder with config.json, a tokenizer and model.safetensors of an encoder that transformers knows",
        ) from error
    finally:
        logging.set_verbosity(spoken)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise WeightsError(
            f"{Path(folder) / 'model.safetensors'}: lacks {len(missing)} weights of its model, {missing[0]} the first",
            "give the whole model's weights",
        )
    width = getattr(model.config, "hidden_size", None)
    if width != EMBEDDING_WIDTH:
        raise WeightsError(
            f"{Path(folder) / 'config.json'}: hidden_size is {width}, the tables hold vectors of {EMBEDDING_WIDTH}",
            f"choose an encoder of width {EMBEDDING_WIDTH}",
        )
    return tokenizer, model
