"""Networks that are small enough to train in a test.

What belongs here: a BERT's folder of config and tokenizer, and classifiers of several kinds. What does not: tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ("card", "loan", "rate", "bill", "fee", "limit", "branch", "cheque")


def config(folder: Path) -> Path:
    """A folder of its config, without weights, and a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "what", "is", "do", "cancel", "the", "of", "my", "please", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    ).save_pretrained(folder)
    return folder


def classifier(kind: str) -> Any:
    """A classifier of three labels, of a kind that transformers knows, the same at every call."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    sizes = {
        "bert": bert,
        "roberta": bert,
        "modernbert": bert | {"local_attention": 8, "classifier_pooling": "cls"},
        "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
        "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    }
    torch.manual_seed(4)
    made = AutoConfig.for_model(kind, vocab_size=50, num_labels=3, pad_token_id=0, **sizes[kind])
    return AutoModelForSequenceClassification.from_config(made).eval()
