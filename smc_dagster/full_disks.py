"""Places that take no more: a disk that is full, a folder that may not be written.

What belongs here: telling those errors from others, and saying what to do. What does not: what is written, and that it
is written whole or not at all (lake.py, mixing/folders.py).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smc_dagster.errors import LakeError

# what a full or read-only place answers; nothing else in a block that writes gives these
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def writing_to(place: str | Path, kinds: tuple[int, ...] = FULL + REFUSED) -> Iterator[None]:
    """Say of a place that is full or read-only that it is.

    Args:
        kinds: numbers of errors that in this block can only come from writing there.

    Raises:
        LakeError: it is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in kinds:
            raise
        full = error.errno in FULL
        raise LakeError(
            f"{place} {'cannot take more' if full else 'cannot be written'}: {os.strerror(error.errno)}; "
            "what was there before is as it was",
            "free some space, then run again" if full else "let this user write there, or set SMC_LAKE; then run again",
        ) from error
