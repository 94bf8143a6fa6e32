"""Templated text: few sentence patterns a label, filled from the label's own vocabulary, polished to one voice.

What belongs here: mining patterns from the training split and filling them. What does not: how over-used patterns are
found in a pool (screening/templates.py), which goes by another recipe on purpose.

A pattern is the first plain sentence of a document, with letters in every word (of a domain that has none: the first
words of any sentence), with its content phrases taken out as slots: the runs of words outside the 150 (at most a
third) that the corpus spreads over the most sentences. A label keeps its `templates` most used patterns; a slot is
filled with a phrase that the label's documents have in such a place (between the same two words, else after the same
word, else anywhere), as often as they do. Where nothing has a slot, sentences are used as they are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from smc_dagster.study import Provenance
from smc_dagster.synthesis.contract import Made, Request, made
from smc_dagster.synthesis.streams import stream

SLOT = "\0"
Pattern = tuple[str, ...]
Place = tuple[str, ...]
_WIDESPREAD = 150
_MOST_WORDS = 24
_MOST_CHARACTERS = 60
_MARKUP = re.compile(r":\w+(?::\w+)*:(?=`)|[`*]|~(?=\w)")
_SENTENCE = re.compile(r"^(.+?(?:[.!?](?=\s+\S|$)|[。！？]))")
_PLAIN = re.compile(r"^[^\W\d_][\w.'/-]*,?$")


class TemplateSettings(BaseModel):
    """Settings of the generator `template`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: int = Field(default=4, ge=1, le=100, description="patterns a label")


@dataclass
class Mined:
    """What a label, or a domain, offers: how often each pattern is used, the phrases of each place, and sentences."""

    patterns: Counter[Pattern] = field(default_factory=Counter)
    phrases: defaultdict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    sentences: Counter[str] = field(default_factory=Counter)

    def at(self, before: str, after: str) -> Counter[str]:
        """Phrases for a slot: from the narrowest place that offers three, else from the one that offers most."""
        places = [self.phrases[place] for place in ((before, after), (before,), ()) if self.phrases.get(place)]
        return next((one for one in places if len(one) > 2), max(places, key=len, default=Counter()))


class Template:
    """The low-diversity generator."""

    provenance = Provenance.templated
    settings = TemplateSettings
    counts_bind = True

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`."""
        settings: TemplateSettings = request.settings
        return made(_texts(request.train, request.counts, settings, request.seed), self.provenance, "template")


def _texts(train: pa.Table, counts: Mapping[str, int], settings: TemplateSettings, seed: int) -> dict[str, list[str]]:
    domains, first = train.column("domain").to_pylist(), [_sentence(text) for text in train.column("text").to_pylist()]
    sentences = [_plain_words(words) for words in first]
    plain = {domain for domain, words in zip(domains, sentences, strict=True) if words}
    sentences = [
        words if domain in plain else _first_words(any_words)
        for domain, words, any_words in zip(domains, sentences, first, strict=True)
    ]
    voice = _voice(sentences)
    sentences = [[voice.get(words[0], words[0]), *words[1:]] if words else [] for words in sentences]
    kept = _widespread(sentences)
    by_label: defaultdict[str, Mined] = defaultdict(Mined)
    by_domain: defaultdict[str, Mined] = defaultdict(Mined)
    domain_of = {}
    rows = zip(domains, train.column("label").to_pylist(), sentences, strict=True)
    for domain, label, words in rows:
        domain_of[label] = domain
        if words:
            for mined in (by_label[label], by_domain[domain]):
                _mine(mined, words, kept)
    out = {}
    for label, count in counts.items():
        own, domain = by_label[label], by_domain[domain_of[label]]
        patterns = _choose(own, domain, settings.templates)
        out[label] = _fill(patterns, own, domain, count, stream(seed, "template", label))
    return out


def _sentence(text: str) -> list[str]:
    """Words of the first sentence without markup."""
    flat = " ".join(_MARKUP.sub("", text).split())
    found = _SENTENCE.match(flat)
    return (found.group(1) if found else flat).rstrip(".!?:; 。！？").split()


def _plain_words(words: list[str]) -> list[str]:
    """A sentence as it is mined; none where it does not read as a plain one."""
    if not 3 <= len(words) <= _MOST_WORDS or not all(_PLAIN.match(word) for word in words) or words[-1].endswith(","):
        return []
    # the capital of a sentence's first word is not the word's own
    first = words[0][0].lower() + words[0][1:] if words[0][1:].islower() or len(words[0]) == 1 else words[0]
    return [first, *words[1:]]


def _first_words(words: list[str]) -> list[str]:
    """What stands for a sentence in a domain without a plain one, such as one of codes and numbers."""
    # a text without blanks is one word
    return [word[:_MOST_CHARACTERS] for word in words[:_MOST_WORDS]]


def _widespread(sentences: Sequence[list[str]]) -> frozenset[str]:
    spread = Counter(word for words in sentences for word in set(words) if not word.endswith(","))
    return frozenset(sorted(spread, key=lambda word: (-spread[word], word))[: min(_WIDESPREAD, len(spread) // 3)])


def _voice(sentences: Sequence[list[str]]) -> dict[str, str]:
    """Opening verbs in the third person (`returns`), to the imperative that the corpus also opens with (`return`)."""
    opening = Counter(words[0] for words in sentences if words)
    voice = {}
    for word in opening:
        stems = [word[: -len(end)] for end in ("s", "es") if word.endswith(end)]
        known = [stem for stem in stems if len(stem) > 2 and opening[stem] > 1]
        if known:
            voice[word] = known[0]
    return voice


def _mine(mined: Mined, words: list[str], kept: frozenset[str]) -> None:
    parts: list[str] = []
    phrases: list[list[str]] = []
    for word in words:
        if word in kept:
            parts.append(word)
        elif parts and parts[-1] is SLOT:
            phrases[-1].append(word)
        else:
            parts.append(SLOT)
            phrases.append([word])
    mined.sentences[" ".join(words)] += 1
    slots = iter(phrases)
    usable = True
    for at, part in enumerate(parts):
        if part is SLOT:
            phrase = next(slots)
            usable &= len(phrase) <= 3
            if len(phrase) <= 3 and not phrase[-1].endswith(","):
                before, after = parts[at - 1] if at else "", parts[at + 1] if at + 1 < len(parts) else ""
                for place in ((before, after), (before,), ()):
                    mined.phrases[place][" ".join(phrase)] += 1
    if usable and 1 <= len(phrases) <= 4 and len(parts) - len(phrases) >= 1:
        mined.patterns[tuple(parts)] += 1


def _choose(own: Mined, domain: Mined, number: int) -> dict[Pattern, int]:
    """The most used patterns, with their use; what the label lacks comes from its domain."""

    def rank(pattern: Pattern) -> tuple[int, int, int, Pattern]:
        return (-own.patterns[pattern], -domain.patterns[pattern], -len(pattern), pattern)

    chosen = sorted(own.patterns, key=rank)[:number]
    if len(chosen) < number:
        chosen += [p for p in sorted(domain.patterns, key=rank) if p not in own.patterns][: number - len(chosen)]
    return {pattern: max(1, own.patterns[pattern]) for pattern in chosen or [(SLOT,)]}


def _fill(
    patterns: dict[Pattern, int], own: Mined, domain: Mined, count: int, random: np.random.Generator
) -> list[str]:
    which = _draw(random, list(patterns.values()), count)
    texts = np.empty(count, object)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(which == number)
        columns = []
        for at, part in enumerate(pattern):
            if part is not SLOT:
                columns.append([part] * len(rows))
                continue
            before, after = pattern[at - 1] if at else "", pattern[at + 1] if at + 1 < len(pattern) else ""
            offered = own.at(before, after) or domain.at(before, after)
            if not offered and pattern == (SLOT,):
                # every word is widespread, or none is: there is nothing to fill, and sentences stay whole
                offered = own.sentences or domain.sentences
            offered = offered or Counter({"item": 1})
            phrases = sorted(offered)
            drawn = _draw(random, [offered[phrase] for phrase in phrases], len(rows))
            columns.append([phrases[i] for i in drawn])
        for row, words in zip(rows, zip(*columns, strict=True), strict=True):
            text = " ".join(words)
            texts[row] = text[0].upper() + text[1:] + "."
    return list(texts)


def _draw(random: np.random.Generator, weights: Sequence[int], count: int) -> np.ndarray:
    total = np.cumsum(weights)
    return np.asarray(np.searchsorted(total, random.random(count) * total[-1], side="right"))
