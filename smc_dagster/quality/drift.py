"""How far one set of documents has drifted from another: Evidently's report and its figures.

What belongs here: sampling both sides, choosing the methods, a page that is safe to open, and a pool against the real
training corpus. What does not: a new day against those before it (day_drift.py), measures of a pool's own diversity
(screening/).

What a score means, by method:

- `jensenshannon` (label, domain): Jensen-Shannon distance of the two distributions in nats: 0 equal, sqrt(ln 2) = .833
  disjoint. A sample of a few thousand documents over some hundred labels is by itself some hundredths away from its
  own source.
- `wasserstein` (words, characters): earth mover's distance in standard deviations of the reference: 0 equal, no upper
  end.
- `classifier_auc` (embedding): ROC AUC of a linear classifier that tells the two sides apart, on the half of the
  documents it was not fitted to: .5 it cannot, 1 always. Repeated documents of a pool fall on both halves and raise it,
  which is right: repetition is a difference from real text too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import LakeError

if TYPE_CHECKING:
    import pandas as pd
    from evidently.core.report import Snapshot

SAMPLE = 5000
LONGEST_NAME = 80
METHODS = {
    "label": "jensenshannon",
    "domain": "jensenshannon",
    "words": "wasserstein",
    "characters": "wasserstein",
    "embedding": "classifier_auc",
}
# Evidently's own defaults; from them on a column counts as drifted
THRESHOLDS = {"jensenshannon": 0.1, "wasserstein": 0.1, "classifier_auc": 0.55}
MEANINGS = {
    "jensenshannon": "distance of the two distributions: 0 equal, 0.833 nothing in common",
    "wasserstein": "distance of the two distributions, in standard deviations of the reference: 0 equal",
    "classifier_auc": "how well a linear classifier tells one from the other: 0.5 not at all, 1 always",
}


class Score(NamedTuple):
    """One column's drift, see the module's table."""

    column: str
    method: str
    score: float

    @property
    def drifted(self) -> bool:
        """Whether the score is at or above its method's threshold."""
        return self.score >= THRESHOLDS[self.method]


@dataclass(frozen=True)
class Drift:
    """A drift report.

    Attributes:
        html: a page that needs nothing from the network. It holds no corpus text; names of labels and domains are
            escaped.
        scores: one a column of `METHODS`, in that order.
    """

    html: bytes
    scores: list[Score]


def pool_drift(real: pa.Table, pool: pa.Table, real_emb: pa.Table, pool_emb: pa.Table, seed: int) -> Drift:
    """Compare a pool with the real training documents.

    At most 5,000 documents a side are compared, those with the smallest hash of (seed, doc_id), so the result does not
    depend on the order of the rows.

    Args:
        real: real training documents, columns doc_id, domain, label, text. Where there is a column `split`, rows of
            other splits are left out.
        pool: the pool's documents, same columns.
        real_emb: doc_id and embedding of (at least) the real side.
        pool_emb: the same of the pool.
        seed: the study's.

    Raises:
        LakeError: a side has fewer than two documents, or a document has no embedding.
    """
    if "split" in real.column_names:
        real = real.filter(pc.equal(real.column("split"), "train"))
    reference, current = sample(real, seed, "real_documents"), sample(pool, seed, "synthetic_documents")
    limits = {column: THRESHOLDS[method] for column, method in METHODS.items()}
    snapshot, found = evidently_report(described(reference), described(current), limits)
    auc = tell_apart(vectors(reference, real_emb, "real"), vectors(current, pool_emb, "synthetic"))
    scores = [Score(one, METHODS[one], round(found.get(one, auc), 6)) for one in METHODS]
    rows = [
        (
            one.column,
            one.method,
            f"{one.score:.3f}",
            f"{'drifted' if one.drifted else 'close'} (threshold {THRESHOLDS[one.method]})",
            MEANINGS[one.method],
        )
        for one in scores
    ]
    title = "Pool against real training documents"
    said = f"{current.num_rows:,} documents of the pool (current), {reference.num_rows:,} real ones (reference)."
    return Drift(page(snapshot, title, said, rows), scores)


def sample(documents: pa.Table, seed: int, table: str) -> pa.Table:
    """At most 5,000 documents, those with the smallest hash of (seed, doc_id).

    Raises:
        LakeError: there are fewer than two; `table` names them.
    """
    import pandas as pd

    if documents.num_rows < 2:
        raise LakeError(f"{table}: {documents.num_rows} documents, drift needs two", f"materialise {table} again")
    ids = documents.column("doc_id").to_numpy()
    order = np.lexsort((ids, pd.util.hash_array(ids, hash_key=f"{seed:016d}"[-16:], categorize=False)))
    return documents.take(pa.array(order[:SAMPLE]))


def described(documents: pa.Table) -> pd.DataFrame:
    """What Evidently sees, a row a document: label, domain, words, characters; names are safe to show, no text."""
    import pandas as pd

    text = pc.utf8_trim_whitespace(documents.column("text"))
    words = pc.list_value_length(pc.utf8_split_whitespace(text))
    return pd.DataFrame(
        {
            "label": _shown(documents.column("label")),
            "domain": _shown(documents.column("domain")),
            "words": words.to_numpy().astype(np.float64),
            "characters": pc.utf8_length(text).to_numpy().astype(np.float64),
        }
    )


def _shown(names: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Names as they may stand in the page: Evidently writes them into a script element as they are.

    A long name is cut and ends in a hash of the whole, so that two names never become one.
    """
    distinct = pc.unique(names)
    shown = np.array([escape(_cut(one)) for one in distinct.to_pylist()], dtype=object)
    return np.asarray(shown[pc.index_in(names, value_set=distinct).to_numpy()], dtype=object)


def _cut(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 12]}… {hashlib.sha256(name.encode()).hexdigest()[:10]}"


def evidently_report(
    reference: pd.DataFrame, current: pd.DataFrame, limits: Mapping[str, float], **described_as: Any
) -> tuple[Snapshot, dict[str, float]]:
    """Evidently's snapshot and the score of each column but the embedding.

    Args:
        limits: score from which on Evidently says that a column drifted.
        described_as: `timestamp`, `name`, `tags` of the snapshot.
    """
    # read when Evidently is imported
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(categorical_columns=["label", "domain"], numerical_columns=["words", "characters"])
    columns = list(current.columns)
    metrics = [ValueDrift(column=one, method=METHODS[one], threshold=limits[one]) for one in columns]
    snapshot = Report(metrics, include_tests=False).run(
        current_data=Dataset.from_pandas(current, data_definition=definition),
        reference_data=Dataset.from_pandas(reference, data_definition=definition),
        **described_as,
    )
    found: dict[str, float] = {one["config"]["column"]: float(one["value"]) for one in snapshot.dict()["metrics"]}
    return snapshot, found


def vectors(documents: pa.Table, embeddings: pa.Table, kind: str) -> npt.NDArray[np.float32]:
    """[documents, 384] vectors in the order of the documents.

    Raises:
        LakeError: a document has none; `kind` names the table.
    """
    place = pc.index_in(documents.column("doc_id"), value_set=embeddings.column("doc_id").combine_chunks())
    if place.null_count:
        lost = documents.column("doc_id").filter(pc.is_null(place))
        raise LakeError(
            f"{kind}_embeddings: {place.null_count} documents have no embedding, `{lost[0].as_py()}` among them",
            f"materialise {kind}_embeddings again",
        )
    rows = embeddings.column("embedding").take(place).combine_chunks()
    return np.asarray(rows.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(rows), -1)


def tell_apart(reference: npt.NDArray[np.float32], current: npt.NDArray[np.float32]) -> float:
    """Held-out ROC AUC of Evidently's domain classifier (logistic regression by stochastic gradient descent)."""
    import pandas as pd
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import ModelDriftMethod

    names = [f"v{at}" for at in range(reference.shape[1])]
    method = ModelDriftMethod(threshold=THRESHOLDS["classifier_auc"])
    score, _, _ = method(pd.DataFrame(current, columns=names), pd.DataFrame(reference, columns=names))
    return float(score)


def page(snapshot: Snapshot, title: str, said: str, rows: Sequence[tuple[str, ...]]) -> bytes:
    """Evidently's page with a summary in front: it has no widget for the embeddings that finishes in time.

    Args:
        rows: column, method, score, verdict, meaning.
    """
    report: str = snapshot.get_html_str(as_iframe=False)
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    summary = (
        '<section style="font:14px sans-serif;margin:24px;overflow-x:auto">'
        f"<h1>{escape(title)}</h1><p>{escape(said)}</p>"
        '<table cellpadding="6"><tr><th>column</th><th>method</th><th>score</th><th></th><th>meaning</th></tr>'
        f"{cells}</table></section>"
    )
    opening = re.search(r"<body[^>]*>", report)
    at = opening.end() if opening else 0
    return (report[:at] + summary + report[at:]).encode()
