"""One dbt launch builds the mixtures of many arms: what goes in, and how what comes out enters the lake.

What belongs here: writing the launch's input files, its environment and command, and publishing its output arm by arm.
What does not: what a mixture holds, which the SQL of the dbt project says.

A launch has a folder of its own, so that any number may go at once; the lake is only read until `publish`.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smc_dagster import places
from smc_dagster.errors import CorpusError, LakeError
from smc_dagster.lake import Lake, slug
from smc_dagster.lineage import Lineage
from smc_dagster.mixing import anchors, seeds
from smc_dagster.study import Arm, Provenance, Study
from smc_dagster.tables import (
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    REAL_DOCUMENTS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_SCORES,
    TableSpec,
)

ARMS = pa.schema(
    [
        ("arm_no", pa.int32()),
        ("arm", pa.string()),
        ("series", pa.string()),
        ("pool", pa.string()),
        ("share", pa.float64()),
        ("composition", pa.string()),
        ("strictness", pa.string()),
        ("obey_caps", pa.bool_()),
        ("anchored", pa.bool_()),
        ("rebalance", pa.bool_()),
        ("budget", pa.float64()),
        ("replicates", pa.int32()),
        ("seed", pa.int64()),
        ("study", pa.string()),
    ]
)
DOMAINS = pa.schema([("domain_no", pa.int32()), ("domain", pa.string()), ("domain_slug", pa.string())])
PROVENANCE = pa.schema([("grade", pa.int32()), ("provenance", pa.string()), ("is_synthetic", pa.bool_())])

# columns of a composition that together are the rows of its mixture
PARTS = ("rows_real", "rows_synthetic", "rows_repeated")


@dataclass(frozen=True)
class Launch:
    """A prepared launch.

    Attributes:
        folder: its own folder; the marts appear in it, and spilled data while it runs.
        env: environment variables that dbt must be given.
        arms: the arms it builds; `arm_no` in its files is the place in this tuple.
    """

    folder: Path
    env: dict[str, str]
    arms: tuple[Arm, ...]

    def command(self, *arguments: str, target: Path | None = None) -> list[str]:
        """Command line of dbt, `build` unless other arguments are given.

        Args:
            target: folder of dbt's own artefacts; one that is kept spares the next launch the parsing. Launches that
                go at once must not share one.
        """
        project = str(places.dbt_project())
        where = ["--project-dir", project, "--profiles-dir", project]
        where += ["--target-path", str(target or self.folder / "target"), "--log-path", str(self.folder / "logs")]
        return [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *(arguments or ("build",)), *where]

    def output(self, table: TableSpec, arm: Arm) -> Path:
        """Folder in which the launch leaves an arm's part of a table."""
        return self.folder / table.name / f"arm_no={self.arms.index(arm)}"


@dataclass(frozen=True)
class MixtureSummary:
    """What was published for an arm; counts of rows are over all replicates and domains."""

    arm: str
    path: str
    rows: int
    rows_real: int
    rows_synthetic: int
    rows_repeated: int
    rows_asked: int
    shortfall: int
    domains_capped: int
    domains_short_of_pool: int
    domains_held_by_anchors: int


def prepare(study: Study, lake: Lake, arms: list[Arm], lineage: Lineage, folder: Path) -> Launch:
    """Check what the arms need, and write the launch's input files.

    A remote lake's tables are copied below the folder first: DuckDB reads local files alone.

    Args:
        folder: the launch's own folder; made where it is missing.

    Raises:
        StaleInputError: an input table is missing, or was made from other inputs.
        CapsError: the caps name a domain that the corpus does not have, or break another rule.
        CorpusError: there are no real training documents.
        StudyError: a domain's budget holds fewer rows than it has training anchors, and an arm protects them.
        LakeError: a pool and its scores do not match, or frozen anchors are not what was frozen.
    """
    if not arms:
        raise ValueError("no arms to build")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for table in (MIXTURE_DOCUMENTS, MIXTURE_COMPOSITION):
        shutil.rmtree(folder / table.name, ignore_errors=True)
    pools = sorted({arm.series.pool for arm in arms if arm.series.pool is not None})
    needed: list[tuple[TableSpec, str | None]] = [(REAL_DOCUMENTS, None)]
    needed += [(table, pool) for pool in pools for table in (SYNTHETIC_DOCUMENTS, SYNTHETIC_SCORES)]
    for table, pool in needed:
        # no column is read: this only checks that the table is the one that is due
        lake.read(table, pool, columns=[], expect=lineage.due(table.name, pool).digest)
    for pool in pools:
        documents, scores = lake.rows(SYNTHETIC_DOCUMENTS, pool), lake.rows(SYNTHETIC_SCORES, pool)
        if documents != scores:
            raise LakeError(
                f"pool `{pool}` has {documents} documents but {scores} scores",
                f"materialise {SYNTHETIC_SCORES.name} again",
            )
    root = Path(lake.place()).resolve() if lake.is_local else _copy(lake, needed, folder / "lake")
    domains = _training_domains(root / REAL_DOCUMENTS.name / "data.parquet", study.synthetic_from)
    if not domains:
        raise CorpusError(
            "the corpus has no real training document", "see real_documents: every split but train is full"
        )
    seeds.check_caps(study, list(domains))
    seeds.check_strictness(study)
    anchored = any(arm.series.anchors for arm in arms)
    held = anchors.read_frozen(lake, lineage, needed=anchored)
    if anchored:
        anchors.check_room(study, domains, held)
    pq.write_table(held, folder / "anchors.parquet")
    _write(folder / "arms.parquet", ARMS, [_arm_row(no, arm, study) for no, arm in enumerate(arms)])
    rows = [{"domain_no": no, "domain": name, "domain_slug": slug(name)} for no, name in enumerate(domains)]
    _write(folder / "domains.parquet", DOMAINS, rows)
    scale = [
        {"grade": one.grade, "provenance": one.value, "is_synthetic": one.grade >= study.synthetic_from.grade}
        for one in Provenance
    ]
    _write(folder / "provenance.parquet", PROVENANCE, scale)
    env = {
        "SMC_LAKE": str(root),
        "SMC_MIXING": str(folder),
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    ready = Launch(folder, env, tuple(arms))
    # DuckDB makes no folder for a single file
    for arm in arms:
        ready.output(MIXTURE_COMPOSITION, arm).mkdir(parents=True)
        for name in domains:
            (ready.output(MIXTURE_DOCUMENTS, arm) / f"domain_slug={slug(name)}").mkdir(parents=True)
    return ready


def publish(launch: Launch, lake: Lake, lineage: Lineage) -> dict[str, MixtureSummary]:
    """Move what dbt built into the lake, arm by arm, each under the fingerprint it is due.

    All arms are checked before the first is published. An arm's old mixture is replaced at once or not at all.

    Returns:
        What was published, by arm key.

    Raises:
        LakeError: the launch left an arm out, or an arm's files and its composition disagree on the number of rows.
    """
    compositions = {arm.key: _composition(launch, arm) for arm in launch.arms}
    published: dict[str, MixtureSummary] = {}
    for arm in launch.arms:
        composition = compositions[arm.key]
        folder = launch.output(MIXTURE_DOCUMENTS, arm)
        folder.mkdir(parents=True, exist_ok=True)
        due = lineage.due(MIXTURE_DOCUMENTS.name, arm.key)
        path = lake.publish_folder(MIXTURE_DOCUMENTS, folder, due, arm.key)
        due = lineage.due(MIXTURE_COMPOSITION.name, arm.key)
        lake.write(MIXTURE_COMPOSITION, composition, due, arm.key)
        published[arm.key] = _summary(arm, path, composition)
    return published


def _composition(launch: Launch, arm: Arm) -> pa.Table:
    files = sorted(launch.output(MIXTURE_COMPOSITION, arm).glob("*.parquet"))
    if not files:
        raise LakeError(f"dbt left no composition for arm `{arm.key}`", "see the dbt log of this run")
    table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    table = table.sort_by([("replicate", "ascending"), ("domain", "ascending")])
    expected = sum(_total(table, name) for name in PARTS)
    documents = launch.output(MIXTURE_DOCUMENTS, arm).rglob("*.parquet")
    written = sum(pq.read_metadata(file).num_rows for file in documents)
    if written != expected:
        raise LakeError(
            f"dbt wrote {written} rows for arm `{arm.key}`, its composition says {expected}; nothing was published",
            "build the arm again; if it persists, see the dbt log of this run",
        )
    return table


def _summary(arm: Arm, path: str, composition: pa.Table) -> MixtureSummary:
    parts = {name: _total(composition, name) for name in PARTS}
    first = composition.filter(pc.equal(composition["replicate"], 0))["why"].to_pylist()
    return MixtureSummary(
        arm=arm.key,
        path=path,
        rows=sum(parts.values()),
        **parts,
        rows_asked=_total(composition, "rows_asked"),
        shortfall=_total(composition, "shortfall"),
        domains_capped=first.count("cap"),
        domains_short_of_pool=first.count("pool"),
        domains_held_by_anchors=first.count("anchors"),
    )


def _total(table: pa.Table, column: str) -> int:
    return int(pc.sum(table[column]).as_py() or 0)


def _arm_row(no: int, arm: Arm, study: Study) -> dict[str, object]:
    series = arm.series
    return {
        "arm_no": no,
        "arm": arm.key,
        "series": series.name,
        "pool": series.pool,
        "share": arm.share,
        "composition": series.composition.value,
        "strictness": series.strictness.value,
        "obey_caps": series.caps,
        "anchored": series.anchors,
        "rebalance": series.rebalance,
        "budget": study.budget,
        "replicates": study.replicates,
        "seed": study.seed,
        "study": study.name,
    }


def _training_domains(path: Path, synthetic_from: Provenance) -> dict[str, int]:
    """Real training documents by domain, in the order of names; streamed, as only they are wanted."""
    columns = ["domain", "split", "provenance"]
    real = pa.array([one.value for one in Provenance if one.grade < synthetic_from.grade], pa.string())
    found: Counter[str] = Counter()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=columns, batch_size=1 << 18):
            counts = pc.and_(pc.equal(batch["split"], "train"), pc.is_in(batch["provenance"], real))
            for one in pc.value_counts(pc.filter(batch["domain"], counts)).to_pylist():
                found[one["values"]] += one["counts"]
    return dict(sorted(found.items()))


def _copy(lake: Lake, tables: list[tuple[TableSpec, str | None]], root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    for table, partition in tables:
        path = lake.table_path(table, partition)
        target = root / path.removeprefix(lake.place() + "/").removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        lake.fs.get_file(path, str(target))
    return root


def _write(path: Path, schema: pa.Schema, rows: Sequence[Mapping[str, object]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
