"""An encoder, its pooling and a head as one standard model: the same logits, and refusals where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from smc_dagster.errors import ExportError
from smc_dagster.export.pooling import pooled_classifier
from smc_dagster.training.head_math import initial_parameters, logits

pytestmark = pytest.mark.unit
WIDTH, LABELS = 32, ["a", "<b>", "c|d"]
SIZES = {
    "vocab_size": 50,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}


def _encoder(scale: float = 0.0, shift: float = 0.0) -> BertModel:
    """A random encoder whose feature 5 comes out of the last layer normalisation as `scale` u + `shift`."""
    torch.manual_seed(3)
    model = BertModel(BertConfig(**SIZES)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(0.3 * torch.randn_like(value) if "LayerNorm" in name else 0.1 * torch.randn_like(value))
        norm = model.encoder.layer[-1].output.LayerNorm
        norm.weight[5], norm.bias[5] = scale, shift
    return model


def _head(hidden: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    start = initial_parameters(WIDTH, hidden, len(LABELS), seed=1, replicate=0)
    return {name: (5 * value + 0.1 * rng.normal(size=value.shape)).astype(np.float32) for name, value in start.items()}


@pytest.mark.parametrize(("hidden", "scale"), [(16, 0.0), (WIDTH, 1e-30)])
def test_the_logits_are_those_of_the_head_on_pooled_features(hidden: int, scale: float) -> None:
    encoder, head = _encoder(scale), _head(hidden)
    model = pooled_classifier(encoder, head, LABELS)
    assert model.config.id2label == dict(enumerate(LABELS))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 50, (6, 30), generator=generator)
    lengths = torch.tensor([30, 1, 2, 17, 29, 5])
    mask = (torch.arange(30) < lengths[:, None]).long()
    with torch.no_grad():
        states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (states * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
        x = torch.nn.functional.normalize(pooled, dim=1).unsqueeze(0)
        _, due = logits({name: torch.from_numpy(value)[None] for name, value in head.items()}, x)
        found = model(input_ids=ids, attention_mask=mask).logits
    assert due.std() > 0.1
    torch.testing.assert_close(found, due[0], atol=2e-5, rtol=1e-4)


def test_what_no_standard_model_can_hold_is_refused() -> None:
    with pytest.raises(ExportError, match=r"training\.hidden is 33, .* at most 32"):
        pooled_classifier(_encoder(), _head(33), LABELS)
    with pytest.raises(ExportError, match="its features fill every direction"):
        pooled_classifier(_encoder(0.5, 0.3), _head(8), LABELS)
    # constant, but not 0
    with pytest.raises(ExportError, match="its features fill every direction"):
        pooled_classifier(_encoder(0.0, 0.3), _head(8), LABELS)
    with pytest.raises(ExportError, match=r"training\.encoder: it is a roberta, not a BERT"):
        pooled_classifier(RobertaModel(RobertaConfig(**SIZES)), _head(8), LABELS)
    other = _encoder()
    other.config.layer_norm_eps = 1e-5
    with pytest.raises(ExportError, match="its layer_norm_eps is 1e-05, not 1e-12"):
        pooled_classifier(other, _head(8), LABELS)
