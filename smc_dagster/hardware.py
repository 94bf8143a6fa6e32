"""What torch may use of this machine: a GPU, one thread for each piece of work, bfloat16 where the hardware has it.

What belongs here: holding torch to one thread, whoever else works at the time, what the hardware can do, and how much
memory was used. What does not: the work.

Sums taken by several threads round differently from sums taken by one; pieces are worked on beside each other instead.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One torch thread within the block, in this thread and, as the BLAS has one setting, in the process.

    Blocks may overlap in several threads: the setting found by the first is restored by the last.
    """
    import torch

    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        # also where others are inside: OpenMP keeps the number by thread
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)


@lru_cache(maxsize=1)
def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; emulated, it is slower than float32."""
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in probes)


def memory_peak() -> int:
    """Most memory that this process has held at once since it started, bytes."""
    # kilobytes but on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def device() -> Any:
    """The GPU where there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bfloat16_pays(place: Any) -> bool:
    """Whether a device multiplies bfloat16 faster than float32."""
    import torch

    return bool(torch.cuda.is_bf16_supported()) if place.type == "cuda" else has_bfloat16()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
