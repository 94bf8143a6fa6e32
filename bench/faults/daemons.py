"""Daemons: one whose clock is wrong, and two at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster._core.events import DagsterEventType

from bench.faults.trial import SUCCESS, LeftOutError, Trial
from bench.services import Services, until
from smc_dagster import places

DAY = 86_400


def clock_set(trial: Trial) -> str:
    """The daemon's clock stands at another day, then is set right: days, double rows, and sensors go on."""
    site = trial.site
    compiler = shutil.which("cc")
    if compiler is None:
        raise LeftOutError("a C compiler is missing; Debian: apt-get install gcc libc6-dev")
    # libfaketime 0.9.10 makes time.sleep fail where it leaves the monotonic clock alone
    library = site.folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    site.end(trial.daemon)
    _landing(site, "start")
    try:
        for days in (2, -2):
            faked = site.daemon(LD_PRELOAD=str(library), CLOCK_SHIFT=str(days * DAY))
            run = site.ended(trial.again())
            assert run.status is SUCCESS, (days, run.status)
            with site.instance() as instance:
                began = datetime.fromtimestamp(instance.get_run_record_by_id(run.run_id).start_time, UTC)
            away = (began - datetime.now(UTC)) / timedelta(days=1)
            assert abs(away - days) < 0.1, f"the clock was not set: {away:.2f} days"
            until("the sensor ticks", lambda: _last_tick(site), 90)
            site.end(faked)
            trial.whole()
        # ahead once more, so that the last tick lies in the future
        faked = site.daemon(LD_PRELOAD=str(library), CLOCK_SHIFT=str(2 * DAY))
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
        cwd=places.CHECKOUT,
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
    said = trial.says(log.read_text(), "Another", "daemon is still sending heartbeats")
    return re.sub(r"\x1b\[\d*m", "", said).split(" - ")[-1]
