"""Pairs inside buckets of many texts, without comparing all with all.

What belongs here: which pairs of a crowded bucket can reach a Jaccard at all. What does not: how a bucket comes about
and what a verified pair joins (near_duplicates.py), and the Jaccard itself (shingles.py).

A bucket's texts are alike, so each is described by how it differs from the bucket. C is the set of shingles that more
than half of the texts have, and D(A) what A and C do not share: m(A) of C that A lacks and e(A) beyond it. Then

    |A and B| = |C| - m(A) - m(B) + |D(A) and D(B)|,    |A| = |C| - m(A) + e(A),

and Jaccard >= j, which is |A and B| >= (|A| + |B|) j / (1 + j), becomes

    |D(A) and D(B)| >= w(A) + w(B) - k,    w = (m + j e) / (1 + j),    k = |C| (1 - j) / (1 + j).

Pairs that need no common difference (w(A) + w(B) <= k) need no search: the text of the least w is close to both ends.
The others are found by prefix filtering (Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007). As w(B) is at
least |D(B)| j / (1 + j), hence at least that share of what the two have in common, A needs

    |D(A) and D(B)| >= s(A) = max(1, (w(A) - k) (1 + j))

with whichever B. Of the |D(A)| differences, ordered by how rare they are in the bucket, the first |D(A)| - s(A) + 1 so
hold one that B's first have too. In a template these are few; in a bucket that texts share by accident they are rare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from smc_dagster.corpora.shingles import Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_SHINGLES = 8_000_000
_PRODUCTS = 20_000_000
_GROUPS = 1 << 16
# of a float sum of a few hundred terms below 1
_SLACK = 1e-9


@dataclass(frozen=True)
class Crowd:
    """Entries of buckets, ordered by bucket, then member.

    Attributes:
        bucket: of each entry.
        member: of each entry; none twice in a bucket.
        asked: whether the pairs of this entry are asked for.
    """

    bucket: Ints
    member: Ints
    asked: Bools

    @classmethod
    def of(cls, bucket: Ints, member: Ints, asked: Bools) -> Crowd:
        """Entries in any order, in which a member may be several times in its bucket: asked for if one of them is."""
        order = np.lexsort((member, bucket))
        bucket, member, asked = bucket[order], member[order], asked[order]
        first = np.flatnonzero((np.diff(bucket, prepend=-1) != 0) | (np.diff(member, prepend=-1) != 0))
        if not len(first):
            return cls(bucket, member, asked)
        return cls(bucket[first], member[first], np.logical_or.reduceat(asked, first))

    def parts(self, sizes: Ints) -> Iterator[Crowd]:
        """Whole buckets together, by number of shingles.

        Args:
            sizes: number of shingles of each entry.
        """
        edges = np.append(np.flatnonzero(np.diff(self.bucket, prepend=-1)), len(self.bucket))
        ends = np.concatenate([[0], np.cumsum(sizes)])[edges]
        start = 0
        while start < len(edges) - 1:
            fitting = int(np.searchsorted(ends, ends[start] + _SHINGLES, "right")) - 1
            stop = min(max(start + 1, fitting), start + _GROUPS - 1, len(edges) - 1)
            some = slice(edges[start], edges[stop])
            yield Crowd(self.bucket[some], self.member[some], self.asked[some])
            start = stop


def close_pairs(crowd: Crowd, sets: csr_matrix, short: Bools, jaccard: float) -> tuple[Ints, Ints]:
    """Pairs of entries among which are all that connect what the pairs of a Jaccard of at least `jaccard` connect.

    Args:
        crowd: n entries.
        sets: [n, 2^48] shingle sets of the entries, ones at hashes, ascending in a row.
        short: [n] whether an entry may be compared with one of either length; two that are not short may turn out to
            be judged on another recipe.
        jaccard: 0-1, above 0.

    Returns:
        Both ends of each pair, as positions in `crowd`; at least one is asked for, or the pair leads from one asked
        for. They are candidates: their Jaccard is still to be taken.
    """
    _, row_group = np.unique(crowd.bucket, return_inverse=True)
    differing = _differences(row_group, sets)
    share = jaccard / (1 + jaccard)
    weight = np.asarray((1 - share) * differing.missing + share * differing.extra, np.float64)
    spare = np.asarray((1 - 2 * share) * differing.common[row_group], np.float64)
    found = [
        _stand_ins(row_group, weight, spare, np.ones_like(short)),
        _stand_ins(row_group, weight, spare, short),
        _search(crowd.asked, differing, weight, spare, share),
    ]
    left, right = zip(*found, strict=True)
    return np.concatenate(left), np.concatenate(right)


@dataclass(frozen=True)
class _Differences:
    """What the rows differ in: entries (row, rank of the difference), ordered by row, then rarest first.

    `missing` and `extra` count those of each row, `common` the core of each group; `ranks` is the number of ranks.
    """

    row: Ints
    rank: Ints
    missing: Ints
    extra: Ints
    common: Ints
    ranks: int


def _differences(group: Ints, sets: csr_matrix) -> _Differences:
    rows = len(group)
    row = np.repeat(np.arange(rows), np.diff(sets.indptr))
    # the group in the upper 16 bits: a shingle is another column in each group
    keys = (group[row].astype(np.uint64) << np.uint64(48)) | sets.indices.astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]) != 0)
    column = np.empty(len(keys), np.int64)
    column[order] = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(keys))))
    holders, of_group = np.bincount(column, minlength=len(begins)), group[row[order[begins]]]
    members = np.bincount(group)
    core = holders * 2 > members[of_group]
    common = np.bincount(of_group[core], minlength=len(members))
    in_core = core[column]
    missing = common[group] - np.bincount(row[in_core], minlength=rows)
    extra = np.bincount(row[~in_core], minlength=rows)
    lacking_row, lacking_column = _lacking(group, np.flatnonzero(missing), core, common, row[in_core], column[in_core])
    frequency = np.where(core, members[of_group] - holders, holders)
    rank = np.empty(len(frequency), np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    every_row = np.concatenate([row[~in_core], lacking_row])
    every_rank = rank[np.concatenate([column[~in_core], lacking_column])]
    packed = np.sort(every_row * len(frequency) + every_rank)
    every_row, every_rank = np.divmod(packed, max(1, len(frequency)))
    return _Differences(every_row, every_rank, missing, extra, common, len(frequency))


def _lacking(group: Ints, some: Ints, core: Bools, common: Ints, row: Ints, column: Ints) -> tuple[Ints, Ints]:
    """(row, column) of what the rows `some` lack of the core; `row`, `column` are what rows have of it."""
    # columns are ordered by group, so those of a group's core are neighbours
    cores = np.flatnonzero(core)
    starts = np.cumsum(common) - common
    times = common[group[some]]
    at = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    every = np.repeat(some, times) * len(core) + cores[np.repeat(starts[group[some]], times) + at]
    here = np.zeros(len(group), bool)
    here[some] = True
    held = row * len(core) + column
    every = np.setdiff1d(every, held[here[row]], assume_unique=True)
    lacking_row, lacking_column = np.divmod(every, max(1, len(core)))
    return lacking_row, lacking_column


def _stand_ins(group: Ints, weight: Floats, spare: Floats, some: Bools) -> tuple[Ints, Ints]:
    """From the row of the least weight among `some` of each group to all that need no common difference with it."""
    order = np.lexsort((weight, ~some, group))
    first = order[np.flatnonzero(np.diff(group[order], prepend=-1))][group]
    near = np.flatnonzero((weight + weight[first] <= spare + _SLACK) & (first != np.arange(len(group))))
    return first[near], near


def _search(
    asked: Bools,
    differing: _Differences,
    weight: Floats,
    spare: Floats,
    share: float,
) -> tuple[Ints, Ints]:
    """Pairs that can have as many common differences as they need."""
    from scipy.sparse import csr_matrix

    number = differing.missing + differing.extra
    need = np.maximum(1, np.ceil((weight - spare) / (1 - share) - _SLACK)).astype(np.int64)
    prefix = np.maximum(0, number - need + 1)
    place = np.arange(len(differing.row)) - np.repeat(np.cumsum(number) - number, number)
    leading = place < prefix[differing.row]
    row, rank = differing.row[leading], differing.rank[leading]
    # a difference that leads in one row only leads to nobody
    shared = np.bincount(rank, minlength=differing.ranks) > 1
    row, rank = row[shared[rank]], np.cumsum(shared)[rank[shared[rank]]] - 1
    lead = csr_matrix((np.ones(len(row), np.int32), (row, rank)), shape=(len(asked), int(shared.sum())))
    across = lead.T.tocsr()
    mine = np.flatnonzero(asked & (np.diff(lead.indptr) > 0))
    # products a row, so that a block's result is bounded
    work = np.cumsum(lead[mine] @ np.diff(across.indptr))
    beyond = number - prefix
    left, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in np.split(mine, np.flatnonzero(np.diff(work // _PRODUCTS)) + 1):
        met = (lead[part] @ across).tocoo()
        a, b = part[met.row], met.col.astype(np.int64)
        # what is not among the first of both lies beyond the first of one of them
        most = met.data + np.maximum(beyond[a], beyond[b])
        needed = weight[a] + weight[b] - spare[a] - _SLACK
        can = (np.minimum(most, np.minimum(number[a], number[b])) >= needed) & ((a < b) | (~asked[b]))
        left.append(a[can])
        right.append(b[can])
    return np.concatenate(left), np.concatenate(right)
