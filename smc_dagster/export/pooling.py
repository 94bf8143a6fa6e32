"""A head on mean-pooled, normalised features, as weights of an architecture that every transformers knows.

What belongs here: the arithmetic that makes a BERT encoder, masked mean pooling, L2 normalisation and a head of one
ReLU layer into a `DistilBertForSequenceClassification`. What does not: reading an encoder, writing a folder.

DistilBERT's layers are BERT's, and its head is linear, ReLU, linear, read from the first token. What lacks is the
pooling, which one more layer does. Its queries and keys are 0, so that every token attends to all unmasked ones alike:
attention gives their mean v. Layer normalisation takes away the mean over features and then the length, up to the
constant sqrt(d); a reflection (Householder 1958) turns v into the plane of vectors of mean 0 first, so that only the
length goes. That takes one direction n in which every v is 0. The features are outputs x = g u + b of a layer
normalisation, u of mean 0, so sum((x - b) / g) = 0: n is 1 / g, and v is 0 along it where sum(b / g) is. In
all-MiniLM-L6-v2 one feature has g and b of about 1e-32. The residual, the token's own x, is made 2**22 times smaller
than v, which float32 just resolves. Nothing else is approximated; the factors fit float16 as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smc_dagster.errors import ExportError

if TYPE_CHECKING:
    import torch

# the residual is divided by the one, the mean multiplied by the other
SHRINK, GROW = 2.0**10, 2.0**12
# what DistilBERT's code has as a constant
LAYER_NORM_EPS = 1e-12
# largest part of the features' length along n that counts as 0
FLAT = 1e-6
# a layer of BERT -> of DistilBERT
PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
Tensors = dict[str, "torch.Tensor"]


def pooled_classifier(encoder: Any, head: Mapping[str, np.ndarray], labels: Sequence[str]) -> Any:
    """The encoder, its pooling and one replicate's head as one `DistilBertForSequenceClassification`, float32.

    Args:
        encoder: a transformers `BertModel`.
        head: by name (training/head_math.PARAMETERS): [width, hidden], [1, hidden], [hidden, labels], [1, labels].
        labels: the head's outputs, in order.

    Raises:
        ExportError: the encoder is no BERT, no direction of its features is always 0, or the head is wider than them.
    """
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = encoder.config
    hidden = head["hidden.weight"].shape[1]
    _check(config, hidden)
    held = {name: value.double() for name, value in encoder.state_dict().items()}
    reflection = _reflection(held, config.num_hidden_layers)
    weights = _encoder(held, config.num_hidden_layers) | _pooling(held, config.num_hidden_layers, reflection)
    width = config.hidden_size
    taken = {name: torch.from_numpy(np.array(value, dtype=np.float64)) for name, value in head.items()}
    first, bias = torch.zeros(width, width).double(), torch.zeros(width).double()
    last = torch.zeros(len(labels), width).double()
    # a layer normalisation gives vectors of length sqrt(d)
    first[:hidden] = taken["hidden.weight"].T @ reflection / width**0.5
    bias[:hidden] = taken["hidden.bias"][0]
    last[:, :hidden] = taken["output.weight"].T
    weights |= {"pre_classifier.weight": first, "pre_classifier.bias": bias}
    weights |= {"classifier.weight": last, "classifier.bias": taken["output.bias"][0]}
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            n_layers=config.num_hidden_layers + 1,
            n_heads=config.num_attention_heads,
            dim=width,
            hidden_dim=config.intermediate_size,
            activation=config.hidden_act,
            pad_token_id=config.pad_token_id,
            seq_classif_dropout=0.0,
            id2label=dict(enumerate(labels)),
            label2id={label: code for code, label in enumerate(labels)},
            problem_type="single_label_classification",
        )
    )
    model.load_state_dict({name: value.float() for name, value in weights.items()}, strict=True)
    return model.eval()


def _check(config: Any, hidden: int) -> None:
    problems = {
        f"it is a {config.model_type}, not a BERT": config.model_type != "bert" or getattr(config, "is_decoder", False),
        f"its layer_norm_eps is {getattr(config, 'layer_norm_eps', None)}, not {LAYER_NORM_EPS}": (
            getattr(config, "layer_norm_eps", None) != LAYER_NORM_EPS
        ),
        "its positions are not absolute": getattr(config, "position_embedding_type", "absolute") != "absolute",
    }
    for problem, there in problems.items():
        if there:
            raise ExportError(f"training.encoder: {problem}", "heads on all-MiniLM-L6-v2 can be exported")
    if hidden > config.hidden_size:
        raise ExportError(
            f"training.hidden is {hidden}, a standard model of this encoder holds at most {config.hidden_size}",
            f"set training.hidden to {config.hidden_size} or less",
        )


def _encoder(held: Tensors, layers: int) -> Tensors:
    """The encoder under DistilBERT's names; there is one kind of token, whose embedding joins the positions'."""
    at = "distilbert.embeddings."
    weights = {
        f"{at}word_embeddings.weight": held["embeddings.word_embeddings.weight"],
        f"{at}position_embeddings.weight": (
            held["embeddings.position_embeddings.weight"] + held["embeddings.token_type_embeddings.weight"][0]
        ),
    }
    for kind in ("weight", "bias"):
        weights[f"{at}LayerNorm.{kind}"] = held[f"embeddings.LayerNorm.{kind}"]
        for layer in range(layers):
            for theirs, ours in PARTS.items():
                value = held[f"encoder.layer.{layer}.{theirs}.{kind}"]
                weights[f"distilbert.transformer.layer.{layer}.{ours}.{kind}"] = value
        end = f"distilbert.transformer.layer.{layers - 1}.output_layer_norm.{kind}"
        weights[end] = weights[end] / SHRINK
    return weights


def _pooling(held: Tensors, layers: int, reflection: torch.Tensor) -> Tensors:
    """The layer that follows the encoder's."""
    import torch

    width = len(held["embeddings.LayerNorm.weight"])
    inner = len(held["encoder.layer.0.intermediate.dense.bias"])
    at = f"distilbert.transformer.layer.{layers}."
    sizes = {"ffn.lin1": (inner, width), "ffn.lin2": (width, inner)}
    weights = {}
    for part in PARTS.values():
        rows, columns = sizes.get(part, (width, width))
        norm = part.endswith("layer_norm")
        weights[f"{at}{part}.weight"] = (torch.ones(width) if norm else torch.zeros(rows, columns)).double()
        weights[f"{at}{part}.bias"] = torch.zeros(rows).double()
    weights[f"{at}attention.v_lin.weight"] = SHRINK * torch.eye(width).double()
    weights[f"{at}attention.out_lin.weight"] = GROW * reflection
    return weights


def _reflection(held: Tensors, layers: int) -> torch.Tensor:
    """The reflection that turns n, along which every feature vector is 0, into the direction of equal components.

    Raises:
        ExportError: no direction is.
    """
    import torch

    scale, shift = (held[f"encoder.layer.{layers - 1}.output.LayerNorm.{kind}"] for kind in ("weight", "bias"))
    dead = scale == 0
    normal = dead.double() * (torch.cumsum(dead, 0) == 1) if bool(dead.any()) else 1 / scale
    along = normal @ shift if bool(dead.any()) else (shift / scale).sum()
    length = torch.linalg.vector_norm(normal)
    if abs(along / length) > FLAT * (scale.square() + shift.square()).sum().sqrt():
        raise ExportError(
            "training.encoder: its features fill every direction, which leaves a standard model no room to pool them",
            "heads on all-MiniLM-L6-v2 can be exported",
        )
    width = len(scale)
    turned = normal / length - torch.full_like(normal, width**-0.5)
    square = turned @ turned
    identity = torch.eye(width).double()
    return identity if square == 0 else identity - 2 * torch.outer(turned, turned) / square
