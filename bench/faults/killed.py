"""Processes that are killed: a step, a run worker, the daemon, all at once, dbt."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dagster as dg
import psutil

from bench.faults.trial import SUCCESS, Trial
from bench.services import until


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
