"""What the errors of a device mean.

What belongs here: telling want of memory and a lost device from other errors, and saying so. What does not: what is
done about it (loop.py, stack.py).
"""

from __future__ import annotations

from typing import Any

from smc_dagster.errors import DeviceError, ModelError

# torch has a class for want of memory on a GPU alone; on a CPU its allocator raises a plain RuntimeError
_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_LOST = ("CUDA error", "NCCL error", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whatever device."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(one in str(error) for one in _NO_MEMORY)


def is_lost_device(error: BaseException) -> bool:
    """Whether the device no longer answers: what this process holds on it is gone."""
    import torch

    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(one in str(error) for one in _LOST)


def no_memory_for_one(at: str) -> ModelError:
    """The error of a run whose smallest piece does not fit; `at` names the run and its step."""
    return ModelError(f"{at}: memory does not suffice for one text at a time", "lower max_tokens, or free memory")


def lost_device(at: str, place: Any, error: BaseException) -> DeviceError:
    """The error of a run whose device is gone."""
    return DeviceError(
        f"{at}: the device `{place}` failed: {str(error).splitlines()[0]}",
        "mend it and run again: training goes on from the last checkpoint",
    )
