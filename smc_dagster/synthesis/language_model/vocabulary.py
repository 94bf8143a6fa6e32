"""Texts to tokens and back, and the token that stands for a label.

What belongs here: training the tokenizer, the tokens of labels, encoding and decoding. What does not: the network.

A text is `<label> token ... token <end>`. Each label has a token of its own, named by its number and never by its
text, and a text that spells such a name is encoded letter by letter: no text can pretend to be of another label, or to
end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import WeightsError

END = "<|end|>"
LABELS = "labels.json"
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer that knows the labels.

    Attributes:
        tokenizer: a fast tokenizer of transformers.
        labels: sorted; label i has the token `<|label:i|>`.
        end: id of the token that ends a text, and fills up batches.
        label_ids: id of each label's token, by label.
    """

    tokenizer: Any
    labels: tuple[str, ...]
    end: int
    label_ids: dict[str, int]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without label and end."""
        out: list[list[int]] = []
        for first in range(0, len(texts), _AT_ONCE):
            some = list(texts[first : first + _AT_ONCE])
            # what a text spells is text, whatever token is named so
            out += self.tokenizer(
                some, add_special_tokens=False, return_attention_mask=False, split_special_tokens=True
            )["input_ids"]
        return out

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, white space made single blanks."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.replace("\ufffd", " ").split())

    def save(self, folder: Path) -> None:
        """Write tokenizer files and `labels.json`."""
        self.tokenizer.save_pretrained(folder)
        (folder / LABELS).write_text(json.dumps(list(self.labels), ensure_ascii=False), encoding="utf-8")


def learn(texts: Sequence[str], labels: Sequence[str], size: int) -> Vocabulary:
    """Byte-level byte-pair encoding (Sennrich et al. 2016) learned on the texts alone, plus a token a label.

    Args:
        texts: the training split's; their order does not matter.
        size: tokens at most, those of labels and the end not counted; at least 257.
    """
    _quiet()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return _with_labels(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END), labels)


def adopt(tokenizer: Any, labels: Sequence[str], where: str) -> Vocabulary:
    """The tokenizer of a model that is trained on from, with a token a label added.

    Raises:
        WeightsError: it has no fast implementation, or no token that ends a text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise WeightsError(f"{where}: its tokenizer has no tokenizer.json", "save it as a fast tokenizer")
    if tokenizer.eos_token_id is None:
        raise WeightsError(f"{where}: its tokenizer names no token that ends a text", "set its eos_token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return _with_labels(tokenizer, labels)


def opened(folder: Path) -> Vocabulary:
    """The vocabulary that `Vocabulary.save` wrote."""
    _quiet()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return _with_labels(tokenizer, json.loads((folder / LABELS).read_text(encoding="utf-8")))


def drawable(vocabulary: Vocabulary) -> np.ndarray:
    """[tokens] bool: which ids may be drawn: the end and ordinary tokens, but no special one."""
    allowed = np.ones(len(vocabulary.tokenizer), bool)
    allowed[list(vocabulary.tokenizer.all_special_ids)] = False
    allowed[list(vocabulary.label_ids.values())] = False
    allowed[vocabulary.end] = True
    return allowed


def _with_labels(tokenizer: Any, labels: Sequence[str]) -> Vocabulary:
    names = [f"<|label:{number}|>" for number in range(len(labels))]
    tokenizer.add_tokens(names, special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(names)
    return Vocabulary(tokenizer, tuple(labels), tokenizer.eos_token_id, dict(zip(labels, ids, strict=True)))


def _quiet() -> None:
    """Nothing of these libraries may reach for the network unasked, or start threads that a fork would lose."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
