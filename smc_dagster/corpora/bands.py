"""Which pairs of texts are likely to be near-duplicates, by MinHash signatures.

What belongs here: bands of signatures, the buckets they make, and what a whole signature says of a pair. What does not:
the shingle recipe and the signatures themselves (shingles.py), and whether a pair is one (near_duplicates.py).

60 hashes are cut into the widest bands that still propose a pair right at the threshold with probability >= .99: 12
bands of 5 at .8 (1 - (1 - .8^5)^12 = .9915). Texts that share nothing but frequent shingles fall into one bucket too,
in a number of pairs that grows with the square of the texts. The whole signature rules these out: a pair of Jaccard j
agrees in Binomial(60, j) hashes, so one that agrees in fewer than all but a millionth of the pairs at the threshold is
passed over. Of each hash 8 bits are kept for that (b-bit minwise hashing: Li, König 2010); two that differ agree in
them once in 256, which can only let a pair through.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from smc_dagster.corpora.shingles import HASHES, Hashes, Ints, Kind, Shingled, mix, signatures

_MISSED = 1e-6
_BLOCK = 1 << 17


def rows_per_band(jaccard: float) -> int:
    """Hashes a band: the most that divide 60 and propose a pair at the threshold with probability >= .99.

    A pair of Jaccard j shares a band of r hashes with probability j^r, and one of 60/r bands with 1 - (1 - j^r)^(60/r).
    """
    fitting = [r for r in (6, 5, 4, 3, 2, 1) if 1 - (1 - jaccard**r) ** (HASHES // r) >= 0.99]
    return fitting[0] if fitting else 1


def fewest_agreeing(jaccard: float) -> int:
    """The most hashes in which all but a millionth of the pairs of that Jaccard agree, or more."""
    below, fewest = 0.0, 0
    while fewest < HASHES:
        below += comb(HASHES, fewest) * jaccard**fewest * (1 - jaccard) ** (HASHES - fewest)
        if below > _MISSED:
            break
        fewest += 1
    return fewest


class Bands:
    """Buckets of some forms, and what their signatures say of a pair.

    Args:
        shingled: the forms.
        kind: the recipe; only forms that take part in pairs of it have a place here.
        jaccard: the least Jaccard of a near-duplicate, 0-1, above 0.

    Attributes:
        bucket: of each entry of a bucket of two members or more, ascending.
        member: the form of each entry, ascending in a bucket.
    """

    bucket: Ints
    member: Ints

    def __init__(self, shingled: Shingled, kind: Kind, jaccard: float) -> None:
        members = shingled.members(kind)
        self._place = np.zeros(len(shingled.forms), np.int32)
        self._place[members] = np.arange(len(members), dtype=np.int32)
        self._fewest = fewest_agreeing(jaccard)
        keys, self._bytes = _signed(shingled.forms.take(pa.array(members)), kind, rows_per_band(jaccard))
        self.bucket, self.member = _buckets(keys, members)

    def likely(self, left: Ints, right: Ints) -> npt.NDArray[np.bool_]:
        """Whether each pair of forms agrees in as many hashes as near-duplicates do."""
        out = np.empty(len(left), bool)
        for start in range(0, len(left), _BLOCK):
            some = slice(start, start + _BLOCK)
            a, b = (self._bytes[self._place[ends[some]]] for ends in (left, right))
            out[some] = (a == b).sum(axis=1, dtype=np.uint8) >= self._fewest
        return out


def _signed(forms: pa.Array, kind: Kind, rows: int) -> tuple[Hashes, npt.NDArray[np.uint8]]:
    """One key a band and form, [bands, n], and 8 bits a hash, [n, 60].

    Block by block, as the signatures of all take five times the memory.
    """
    bands = HASHES // rows
    keys, low = np.empty((bands, len(forms)), np.uint64), np.empty((len(forms), HASHES), np.uint8)
    for start in range(0, len(forms), _BLOCK):
        signed = signatures(forms.slice(start, _BLOCK), kind)
        low[start : start + len(signed)] = signed & 0xFF
        for band in range(bands):
            key = mix(np.full(len(signed), band, np.uint64))
            for place in range(band * rows, (band + 1) * rows):
                key = mix(key ^ signed[:, place].astype(np.uint64))
            keys[band, start : start + len(signed)] = key
    return keys, low


def _buckets(keys: Hashes, members: Ints) -> tuple[Ints, Ints]:
    # the place in the low bits, so that sorting plain integers orders entries: what the key loses can at most propose
    # a pair too many
    mask = (np.uint64(1) << np.uint64(max(1, len(members).bit_length()))) - np.uint64(1)
    buckets, entries, before = [], [], 0
    for band in keys:
        packed = np.sort((band & ~mask) | np.arange(len(members), dtype=np.uint64))
        same = (packed[1:] ^ packed[:-1]) <= mask
        shared = np.zeros(len(packed), bool)
        shared[1:] |= same
        shared[:-1] |= same
        begins = np.concatenate([np.ones(min(1, len(packed)), bool), ~same])[shared]
        buckets.append(np.cumsum(begins) - 1 + before)
        before += int(begins.sum())
        entries.append(members[(packed[shared] & mask).astype(np.int64)])
    return np.concatenate(buckets), np.concatenate(entries)
