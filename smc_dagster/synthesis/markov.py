"""Sampled text: a class-conditional word n-gram model with back-off.

What belongs here: the tables of what follows what, and sampling from them. What does not: a neural language model,
which is a generator of its own.

The next word is drawn after the longest context that is accepted, in the order: the label's, the domain's, and the
same one word shorter. A context seen c times with u different followers is accepted with probability c / (c + u)
(Witten and Bell 1991, method C); the domain's, as long as a shorter context is left, with that times prior / (prior +
n), n the label's training documents: a rare label leans on its domain, a common one hardly. The domain's shortest
context is always accepted; it is always known, as whatever was drawn came from the domain. Draws that a writer would
not leave standing are drawn anew, at most eight times: unclosed brackets or quotes, no end in sight, a text of the
training split word for word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from smc_dagster.corpora.shingles import Hashes, Ints, mix, string_hashes
from smc_dagster.corpora.text import normalise
from smc_dagster.study import Provenance
from smc_dagster.synthesis.contract import Made, Request, made
from smc_dagster.synthesis.streams import stream

START, END = 0, 1
_ROUNDS = 8
_BLOCK = 20_000
_GLUE = "\u2060"
_STOPS = re.compile(r"(?<=\S)([.,;:!?]+)(?=\s|$)")
_PAIRS = ("()", "[]", "{}")
Floats = npt.NDArray[np.float64]


class MarkovSettings(BaseModel):
    """Settings of the generator `markov`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: int = Field(default=3, ge=2, le=5, description="words of an n-gram")
    temperature: float = Field(default=1.0, gt=0, le=5, description="below 1 sharper, above 1 flatter")
    prior: float = Field(default=20.0, ge=0, description="training documents at which label and domain weigh the same")


class Markov:
    """The higher-diversity generator."""

    provenance = Provenance.generated
    settings = MarkovSettings
    counts_bind = True

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`."""
        settings: MarkovSettings = request.settings
        return made(_texts(request.train, request.counts, settings, request.seed), self.provenance, "markov")


def _texts(train: pa.Table, counts: Mapping[str, int], settings: MarkovSettings, seed: int) -> dict[str, list[str]]:
    model = _Model(train, settings)
    out: dict[str, list[str]] = {}
    labels = sorted(counts)
    block: list[str] = []
    for number, label in enumerate(labels):
        block.append(label)
        if sum(counts[one] for one in block) >= _BLOCK or number + 1 == len(labels):
            out |= _sample(model, block, [counts[one] for one in block], seed)
            block = []
    return out


@dataclass(frozen=True)
class _Followers:
    """What follows each context: ascending `keys`; the followers of key i are `low[i]:high[i]`."""

    keys: Hashes
    low: Ints
    high: Ints
    accepted: Floats
    word: Ints
    weight: Floats

    @classmethod
    def count(cls, context: Hashes, word: Ints, temperature: float) -> _Followers:
        order = np.lexsort((word, context))
        context, word = context[order], word[order]
        new = np.concatenate([[True], (context[1:] != context[:-1]) | (word[1:] != word[:-1])])
        starts = np.flatnonzero(new)
        times = np.diff(np.concatenate([starts, [len(word)]]))
        keys, low, distinct = np.unique(context[starts], return_index=True, return_counts=True)
        total = np.add.reduceat(times, low)
        return cls(
            keys,
            low,
            low + distinct,
            total / (total + distinct),
            word[starts],
            np.concatenate([[0.0], np.cumsum(times.astype(float) ** (1 / temperature))]),
        )

    def find(self, context: Hashes) -> tuple[Ints, npt.NDArray[np.bool_]]:
        at = np.minimum(np.searchsorted(self.keys, context), len(self.keys) - 1)
        return at, self.keys[at] == context

    def draw(self, at: Ints, uniform: Floats) -> Ints:
        low, high = self.low[at], self.high[at]
        target = self.weight[low] + uniform * (self.weight[high] - self.weight[low])
        return self.word[np.clip(np.searchsorted(self.weight, target, side="right") - 1, low, high - 1)]


class _Model:
    def __init__(self, train: pa.Table, settings: MarkovSettings) -> None:
        texts = train.column("text").to_pylist()
        lines = [_STOPS.sub(f" {_GLUE}\\1", text.replace(_GLUE, "")).split() or ["-"] for text in texts]
        words = pc.dictionary_encode(pa.array([word for line in lines for word in line], pa.string()))
        # numbered by the alphabet, so that the tables do not depend on the order of the rows
        alphabet = pc.rank(words.dictionary).to_numpy(zero_copy_only=False).astype(np.int64) + END
        self.words = ["", "", *words.dictionary.take(pc.sort_indices(words.dictionary)).to_pylist()]
        self.seen = {normalise(text) for text in texts}
        self.most_characters = max(map(len, texts))
        self.settings, self.most_words = settings, max(map(len, lines)) + 1
        self.domain_of = dict(zip(train.column("label").to_pylist(), train.column("domain").to_pylist(), strict=True))
        label, domain = (string_hashes(train.column(name), seed) for seed, name in enumerate(("label", "domain")))
        self.documents = dict(
            zip(*(part.to_pylist() for part in pc.value_counts(train.column("label")).flatten()), strict=True)
        )

        lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        width = settings.order - 1
        starts = np.concatenate([[0], np.cumsum(lengths + width + 1)])
        flat = np.full(starts[-1], START, np.int64)
        place = np.arange(lengths.sum()) + np.repeat(starts[:-1] + width - np.cumsum(lengths) + lengths, lengths)
        flat[place] = alphabet[words.indices.to_numpy(zero_copy_only=False)] if len(place) else 0
        flat[starts[1:] - 1] = END
        at = np.arange(starts[-1])
        at = at[at - np.repeat(starts[:-1], lengths + width + 1) >= width]
        document = np.repeat(np.arange(len(lines)), lengths + 1)
        self.levels = []
        for size in range(width, 0, -1):
            history = np.stack([flat[at - step] for step in range(1, size + 1)], axis=1)
            for group, own in ((label, True), (domain, False)):
                key = _context(group[document], history)
                self.levels.append((size, own, _Followers.count(key, flat[at], settings.temperature)))

    def step(self, label: Hashes, domain: Hashes, lean: Floats, history: Ints, which: Floats, uniform: Floats) -> Ints:
        """The next word of each document, given the words before it, newest first."""
        out = np.full(len(label), END, np.int64)
        left = np.arange(len(label))
        which = which.copy()
        for number, (size, own, followers) in enumerate(self.levels):
            group = (label if own else domain)[left]
            at, known = followers.find(_context(group, history[left, :size]))
            chance = (
                followers.accepted[at] * (1.0 if own else lean[left])
                if number + 1 < len(self.levels)
                else np.ones(len(left))
            )
            chance = np.where(known, chance, 0.0)
            taken = which[left] < chance
            out[left[taken]] = followers.draw(at[taken], uniform[left[taken]])
            # the same number serves the next level: given that it missed, what is left of it is uniform again
            rest = left[~taken]
            which[rest] = (which[rest] - chance[~taken]) / (1 - chance[~taken])
            left = rest
        return out


def _context(group: Hashes, history: Ints) -> Hashes:
    key = group
    for column in range(history.shape[1]):
        key = mix(key ^ mix(history[:, column].astype(np.uint64)))
    return key


def _sample(model: _Model, labels: Sequence[str], counts: Sequence[int], seed: int) -> dict[str, list[str]]:
    owner = np.repeat(np.arange(len(labels)), counts)
    hashes = (
        string_hashes(pa.array(labels, pa.string()), 0),
        string_hashes(pa.array([model.domain_of[one] for one in labels]), 1),
    )
    prior = model.settings.prior
    lean = np.array([prior / (prior + model.documents[label]) for label in labels])
    texts = [""] * len(owner)
    waiting = np.arange(len(owner))
    for attempt in range(_ROUNDS):
        number = np.bincount(owner[waiting], minlength=len(labels))
        random = [stream(seed, "markov", label, attempt) for label in labels]
        drawn = _walk(model, hashes, lean, owner[waiting], number, random)
        for row, text in zip(waiting, drawn, strict=True):
            texts[row] = text
        waiting = np.array([row for row in waiting if not _stands(model, texts[row])], np.int64)
        if not len(waiting):
            break
    ends = np.cumsum(counts)
    return {
        label: [text.rstrip(_GLUE)[: model.most_characters].strip() for text in texts[end - count : end]]
        for label, count, end in zip(labels, counts, ends, strict=True)
    }


def _walk(
    model: _Model,
    hashes: tuple[Hashes, Hashes],
    lean: Floats,
    owner: Ints,
    number: Ints,
    random: Sequence[np.random.Generator],
) -> list[str]:
    """One text a row, all rows a word at a time; one that finds no end keeps the glue mark as its last character."""
    label, domain = hashes[0][owner], hashes[1][owner]
    history = np.full((len(owner), model.settings.order - 1), START, np.int64)
    words = np.full((len(owner), model.most_words), END, np.int64)
    live = np.arange(len(owner))
    for place in range(model.most_words):
        if not len(live):
            break
        uniform = np.concatenate([one.random((many, 2)) for one, many in zip(random, number, strict=True)])
        drawn = model.step(label[live], domain[live], lean[owner[live]], history[live], *uniform[live].T)
        words[live, place] = drawn
        history[live] = np.concatenate([drawn[:, None], history[live, :-1]], axis=1)
        live = live[drawn != END]
    unfinished = set(live.tolist())
    lines = []
    for row, codes in enumerate(words):
        codes = codes[: int(np.argmax(codes == END))] if row not in unfinished else codes
        text = " ".join([model.words[code] for code in codes]).replace(f" {_GLUE}", "")
        lines.append(text + _GLUE if row in unfinished else text)
    return lines


def _stands(model: _Model, text: str) -> bool:
    if text.endswith(_GLUE) or len(text) > model.most_characters:
        return False
    paired = all(text.count(one[0]) == text.count(one[1]) for one in _PAIRS)
    return paired and not (text.count("`") % 2 or text.count('"') % 2) and normalise(text) not in model.seen
