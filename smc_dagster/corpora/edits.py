"""Light edits of a text that leave what it is about alone.

What belongs here: the edits, each a function of a text and a stream of random numbers. What does not: which documents
are edited, and the table of them (adversarial.py; generators of edited text).

Words that carry the topic stay, in their order: an edit misspells a few of them, or adds words and marks that belong to
no topic. The words added are English; misspelling and noise work on any script that has letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from smc_dagster.corpora.wording import CONTRACTIONS, Wordings

Stream = np.random.Generator
Edit = Callable[[str, Stream], str]

# a word that one wrong letter leaves readable
_WORD = re.compile(r"[^\W\d_]{4,}")
_TOKEN = re.compile(r"\S+")
# keys beside each other on a QWERTY keyboard, same row
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {key: row[max(at - 1, 0) : at] + row[at + 1 : at + 2] for row in _ROWS for at, key in enumerate(row)}
# one word in so many is misspelt, at least one
_WORDS_A_TYPO = 6

_CLAUSES = (
    "not that it matters much",
    "although that may well be wrong",
    "or perhaps not, it is hard to say",
    "and nobody has claimed otherwise",
    "though I would not insist on it",
    "which is not to say that it always holds",
    "no, wait, yes",
    "not what you might expect",
)
_STARTS = ("... which is why", "and then, as above,", "(cont.)", "- ", "so anyway,", "... or rather:")
_CUTS = ("and if the", "because it", "see also the", "which, when", "but then", "as in:")
_FORMAL_OPENERS = ("I should be grateful for the following:", "For the record:", "With respect to the above:")
_CASUAL_OPENERS = ("hey so", "ok quick one:", "lol,", "yo,", "right,")
# formal and casual wording of the same; none of it names a topic
_REGISTERS = (
    *CONTRACTIONS,
    ("was not", "wasn't"), ("would not", "wouldn't"), ("I am", "i'm"), ("I have", "i've"), ("I would", "i'd"),
    ("want to", "wanna"), ("going to", "gonna"), ("got to", "gotta"), ("because", "cuz"), ("please", "pls"),
    ("thank you", "thx"), ("though", "tho"), ("therefore", "so"), ("however", "but"), ("perhaps", "maybe"),
    ("approximately", "roughly"), ("regarding", "about"), ("in order to", "to"), ("let me", "lemme"),
    ("give me", "gimme"), ("you", "u"), ("are", "r"), ("with", "w/"), ("and", "&"),
)  # fmt: skip


_TO_CASUAL = Wordings(_REGISTERS)
# single letters and marks stay: too much else is written so
_TO_FORMAL = Wordings((casual, formal) for formal, casual in _REGISTERS if "'" in casual or len(casual) > 3)


def misspell(word: str, stream: Stream) -> str:
    """A word of at least four letters with one slip: a neighbouring key, two letters swapped, one lost or one doubled.

    First and last letter stay. A slip that would change nothing (two equal letters swapped) becomes a lost letter.
    """
    at = int(stream.integers(1, len(word) - 1))
    kind = int(stream.integers(4))
    letter = word[at]
    beside = _BESIDE.get(letter.lower(), "")
    if kind == 0 and beside:
        key = beside[int(stream.integers(len(beside)))]
        return word[:at] + (key.upper() if letter.isupper() else key) + word[at + 1 :]
    if kind == 1 and at + 2 < len(word) and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + letter + word[at + 2 :]
    if kind == 2:
        return word[:at] + letter + word[at:]
    return word[:at] + word[at + 1 :]


def typo(text: str, stream: Stream) -> str:
    """One word in six misspelt, at least one; a text without a word of four letters gets `noise` instead."""
    words = list(_WORD.finditer(text))
    if not words:
        return noise(text, stream)
    count = max(1, len(words) // _WORDS_A_TYPO)
    chosen = sorted(stream.permutation(len(words))[:count].tolist(), reverse=True)
    for place in chosen:
        hit = words[place]
        text = text[: hit.start()] + misspell(hit.group(), stream) + text[hit.end() :]
    return text


def negation(text: str, stream: Stream) -> str:
    """A clause that hedges, negates or contradicts, before or after the text; of no topic of its own."""
    clause = _pick(_CLAUSES, stream)
    body = text.rstrip()
    if stream.integers(2):
        return f"{clause[0].upper()}{clause[1:]}: {body}"
    return f"{body.rstrip('.!?;:,')}, {clause}."


def fragment(text: str, stream: Stream) -> str:
    """A dangling start, or a sentence that begins with the text's own words and is cut off."""
    body = text.strip()
    if stream.integers(2):
        return f"{_pick(_STARTS, stream).rstrip()} {body}"
    words = [hit.group() for hit in _TOKEN.finditer(body)]
    first = int(stream.integers(max(1, len(words) - 2)))
    return f"{body} {_pick(_CUTS, stream)} {' '.join(words[first : first + 2])}"


def noise(text: str, stream: Stream) -> str:
    """Other case and other punctuation: all upper, all lower or flipped words; marks taken off, doubled or added."""
    kind = int(stream.integers(3))
    changed = (text.upper(), text.lower(), _TOKEN.sub(lambda hit: _flip(hit.group(), stream), text))[kind]
    marks = int(stream.integers(3))
    if marks == 0:
        changed = re.sub(r"[.,;:!?]", "", changed)
    elif marks == 1:
        changed = re.sub(r"([.,;:!?])", r"\1\1", changed)
    if changed == text or marks == 2:
        changed = changed.rstrip() + _pick(("!!", " ...", "?!", " ,", ";;"), stream)
    return changed


def register(text: str, stream: Stream) -> str:
    """Formal wording turned casual under a formal opening, or casual wording turned formal under a casual one."""
    if stream.integers(2):
        return f"{_pick(_FORMAL_OPENERS, stream)} {_TO_CASUAL.swapped(text)}"
    return f"{_pick(_CASUAL_OPENERS, stream)} {_TO_FORMAL.swapped(text)}"


EDITS: dict[str, Edit] = {
    "typo": typo,
    "negation": negation,
    "fragment": fragment,
    "noise": noise,
    "register": register,
}


def _flip(word: str, stream: Stream) -> str:
    return word.swapcase() if stream.integers(2) else word


def _pick(choices: tuple[str, ...], stream: Stream) -> str:
    return choices[int(stream.integers(len(choices)))]
