"""What a pool is like, by domain and over all, beside the same figures of the real training text.

What belongs here: the table `synthetic_profile`: which sets each measure is taken on. What does not: the measures
themselves (scores.py, templates.py, contamination.py, coverage.py).

| measure | value | reference |
|---|---|---|
| documents | documents of the pool | training documents |
| exact_duplicate_rate | 1 - different normalised texts / documents | same |
| near_duplicate_rate | 1 - near-duplicate clusters / documents | same |
| template_share | share of documents in an over-used skeleton | one half of real judged against the other |
| contamination_share | share of near-duplicates of evaluation text, or sharing a long run with it | same |
| mode_coverage | how much of half A of real the pool reaches | how much of half A half B reaches |
| tail_mode_coverage | the same for tail labels alone | same |
| vendi | Vendi score | that of half B |
| mean_words | mean number of words | same |
| distinct_2 | different word pairs / word pairs | that of half B |

Halves A and B of the real training text and the samples are drawn by hash. mode_coverage, tail_mode_coverage, vendi
and distinct_2 depend on the size of a sample, so each is taken at one size on either side, set by the real text
alone: at most `coverage_sample` a domain, five times that for all domains; half the real documents where there are
fewer. Where real text has fewer than 20 a half, or the pool fewer than the sample, the value is null and `n` says how
many there were. `n` is otherwise the documents (for distinct_2 the word pairs) that the value is taken on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.shingles import word_counts, word_forms
from smc_dagster.errors import StaleInputError
from smc_dagster.screening.contamination import CONTAMINATED, contamination
from smc_dagster.screening.coverage import Vectors, distinct_2, hash_order, mode_coverage, unit_vectors, vendi
from smc_dagster.screening.scores import normalised
from smc_dagster.screening.templates import skeletons, usage, widespread_words
from smc_dagster.study import Screening
from smc_dagster.tables import ALL_DOMAINS, SYNTHETIC_PROFILE

LEAST_HALF = 20
ALL_DOMAINS_TIMES = 5
Measure = tuple[str, float | None, float | None, int]
Mask = npt.NDArray[np.bool_]


def profile_pool(
    pool_docs: pa.Table,
    scores: pa.Table,
    pool_embeddings: pa.Table,
    real: pa.Table,
    real_embeddings: pa.Table,
    evaluation: pa.Table,
    screening: Screening,
    seed: int,
) -> pa.Table:
    """Profile one pool (see the module).

    Args:
        evaluation: what the pool was scored against, see `contamination.evaluation_text`.

    Returns:
        `synthetic_profile`, by domain (`*` first) and measure; it does not depend on the order of the rows.

    Raises:
        StaleInputError: a document has no score or no embedding.
    """
    if not pool_docs.num_rows:
        return SYNTHETIC_PROFILE.schema.empty_table()
    train = real.filter(pc.equal(real.column("split"), "train"))
    kept = widespread_words(train.column("text"))
    theirs = _real_side(train, evaluation, real_embeddings, screening, kept, seed)
    tail = pc.unique(train.filter(train.column("is_tail")).column("label"))
    ours = _pool_side(pool_docs, scores, pool_embeddings, tail, seed)
    rows = []
    for domain in [ALL_DOMAINS, *sorted(set(theirs.domain.tolist()) | set(ours.domain.tolist()))]:
        a, b = ours.of(domain), theirs.of(domain)
        size = screening.coverage_sample * (ALL_DOMAINS_TIMES if domain == ALL_DOMAINS else 1)
        for measure, value, reference, n in (*_plain(a, b), *_sampled(a, b, size, screening.coverage_neighbours)):
            rows.append({"domain": domain, "measure": measure, "value": value, "reference": reference, "n": n})
    name = pool_docs.column("pool")[0].as_py()
    return pa.Table.from_pylist([{"pool": name, **row} for row in rows], schema=SYNTHETIC_PROFILE.schema)


@dataclass(frozen=True)
class _Side:
    """Documents of one side in hash order, column by column."""

    domain: np.ndarray
    texts: pa.Array
    exact: np.ndarray
    cluster: np.ndarray
    templated: Mask
    contaminated: Mask
    words: np.ndarray
    tail: Mask
    half: Mask
    vectors: Vectors

    def of(self, domain: str) -> _Side:
        return self.where(np.ones(len(self.domain), bool) if domain == ALL_DOMAINS else self.domain == domain)

    def where(self, mask: Mask) -> _Side:
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "texts"}
        return _Side(texts=self.texts.filter(pa.array(mask)), **{name: one[mask] for name, one in columns.items()})

    def __len__(self) -> int:
        return len(self.domain)


def _plain(ours: _Side, theirs: _Side) -> Iterator[Measure]:
    """Measures on all documents."""
    n = len(ours)
    yield "documents", float(n), float(len(theirs)), n
    for name, column in (("exact_duplicate_rate", "exact"), ("near_duplicate_rate", "cluster")):
        yield name, _surplus(getattr(ours, column)), _surplus(getattr(theirs, column)), n
    for name, column in (
        ("template_share", "templated"),
        ("contamination_share", "contaminated"),
        ("mean_words", "words"),
    ):
        value, reference = _mean(getattr(ours, column)), _mean(getattr(theirs, column))
        yield name, value, reference, n


def _sampled(ours: _Side, theirs: _Side, size: int, neighbours: int) -> Iterator[Measure]:
    """Measures that depend on the size of the sample."""
    for name, a, b in (
        ("mode_coverage", ours, theirs),
        ("tail_mode_coverage", ours.where(ours.tail), theirs.where(theirs.tail)),
    ):
        half_a, half_b, n = _halves(b, size, neighbours)
        if not n:
            yield name, None, None, min(len(half_a), len(half_b))
            continue
        value = mode_coverage(half_a.vectors[:n], a.vectors[:n], neighbours) if len(a) >= n else None
        yield name, value, mode_coverage(half_a.vectors[:n], half_b.vectors[:n], neighbours), min(n, len(a))
    half_a, half_b, n = _halves(theirs, size, neighbours)
    if not n:
        for name in ("vendi", "distinct_2"):
            yield name, None, None, min(len(half_a), len(half_b))
        return
    yield "vendi", vendi(ours.vectors[:n]) if len(ours) >= n else None, vendi(half_b.vectors[:n]), min(n, len(ours))
    # half the pairs that n real documents hold: a pool of shorter texts has as many too
    pairs = int(np.maximum(0, half_b.words[:n] - 1).sum()) // 2
    value = distinct_2(ours.texts, pairs)
    available = int(np.maximum(0, ours.words - 1).sum())
    yield "distinct_2", value, distinct_2(half_b.texts.slice(0, n), pairs), min(pairs, available)


def _halves(theirs: _Side, size: int, neighbours: int) -> tuple[_Side, _Side, int]:
    """Both halves of real, and the size of the sample; 0 where they are too few."""
    half_a, half_b = theirs.where(~theirs.half), theirs.where(theirs.half)
    n = min(len(half_a), len(half_b), size)
    return half_a, half_b, n if n >= max(LEAST_HALF, neighbours + 1) else 0


def _real_side(
    train: pa.Table, evaluation: pa.Table, embeddings: pa.Table, screening: Screening, kept: frozenset[str], seed: int
) -> _Side:
    train = train.take(pa.array(hash_order(train.column("doc_id"), seed))).combine_chunks()
    # every second document of a domain, in the order drawn
    domain = np.array(train.column("domain").to_pylist(), object)
    half = np.zeros(len(domain), bool)
    for one in sorted(set(domain.tolist())):
        half[np.flatnonzero(domain == one)[1::2]] = True
    templated = np.zeros(len(domain), bool)
    for mask in (half, ~half):
        mine, other = train.filter(pa.array(mask)), train.filter(pa.array(~mask))
        templated[mask] = usage(
            mine.column("domain"),
            skeletons(mine.column("text"), kept),
            other.column("domain"),
            skeletons(other.column("text"), kept),
        ).over_used
    return _Side(
        domain=domain,
        texts=_flat(train, "text"),
        exact=_codes(normalised(train.column("text"))),
        cluster=_codes(_flat(train, "cluster_id")),
        templated=templated,
        contaminated=_is_contaminated(contamination(train.column("text"), evaluation, screening).kind),
        words=word_counts(word_forms(train.column("text"))),
        tail=np.array(train.column("is_tail").to_pylist(), bool),
        half=half,
        vectors=_vectors(train, embeddings, "real_embeddings"),
    )


def _pool_side(docs: pa.Table, scores: pa.Table, embeddings: pa.Table, tail: pa.Array, seed: int) -> _Side:
    docs = docs.take(pa.array(hash_order(docs.column("doc_id"), seed))).combine_chunks()
    scores = scores.take(_places(docs, scores, "synthetic_scores"))
    return _Side(
        domain=np.array(docs.column("domain").to_pylist(), object),
        texts=_flat(docs, "text"),
        exact=_codes(normalised(docs.column("text"))),
        cluster=_codes(_flat(scores, "cluster_id")),
        templated=np.array(pc.is_valid(scores.column("template_id")).to_pylist(), bool),
        contaminated=_is_contaminated(scores.column("contamination_kind")),
        words=word_counts(word_forms(docs.column("text"))),
        tail=np.array(pc.is_in(docs.column("label"), value_set=tail).to_pylist(), bool),
        half=np.zeros(docs.num_rows, bool),
        vectors=_vectors(docs, embeddings, "synthetic_embeddings"),
    )


def _vectors(docs: pa.Table, embeddings: pa.Table, name: str) -> Vectors:
    return unit_vectors(embeddings.column("embedding").take(_places(docs, embeddings, name)))


def _places(docs: pa.Table, other: pa.Table, name: str) -> pa.Array:
    """The row of `other` for each document."""
    places = pc.index_in(docs.column("doc_id"), value_set=_flat(other, "doc_id"))
    if places.null_count:
        missing = docs.column("doc_id").filter(pc.is_null(places))
        raise StaleInputError(
            f"{name}.doc_id: {len(missing)} documents are not in it, the first `{missing[0].as_py()}`",
            f"materialise {name} again",
        )
    return places


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _codes(values: pa.Array) -> np.ndarray:
    return np.asarray(pc.dictionary_encode(values).indices)


def _is_contaminated(kinds: pa.Array | pa.ChunkedArray) -> Mask:
    return np.asarray(pc.is_in(kinds, value_set=pa.array(CONTAMINATED)).to_pylist(), bool)


def _surplus(codes: np.ndarray) -> float | None:
    return 1 - len(np.unique(codes)) / len(codes) if len(codes) else None


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
