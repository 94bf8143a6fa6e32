"""One torch thread while an arm trains or predicts.

What belongs here: holding torch to one thread, whoever else trains at the time. What does not: the work.

Sums taken by several threads round differently from sums taken by one; arms are trained beside each other instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
