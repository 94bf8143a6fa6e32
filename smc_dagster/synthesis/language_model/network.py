"""The network: built from the study's numbers, or opened from a folder or the hub.

What belongs here: making, opening and writing a transformer of transformers, on the device there is. What does not:
training it, drawing from it.

Weights are read from safetensors only, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from smc_dagster.errors import WeightsError
from smc_dagster.study.language_model import SCRATCH, LanguageModel
from smc_dagster.synthesis.language_model import vocabulary as words
from smc_dagster.synthesis.language_model.vocabulary import Vocabulary

WEIGHTS = "model.safetensors"
_SHAPING = ("config.json", "tokenizer.json", "tokenizer_config.json")


def base_digest(section: LanguageModel) -> str:
    """What the model is trained on from: `scratch`, the hub name, or a digest of a local folder's files.

    Raises:
        WeightsError: the folder lacks safetensors, config or tokenizer.
    """
    folder = Path(section.model).expanduser()
    if section.model == SCRATCH or not folder.is_dir():
        return section.model
    for name in (WEIGHTS, *_SHAPING[:2]):
        if not (folder / name).is_file():
            raise WeightsError(
                f"language_model.model: {folder} holds no {name}", "save model and fast tokenizer there, as safetensors"
            )
    parts = []
    for name in (WEIGHTS, *_SHAPING):
        if (folder / name).is_file():
            with open(folder / name, "rb") as file:
                parts.append(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def begin(section: LanguageModel, texts: list[str], labels: list[str], seed: int) -> tuple[Any, Vocabulary]:
    """An untrained network, or one to train on from, and its vocabulary.

    Args:
        texts: of the training split alone; the tokenizer is learned on them where the network is from scratch.
        labels: sorted.
        seed: of the initial weights; below 2^63.

    Raises:
        WeightsError: the model cannot be read, or its sizes do not fit.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if section.model == SCRATCH:
            return _scratch(section, texts, labels)
        return _adopted(section.model, labels)


def _scratch(section: LanguageModel, texts: list[str], labels: list[str]) -> tuple[Any, Vocabulary]:
    if section.width % section.heads:
        raise WeightsError(
            f"language_model.width {section.width} is no multiple of language_model.heads {section.heads}",
            "mend one of them",
        )
    vocabulary = words.learn(texts, labels, section.vocabulary)
    from transformers import GPT2Config, GPT2LMHeadModel

    _hush()
    config = GPT2Config(
        vocab_size=len(vocabulary.tokenizer),
        n_positions=section.max_tokens,
        n_embd=section.width,
        n_layer=section.layers,
        n_head=section.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=vocabulary.end,
        pad_token_id=vocabulary.end,
    )
    # torch's fused attention takes longer on texts this short
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config).eval(), vocabulary


def _adopted(name: str, labels: list[str]) -> tuple[Any, Vocabulary]:
    import torch
    from transformers import AutoTokenizer

    folder = Path(name).expanduser()
    where = str(folder) if folder.is_dir() else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
        model = _read(where, local=folder.is_dir())
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(
            f"language_model.model: `{name}` is not readable as a causal language model: {error}",
            "give a folder with config.json, tokenizer.json and model.safetensors, or the hub name of such a model",
        ) from error
    before = len(tokenizer)
    vocabulary = words.adopt(tokenizer, labels, where)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        # a label's token starts as the mean of its name's own tokens: drawn at random it would take long to find
        for label, place in vocabulary.label_ids.items():
            named = [one for one in vocabulary.encode([label])[0] if one < before]
            table[place] = table[named].mean(0) if named else table[:before].mean(0)
    return model.eval(), vocabulary


def opened(folder: Path) -> tuple[Any, Vocabulary]:
    """The network and vocabulary of a folder that `write` wrote.

    Raises:
        WeightsError: it is not readable.
    """
    try:
        return _read(str(folder), local=True), words.opened(folder)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder}: {error}", "materialise generator_model again") from error


def write(model: Any, vocabulary: Vocabulary, folder: Path) -> None:
    """Write config, weights, tokenizer and labels as transformers reads them."""
    _hush()
    model.save_pretrained(folder, safe_serialization=True)
    vocabulary.save(folder)


def _hush() -> None:
    """Keep transformers' bars and advice out of a run's output: padding lies behind the text and needs no mask here."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _read(where: str, *, local: bool) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    _hush()
    try:
        return AutoModelForCausalLM.from_pretrained(
            where, use_safetensors=True, trust_remote_code=False, local_files_only=local, dtype=torch.float32
        ).eval()
    except SafetensorError as error:
        raise ValueError(str(error)) from error
