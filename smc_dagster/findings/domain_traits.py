"""What sets the domains of a corpus apart before anything is mixed.

What belongs here: tail-heaviness, label noise and coverage by a pool, by domain, and where each is read. What does
not: how domains fare (domain_sensitivity.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.lake import Lake
from smc_dagster.screening.label_noise import label_disagreement
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS, REAL_DOCUMENTS, REAL_EMBEDDINGS, SYNTHETIC_PROFILE, TRAINING_SPLITS
from smc_dagster.training.vectors import Vectors


@dataclass(frozen=True)
class Traits:
    """Traits of domains.

    Attributes:
        documents: training documents, by domain.
        tail_share: share of these with a tail label, 0-1.
        noise: (label disagreement of neighbours 0-1, documents it is a mean over).
        coverage: mode coverage 0-1 by (pool, domain), as `synthetic_profile` has it.
    """

    documents: dict[str, int]
    tail_share: dict[str, float]
    noise: dict[str, tuple[float, int]]
    coverage: dict[tuple[str, str], float]


def read_traits(study: Study, lake: Lake) -> Traits:
    """Traits of all domains of the training split.

    Raises:
        StaleInputError: the corpus or its embeddings are not in the lake, or a document has no embedding.
        LakeError: a table is damaged.
    """
    real = lake.read(REAL_DOCUMENTS, columns=["doc_id", "domain", "label", "split", "is_tail"])
    train = real.filter(pc.is_in(real["split"], value_set=pa.array(TRAINING_SPLITS)))
    counted = train.group_by("domain", use_threads=False).aggregate([("doc_id", "count"), ("is_tail", "sum")])
    domains = [str(one) for one in counted["domain"].to_pylist()]
    documents = dict(zip(domains, counted["doc_id_count"].to_pylist(), strict=True))
    tail = dict(zip(domains, counted["is_tail_sum"].to_pylist(), strict=True))
    vectors = Vectors.build([lake.read(REAL_EMBEDDINGS)]).take(train["doc_id"])
    return Traits(
        documents=documents,
        tail_share={one: tail[one] / documents[one] for one in domains},
        noise=label_disagreement(train, vectors, study.seed),
        coverage=_coverage(study, lake),
    )


def _coverage(study: Study, lake: Lake) -> dict[tuple[str, str], float]:
    found = {}
    for pool in study.pools:
        try:
            profile = lake.read(SYNTHETIC_PROFILE, pool)
        except StaleInputError:
            # a pool that was not profiled has no coverage
            continue
        for row in profile.filter(pc.field("measure") == "mode_coverage").to_pylist():
            if row["domain"] != ALL_DOMAINS and row["value"] is not None:
                found[pool, row["domain"]] = float(row["value"])
    return found
