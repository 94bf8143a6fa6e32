"""Processes of this machine, marked so that one that is gone is known for sure.

What belongs here: the mark, and whether what it stands for is gone. What does not: what follows from that
(instance.py, launcher.py).

A process number alone does not do: after a restart of the machine or a container another process has it. So a mark
also tells the machine, its boot, and the time since then, which no setting of a clock changes.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def here() -> str:
    """This machine and moment: host, boot (empty where the system does not say) and seconds since boot."""
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else ""
    return f"{socket.gethostname()}/{boot}/{_since_boot():.0f}"


def is_gone(mark: str, pid: int, slack: float = 1) -> bool:
    """Whether a process is known to have ended; False where it is there, and where its machine is another.

    Args:
        mark: what `here` gave.
        pid: its number; it began before the mark, or at most `slack` seconds after.
    """
    host, boot, seconds = mark.rsplit("/", 2)
    now = here().rsplit("/", 2)
    if host != now[0]:
        return False
    if boot != now[1]:
        return True
    try:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        began = _began(pid)
        return began is not None and began > float(seconds) + slack
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0.0


def _began(pid: int) -> float | None:
    """Seconds after boot at which a process began, or None where the system does not say."""
    try:
        # behind the name, which is in brackets and may hold anything: the 22nd field of all
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
