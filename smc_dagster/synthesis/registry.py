"""The generators there are, and the one way a pool is made with them.

What belongs here: the registry, the checks of a pool's settings, and the assembly of a pool. What does not: what a
generator is given and gives back (contract.py), how it works (a module each), and what a pool is like (screening/).

To add a generator, write its module and name it in `GENERATORS`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from smc_dagster.corpora.batches import REFUSED
from smc_dagster.corpora.text import doc_ids
from smc_dagster.credentials import masked
from smc_dagster.errors import CorpusError, StudyError
from smc_dagster.study import Provenance, Study
from smc_dagster.synthesis import files
from smc_dagster.synthesis.contract import MADE, Generator, Made, Request
from smc_dagster.synthesis.edit import Edit
from smc_dagster.synthesis.endpoint import Endpoint
from smc_dagster.synthesis.files import Files, FilesSettings
from smc_dagster.synthesis.lm import Lm, Recursive
from smc_dagster.synthesis.markov import Markov
from smc_dagster.synthesis.streams import seed_of
from smc_dagster.synthesis.template import Template
from smc_dagster.tables import SYNTHETIC_DOCUMENTS, TRAINING_SPLITS

GENERATORS: dict[str, Generator] = {
    "template": Template(),
    "markov": Markov(),
    "edit": Edit(),
    "files": Files(),
    "endpoint": Endpoint(),
    "lm": Lm(),
    "recursive": Recursive(),
}


@dataclass(frozen=True)
class Place:
    """Folders that a generator may use; see `contract.Request`."""

    work: Path
    cache: Path | None = None
    model: Path | None = None
    landing: Path | None = None


@dataclass(frozen=True)
class Pool:
    """A pool as made.

    Attributes:
        documents: `synthetic_documents`.
        asked: documents asked for; 0 where the generator gives what it has.
        made: what the generator gave back.
    """

    documents: pa.Table
    asked: int
    made: Made

    @property
    def refused(self) -> pa.Table:
        """Rows that were read and broke the contract, schema REFUSED."""
        return REFUSED.empty_table() if self.made.refused is None else self.made.refused

    @property
    def adds_up(self) -> bool:
        """Whether each row that was read is a document or a refused row."""
        return self.made.refused is None or self.made.rows_in == self.documents.num_rows + self.refused.num_rows


def check_pools(study: Study) -> None:
    """Check generator and settings of every pool, making nothing.

    Raises:
        StudyError: an unknown generator, a setting that is unknown or out of range, or a generator whose text counts as
            real in this study.
    """
    for pool in study.pools:
        generator, settings = pool_settings(study, pool)
        # what reads files has no grade of its own; a row that names one is judged by it
        grade = settings.provenance if isinstance(settings, FilesSettings) else generator.provenance
        if grade.grade < study.synthetic_from.grade:
            raise StudyError(
                f"pool `{pool}`: generator `{study.pools[pool].generator}` makes `{grade.value}` text, "
                f"which counts as real where synthetic_from is `{study.synthetic_from.value}`",
                f"set synthetic_from to `{grade.value}` or an earlier grade, or take another generator",
            )


def files_signature(study: Study, pool: str, landing: Path) -> str | None:
    """Hash of the files that a pool is read from; None where it is written by a generator.

    Args:
        landing: the study's `landing/synthetic`.

    Raises:
        StudyError: as `check_pools`, or a landed file may be several pools'.
        CorpusError: there are no files, or one of an unknown kind.
    """
    _, settings = pool_settings(study, pool)
    if not isinstance(settings, FilesSettings):
        return None
    if settings.path is None:
        files.require_apart(_landing_fed(study), landing)
    return files.signature(pool, settings, landing)


def _landing_fed(study: Study) -> list[str]:
    read = {pool: pool_settings(study, pool)[1] for pool in study.pools}
    return [pool for pool, settings in read.items() if isinstance(settings, FilesSettings) and settings.path is None]


def make_pool(study: Study, pool: str, real: pa.Table, place: Place) -> Pool:
    """Make the pool's documents from the training split of `real_documents`.

    Each label gets `ratio` times its training documents, rounded half up, and at least one; a generator whose counts
    do not bind gives what it has.

    Returns:
        the pool; its documents are ordered by domain, label and generation. `doc_id` is a hash over pool, copy number
        and the document's own hash, so that equal texts of a pool stay apart and none shares its id with a real one.

    Raises:
        StudyError: as `check_pools`, or there is no such pool.
        CorpusError: there is no training document, or whatever the generator finds wrong.
    """
    generator, settings = pool_settings(study, pool)
    mine = pc.is_in(real.column("split"), value_set=pa.array(TRAINING_SPLITS))
    train = real.filter(mine).select(["doc_id", "domain", "label", "text"]).combine_chunks()
    if not train.num_rows:
        raise CorpusError(
            f"pool `{pool}`: real_documents has no row of split `train`",
            "take in documents first, or lower the other splits",
        )
    # one order of rows whatever order they came in, so that no generator can depend on it
    keys = ("domain", "label", "text", "doc_id")
    train = train.sort_by([(key, "ascending") for key in keys])
    sizes = train.group_by(["domain", "label"]).aggregate([([], "count_all")]).to_pylist()
    ratio = study.pools[pool].ratio
    counts = {row["label"]: max(1, math.floor(ratio * row["count_all"] + 0.5)) for row in sizes}
    request = Request(
        study.name,
        pool,
        train,
        counts,
        settings,
        seed_of(study.seed, "pool", pool),
        place.work,
        model=place.model,
        landing=place.landing,
        cache=place.cache,
        corpus=study.corpus,
        synthetic_from=study.synthetic_from,
    )
    if isinstance(settings, FilesSettings) and settings.path is None:
        files.require_apart(_landing_fed(study), place.landing)
    given = generator.generate(request)
    domain_of = {row["label"]: row["domain"] for row in sizes}
    _require_sound(study.pools[pool].generator, generator, given, counts, train["doc_id"])
    documents = _documents(pool, given.texts, domain_of)
    return Pool(documents, sum(counts.values()) if generator.counts_bind else 0, given)


def _require_sound(
    name: str, generator: Generator, given: Made, counts: dict[str, int], train: pa.ChunkedArray
) -> None:
    """A generator that breaks its contract is a programming error.

    Raises:
        RuntimeError: the schema, a label, a number of texts, a text, a grade or a parent is not as it must be.
    """
    if given.texts.schema != MADE:
        raise RuntimeError(f"{name}: gave {given.texts.schema.names}, not {MADE.names}")
    found = dict(zip(*(part.to_pylist() for part in given.texts["label"].value_counts().flatten()), strict=True))
    for label in found.keys() | counts.keys():
        due = counts.get(label, 0)
        if (generator.counts_bind and found.get(label, 0) != due) or not due:
            raise RuntimeError(f"{name}: {found.get(label, 0)} texts for {label}, not {due}")
    if pc.any(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(given.texts["text"])), 0)).as_py():
        raise RuntimeError(f"{name}: an empty text")
    parents = given.texts["parent_doc_id"].drop_null()
    if not pc.all(pc.is_in(parents, value_set=train), min_count=0).as_py():
        raise RuntimeError(f"{name}: a text whose parent is no training document")
    lowest = generator.provenance.grade
    if any(Provenance(one).grade < lowest for one in pc.unique(given.texts["provenance"]).to_pylist()):
        raise RuntimeError(f"{name}: a text is below the grade `{generator.provenance.value}` that it gives its texts")


def _documents(pool: str, texts: pa.Table, domain_of: dict[str, str]) -> pa.Table:
    labels = texts["label"].combine_chunks()
    distinct = pc.unique(labels)
    homes = pa.array([domain_of[label] for label in distinct.to_pylist()], pa.string())
    domains = homes.take(pc.index_in(labels, distinct))
    # by domain and label; sorting by place too keeps the order in which a label's texts were made
    place = pa.array(range(len(labels)), pa.int64())
    keys = pa.table({"domain": domains, "label": labels, "place": place})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    texts, domains = texts.take(order), domains.take(order)
    rows = texts.num_rows
    return pa.table(
        {
            "doc_id": _own_ids(pool, doc_ids(domains, texts["label"], texts["text"])),
            "domain": domains,
            "label": texts["label"],
            "text": texts["text"],
            "provenance": texts["provenance"],
            "source": pa.repeat("synthetic", rows),
            "generator": texts["generator"],
            "parent_doc_id": texts["parent_doc_id"],
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


def pool_settings(study: Study, pool: str) -> tuple[Generator, BaseModel]:
    """Generator and settings of a pool.

    Raises:
        StudyError: no such pool or generator, or a setting that is unknown or out of range.
    """
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
            # what is no name of a variable is likely the key itself
            given = "" if key == "api_key_env" else f" (given: {masked(repr(item['input']))})"
            what = "unknown setting" if item["type"] == "extra_forbidden" else f"{item['msg']}{given}"
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
        shown.append(f"{name} ({'-'.join(limits)}, default {field.default})" if limits else name)
    return shown
