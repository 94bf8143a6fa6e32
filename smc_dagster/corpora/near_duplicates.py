"""Clusters of near-duplicate texts, and near-duplicate pairs across two sets.

What belongs here: which of the proposed pairs are verified, and what is made of these. What does not: what proposes
them (bands.py), comparing all with all where that costs less (all_with_all.py), the shingle recipe and its Jaccard
(shingles.py), and what is done about duplicates (real.py, screening/).

Signatures only propose (bands.py); a pair counts when the *true* Jaccard of its shingle sets reaches the threshold.

No bucket is capped. One of up to 12 texts is compared all with all. A larger one is compared with its first member
(star edges, n comparisons); those that joined it are settled, and the first of the others is the next centre, which
is compared with every member of the bucket outside its cluster. A template of n texts so costs n comparisons, not n
squared. Where a centre settles next to none - a template whose slots differ too much for most pairs - all that are
left are compared with the whole bucket at once, by how they differ from what most of it shares (crowds.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.all_with_all import most_similar
from smc_dagster.corpora.bands import Bands
from smc_dagster.corpora.crowds import Crowd, close_pairs
from smc_dagster.corpora.shingles import Comparison, Ints, Kind, Shingled, ascending, word_forms

KINDS: tuple[Kind, ...] = ("chars", "words")
_SMALL = 12
# a bucket goes on with star edges while each centre settles so much of what is left
_PROGRESS = 0.05
_PAIRS = 2_000_000
# texts of the other side in a bucket from which on comparing all with all is thought of; it is done where the buckets
# propose so many pairs for each that it compares
_CROWD = 256
_ALL_COST = 0.1


def clusters(ids: pa.Array | pa.ChunkedArray, texts: pa.Array | pa.ChunkedArray, jaccard: float) -> pa.Array:
    """The near-duplicate cluster of each text, named by its smallest id.

    A cluster is a connected component of the pairs whose true Jaccard is at least `jaccard` (0-1, above 0). Texts of
    equal form are joined first, without a signature. The result does not depend on the order of the rows.
    """
    if not len(ids):
        return pa.array([], pa.string())
    rank = pc.rank(ids, sort_keys="ascending", tiebreaker="dense").to_numpy(zero_copy_only=False).astype(np.int64)
    encoded = pc.dictionary_encode(word_forms(texts))
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    first = np.full(len(encoded.dictionary), len(ids) + 1, np.int64)
    np.minimum.at(first, code, rank)
    # forms in the order of their smallest id, so that the centre of a bucket is chosen by id
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    component = _components(Shingled(encoded.dictionary.take(pa.array(order))), jaccard)
    smallest = np.full(len(order), len(ids) + 1, np.int64)
    np.minimum.at(smallest, component, first[order])
    by_rank = np.empty(int(rank.max()) + 1, np.int64)
    by_rank[rank] = np.arange(len(rank))
    return pc.take(_array(ids).cast(pa.string()), pa.array(by_rank[smallest[component[place[code]]]]))


def similar(
    ids_a: pa.Array | pa.ChunkedArray,
    texts_a: pa.Array | pa.ChunkedArray,
    ids_b: pa.Array | pa.ChunkedArray,
    texts_b: pa.Array | pa.ChunkedArray,
    jaccard: float,
) -> pa.Table:
    """Pairs across two sets whose true Jaccard is at least `jaccard` (0-1, above 0).

    Returns:
        Columns `a`, `b` (ids) and `jaccard` (float32), one row a pair, ordered by a, falling Jaccard, b. Every pair
        is in it, so many equal texts on both sides give the product of their numbers: pass distinct texts where that
        matters.
    """
    shingled, code_a, code_b = _forms_of_both(texts_a, texts_b)
    parts = list(_across(shingled, np.unique(code_a), np.unique(code_b), jaccard, every=True))
    left, right, value = (np.concatenate([part[i] for part in parts]) for i in range(3))
    _, once = np.unique(np.stack([left, right]), axis=1, return_index=True)
    left, right, value = left[once], right[once], value[once]
    row_a, pair = _expand(left, code_a)
    row_b, again = _expand(right[pair], code_b)
    table = pa.table(
        {
            "a": _array(ids_a).take(pa.array(row_a[again])).cast(pa.string()),
            "b": _array(ids_b).take(pa.array(row_b)).cast(pa.string()),
            "jaccard": pa.array(value[pair][again].astype(np.float32)),
        }
    )
    return table.sort_by([("a", "ascending"), ("jaccard", "descending"), ("b", "ascending")])


def closest(
    texts: pa.Array | pa.ChunkedArray, others: pa.Array | pa.ChunkedArray, jaccard: float
) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The most similar of `others` for each text, of those whose true Jaccard is at least `jaccard` (0-1, above 0).

    Memory grows with the texts, not with the pairs: where few words make many texts, most pairs can be similar.

    Returns:
        By text: its place in `others`, the first of several at the same Jaccard, -1 where there is none; the Jaccard,
        0 where there is none.
    """
    # the others first, so that their forms are in the order of their places
    shingled, code_b, code_a = _forms_of_both(others, texts)
    none = len(code_b)
    place = np.full(len(shingled.forms), none, np.int64)
    np.minimum.at(place, code_b, np.arange(none))
    value, nearest = np.zeros(len(place), np.float32), np.full(len(place), none, np.int64)
    for left, right, found in _across(shingled, np.unique(code_a), np.unique(code_b), jaccard, every=False):
        known = found.astype(np.float32)
        order = np.lexsort((place[right], -known, left))
        best = order[np.unique(left[order], return_index=True)[1]]
        form, own, other = left[best], known[best], place[right[best]]
        better = (own > value[form]) | ((own == value[form]) & (other < nearest[form]))
        value[form[better]], nearest[form[better]] = own[better], other[better]
    nearest[nearest == none] = -1
    return nearest[code_a], value[code_a]


@dataclass(frozen=True)
class Judge:
    """What settles whether a proposed pair is one: its signatures rule it out, or its true Jaccard decides."""

    within: Comparison
    bands: Bands
    jaccard: float

    def close(self, left: Ints, right: Ints) -> npt.NDArray[np.bool_]:
        """Whether the Jaccard of each pair of forms is at least the threshold."""
        verified = self.bands.likely(left, right)
        verified[verified] = self.within.jaccard(left[verified], right[verified]) >= self.jaccard
        return verified


def _components(shingled: Shingled, jaccard: float) -> Ints:
    """Component of each form, 0-based."""
    count = len(shingled.forms)
    component = np.arange(count)
    for kind in KINDS:
        bands = Bands(shingled, kind, jaccard)
        if not len(bands.bucket):
            continue
        few = np.bincount(bands.bucket)[bands.bucket] <= _SMALL
        judge = Judge(Comparison(shingled, kind), bands, jaccard)
        component = _join(judge, component, *_all_pairs(bands.bucket[few], bands.member[few]))
        component = _settle(judge, component, bands.bucket[~few], bands.member[~few])
    return component


def _all_pairs(bucket: Ints, member: Ints) -> tuple[Ints, Ints]:
    """All pairs inside each bucket, all of which are small."""
    left, right = [], []
    for step in range(1, _SMALL):
        same = np.flatnonzero(bucket[step:] == bucket[: max(0, len(bucket) - step)])
        left.append(member[same])
        right.append(member[same + step])
    return _distinct(np.concatenate(left), np.concatenate(right))


def _settle(judge: Judge, component: Ints, bucket: Ints, member: Ints) -> Ints:
    """Join the members of large buckets: by star edges while these settle many, then what is left with all at once.

    A centre is settled by its round, so the rounds end.
    """
    live = np.ones(len(bucket), bool)
    rounds: list[tuple[Ints, Ints, npt.NDArray[np.bool_]]] = []
    while live.any():
        # buckets that are done leave, so that a round costs what is still to be compared
        bucket = np.unique(bucket, return_inverse=True)[1]
        before = np.bincount(bucket[live], minlength=int(bucket[-1]) + 1)
        rows = np.flatnonzero(live)
        first = rows[np.concatenate([[True], bucket[rows[1:]] != bucket[rows[:-1]]])]
        centre = np.zeros(len(before), np.int64)
        centre[bucket[first]] = member[first]
        mine = centre[bucket]
        apart = component[mine] != component[member]
        pairs = _distinct(np.minimum(mine, member)[apart], np.maximum(mine, member)[apart])
        component = _join(judge, component, *pairs)
        live &= component[mine] != component[member]
        after = np.bincount(bucket[live], minlength=len(before))
        slow = ((before - after) < _PROGRESS * before) & (after > 0)
        left = slow[bucket]
        rounds.append((bucket[left], member[left], live[left]))
        stays = ((after > 0) & ~slow)[bucket]
        bucket, member, live = bucket[stays], member[stays], live[stays]
    return _compare_rest(judge, component, rounds)


def _compare_rest(judge: Judge, component: Ints, rounds: list[tuple[Ints, Ints, npt.NDArray[np.bool_]]]) -> Ints:
    """Join the live members of buckets with all members of the same bucket.

    Args:
        rounds: by round: the bucket of each entry, ordered and numbered anew each round, its member, and whether no
            centre has settled it.
    """
    none = np.zeros(0, np.int64)
    buckets, members, unsettled = [none], [none], [none.astype(bool)]
    for bucket, member, live in rounds:
        # the same texts meet in several bands: their buckets are taken as one
        first = np.flatnonzero(np.diff(bucket, prepend=-1))
        buckets.append(component[member[first]][np.cumsum(np.diff(bucket, prepend=-1) != 0) - 1])
        members.append(member)
        unsettled.append(live)
    crowd = Crowd.of(np.concatenate(buckets), np.concatenate(members), np.concatenate(unsettled))
    left, right = [], []
    for part in crowd.parts(judge.within.sizes(crowd.member)):
        a, b = close_pairs(part, *judge.within.sets_of(part.member), judge.jaccard)
        left.append(part.member[a])
        right.append(part.member[b])
    if not left:
        return component
    ends = np.concatenate(left), np.concatenate(right)
    apart = component[ends[0]] != component[ends[1]]
    return _join(judge, component, *_distinct(np.minimum(*ends)[apart], np.maximum(*ends)[apart]))


def _join(judge: Judge, component: Ints, left: Ints, right: Ints) -> Ints:
    verified = judge.close(left, right)
    return _connect(component, left[verified], right[verified])


def _connect(component: Ints, left: Ints, right: Ints) -> Ints:
    """The components once these pairs are joined."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return component
    # only among the components that an edge touches: there are many rounds, and few edges in most
    touched, ends = np.unique(np.stack([component[left], component[right]]), return_inverse=True)
    edges = coo_matrix((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(len(touched), len(touched)))
    _, joined = connected_components(edges, directed=False)
    renamed = np.arange(len(component))
    renamed[touched] = touched[np.unique(joined, return_index=True)[1]][joined]
    return renamed[component]


def _forms_of_both(
    first: pa.Array | pa.ChunkedArray, second: pa.Array | pa.ChunkedArray
) -> tuple[Shingled, Ints, Ints]:
    """The distinct forms of two sides, those of the first in the order of its texts, and the form of each text."""
    forms = word_forms(first), word_forms(second)
    encoded = pc.dictionary_encode(pa.concat_arrays(forms))
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Shingled(encoded.dictionary), code[: len(forms[0])], code[len(forms[0]) :]


def _across(
    shingled: Shingled, side_a: Ints, side_b: Ints, jaccard: float, *, every: bool
) -> Iterator[tuple[Ints, Ints, npt.NDArray[np.float64]]]:
    """Verified pairs of forms of two sides, part by part; a form on both sides pairs with itself at 1.

    Some pairs come in several parts.

    Args:
        every: all pairs; else the best of each form of `side_a`, of several the first of `side_b`, is among them.
    """
    shared = np.intersect1d(side_a, side_b)
    yield shared, shared, np.ones(len(shared))
    in_a, in_b = np.isin(np.arange(len(shingled.forms)), side_a), np.isin(np.arange(len(shingled.forms)), side_b)
    for kind in KINDS:
        bands = Bands(shingled, kind, jaccard)
        if not len(bands.bucket):
            continue
        of_a, of_b = np.flatnonzero(in_a[bands.member]), np.flatnonzero(in_b[bands.member])
        shared_keys = np.intersect1d(bands.bucket[of_a], bands.bucket[of_b])
        of_a, of_b = (rows[np.isin(bands.bucket[rows], shared_keys)] for rows in (of_a, of_b))
        within = Comparison(shingled, kind)
        low = np.searchsorted(bands.bucket[of_b], bands.bucket[of_a], "left")
        number = np.searchsorted(bands.bucket[of_b], bands.bucket[of_a], "right") - low
        crowded = number >= _CROWD
        if not every and crowded.any():
            crowd = np.isin(bands.bucket[of_b], bands.bucket[of_a[crowded]])
            left, right = np.unique(bands.member[of_a[crowded]]), np.unique(bands.member[of_b[crowd]])
            if number[crowded].sum() > _ALL_COST * len(left) * len(right):
                yield from most_similar(within, left, right, jaccard)
                of_a, low, number = of_a[~crowded], low[~crowded], number[~crowded]
        cuts = np.flatnonzero(np.diff(np.cumsum(number) // _PAIRS)) + 1
        for part in np.split(np.arange(len(of_a)), cuts):
            times = number[part]
            offset = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            a = np.repeat(bands.member[of_a[part]], times)
            b = bands.member[of_b[np.repeat(low[part], times) + offset]]
            a, b = _distinct(a[a != b], b[a != b])
            likely = bands.likely(a, b)
            a, b = a[likely], b[likely]
            found = within.jaccard(a, b)
            keep = found >= jaccard
            yield a[keep], b[keep], found[keep]


def _distinct(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    keys = ascending((left.astype(np.uint64) << np.uint64(32)) | right.astype(np.uint64))
    return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _expand(codes: Ints, of_rows: Ints) -> tuple[Ints, Ints]:
    """Every row that has each code: (row, position in `codes`)."""
    order = np.argsort(of_rows, kind="stable")
    low = np.searchsorted(of_rows[order], codes, "left")
    number = np.searchsorted(of_rows[order], codes, "right") - low
    offset = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    return order[np.repeat(low, number) + offset], np.repeat(np.arange(len(codes)), number)


def _array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
