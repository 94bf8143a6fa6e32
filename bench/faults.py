"""Faults on a running study: what is lost, what is said, and whether the next run is clean.

Runs the tiny study once undisturbed, then does to it, with the real webserver and daemon, what can happen to a machine,
and compares all tables with the undisturbed ones: rows, fingerprints and weights. Prints a table; exit status 1 where a
row is wrong.

    python -m bench.faults                   # all
    python -m bench.faults --only disk,clock # those whose name begins so

Needs Linux. What needs more (root for mounts, libfaketime, Postgres) is left out where it is missing, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.events import DagsterEventType
from dagster_postgres.utils import DagsterPostgresException

from bench.postgres_server import postgres_server
from bench.services import ARM_TABLES, MEASURED, Services, until
from smc_dagster import postgres
from smc_dagster.tables import PREDICTIONS, REAL_DOCUMENTS

SUCCESS = dg.DagsterRunStatus.SUCCESS
FAKETIME = "faketime/libfaketimeMT.so.1"


class LeftOutError(Exception):
    """A fault that this machine cannot be given, and why."""


@dataclass
class Trial:
    """What every fault is given.

    Attributes:
        site: the study and its services.
        expected: contents of the undisturbed study.
        daemon: the daemon that runs now.
    """

    site: Services
    expected: dict[str, str]
    daemon: subprocess.Popen[bytes]

    @property
    def arm(self) -> str:
        """The arm that is made anew under the fault: the last one."""
        return self.site.study.arms[-1].key

    def intact(self) -> None:
        """Whatever is there is what it was: nothing half-written, nothing lost but what was to be made.

        Raises:
            AssertionError: which tables are not.
        """
        found = self.site.contents()
        wrong = [name for name, digest in found.items() if self.expected.get(name) != digest]
        missing = [name for name in self.expected if name not in found and f"[{self.arm}]" not in name]
        missing = [name for name in missing if f"arm={self.arm}" not in name]
        assert not wrong, f"changed: {', '.join(wrong)}"
        assert not missing, f"lost: {', '.join(missing)}"

    def whole(self) -> None:
        """Everything is there and as it was undisturbed."""
        self.intact()
        missing = self.expected.keys() - self.site.contents().keys()
        assert not missing, f"missing: {', '.join(sorted(missing))}"

    def next_run(self, *words: str) -> None:
        """`smc study run` makes what is missing, and ends well."""
        done = self.site.smc("study", "run", "--arms", self.arm, "--json", *words)
        assert done.returncode == 0, done.stderr[-2000:]

    def says(self, text: str, *words: str) -> str:
        """The line of a text that holds the words."""
        for line in text.splitlines():
            if all(word in line for word in words):
                return " ".join(line.split())
        raise AssertionError(f"nothing says {words}: …{text[-1500:]}")

    def again(self, tables: tuple[str, ...] = MEASURED) -> str:
        """Remove the arm's tables and ask for them; returns the run's id."""
        more = ("training_curves",) if "checkpoints" in tables else ()
        self.site.remove(self.arm, (*tables, *more))
        return self.site.launch("arms", self.arm, tables if tables != ARM_TABLES else ())


# ---------------------------------------------------------------------------------------------------- killed


def step_killed(trial: Trial) -> str:
    """SIGKILL of a step's process: the step is tried again in the same run."""
    site = trial.site
    run_id = trial.again()
    os.kill(until("the step begins", lambda: site.process_of(run_id, "checkpoints"), pause=0.05), signal.SIGKILL)
    trial.intact()
    run = site.ended(run_id)
    assert (run.status, run.run_id) == (SUCCESS, run_id), (run.status, run.run_id)
    return trial.says(site.said(run_id), "child process for step checkpoints", "SIGKILL")


def run_killed(trial: Trial) -> str:
    """SIGKILL of a run worker in a step: the run is marked as failed, and a retry goes on from there."""
    site = trial.site
    run_id = trial.again()
    until("the step begins", lambda: site.process_of(run_id, "checkpoints"), pause=0.05)
    os.kill(int(site.process_of(run_id, None) or 0), signal.SIGKILL)
    trial.intact()
    run = site.ended(run_id)
    assert run.status is SUCCESS, run.status
    assert run.run_id != run_id, "it was not a retry that ended well"
    return trial.says(site.said(run_id), "Run execution process", "SIGKILL")


def daemon_killed(trial: Trial) -> str:
    """SIGKILL of the daemon alone: the run in progress ends, what is queued meanwhile waits for the next daemon."""
    site = trial.site
    run_id = trial.again()
    until("the step begins", lambda: site.process_of(run_id, "checkpoints"), pause=0.05)
    trial.daemon.kill()
    trial.daemon.wait()
    queued = site.launch("arms", site.study.arms[0].key, ("arm_metrics",))
    first = site.ended(run_id)
    assert (first.status, first.run_id) == (SUCCESS, run_id), first.status
    trial.intact()
    with site.instance() as instance:
        assert instance.get_run_by_id(queued).status is dg.DagsterRunStatus.QUEUED
    trial.daemon = site.daemon()
    assert site.ended(queued).status is SUCCESS
    return "(the run in progress ended well without it; one asked for meanwhile stayed queued until the next daemon)"


def all_killed(trial: Trial) -> str:
    """SIGKILL of daemon, code server, run worker and steps at once, as when the machine goes down."""
    site = trial.site
    run_id = trial.again()
    until("the step begins", lambda: site.process_of(run_id, "checkpoints"), pause=0.05)
    site.end(trial.daemon, signal.SIGKILL)
    trial.intact()
    trial.daemon = site.daemon()
    run = site.ended(run_id, 400)
    assert run.status is SUCCESS, run.status
    assert run.run_id != run_id
    return trial.says(site.said(run_id), "is gone")


def dbt_killed(trial: Trial) -> str:
    """SIGKILL of dbt while it writes mixtures: nothing of the launch is published, and the step is tried again."""
    site = trial.site
    before = site.contents()
    run_id = site.launch("arms", trial.arm)
    parts = Path(site.lake.place(".mixing"))
    until("dbt writes", lambda: any(parts.glob("*/mixture_documents/*/*/*.parquet")), pause=0.01)
    killed = 0
    for one in psutil.process_iter(["cmdline", "environ"]):
        command = one.info["cmdline"] or []
        if any("dbt.cli.main" in word for word in command) and str(parts) in " ".join(command):
            one.kill()
            killed += 1
    assert killed, "no dbt was found"
    assert site.contents() == before, "the lake changed"
    run = site.ended(run_id)
    assert (run.status, run.run_id) == (SUCCESS, run_id), run.status
    assert not any(parts.iterdir()), "the killed launch left its folder"
    return trial.says(site.said(run_id), "dbt was killed (SIGKILL)")


# ---------------------------------------------------------------------------------------------------- disks


@contextmanager
def mounted(*words: str) -> Iterator[None]:
    """A mount, undone at the end; words as of `mount`, the target last."""
    if os.geteuid() != 0:
        raise LeftOutError("mounts need root")
    subprocess.run(["mount", *words], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", words[-1]], check=True)


def disk_full(trial: Trial) -> str:
    """The lake's disk is full: exit status 2 and the reason; with room again, the next run is clean."""
    site = trial.site
    root = Path(site.lake.place())
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(root, Path(aside) / "lake")
        used = sum(one.stat().st_size for one in root.rglob("*") if one.is_file())
        size = ["-t", "tmpfs", "-o", f"size={used * 2 + (64 << 20)}", "tmpfs", str(root)]
        said = []
        with mounted(*size):
            shutil.copytree(Path(aside) / "lake", root, dirs_exist_ok=True)
            site.remove(trial.arm, (*MEASURED, "training_curves"))
            # room for a few pages: the checkpoint begins to be written and does not fit; then none at all, for dbt
            for left in (8, 0):
                if left == 0:
                    site.remove(trial.arm)
                filler = root / ".filler"
                with filler.open("wb", buffering=0) as file:
                    try:
                        while file.write(b"\0" * 4096):
                            pass
                    except OSError:
                        os.ftruncate(file.fileno(), file.tell() // 4096 * 4096 - left * 4096)
                done = site.smc("study", "run", "--arms", trial.arm)
                assert done.returncode == 2, (left, done.returncode, done.stderr[-1500:])
                said.append(trial.says(done.stderr, "No space left on device"))
                trial.intact()
                filler.unlink()
            trial.next_run()
            trial.whole()
    assert not any(one.name.startswith(".data") for one in root.rglob("*")), "temporary files were left"
    return said[0].replace(str(root), "LAKE")


def read_only(trial: Trial) -> str:
    """The lake is mounted read-only: exit status 2 and the reason; nothing is retried."""
    site = trial.site
    root = site.lake.place()
    site.remove(trial.arm, (*MEASURED, "training_curves"))
    with mounted("--bind", root, root):
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        done = site.smc("study", "run", "--arms", trial.arm)
        assert done.returncode == 2, (done.returncode, done.stderr[-1500:])
        said = trial.says(done.stderr, "cannot be written", "Read-only file system")
        trial.intact()
        assert site.smc("arms", "--json").returncode == 0, "a read-only lake cannot be read"
    return said.replace(root, "LAKE")


def truncated(trial: Trial) -> str:
    """Parquet files that end in the middle: they count as missing and are made again."""
    site = trial.site
    paths = [site.lake.table_path(PREDICTIONS, trial.arm), site.lake.table_path(REAL_DOCUMENTS)]
    for path in paths:
        os.truncate(path, os.path.getsize(path) // 2)
    done = site.smc("arms", "--json")
    assert done.returncode == 0, done.stderr[-1500:]
    # what a run that reads it says
    run = site.ended(site.launch("arms", trial.arm, ("checkpoints",)))
    assert run.status is dg.DagsterRunStatus.FAILURE, run.status
    assert run.tags.get("dagster/will_retry") != "true", "a damaged table was retried"
    text = site.said(run.run_id)
    assert "STEP_UP_FOR_RETRY" not in text
    done = site.smc("study", "run", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads(done.stdout)["made"]
    assert made["real_documents"] == 1, made
    return trial.says(text, "real_documents", "none that can be read")


# ---------------------------------------------------------------------------------------------------- clock, daemons


def clock_set(trial: Trial) -> str:
    """The daemon's clock stands at another day, then is set right: days, double rows, and sensors go on."""
    site = trial.site
    library = next(iter(Path("/usr/lib").glob(f"*/{FAKETIME}")), None)
    if library is None:
        raise LeftOutError("libfaketime is missing; Debian: apt-get install faketime")
    site.end(trial.daemon)
    preload = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    _landing(site, "start")
    try:
        for shift in ("+2d", "-2d"):
            faked = site.daemon(**preload, FAKETIME=shift)
            run = site.ended(trial.again())
            assert run.status is SUCCESS, (shift, run.status)
            with site.instance() as instance:
                began = datetime.fromtimestamp(instance.get_run_record_by_id(run.run_id).start_time, UTC)
            away = (began - datetime.now(UTC)) / timedelta(days=1)
            assert abs(away - float(shift[:-1])) < 0.1, f"the clock was not set: {away:.2f} days"
            until("the sensor ticks", lambda: _last_tick(site), 90)
            site.end(faked)
            trial.whole()
        # ahead once more, so that the last tick lies in the future
        faked = site.daemon(**preload, FAKETIME="+2d")
        until("the sensor ticks ahead", lambda: (_last_tick(site) or 0) > time.time() + 3600, 120)
        site.end(faked)
        done = site.smc("init", "--json")
        assert done.returncode == 0, done.stderr[-1000:]
        trial.daemon = site.daemon()
        began = time.time()
        until("the sensor ticks again", lambda: began - 60 < (_last_tick(site) or 0) < time.time() + 60, 120)
    finally:
        _landing(site, "stop")
    trial.whole()
    return "(runs 2 days ahead and 2 days back ended well; after `smc init` sensors tick by the right clock at once)"


def _landing(site: Services, what: str) -> None:
    words = [what, "landing_folder", "-w", "workspace.yaml", "-l", "smc_dagster"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "sensor", *words],
        cwd=Path(__file__).parents[1],
        env=site.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1000:]


def _last_tick(site: Services) -> float | None:
    with site.instance() as instance:
        for state in instance.all_instigator_state():
            if state.name == "landing_folder" and state.instigator_data is not None:
                return state.instigator_data.last_tick_timestamp
    return None


def two_daemons(trial: Trial) -> str:
    """Two daemons on one instance: each run is launched once."""
    site = trial.site
    second = site.daemon()
    arms = [arm.key for arm in site.study.arms]
    runs = [site.launch("arms", arm, ("arm_metrics",)) for arm in arms]
    for run_id in runs:
        assert site.ended(run_id).status is SUCCESS
    with site.instance() as instance:
        for run_id in runs:
            started = [
                one
                for one in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)
                if one.dagster_event.message.startswith("Started process for run")
            ]
            assert len(started) == 1, f"run {run_id} was launched {len(started)} times"
    log = site.folder / "dagster-daemon.log"
    until("a daemon says so", lambda: "daemon is still sending heartbeats" in log.read_text(), 120)
    site.end(second)
    return trial.says(log.read_text(), "Another", "daemon is still sending heartbeats").split(" - ")[-1][:120]


# ---------------------------------------------------------------------------------------------------- Postgres


def postgres_restarted(trial: Trial) -> str:
    """The Postgres server of the instance is restarted twice during a backfill of three arms, a run each."""
    if postgres.programs() is None:
        raise LeftOutError("initdb and pg_ctl are missing; Debian: apt-get install postgresql")
    with postgres_server() as server:
        environment = {postgres.VARIABLE: server.url, "DAGSTER_HOME": str(trial.site.folder / "postgres_home")}
        site = Services(trial.site.folder, **environment)
        arms = [arm.key for arm in site.study.arms[-3:]]
        try:
            assert site.smc("init").returncode == 0
            site.webserver()
            site.stop_sensors()
            site.daemon()
            for arm in arms:
                site.remove(arm)
            backfill = site.backfill_job("arms", arms)
            for seconds in (2, 15):
                until("a run is in progress", lambda: _in_progress(site), pause=0.2)
                server.stop()
                time.sleep(seconds)
                server.start()
                time.sleep(5)
            with site.instance() as instance:
                mine = dg.RunsFilter(tags={"dagster/backfill": backfill})
                until("the backfill ends", lambda: _over(instance, backfill), 400)
                runs = instance.get_runs(mine)
            first = [run for run in runs if run.parent_run_id is None]
            assert len(first) == len(arms), f"{len(first)} runs"
            ended = [site.ended(run.run_id) for run in first]
            assert all(run.status is SUCCESS for run in ended), [run.status for run in ended]
            retried = sum(run.parent_run_id is not None for run in ended)
        finally:
            site.close()
            os.environ.pop(postgres.VARIABLE, None)
    return f"(down for 2 s and for 15 s: all 3 runs ended well, {retried} of them as a retry)"


def _over(instance: dg.DagsterInstance, backfill: str) -> bool:
    try:
        found = instance.get_backfill(backfill)
    except DagsterPostgresException:
        return False
    return found is not None and found.status.value not in ("REQUESTED", "COMPLETED_REQUESTED")


def _in_progress(site: Services) -> bool:
    with site.instance() as instance:
        return bool(instance.get_run_ids(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))


# ---------------------------------------------------------------------------------------------------- all

FAULTS: dict[str, Callable[[Trial], str]] = {
    "step killed": step_killed,
    "run worker killed": run_killed,
    "daemon killed": daemon_killed,
    "all killed at once": all_killed,
    "dbt killed writing": dbt_killed,
    "disk full": disk_full,
    "read-only lake": read_only,
    "truncated Parquet": truncated,
    "two daemons": two_daemons,
    "clock set": clock_set,
    "Postgres restarted": postgres_restarted,
}


def main() -> int:
    """Run the faults; exit status 1 where one leaves something wrong."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", default="", help="beginnings of names, joined by commas")
    asked.add_argument("--folder", type=Path, help="data folder to work on and keep; without it a temporary one")
    given = asked.parse_args()
    begin = tuple(given.only.split(","))
    folder = given.folder or Path(tempfile.mkdtemp(prefix="smc-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    site = Services(folder.resolve())
    rows = []
    try:
        done = site.smc("study", "run")
        assert done.returncode == 0, done.stderr
        expected = site.contents()
        site.webserver()
        site.stop_sensors()
        trial = Trial(site, expected, site.daemon())
        for name, fault in FAULTS.items():
            if not name.startswith(begin):
                continue
            began = time.monotonic()
            try:
                said = fault(trial)
                trial.next_run()
                trial.whole()
                verdict = "ok"
            except LeftOutError as reason:
                verdict, said = "left out", str(reason)
            except Exception as error:
                verdict, said = "WRONG", f"{type(error).__name__}: {error}"
                _recover(trial)
            rows.append((name, verdict, f"{time.monotonic() - began:.0f} s", said))
            print(f"{name:20} {verdict:8} {rows[-1][2]:>6}  {said}", flush=True)
    finally:
        site.close()
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    print("| fault | nothing lost, next run clean | what is said |\n|---|---|---|")
    for name, verdict, seconds, said in rows:
        print(f"| {name} | {verdict} ({seconds}) | {said[:300]} |")
    return int(any(verdict == "WRONG" for _, verdict, _, _ in rows))


def _recover(trial: Trial) -> None:
    """Make the study whole for the next fault, whatever the last one left."""
    if trial.daemon.poll() is not None:
        trial.daemon = trial.site.daemon()
    with trial.site.instance() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED])):
            instance.report_run_failed(run, "left by a fault")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    trial.site.smc("study", "run")


if __name__ == "__main__":
    sys.exit(main())
