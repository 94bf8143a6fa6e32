"""The dbt seeds that shape mixtures: caps by domain, thresholds by strictness, and what the SQL itself is.

What belongs here: reading and checking `caps.csv` and `strictness.csv`, and the digests that lineage keeps of them and
of the models. What does not: writing accepted caps (accepting.py), and applying them, which the dbt models do.

dbt loads the same files; they are checked here first because a person edits them, and deserves to hear the line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from smc_dagster import places
from smc_dagster.errors import CapsError
from smc_dagster.study import Strictness, Study, digest_of
from smc_dagster.tables import ALL_DOMAINS

CAPS_COLUMNS = ("study", "domain", "cap", "note")
# highest contamination that a level above `off` may let through: a near-duplicate starts at this Jaccard
NEAR_DUPLICATE = 0.8
OFF = "off"
SQL_FOLDERS = ("macros", "models/staging", "models/intermediate", "models/marts")


@dataclass(frozen=True)
class Cap:
    """One row of the caps seed; `line` is where it stands in the file."""

    study: str
    domain: str
    cap: float
    note: str
    line: int


@dataclass(frozen=True)
class Caps:
    """The caps of all studies, as one file gives them."""

    path: Path
    rows: tuple[Cap, ...]

    def of(self, study: str) -> dict[str, float]:
        """Cap by domain of one study; `*` is every domain of the study that has no row of its own."""
        return {row.domain: row.cap for row in self.rows if row.study == study}


@dataclass(frozen=True)
class Thresholds:
    """One row of the strictness seed.

    Attributes:
        max_contamination: rows with this contamination (0-1) or more are deleted; None deletes none.
        cluster_exponent: weight falls with cluster size to minus this power.
        template_exponent: weight falls with the rows of the over-used skeleton to minus this power.
        max_template_share: rows of a skeleton above this share (0-1) of its domain are deleted; None deletes none.
    """

    max_contamination: float | None
    cluster_exponent: float
    template_exponent: float
    max_template_share: float | None


LIMITS = {
    "max_contamination": (1.0, True),
    "cluster_exponent": (4.0, False),
    "template_exponent": (4.0, False),
    "max_template_share": (1.0, True),
}
"""Largest value of each threshold (the smallest is 0), and whether it may be empty."""


def seed_path(name: str) -> Path:
    """The file of a seed of the dbt project."""
    return places.dbt_project() / "seeds" / f"{name}.csv"


def read_caps(path: Path | None = None) -> Caps:
    """Read the caps seed.

    Raises:
        CapsError: the file is missing or lacks a column; a cap is no number in 0-1; a (study, domain) stands twice.
    """
    path = path or seed_path("caps")
    rows: list[Cap] = []
    seen: dict[tuple[str, str], int] = {}
    for line, row in _read(path, CAPS_COLUMNS):
        study, domain = row["study"], row["domain"]
        for column in ("study", "domain"):
            # dbt takes both for a missing value
            if row[column].lower() in ("", "null"):
                raise CapsError(f"{path}, line {line}: `{column}` is {row[column]!r}", f"name a {column}")
        cap = _number(path, line, "cap", row["cap"], 1.0, f" for domain `{domain}`")
        if (study, domain) in seen:
            raise CapsError(
                f"{path}, line {line}: duplicate of line {seen[study, domain]}: study `{study}`, domain `{domain}`",
                "keep one of the two",
            )
        seen[study, domain] = line
        rows.append(Cap(study, domain, cap, row["note"], line))
    return Caps(path, tuple(rows))


def check_caps(study: Study, domains: list[str], path: Path | None = None) -> Caps:
    """Read the caps and check that the study's rows name domains that its corpus has.

    Raises:
        CapsError: see `read_caps`, or a domain that does not exist.
    """
    caps = read_caps(path)
    for row in caps.rows:
        if row.study == study.name and row.domain != ALL_DOMAINS and row.domain not in domains:
            raise CapsError(
                f"{caps.path}, line {row.line}: study `{study.name}` has no domain `{row.domain}`",
                f"domains are {', '.join(sorted(domains))}; `{ALL_DOMAINS}` is every domain without a row of its own",
            )
    return caps


def read_strictness(path: Path | None = None) -> dict[str, Thresholds]:
    """Read the strictness seed, by level.

    Raises:
        CapsError: the file is missing or lacks a column or a level; a value is out of range; `off` filters; or a level
            above `off` lets near-duplicates of evaluation text through.
    """
    path = path or seed_path("strictness")
    levels = [one.value for one in Strictness]
    found: dict[str, Thresholds] = {}
    for line, row in _read(path, ("strictness", *LIMITS)):
        level = row["strictness"]
        if level not in levels:
            raise CapsError(f"{path}, line {line}: unknown strictness `{level}`", f"levels are {', '.join(levels)}")
        if level in found:
            raise CapsError(f"{path}, line {line}: strictness `{level}` stands twice", "keep one of the two")
        values: dict[str, float | None] = {}
        for column, (high, optional) in LIMITS.items():
            empty = optional and row[column] == ""
            values[column] = None if empty else _number(path, line, column, row[column], high, f" of `{level}`")
        one = Thresholds(**values)  # type: ignore[arg-type]
        if level == OFF and one != Thresholds(None, 0, 0, None):
            raise CapsError(
                f"{path}, line {line}: `off` must filter nothing", "leave its limits empty and its exponents 0"
            )
        if level != OFF and (one.max_contamination is None or one.max_contamination > NEAR_DUPLICATE):
            raise CapsError(
                f"{path}, line {line}: `max_contamination` of `{level}` is {row['max_contamination'] or 'empty'}",
                f"give at most {NEAR_DUPLICATE}: above `off` no near-duplicate of evaluation text may be trained on",
            )
        found[level] = one
    missing = [level for level in levels if level not in found]
    if missing:
        raise CapsError(f"{path}: no row for strictness `{missing[0]}`", f"levels are {', '.join(levels)}")
    return found


def check_strictness(study: Study, path: Path | None = None) -> None:
    """Check that the limits of the levels which the study uses lie where contamination is measured.

    Raises:
        CapsError: see `read_strictness`, or a limit below the study's floor, which would let through what it forbids.
    """
    path = path or seed_path("strictness")
    levels = read_strictness(path)
    floor = study.screening.floor
    for series in study.series:
        limit = levels[series.strictness.value].max_contamination
        if limit is not None and limit < floor:
            raise CapsError(
                f"{path}: `max_contamination` of `{series.strictness.value}` is {limit:g}, and series `{series.name}` "
                f"of study `{study.name}` measures contamination from {floor:g} on",
                "raise the limit, or lower screening.contamination_floor in the study file",
            )


def caps_digest(study: Study) -> str:
    """Digest of the caps in force for one study: rows of other studies, notes and row order do not change it."""
    caps = read_caps().of(study.name)
    rest = caps.pop(ALL_DOMAINS, 1.0)
    return digest_of({"rest": rest, "own": {domain: cap for domain, cap in caps.items() if cap != rest}})


def strictness_digests() -> dict[str, str]:
    """Digest of each level's thresholds."""
    return {level: digest_of(one.__dict__) for level, one in read_strictness().items()}


def mixture_code_digest() -> str:
    """Digest of the SQL that makes mixtures: models and macros, without tests and descriptions."""
    root = places.dbt_project()
    paths = sorted(path for folder in SQL_FOLDERS for path in (root / folder).glob("*.sql"))
    if not paths:
        raise CapsError(f"{root} holds no dbt models", "set SMC_DBT_PROJECT to the checkout's dbt_project folder")
    code = {str(path.relative_to(root).as_posix()): path.read_text(encoding="utf-8").split("\n") for path in paths}
    return hashlib.sha256(digest_of(code).encode()).hexdigest()[:16]


def _read(path: Path, columns: Iterable[str]) -> Iterable[tuple[int, Mapping[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CapsError(f"{path} cannot be read: {error}", "restore the file") from error
    # not `splitlines`: it would also end a row at separators that a name may hold
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in columns if column not in (reader.fieldnames or [])]
    if missing:
        raise CapsError(
            f"{path}, line 1: no column `{missing[0]}` (found: {', '.join(reader.fieldnames or []) or 'nothing'})",
            f"the columns are {', '.join(columns)}",
        )
    for row in reader:
        if None in row or None in row.values():
            raise CapsError(
                f"{path}, line {reader.line_num}: not as many fields as the {len(reader.fieldnames or [])} columns",
                "put quotes around a value that holds a comma",
            )
        yield reader.line_num, row


def _number(path: Path, line: int, column: str, text: str, high: float, of: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= high:
        kind = "is not a number" if math.isnan(value) else f"is outside 0-{high:g}"
        raise CapsError(f"{path}, line {line}: `{column}`{of} {kind}: {text!r}", f"give a number from 0 to {high:g}")
    return value
