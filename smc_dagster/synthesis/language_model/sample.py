"""The texts of a pool, drawn block by block, so that a killed run goes on where it was.

What belongs here: which texts are asked for and how they begin, drawing anew what does not stand, blocks on disk. What
does not: drawing a batch (draw.py).

A text is decided by the seed, its label and its number among the label's texts alone. A text stands if it has come
to an end, says something, is no longer than any training text and is none of them word for word; one that does not is
drawn anew, at most eight times, after which the last one that said something is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from smc_dagster.corpora.text import normalise
from smc_dagster.errors import ModelError
from smc_dagster.hardware import cores, device, one_torch_thread
from smc_dagster.study import digest_of
from smc_dagster.synthesis.language_model import network
from smc_dagster.synthesis.language_model.draw import ROWS, Wanted, draw
from smc_dagster.synthesis.language_model.vocabulary import Vocabulary, drawable
from smc_dagster.synthesis.streams import seed_of, stream

_ROUNDS = 8
_PREFIX_WORDS = 4
BLOCK = 8 * ROWS


@dataclass(frozen=True)
class Diversity:
    """How varied the texts are; see the settings of the generator `lm`."""

    temperature: float = 1.0
    top_p: float = 1.0
    prototypes: int = 0
    max_new_tokens: int = 0


def sample(
    folder: Path,
    train: pa.Table,
    counts: Mapping[str, int],
    diversity: Diversity,
    seed: int,
    work: Path,
    name: str,
    progress: Callable[[int, int], None] | None = None,
    block: int = BLOCK,
) -> dict[str, list[str]]:
    """`counts[label]` texts of each label from the network in `folder`.

    Args:
        train: label and text of the training split, for what a text begins with and must not be.
        work: where finished blocks lie until the caller removes them.
        name: what the model in `folder` is made from; blocks of another are not gone on with.
        block: texts between two writes.

    Raises:
        ModelError: the model does not know a label, or gives no text for one.
        WeightsError: the folder is not readable.
    """
    model, vocabulary = network.opened(folder)
    unknown = sorted(counts.keys() - vocabulary.label_ids.keys())
    if unknown:
        raise ModelError(f"{folder}: the model knows no label `{unknown[0]}`", "materialise generator_model again")
    asked = [(label, number) for label in sorted(counts) for number in range(counts[label])]
    key = digest_of([name, diversity.__dict__, seed, dict(sorted(counts.items())), block])
    source = _Source(model, vocabulary, train, diversity, seed)
    out: dict[str, list[str]] = {label: [] for label in sorted(counts)}
    for first in range(0, len(asked), block):
        some = asked[first : first + block]
        path = work / f"texts-{first // block:06d}.json"
        texts = _read(path, key, len(some))
        if texts is None:
            texts = source.texts(some)
            _write(path, key, texts)
        for (label, _), text in zip(some, texts, strict=True):
            out[label].append(text)
        if progress is not None:
            progress(min(first + block, len(asked)), len(asked))
    return out


class _Source:
    def __init__(self, model: Any, vocabulary: Vocabulary, train: pa.Table, diversity: Diversity, seed: int) -> None:
        import torch

        place = device()
        self.model, self.vocabulary, self.diversity, self.seed = model.to(place), vocabulary, diversity, seed
        self.banned = ~torch.from_numpy(drawable(vocabulary))
        # a network may have more outputs than its tokenizer has tokens
        spare = model.get_output_embeddings().weight.shape[0] - len(self.banned)
        self.banned = torch.cat([self.banned, torch.ones(max(0, spare), dtype=torch.bool)]).to(place)
        limit = getattr(model.config, "max_position_embeddings", None) or 1024
        self.most = min(limit, 2 + diversity.max_new_tokens) if diversity.max_new_tokens else limit
        texts = train["text"].to_pylist()
        self.seen = {normalise(text) for text in texts}
        self.most_characters = max(map(len, texts))
        self.openings = self._openings(train) if diversity.prototypes else {}

    def texts(self, asked: Sequence[tuple[str, int]]) -> list[str]:
        """A text for each (label, number)."""
        out = [""] * len(asked)
        waiting = list(range(len(asked)))
        for attempt in range(_ROUNDS):
            drawn = self._round([asked[row] for row in waiting], attempt)
            left = []
            for row, (text, ended) in zip(waiting, drawn, strict=True):
                # what is kept at last is cut as a training text would be
                out[row] = text[: self.most_characters].strip() or out[row]
                if not ended or not text or len(text) > self.most_characters or normalise(text) in self.seen:
                    left.append(row)
            waiting = left
            if not waiting:
                break
        empty = next((asked[row][0] for row in waiting if not normalise(out[row])), None)
        if empty is not None:
            raise ModelError(
                f"the language model gave no text for label `{empty}` in {_ROUNDS} draws",
                "train it for longer: language_model.epochs",
            )
        return out

    def _round(self, asked: Sequence[tuple[str, int]], attempt: int) -> list[tuple[str, bool]]:
        wanted = [self._wanted(label, number, attempt) for label, number in asked]
        batches = [wanted[first : first + ROWS] for first in range(0, len(wanted), ROWS)]
        diversity = self.diversity

        def run(batch: list[Wanted]) -> list[tuple[str, bool]]:
            with one_torch_thread():
                lines = draw(
                    self.model,
                    batch,
                    self.vocabulary.end,
                    self.banned,
                    diversity.temperature,
                    diversity.top_p,
                    self.most,
                )
            return [(self.vocabulary.decode(ids), ended) for ids, ended in lines]

        workers = 1 if self.banned.device.type == "cuda" else cores()
        with one_torch_thread(), ThreadPoolExecutor(workers, thread_name_prefix="sample") as pool:
            return [line for lines in pool.map(run, batches) for line in lines]

    def _wanted(self, label: str, number: int, attempt: int) -> Wanted:
        random = stream(self.seed, "lm", label, number, attempt)
        uniform = random.random(self.most)
        begins = [self.vocabulary.label_ids[label]]
        openings = self.openings.get(label)
        if openings:
            # the token drawn in the first column is the label's, so its number is free for this
            begins += openings[int(uniform[0] * len(openings))]
        # at least one token and the end must fit
        return Wanted(begins[: max(1, self.most - 2)], uniform)

    def _openings(self, train: pa.Table) -> dict[str, list[list[int]]]:
        """Tokens of the first words of the prototypes of each label: the texts of lowest hash."""
        ranked: dict[str, list[tuple[int, str]]] = {}
        for label, text in zip(train["label"].to_pylist(), train["text"].to_pylist(), strict=True):
            ranked.setdefault(label, []).append((seed_of(self.seed, "prototype", text), text))
        out = {}
        for label, texts in ranked.items():
            chosen = [text.split() for _, text in sorted(texts)[: self.diversity.prototypes]]
            heads = [" ".join(words[: min(_PREFIX_WORDS, (len(words) + 1) // 2)]) for words in chosen]
            out[label] = self.vocabulary.encode(heads)
        return out


def _read(path: Path, key: str, number: int) -> list[str] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        texts = said["texts"] if said["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [str(one) for one in texts] if isinstance(texts, list) and len(texts) == number else None


def _write(path: Path, key: str, texts: list[str]) -> None:
    hidden = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(json.dumps({"key": key, "texts": texts}), encoding="utf-8")
        os.replace(hidden, path)
    except OSError as error:
        raise ModelError(
            f"{path}: the texts drawn could not be written: {error.strerror}",
            "free some space and run again: blocks that are written are not drawn again",
        ) from error
