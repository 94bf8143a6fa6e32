"""A trained arm as a model that transformers loads.

What belongs here: which kind of checkpoint becomes which model and tokenizer. What does not: the arithmetic of pooling
(pooling.py), files (folder.py), which replicate (choice.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_dagster.export.pooling import pooled_classifier
from smc_dagster.study import Training
from smc_dagster.training.checkpoints import Checkpoint
from smc_dagster.training.encoder import read_encoder
from smc_dagster.training.full import network
from smc_dagster.training.weights import encoder_folder


@dataclass(frozen=True)
class Classifier:
    """What a folder is written from.

    Attributes:
        model: a transformers model for sequence classification, float32, its labels in its config.
        tokenizer: of that model; its model_max_length is the study's `max_tokens`.
        made: how the model came about, a sentence or two for the card.
    """

    model: Any
    tokenizer: Any
    made: str


def of_heads(checkpoint: Checkpoint, replicate: int) -> Classifier:
    """The frozen encoder with the head of one replicate.

    Raises:
        WeightsError: the encoder is not what it should be.
        ExportError: see `pooled_classifier`.
    """
    tokenizer, encoder = read_encoder(str(encoder_folder(checkpoint.training.encoder)))
    place = checkpoint.replicates.index(replicate)
    head = {name: value[place] for name, value in checkpoint.weights.items()}
    model = pooled_classifier(encoder.float(), head, checkpoint.labels)
    tokenizer.model_max_length = checkpoint.training.max_tokens
    # DistilBERT has one kind of token
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return Classifier(
        model,
        tokenizer,
        f"A head of {checkpoint.training.hidden} hidden units on frozen, mean-pooled, normalised features of the "
        "encoder. Pooling and normalisation are one more layer of a DistilBERT, equal but for rounding, so that no "
        "code of its own is needed to load the model.",
    )


def of_network(folder: Path, training: Training) -> Classifier:
    """A whole network, from the folder that training left.

    Raises:
        WeightsError: it is not readable.
    """
    from transformers import AutoTokenizer

    model = network.opened(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.model_max_length = training.max_tokens
    return Classifier(model, tokenizer, "All weights of the network were trained.")
