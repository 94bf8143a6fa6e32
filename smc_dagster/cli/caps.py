"""Caps: those in force, those that the findings recommend, and accepting them.

What belongs here: `smc caps` and what it asks of a person. What does not: how a safe share is proven
(findings/safe_shares.py), and how the seed is written (mixing/accepting.py).

A cap is never written without being asked for: `accept` names a reason and confirms, or takes --yes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, err, opened, out, printable, show, table
from smc_dagster.errors import CapsError, LakeError, StaleInputError, StudyError
from smc_dagster.tables import ALL_DOMAINS, MIXTURE_COMPOSITION, SAFE_SHARES
from smc_dagster.workbench import Workbench

caps_app = typer.Typer(invoke_without_command=True, help="Caps by domain: in force, recommended, accepted.")
SeriesOption = Annotated[
    str | None, typer.Option("--series", help="Go by this series alone, not by all that a cap governs.")
]
OUTDATED = "these findings are older than what the study now asks for"
# a cap is written with so many parts of 1, rounded down
STEP = 10_000


@caps_app.callback()
def caps(
    context: typer.Context, study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False
) -> None:
    """The caps in force by domain, and what mixtures gave under them; or one of the commands below."""
    from smc_dagster.mixing.caps import caps_in_force

    if context.invoked_subcommand is not None:
        if study or lake or as_json:
            raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`")
        return
    bench = opened(study, lake)
    rows = caps_in_force(bench.study, bench.lake)
    show(rows, as_json, table(f"Caps in force for {bench.study.name}", rows))


@caps_app.command("recommend")
def recommend(
    study: StudyOption = None, series: SeriesOption = None, lake: LakeOption = None, as_json: JsonOption = False
) -> None:
    """What the findings recommend by domain, beside the cap in force and the share in use. Nothing is written."""
    bench = opened(study, lake)
    fingerprint, fresh, rows = recommendations(bench, series)
    if not fresh:
        err.print(f"[yellow]{OUTDATED}: run `smc study run`[/yellow]")
    level = bench.study.findings.level
    payload = {
        "study": bench.study.name,
        "fingerprint": fingerprint,
        "fresh": fresh,
        "level": level,
        "margin": bench.study.findings.margin,
        "domains": rows,
    }
    columns = ["domain", "share_in_use", "cap", "recommended", "safe_status", "margin", "n", "n_needed", "series"]
    show(payload, as_json, table(f"Caps for {bench.study.name} (findings {fingerprint})", rows, [*columns, "note"]))
    if not as_json:
        out.print(f"Each domain is judged at {level * 100:g} % by itself. `smc caps accept` writes what you choose.")


@caps_app.command("accept")
def accept(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the seed.")],
    domain: Annotated[list[str] | None, typer.Option("--domain", help="Only these; may be given again.")] = None,
    cap: Annotated[
        list[str] | None, typer.Option("--cap", help="DOMAIN=SHARE: a cap of your own; may be given again.")
    ] = None,
    series: SeriesOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    study: StudyOption = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write recommended caps, or your own, into the caps seed of the dbt project; the next mixtures obey them."""
    from smc_dagster.mixing.accepting import Accepted, accepted_note, write_accepted
    from smc_dagster.mixing.seeds import seed_path

    bench = opened(study, lake)
    fingerprint, fresh, rows = recommendations(bench, series)
    if not fresh:
        raise StaleInputError(f"{OUTDATED}; nothing was accepted", "run `smc study run`, then accept what it finds")
    chosen = choose(bench.study.name, rows, domain or [], own_caps(cap or []))
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    accepted = {
        row["domain"]: Accepted(row["accepted"], accepted_note(day, fingerprint, row["basis"], reason))
        for row in chosen
    }
    path = seed_path("caps")
    show_choice = table(f"Caps to accept for {bench.study.name}", chosen, ["domain", "cap", "accepted", "basis"])
    (err if as_json else out).print(show_choice)
    for row in chosen:
        if row["safe_share"] is None or row["accepted"] > row["safe_share"] + 1e-9:
            err.print(f"[yellow]{printable(row['domain'])}: a share of {row['accepted']:g} is not proven safe[/yellow]")
    if not yes and not typer.confirm(f"Write {len(chosen)} to {path}?", err=True):
        err.print("nothing was written")
        raise typer.Exit(1)
    write_accepted(bench.study.name, accepted, path)
    governed = sum(arm.series.caps for arm in bench.study.arms)
    if as_json:
        show({"study": bench.study.name, "fingerprint": fingerprint, "file": str(path), "accepted": chosen}, True)
        return
    out.print(
        printable(f"{path}: {len(chosen)} written. `smc study run` mixes the {governed} arms that obey caps anew.")
    )


def recommendations(bench: Workbench, series: str | None) -> tuple[str, bool, list[dict[str, Any]]]:
    """Fingerprint of the findings, whether they are current, and the rows of findings/domain_answer.py.

    Each row has `recommended` besides: the safe share rounded down to a hundredth of a percent, None without one.

    Raises:
        StudyError: no such series, or one without synthetic rows.
        LakeError: there are no findings, or no mixtures of theirs.
        CapsError: the seed breaks a rule.
    """
    from smc_dagster.findings.domain_answer import domain_answers
    from smc_dagster.findings.store import read_summary
    from smc_dagster.mixing.seeds import read_caps

    known = [one.name for one in bench.study.series if one.pool is not None]
    if series is not None and series not in known:
        raise StudyError(
            f"study `{bench.study.name}`: no series `{series}` with synthetic rows",
            f"series are {', '.join(known) or 'none'}",
        )
    shown = read_summary(bench.lake)
    if shown is None:
        raise LakeError(f"{bench.lake.root} holds no findings yet", "run `smc study run`")
    counted = [arm.key for arm in bench.study.arms if arm.key in set(shown["arms"]["counted"])]
    composition = bench.lake.read_many(MIXTURE_COMPOSITION, counted)
    if composition.num_rows == 0:
        raise LakeError(f"{bench.lake.root} holds no mixtures of these findings", "run `smc study run`")
    caps = read_caps().of(bench.study.name)
    rows = domain_answers(bench.study, bench.lake.read(SAFE_SHARES), composition, caps, series)
    for row in rows:
        row["recommended"] = None if row["safe_share"] is None else math.floor(row["safe_share"] * STEP + 1e-6) / STEP
        if row["domain"] == ALL_DOMAINS:
            # the row of all domains in the seed is a cap for those without one of their own
            row["cap"] = caps.get(ALL_DOMAINS)
    return shown["fingerprint"], _current(bench, shown, counted), rows


def _current(bench: Workbench, shown: dict[str, Any], counted: list[str]) -> bool:
    """Whether findings are what the study asks for, or would be but for caps that were accepted from them."""
    from smc_dagster.mixing.accepting import findings_of
    from smc_dagster.mixing.seeds import read_caps

    def fits(one: Workbench) -> bool:
        keys = [arm.key for arm in one.fresh_arms()]
        stored = one.lake.fingerprint(SAFE_SHARES)
        whole = stored is not None and stored.digest == one.lineage.findings(SAFE_SHARES.name, keys).digest
        return whole and one.lineage.findings("study_report", keys).digest == shown["fingerprint"]

    if fits(bench):
        return True
    rows = [row for row in read_caps().rows if row.study == bench.study.name]
    if not any(findings_of(row.note) == shown["fingerprint"] for row in rows):
        return False
    made = [bench.lake.fingerprint(MIXTURE_COMPOSITION, key) for key in counted]
    met = {one.inputs["caps"] for one in made if one is not None and "caps" in one.inputs}
    return any(fits(replace(bench, lineage=bench.lineage.under_caps(digest))) for digest in met)


def own_caps(given: list[str]) -> dict[str, float]:
    """Caps by domain from DOMAIN=SHARE; the last `=` parts them.

    Raises:
        CapsError: one has no `=`, names no domain, is no number in 0-1, or a domain is given twice.
    """
    found: dict[str, float] = {}
    for text in given:
        domain, parted, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not parted or not domain or not 0 <= share <= 1:
            raise CapsError(f"--cap {text!r}: not a domain and a share from 0 to 1", "write it as --cap 'DOMAIN=0.3'")
        if domain in found:
            raise CapsError(f"--cap: domain `{domain}` is given twice", "give one cap a domain")
        found[domain] = share
    return found


def choose(study: str, rows: list[dict[str, Any]], domains: list[str], own: dict[str, float]) -> list[dict[str, Any]]:
    """The rows to accept, with `accepted`, the cap, and `basis`, what it rests on, in words.

    Without a domain named, every domain with a recommended cap; all domains together, `*`, only where named.

    Raises:
        CapsError: a domain that does not exist or has no recommended cap; `*` where every domain has a row of its own;
            or nothing to accept.
    """
    from smc_dagster.mixing.seeds import read_caps

    by_domain = {row["domain"]: row for row in rows}
    names = list(dict.fromkeys([*domains, *own]))
    for name in names:
        if name not in by_domain:
            raise CapsError(f"no domain `{name}` in the findings", f"domains are {', '.join(one for one in by_domain)}")
    if not names:
        names = [name for name, row in by_domain.items() if name != ALL_DOMAINS and row["recommended"] is not None]
    if not names:
        raise CapsError(
            "no domain has a measured safe share, so no cap is recommended",
            "see `smc caps recommend`; a cap of your own: --cap 'DOMAIN=0.3'",
        )
    if ALL_DOMAINS in names:
        written = read_caps().of(study)
        if all(name in written for name in by_domain if name != ALL_DOMAINS):
            raise CapsError(
                f"a cap of `{ALL_DOMAINS}` would hold for no domain: each has a row of its own", "name the domains"
            )
    return [_chosen(by_domain[name], own.get(name)) for name in names]


def _chosen(row: dict[str, Any], own: float | None) -> dict[str, Any]:
    measured = f"safe share {row['safe_share']:g}" if row["safe_share"] is not None else row["safe_status"]
    basis = f"{measured}, margin {row['margin']:g}, n {row['n']}, series {row['series']}" if row["series"] else measured
    if own is not None:
        return {**row, "accepted": own, "basis": f"a cap of one's own; {basis}"}
    if row["recommended"] is None:
        raise CapsError(
            f"domain `{row['domain']}` has no measured safe share ({row['safe_status']}): {row['note']}",
            f"a cap of your own: --cap '{row['domain']}=0.3'",
        )
    return {**row, "accepted": row["recommended"], "basis": basis}
