"""Which network a study trains from: its folder on this machine, its digest, its tokenizer.

What belongs here: hub names, folders and configs to a checked local folder. What does not: opening the network
(network.py).

Weights are safetensors, in one file.
"""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from smc_dagster.errors import WeightsError
from smc_dagster.study.training import ENCODER, Network
from smc_dagster.training.full.flops import Cost, cost_of
from smc_dagster.training.full.network import hush, shape_only
from smc_dagster.training.weights import SHAPING_FILES, WEIGHTS, encoder_digest, encoder_folder, folder_digest


def base_folder(network: Network) -> Path:
    """The folder that holds config, tokenizer and, unless the network is a config, weights.

    Raises:
        WeightsError: there is no such folder, or the hub has no such model and cannot be reached.
    """
    if network.name == ENCODER:
        return encoder_folder(ENCODER)
    if network.name is not None:
        return _from_hub(network.name, network.revision)
    key, given = ("folder", network.folder) if network.folder is not None else ("config", network.config)
    folder = Path(str(given)).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            f"training.model.{key}: `{given}` is no folder on this machine",
            f"give a folder that holds config.json and a tokenizer{'' if key == 'config' else f', and {WEIGHTS}'}",
        )
    return folder.resolve()


def base_digest(network: Network) -> str:
    """What the network is begun from: 64 hex digits, from the files' content.

    Raises:
        WeightsError: see `base_folder`; or files are missing.
    """
    folder = base_folder(network)
    if network.name == ENCODER:
        return encoder_digest(ENCODER)
    return folder_digest(folder, weights=network.config is None)


def copy_base(network: Network, target: Path) -> None:
    """Copy what training starts from; raises like `base_folder`."""
    folder = base_folder(network)
    target.mkdir(parents=True, exist_ok=True)
    for name in (*SHAPING_FILES, *(() if network.config is not None else (WEIGHTS,))):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def tokenizer_of(network: Network) -> Any:
    """Its tokenizer.

    Raises:
        WeightsError: it is not readable.
    """
    hush()
    from transformers import AutoTokenizer

    folder = base_folder(network)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder}: no readable tokenizer: {error}", "save a tokenizer beside the config") from error


def padding_of(tokenizer: Any) -> int:
    """Id that fills up batches: the tokenizer's own, else that of its end, else 0."""
    for one in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if one is not None:
            return int(one)
    return 0


def check_length(network: Network, max_tokens: int) -> None:
    """Whether the network takes texts of so many tokens.

    Raises:
        WeightsError: it does not, or its config is not readable.
    """
    most = getattr(shape_only(base_folder(network), 2).config, "max_position_embeddings", None)
    if most is not None and max_tokens > most:
        raise WeightsError(
            f"training.max_tokens is {max_tokens}, the network takes {most} at most", "lower training.max_tokens"
        )


def replicate_flops(network: Network, labels: int, *, texts: int, length: int) -> int:
    """Operations of training on texts of one length; see flops.py for the formula.

    Raises:
        WeightsError: the config is not readable.
    """
    cost = _cost(str(base_folder(network)), base_digest(network), labels)
    return cost.training(texts, texts * length, texts * length**2)


@lru_cache(maxsize=4)
def _cost(folder: str, digest: str, labels: int) -> Cost:
    """Cost of a folder's network; the digest is only there so that changed files are read again."""
    return cost_of(shape_only(Path(folder), labels))


def _from_hub(name: str, revision: str) -> Path:
    hush()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, *SHAPING_FILES]))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise WeightsError(
            f"training.model.name: `{name}` at `{revision}` is neither in the local cache nor to be had: {error}",
            f"fetch it once with `hf download {name}`, set HF_HUB_OFFLINE=0 to fetch it now, or give a folder",
        ) from error
