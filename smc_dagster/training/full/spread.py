"""Several processes on one job, as torchrun starts them: a GPU each, every replicate in one of them.

What belongs here: which part of a job is whose, starting torchrun, what the processes leave of failures. What does not:
training (run.py).

Replicates share nothing, so that processes need not speak to each other. One that fails leaves its part undone, says
why in a file, and ends well, as torchrun would stop the others otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from smc_dagster.errors import DeviceError, InterruptedWorkError, ModelError, SmcError
from smc_dagster.training.full import outputs
from smc_dagster.training.full.job import ArmJob, Job

One = TypeVar("One")
# kind of an ending by an error that no person can mend
_OURS = "ours"
Progress = Callable[[str, int, int, int], None]
_STEP = re.compile(r"(?P<arm>.+) replicate (?P<replicate>\d+): step (?P<done>\d+) of (?P<steps>\d+)")


@dataclass(frozen=True)
class Part:
    """A process's place among those on a job: `rank` of `world`."""

    rank: int
    world: int

    def of(self, all_: Sequence[One]) -> list[One]:
        """Its part of all that is due: every `world`-th."""
        return list(all_[self.rank :: self.world])


ALONE = Part(0, 1)


def part_here() -> Part:
    """This process's part, from what torchrun sets; all where it does not.

    Raises:
        SmcError: what is set makes no sense.
    """
    rank, world = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdigit() and world.isdigit() and int(rank) < int(world)):
        raise SmcError(
            f"RANK is `{rank}`, WORLD_SIZE is `{world}`: not a place among so many",
            "start several processes with torchrun, or unset both",
        )
    return Part(int(rank), int(world))


def step_line(arm: str, replicate: int, done: int, steps: int) -> str:
    """How a process says how far a replicate is."""
    return f"{arm} replicate {replicate}: step {done} of {steps}"


def leave(work: Path, part: Part, error: Exception | None) -> None:
    """Write how a part ended; `work` is the folder of checkpoints, which all parts share.

    Where it cannot be written the part counts as cut off.
    """
    if isinstance(error, SmcError):
        said = {"kind": type(error).__name__, "problem": error.problem, "remedy": error.remedy}
    elif error is not None:
        said = {"kind": _OURS, "problem": f"{type(error).__name__}: {error}", "remedy": ""}
    else:
        said = None
    path = _ending(work, part.rank)
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        work.mkdir(parents=True, exist_ok=True)
        hidden.write_text(json.dumps(said), encoding="utf-8")
        os.replace(hidden, path)


def launch(
    job: Job,
    work: Path,
    out: Path,
    processes: int,
    *,
    on_arm: Callable[[ArmJob], None],
    progress: Progress,
) -> None:
    """Train a job in so many processes of this machine; see `run.run`.

    Args:
        on_arm: called with each arm that is done, once all processes have ended.
        progress: called with (arm key, replicate, steps done, steps) as often as the processes say so.

    Raises:
        DeviceError, ModelError: parts failed; the others are done.
        InterruptedWorkError: a process was killed.
        RuntimeError: a part failed by an error of ours; its traceback was printed.
    """
    for rank in range(processes):
        _ending(work, rank).unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "smc_dagster.training", str(job.folder), "--work", str(work), "--out", str(out)]
    # torchrun's own words on a process that was killed fill some thirty lines
    last: deque[str] = deque(maxlen=60)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := _STEP.fullmatch(line.strip()):
                progress(found["arm"], int(found["replicate"]), int(found["done"]), int(found["steps"]))
            else:
                print(line, end="", file=sys.stderr, flush=True)
                last.append(line)
    for arm in job.arms:
        if outputs.is_whole(out, job, arm):
            on_arm(arm)
    judge(work, processes, f"exit status {process.returncode}\n{''.join(last)}")


def judge(work: Path, processes: int, last: str) -> None:
    """Raise what the parts of a job left, as `launch` does.

    Args:
        last: what is known of the end of a process that left nothing.
    """
    failed: list[tuple[str, str, str]] = []
    for rank in range(processes):
        try:
            said = json.loads(_ending(work, rank).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InterruptedWorkError(
                f"training in {processes} processes: number {rank} was cut off: {last}",
                "run again: each replicate goes on from its last checkpoint",
            ) from error
        if said is not None:
            failed.append((said["kind"], said["problem"], said["remedy"]))
    ours = [problem for kind, problem, _ in failed if kind == _OURS]
    if ours:
        raise RuntimeError("; ".join(ours))
    if failed:
        lost = any(kind == DeviceError.__name__ for kind, *_ in failed)
        problem = "; ".join(problem for _, problem, _ in failed)
        remedy = "; ".join(dict.fromkeys(remedy for *_, remedy in failed))
        raise (DeviceError if lost else ModelError)(problem, remedy)


def _ending(work: Path, rank: int) -> Path:
    return work / f"part-{rank}.json"
