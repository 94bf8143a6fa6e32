"""Small changes of wording that leave the meaning of a text alone.

What belongs here: the kinds of edit, each a function of a text and a random stream, and their word lists. What
does not: which documents are edited and how often (edit.py), and edits that are meant to make a text hard to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from smc_dagster.corpora.wording import CONTRACTIONS, Wordings, both_ways

Edit = Callable[[str, np.random.Generator], str]

# each is used in both directions
_CONTRACTIONS = [
    *CONTRACTIONS,
    ("should not", "shouldn't"), ("I am", "I'm"), ("I have", "I've"), ("I would", "I'd"), ("you are", "you're"),
]  # fmt: skip
_SPELLINGS = [
    ("color", "colour"), ("behavior", "behaviour"), ("center", "centre"), ("normalize", "normalise"),
    ("initialize", "initialise"), ("serialize", "serialise"), ("optimize", "optimise"), ("analyze", "analyse"),
    ("neighbor", "neighbour"), ("canceled", "cancelled"), ("labeled", "labelled"), ("catalog", "catalogue"),
    ("gray", "grey"), ("favorite", "favourite"),
]  # fmt: skip
_SYNONYMS = [
    ("use", "employ"), ("used", "employed"), ("get", "obtain"), ("show", "display"), ("make", "create"),
    ("start", "begin"), ("end", "finish"), ("whether", "if"), ("given", "provided"), ("big", "large"),
    ("need", "require"), ("needs", "requires"), ("help", "assist"), ("tell", "inform"), ("also", "additionally"),
    ("must", "has to"), ("about", "regarding"), ("like", "such as"), ("each", "every"), ("many", "several"),
    ("only", "just"), ("want", "would like"), ("buy", "purchase"), ("find", "locate"), ("fix", "repair"),
    ("return", "give back"), ("returns", "gives back"), ("compute", "calculate"), ("computes", "calculates"),
    ("contains", "holds"), ("specified", "named"), ("currently", "at present"),
]  # fmt: skip
_OPENERS = ("In short, ", "Note: ", "Basically, ", "Here, ", "In other words, ", "As it stands, ", "To be clear, ")
_DROPPED = re.compile(r"\b(the|a|an|that|very|simply|just|really|also)\s+(?=\w)", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_END = re.compile(r"[.!?]+$")


def _swapper(pairs: list[tuple[str, str]]) -> Edit:
    wordings = Wordings(both_ways(pairs))

    def edit(text: str, random: np.random.Generator) -> str:
        found = wordings.found(text)
        if not found:
            return text
        start, end, new = found[int(random.integers(len(found)))]
        if text[start].isupper():
            new = new[0].upper() + new[1:]
        return text[:start] + new + text[end:]

    return edit


def _drop(text: str, random: np.random.Generator) -> str:
    found = list(_DROPPED.finditer(text))
    if not found:
        return text
    one = found[int(random.integers(len(found)))]
    rest = text[one.end() :]
    return text[: one.start()] + (rest[0].upper() + rest[1:] if one.group()[0].isupper() else rest)


def _punctuate(text: str, random: np.random.Generator) -> str:
    if ", and " in text and random.random() < 0.5:
        return text.replace(", and ", " and ", 1)
    if " and " in text and ", and " not in text and random.random() < 0.3:
        return text.replace(" and ", ", and ", 1)
    return _END.sub("", text) if _END.search(text) else text + "."


def _reorder(text: str, random: np.random.Generator) -> str:
    sentences = _SENTENCES.split(text)
    if len(sentences) < 2:
        return text
    at = int(random.integers(len(sentences) - 1))
    sentences[at], sentences[at + 1] = sentences[at + 1], sentences[at]
    return " ".join(sentences)


def _open(text: str, random: np.random.Generator) -> str:
    opener = _OPENERS[int(random.integers(len(_OPENERS)))]
    keeps = text[:1].isupper() and text[1:2].islower()
    return opener + (text[0].lower() + text[1:] if keeps and not opener.endswith(": ") else text)


KINDS: dict[str, Edit] = {
    "contraction": _swapper(_CONTRACTIONS),
    "spelling": _swapper(_SPELLINGS),
    "synonym": _swapper(_SYNONYMS),
    "function_word": _drop,
    "punctuation": _punctuate,
    "order": _reorder,
    "opener": _open,
}
# these change any text
ALWAYS = ("punctuation", "opener")
