"""The generators there are, and the one way a pool is made with them.

What belongs here: the protocol of a generator, the registry, the checks of a pool's settings, and the assembly of a
pool. What does not: how a generator works (a module each), and what a pool is like (screening/).

A generator sees the training split alone, and of that only domain, label and text: everything else is taken away
before it is called. To add one, write its module and name it in `GENERATORS`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from smc_dagster.corpora.text import doc_ids
from smc_dagster.errors import CorpusError, StudyError
from smc_dagster.study import Provenance, Study
from smc_dagster.synthesis.markov import Markov
from smc_dagster.synthesis.streams import seed_of
from smc_dagster.synthesis.template import Template
from smc_dagster.tables import SYNTHETIC_DOCUMENTS


class Generator(Protocol):
    """One way of making documents.

    Attributes:
        provenance: the grade its documents get.
        settings: the pydantic model of its settings; unknown keys must be errors.
    """

    @property
    def provenance(self) -> Provenance: ...

    @property
    def settings(self) -> type[BaseModel]: ...

    def generate(self, train: pa.Table, counts: Mapping[str, int], settings: Any, seed: int) -> dict[str, list[str]]:
        """Make `counts[label]` texts for each label, from `train` (domain, label, text).

        What a label gets depends on `train`, its own count, the settings and the seed, neither on the order of the
        rows of `train` nor on which other labels are asked for.
        """
        ...


GENERATORS: dict[str, Generator] = {"template": Template(), "markov": Markov()}


def check_pools(study: Study) -> None:
    """Check generator and settings of every pool, making nothing.

    Raises:
        StudyError: an unknown generator, or a setting that is unknown or out of range.
    """
    for pool in study.pools:
        _settings(study, pool)


def make_pool(study: Study, pool: str, real: pa.Table) -> pa.Table:
    """Make the pool's documents from the training split of `real_documents`.

    Each label gets `ratio` times its training documents, rounded half up, and at least one.

    Returns:
        `synthetic_documents`, ordered by domain, label and generation. `doc_id` is a hash over pool, copy number and
        the document's own hash, so that equal texts of a pool stay apart and none shares its id with a real document.

    Raises:
        StudyError: as `check_pools`, or there is no such pool.
        CorpusError: there is no training document.
    """
    generator, settings = _settings(study, pool)
    train = real.filter(pc.equal(real.column("split"), "train")).select(["domain", "label", "text"]).combine_chunks()
    if not train.num_rows:
        raise CorpusError(
            f"pool `{pool}`: real_documents has no row of split `train`",
            "take in documents first, or lower the other splits",
        )
    # one order of rows whatever order they came in, so that no generator can depend on it
    train = train.sort_by([("domain", "ascending"), ("label", "ascending"), ("text", "ascending")])
    sizes = train.group_by(["domain", "label"]).aggregate([([], "count_all")]).to_pylist()
    domain_of = {row["label"]: row["domain"] for row in sizes}
    ratio = study.pools[pool].ratio
    counts = {row["label"]: max(1, math.floor(ratio * row["count_all"] + 0.5)) for row in sizes}
    made = generator.generate(train, counts, settings, seed_of(study.seed, "pool", pool))
    labels = sorted(counts, key=lambda label: (domain_of[label], label))
    for label in labels:
        if len(made.get(label, [])) != counts[label]:
            raise RuntimeError(
                f"{study.pools[pool].generator}: {len(made.get(label, []))} texts for {label}, not {counts[label]}"
            )
    column = [label for label in labels for _ in range(counts[label])]
    domains = pa.array([domain_of[label] for label in column], pa.string())
    texts = pa.array([text for label in labels for text in made[label]], pa.string())
    rows = len(column)
    return pa.table(
        {
            "doc_id": _own_ids(pool, doc_ids(domains, pa.array(column, pa.string()), texts)),
            "domain": domains,
            "label": pa.array(column, pa.string()),
            "text": texts,
            "provenance": pa.repeat(generator.provenance.value, rows),
            "source": pa.repeat("synthetic", rows),
            "generator": pa.repeat(study.pools[pool].generator, rows),
            "parent_doc_id": pa.nulls(rows, pa.string()),
            "pool": pa.repeat(pool, rows),
        },
        schema=SYNTHETIC_DOCUMENTS.schema,
    )


def _own_ids(pool: str, ids: pa.Array) -> pa.Array:
    copies: dict[str, int] = {}
    out = []
    for one in ids.to_pylist():
        copies[one] = copies.get(one, -1) + 1
        out.append(hashlib.sha256(f"{pool}\0{copies[one]}\0{one}".encode()).hexdigest()[:32])
    return pa.array(out, pa.string())


def _settings(study: Study, pool: str) -> tuple[Generator, BaseModel]:
    if pool not in study.pools:
        raise StudyError(f"study `{study.name}` has no pool `{pool}`", f"pools are {', '.join(sorted(study.pools))}")
    asked = study.pools[pool]
    generator = GENERATORS.get(asked.generator)
    if generator is None:
        raise StudyError(
            f"pool `{pool}`: unknown generator `{asked.generator}`", f"generators are {', '.join(sorted(GENERATORS))}"
        )
    try:
        return generator, generator.settings.model_validate(asked.settings)
    except ValidationError as error:
        allowed = ", ".join(_allowed(generator.settings))
        faults = []
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            what = (
                "unknown setting" if item["type"] == "extra_forbidden" else f"{item['msg']} (given: {item['input']!r})"
            )
            faults.append(f"pool `{pool}`, generator `{asked.generator}`: `{key}`: {what}")
        raise StudyError("; ".join(faults), f"settings allowed: {allowed}") from error


def _allowed(model: type[BaseModel]) -> list[str]:
    shown = []
    for name, field in sorted(model.model_fields.items()):
        limits = [
            str(getattr(one, bound))
            for one in field.metadata
            for bound in ("ge", "gt", "le", "lt")
            if hasattr(one, bound)
        ]
        shown.append(f"{name} ({'-'.join(limits)}, default {field.default})")
    return shown
