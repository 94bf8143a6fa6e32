"""Over-used sentence patterns in a pool, against what real text shows.

What belongs here: the skeleton of a text, and when a skeleton counts as over-used. What does not: near-duplicates
(corpora/near_duplicates.py) and what a filter makes of a template's size (mixing).

The skeleton of a text: the 150 words that occur in the most real training documents stay, and so do . , : ; ? ! ; any
other word becomes its class: `#` a number, `@` a name (a digit, underscore, dot or inner capital in it), `~` a word;
a run of masked words becomes one mark, `~` if its classes differ. "Return the mean of the given array." -> "return
the ~ of the given ~ .". The list is learnt from the real text, so the recipe knows no language.

A skeleton is over-used in a pool's domain of n documents when it holds at least 4 of them and at least m + 3 sqrt(m),
where m = n * max(2 * its own share in the real domain, the share of the real domain's tenth most used skeleton): more
than twice as common as among people, more common than all but the patterns people use most, and not so by chance
(three standard deviations of a Poisson count). One half of real docstrings against the other has about .1 % of its
documents in such skeletons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WIDESPREAD = 150
MIN_DOCUMENTS = 4
TIMES_REAL = 2.0
RANK = 10
DEVIATIONS = 3.0
_NAME = re.compile(r"[\d_./]|\w[A-Z]")
_NUMBER = re.compile(r"[\d.,/]*\d[\d.,/]*")
_MASKS = ("#", "@", "~")
_STOPS = frozenset(".,:;?!")


@dataclass(frozen=True)
class Tokens:
    """Words and stops of some texts: those of text i are `words[starts[i]:starts[i + 1]]`."""

    words: pa.DictionaryArray
    starts: np.ndarray


def tokens(texts: pa.Array | pa.ChunkedArray) -> Tokens:
    """Words (a dot, slash, hyphen or apostrophe inside one stays) and sentence stops; other signs are left out."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    apart = pc.replace_substring_regex(texts, pattern=r"([.,:;?!]+)(\s|$)", replacement=r" \1 ")
    # of a row of stops the first counts
    apart = pc.replace_substring_regex(apart, pattern=r" ([.,:;?!])[.,:;?!]* ", replacement=r" \1 ")
    clean = pc.replace_substring_regex(apart, pattern=r"[^\p{L}\p{M}\p{N}_./'’,:;?!-]+", replacement=" ")
    split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(clean))
    bare = pc.replace_substring_regex(split.flatten(), pattern=r"^[_./'’,:;?!-]+([\p{L}\p{M}\p{N}])", replacement=r"\1")
    bare = pc.replace_substring_regex(bare, pattern=r"([\p{L}\p{M}\p{N}])[_./'’,:;?!-]+$", replacement=r"\1")
    kept = pc.match_substring_regex(bare, pattern=r"[\p{L}\p{M}\p{N}]|^[.,:;?!]$")
    owner = pc.list_parent_indices(split).to_numpy()[kept.to_numpy(zero_copy_only=False)]
    counts = np.bincount(owner, minlength=len(texts))
    return Tokens(pc.dictionary_encode(bare.filter(kept)), np.concatenate([[0], np.cumsum(counts)]))


def widespread_words(texts: pa.Array | pa.ChunkedArray, number: int = WIDESPREAD) -> frozenset[str]:
    """The words, in lower case, that occur in the most texts, at most a third of all; ties by the alphabet."""
    found = tokens(texts)
    lower = pc.dictionary_encode(pc.utf8_lower(found.words.dictionary))
    code = lower.indices.to_numpy()[found.words.indices.to_numpy()].astype(np.int64)
    owner = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    once = np.unique(owner * len(lower.dictionary) + code) if len(code) else code
    spread = np.bincount(once % max(1, len(lower.dictionary)), minlength=len(lower.dictionary))
    ranked = sorted(zip(-spread, lower.dictionary.to_pylist(), strict=True))
    words = [word for _, word in ranked if word not in _STOPS and not _NUMBER.fullmatch(word)]
    return frozenset(words[: min(number, len(words) // 3)])


def skeletons(texts: pa.Array | pa.ChunkedArray, kept: frozenset[str]) -> pa.Array:
    """The skeleton of each text, given the words that stay (see the module)."""
    found = tokens(texts)
    symbols = pc.dictionary_encode(
        pa.array([_symbol(word, kept) for word in found.words.dictionary.to_pylist()], pa.string())
    )
    code = symbols.indices.to_numpy(zero_copy_only=False)[found.words.indices.to_numpy(zero_copy_only=False)].astype(
        np.int64
    )
    names = symbols.dictionary.to_pylist()
    masked = np.array([name in _MASKS for name in names], bool)[code] if len(code) else np.zeros(0, bool)
    owner = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    continues = np.zeros(len(code), bool)
    continues[1:] = masked[1:] & masked[:-1] & (owner[1:] == owner[:-1])
    # a run keeps its class only where all of it has the same
    first = np.flatnonzero(~continues)
    if len(code):
        low, high = np.minimum.reduceat(code, first), np.maximum.reduceat(code, first)
        names.append("~")
        code = np.where(low == high, low, len(names) - 1)
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner[first], minlength=len(found.starts) - 1))])
    flat = pa.array(names, pa.string()).take(pa.array(code)) if len(code) else pa.array([], pa.string())
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(starts, pa.int32()), flat), " ")


@dataclass(frozen=True)
class Usage:
    """How much a pool uses each skeleton: documents of the domain with it, its share (0-1), over-used or not."""

    size: np.ndarray
    share: np.ndarray
    over_used: np.ndarray


def usage(
    domains: pa.Array | pa.ChunkedArray,
    shapes: pa.Array,
    real_domains: pa.Array | pa.ChunkedArray,
    real_shapes: pa.Array,
) -> Usage:
    """Judge the skeletons of a pool against those of real training text (see the module), row by row of the pool."""
    pool = len(shapes)
    domain = _codes(domains, real_domains)
    shape = _codes(shapes, real_shapes)
    pairs, pair = np.unique(domain * (int(shape.max(initial=0)) + 1) + shape, return_inverse=True)
    of_domain = np.zeros(len(pairs), np.int64)
    of_domain[pair] = domain
    kinds = int(domain.max(initial=-1)) + 1
    made, found = np.bincount(pair[:pool], minlength=len(pairs)), np.bincount(pair[pool:], minlength=len(pairs))
    size, real_size = np.bincount(domain[:pool], minlength=kinds), np.bincount(domain[pool:], minlength=kinds)
    real_share = found / np.maximum(1, real_size[of_domain])
    bench = np.zeros(kinds)
    order = np.lexsort((-found, of_domain))
    first = np.searchsorted(of_domain[order], np.arange(kinds))
    used = np.bincount(of_domain[found > 0], minlength=kinds)
    some = np.flatnonzero(used)
    bench[some] = real_share[order[first[some] + np.minimum(RANK, used[some]) - 1]]
    allowed = size[of_domain] * np.maximum(TIMES_REAL * real_share, bench[of_domain])
    over = (made >= MIN_DOCUMENTS) & (made >= allowed + DEVIATIONS * np.sqrt(allowed))
    share = made / np.maximum(1, size[of_domain])
    return Usage(made[pair[:pool]], share[pair[:pool]], over[pair[:pool]])


def _codes(first: pa.Array | pa.ChunkedArray, second: pa.Array | pa.ChunkedArray) -> np.ndarray:
    chunks = [
        part for whole in (first, second) for part in (whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole])
    ]
    both = pc.dictionary_encode(pa.chunked_array(chunks, pa.string()).combine_chunks())
    return np.asarray(both.indices, np.int64)


def _symbol(word: str, kept: frozenset[str]) -> str:
    lower = word.lower()
    if lower in kept or word in _STOPS:
        return lower
    if _NUMBER.fullmatch(word):
        return "#"
    return "@" if _NAME.search(word) else "~"
