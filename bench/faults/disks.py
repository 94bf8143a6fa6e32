"""Disks: full, read-only, and files that were cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster._core.events import DagsterEventType

from bench.faults.trial import FAILURE, LeftOutError, Trial
from bench.services import MEASURED
from smc_dagster import weight_files
from smc_dagster.tables import PREDICTIONS, REAL_DOCUMENTS, TABLES


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
            # pages left: the checkpoint begins to be written and does not fit; then none, and too few, for dbt
            for left in (8, 0, 500):
                if left != 8:
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
                if left == 0:
                    _refused_once(trial, "No space left on device")
                trial.intact()
                filler.unlink()
            trial.next_run()
            trial.whole()
            left_over = [one.name for one in root.rglob(".*") if one.is_file() or one.name.startswith(".data")]
            assert not left_over, f"temporary files were left: {left_over}"
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
        _refused_once(trial, "Read-only file system")
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
    said = _refused_once(trial, "none that can be read", ("checkpoints",))
    done = site.smc("study", "run", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads(done.stdout)["made"]
    assert made["real_documents"] == 1, made
    return said


def all_cut(trial: Trial) -> str:
    """Of every table one file ends in the middle, and the heads of an arm too: just those are made again."""
    site = trial.site
    cut = []
    for spec in TABLES.values():
        found = [None] if spec.partition is None else site.lake.partitions(spec)
        partition = trial.arm if trial.arm in found else next(iter(found), None)
        if not found or not site.lake.fs.exists(site.lake.table_path(spec, partition)):
            continue
        place = Path(site.lake.table_path(spec, partition))
        file = next(place.parent.rglob("*.parquet")) if spec.folder else place
        os.truncate(file, file.stat().st_size // 2)
        cut.append(spec.name)
    heads = Path(site.lake.place(*weight_files.of_arm(trial.arm), weight_files.HEADS))
    os.truncate(heads, heads.stat().st_size // 2)
    assert len(cut) > 20, cut
    done = site.smc("study", "run", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads(done.stdout)["made"]
    assert (made["checkpoints"], made["predictions"], made["mixture_documents"]) == (1, 1, 1), made
    return f"({len(cut)} tables were cut; of arms, only what was cut was made again)"


def _refused_once(trial: Trial, words: str, assets: tuple[str, ...] = ()) -> str:
    """A run through the daemon fails by what stands in its way, says so, and is not tried again; returns the line."""
    site = trial.site
    run = site.ended(site.launch("arms", trial.arm, assets))
    assert run.status is FAILURE, run.status
    assert run.tags.get("dagster/will_retry") != "true", "the run was retried"
    with site.instance() as instance:
        again = list(instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_UP_FOR_RETRY))
    assert not again, "a step was retried"
    return trial.says(site.said(run.run_id), words)
