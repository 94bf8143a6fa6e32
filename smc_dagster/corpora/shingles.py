"""What a text is made of when two texts are compared: word forms, shingle sets, and signatures of them.

What belongs here: the shingle recipe, hashes of words and runs of words, MinHash signatures (by daft) and the true
Jaccard of pairs. What does not: which pairs are compared and what a cluster is (near_duplicates.py).

The recipe is a function of one text alone. A text's *form* is its normalised text in lower case with every run of
anything but letters, marks and numbers turned into one blank (a text of nothing else keeps its normalised text).

- `chars`: the set of 4-character runs of the form, blanks included. Short texts: below 24 words.
- `words`: the set of pairs of neighbouring words of the form. Long texts: 24 words or more.

At 24 words one replaced word leaves a pair of texts above .8 on either recipe, so the boundary is no cliff. A pair
across it is judged on `chars`, which every text has; a short text is never paired with one of 48 words or more, whose
Jaccard could not reach .8 unless it repeats itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.text import content_of, normalised

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Kind = Literal["chars", "words"]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

SHORT_WORDS = 24
REACH_WORDS = 2 * SHORT_WORDS
SIZE: dict[Kind, int] = {"chars": 4, "words": 2}
HASHES = 60
_BLOCK = 1 << 16
_BASE = np.uint64(0x9E3779B97F4A7C15)
_ASCII, _BLANK = 128, 32
_LETTERS_AND_DIGITS = np.array([one if one < _ASCII and chr(one).isalnum() else _BLANK for one in range(256)], np.uint8)


def word_forms(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The form of each text (see the module), same length and order."""
    distinct = pc.dictionary_encode(_whole(texts).cast(pa.string()))
    parts = [
        _form(distinct.dictionary.slice(start, _BLOCK)) for start in range(0, len(distinct.dictionary), _BLOCK)
    ] or [pa.array([], pa.string())]
    return pc.take(pa.concat_arrays(parts), distinct.indices)


def word_counts(forms: pa.Array) -> Ints:
    """Number of words of each form."""
    blanks = pc.count_substring(forms, pattern=" ").to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(pc.utf8_length(forms).to_numpy(zero_copy_only=False) > 0, blanks + 1, 0)


@dataclass(frozen=True)
class Runs:
    """Hashes of the runs of some texts, text by text: those of text i are `hashes[starts[i]:starts[i + 1]]`."""

    hashes: Hashes
    starts: Ints

    @property
    def owners(self) -> Ints:
        """The text of each hash."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def word_runs(forms: pa.Array, size: int) -> Runs:
    """64-bit hashes of every run of `size` neighbouring words, in text order; a shorter text has none."""
    words = _words(forms)
    return _windows(words, size, short=False)


def sets(forms: pa.Array, kind: Kind) -> Runs:
    """The shingle set of each form as ascending 48-bit hashes; a text shorter than a shingle has itself as its one."""
    hashes, lengths = [], [np.zeros(1, np.int64)]
    for start in range(0, len(forms), _BLOCK):
        block = forms.slice(start, _BLOCK)
        units = _characters(block) if kind == "chars" else _words(block)
        runs = _windows(units, SIZE[kind], short=True)
        # the text in the upper 16 bits, so that one sort orders and uniques every set of the block
        keys = ascending((runs.owners.astype(np.uint64) << np.uint64(48)) | (runs.hashes >> np.uint64(16)))
        lengths.append(np.bincount((keys >> np.uint64(48)).astype(np.int64), minlength=len(block)))
        hashes.append(keys & np.uint64((1 << 48) - 1))
    return Runs(np.concatenate(hashes) if hashes else np.zeros(0, np.uint64), np.cumsum(np.concatenate(lengths)))


class Shingled:
    """Distinct forms, and which recipe judges a pair of them."""

    def __init__(self, forms: pa.Array) -> None:
        self.forms = forms
        self.words = word_counts(forms)
        self.short = self.words < SHORT_WORDS

    def members(self, kind: Kind) -> Ints:
        """Indices of the forms that take part in pairs of that kind."""
        return np.flatnonzero(self.words < REACH_WORDS if kind == "chars" else ~self.short)

    def judged_by(self, kind: Kind, left: Ints, right: Ints) -> npt.NDArray[np.bool_]:
        """Whether each pair is judged on `kind`."""
        short = self.short[left] | self.short[right]
        return short if kind == "chars" else ~short


class Comparison:
    """True Jaccard of forms on one recipe.

    Args:
        shingled: the forms.
        kind: the recipe.
    """

    def __init__(self, shingled: Shingled, kind: Kind) -> None:
        self._shingled, self._kind = shingled, kind

    def jaccard(self, left: Ints, right: Ints) -> npt.NDArray[np.float64]:
        """Jaccard of each pair of forms, 0-1; 0 where the other recipe judges the pair."""
        out = np.zeros(len(left))
        mine = np.flatnonzero(self.judges(left, right))
        for start in range(0, len(mine), _BLOCK):
            part = mine[start : start + _BLOCK]
            members, ends = np.unique(np.stack([left[part], right[part]]), return_inverse=True)
            of_members, _ = self.sets_of(members)
            size = np.diff(of_members.indptr)
            both = np.diff(of_members[ends[0]].multiply(of_members[ends[1]]).indptr)
            either = size[ends[0]] + size[ends[1]] - both
            out[part] = np.divide(both, either, out=np.zeros(len(part)), where=either > 0)
        return out

    def judges(self, left: Ints, right: Ints) -> npt.NDArray[np.bool_]:
        """Whether pairs of forms are judged on this recipe."""
        return self._shingled.judged_by(self._kind, left, right)

    def sizes(self, members: Ints) -> Ints:
        """The most shingles that each of these forms can have."""
        if self._kind == "words":
            return np.asarray(self._shingled.words[members])
        lengths = pc.utf8_length(self._shingled.forms.take(pa.array(members)))
        return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)

    def sets_of(self, members: Ints) -> tuple[csr_matrix, npt.NDArray[np.bool_]]:
        """[n, 2^48] sparse sets of these forms, hashes ascending in a row, and whether each form is short."""
        from scipy.sparse import csr_matrix

        runs = sets(self._shingled.forms.take(pa.array(members)), self._kind)
        made = csr_matrix(
            (np.ones(len(runs.hashes), np.int8), runs.hashes.astype(np.int64), runs.starts),
            shape=(len(members), 1 << 48),
        )
        made.has_sorted_indices = made.has_canonical_format = True
        return made, self._shingled.short[members]


def signatures(forms: pa.Array, kind: Kind) -> npt.NDArray[np.uint32]:
    """MinHash signatures, [n, 60] uint32 (Broder 1997), over the shingles of `kind`; the same on any machine."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft
    from daft.functions import minhash

    if not len(forms):
        return np.zeros((0, HASHES), np.uint32)
    # daft's tokens end at blanks: characters become tokens by putting blanks between them
    tokens = _spaced(forms) if kind == "chars" else forms
    frame = daft.from_arrow(pa.table({"row": pa.array(np.arange(len(forms))), "tokens": tokens}))
    signed = frame.select(
        daft.col("row"),
        minhash(daft.col("tokens"), num_hashes=HASHES, ngram_size=SIZE[kind], seed=1).alias("signature"),
    ).to_arrow()
    flat = _whole(signed.column("signature")).flatten().to_numpy(zero_copy_only=False)
    out = np.empty((len(forms), HASHES), np.uint32)
    out[signed.column("row").to_numpy()] = flat.reshape(-1, HASHES)
    return out


def mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64 bits in which each bit depends on all."""
    values = values + _BASE
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ascending(keys: Hashes) -> Hashes:
    """The distinct keys in ascending order; faster than `numpy.unique`, which hashes integers."""
    keys = np.sort(keys)
    distinct: Hashes = keys[np.concatenate([np.ones(min(1, len(keys)), bool), keys[1:] != keys[:-1]])]
    return distinct


def string_hashes(values: pa.Array | pa.ChunkedArray, seed: int = 0) -> Hashes:
    """A 64-bit hash of each string: a rank for sampling that depends on the string and the seed alone."""
    units = _characters(_whole(values))
    return mix(_sums(units) + mix(np.full(len(units.starts) - 1, seed, np.uint64)))


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _form(texts: pa.Array) -> pa.Array:
    plain = normalised(texts)
    content, offsets = content_of(plain)
    # plain ASCII by bytes, without a regular expression: every other sign a blank, then no blank after a blank
    words = _single_blanks(_LETTERS_AND_DIGITS[content], offsets)
    beyond = np.zeros(len(plain), bool)
    beyond[np.searchsorted(offsets, np.flatnonzero(content >= _ASCII), side="right") - 1] = True
    if beyond.any():
        which = pa.array(beyond)
        lower = pc.utf8_lower(plain.filter(which))
        words = pc.replace_with_mask(
            words, which, pc.replace_substring_regex(lower, pattern=r"[^\p{L}\p{M}\p{N}]+", replacement=" ")
        )
    words = pc.utf8_trim_whitespace(words)
    return pc.if_else(pc.equal(words, ""), plain, words)


def _single_blanks(content: npt.NDArray[np.uint8], offsets: Ints) -> pa.Array:
    stays = np.ones(len(content), bool)
    stays[1:] = (content[1:] != _BLANK) | (content[:-1] != _BLANK)
    starts = offsets[:-1]
    stays[starts[starts < offsets[1:]]] = True
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(stays)])
    return _strings(content[stays], kept[offsets])


def _spaced(forms: pa.Array) -> pa.Array:
    """A blank between any two characters; the blanks of a form become underscores."""
    content, offsets = content_of(forms)
    starts = np.zeros(len(content) + 1, bool)
    starts[offsets] = True
    # a UTF-8 character begins where a byte is no continuation (10xxxxxx)
    before = np.cumsum(((content & 0xC0) != 0x80) & ~starts[:-1])
    spaced = np.full(len(content) + int(before[-1] if len(before) else 0), _BLANK, np.uint8)
    spaced[np.arange(len(content)) + before] = np.where(content == _BLANK, np.uint8(ord("_")), content)
    moved = offsets + np.concatenate([np.zeros(1, np.int64), before])[offsets]
    return _strings(spaced, moved)


def _strings(content: npt.NDArray[np.uint8], offsets: Ints) -> pa.Array:
    ends = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, ends, pa.py_buffer(content)])


def _characters(values: pa.Array) -> Runs:
    content, offsets = content_of(values)
    if not len(content) or content.max() < _ASCII:
        return Runs(mix(np.arange(_ASCII, dtype=np.uint64))[content], offsets)
    points = np.frombuffer("".join(values.to_pylist()).encode("utf-32-le"), np.uint32).astype(np.uint64)
    lengths = pc.utf8_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    return Runs(mix(points), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def _words(forms: pa.Array) -> Runs:
    """A hash of each word."""
    split = pc.split_pattern(pc.if_else(pc.equal(forms, ""), None, forms), " ")
    counts = pc.fill_null(pc.list_value_length(split), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    words = pc.dictionary_encode(split.flatten())
    hashes = mix(_sums(_characters(words.dictionary)))
    return Runs(hashes[words.indices.to_numpy(zero_copy_only=False)], np.concatenate([[0], np.cumsum(counts)]))


def _sums(units: Runs) -> Hashes:
    """Polynomial hash, modulo 2^64, of each text's units and of their number."""
    lengths = np.diff(units.starts)
    place = np.arange(len(units.hashes)) - np.repeat(units.starts[:-1], lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _BASE | np.uint64(1)))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(units.hashes * powers[place])])
    sums: Hashes = running[units.starts[1:]] - running[units.starts[:-1]] + mix(lengths.astype(np.uint64))
    return sums


def _windows(units: Runs, size: int, *, short: bool) -> Runs:
    lengths = np.diff(units.starts)
    counts = np.maximum(lengths - size + 1, (lengths > 0) if short else 0)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    padded = np.concatenate([units.hashes, np.zeros(size, np.uint64)])
    # a window at every unit by Horner's rule, those that leave their text included
    rolling = np.zeros(len(units.hashes), np.uint64)
    for place in range(size):
        rolling = rolling * (_BASE | np.uint64(1)) + padded[place : place + len(rolling)]
    first = np.arange(starts[-1]) + np.repeat(units.starts[:-1] - starts[:-1], counts)
    total = rolling[first]
    few = np.flatnonzero((lengths > 0) & (lengths < size)) if short else np.zeros(0, np.int64)
    if len(few):
        # what lies past the end of a short text counts as nothing
        begin, partial = units.starts[few], np.zeros(len(few), np.uint64)
        for place in range(size):
            inside = np.where(place < lengths[few], padded[begin + place], np.uint64(0))
            partial = partial * (_BASE | np.uint64(1)) + inside
        total[starts[few]] = partial
    return Runs(mix(total), starts)
