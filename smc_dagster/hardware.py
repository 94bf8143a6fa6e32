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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


def gpu_memory_peak(place: Any) -> int:
    """Most memory of a GPU that this process has held at once, bytes; 0 on a CPU."""
    import torch

    return int(torch.cuda.max_memory_allocated(place)) if place.type == "cuda" else 0


def device() -> Any:
    """The GPU where there is one, else the CPU; of several GPUs that of this process's place under torchrun."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def gpus() -> int:
    """GPUs of this machine that this process may use."""
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def own_stream(place: Any) -> AbstractContextManager[Any]:
    """On a GPU a stream of its own for this thread's work, so that it runs beside that of other threads."""
    import torch

    return torch.cuda.stream(torch.cuda.Stream(place)) if place.type == "cuda" else nullcontext()


def on_current_stream(place: Any) -> Callable[[], None] | None:
    """What makes another thread work on the stream of this one; None on a CPU, which has none."""
    import torch

    if place.type != "cuda":
        return None
    stream = torch.cuda.current_stream(place)
    return lambda: torch.cuda.set_stream(stream)


def free_gpu_memory(place: Any) -> int:
    """Bytes that a GPU has free, with what this process keeps for later."""
    import torch

    release_memory(place)
    return int(torch.cuda.mem_get_info(place)[0])


def free_memory() -> int:
    """Bytes of memory that this machine can give without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            held = dict(line.split(":", 1) for line in lines)
        return int(held["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def release_memory(place: Any) -> None:
    """Give back what a GPU's allocator keeps for later."""
    import torch

    if place.type == "cuda":
        torch.cuda.empty_cache()


def bfloat16_pays(place: Any) -> bool:
    """Whether a device multiplies bfloat16 faster than float32."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False)) if place.type == "cuda" else has_bfloat16()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
