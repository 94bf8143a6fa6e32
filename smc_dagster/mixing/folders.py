"""A launch's working folder.

What belongs here: where a launch writes before anything is published, and clearing what killed launches left. What
does not: what is written in it (launch.py).
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smc_dagster.full_disks import FULL, writing_to
from smc_dagster.lake import Lake

# no launch lasts so long, so a folder that old belongs to a process that died
ABANDONED_SECONDS = 24 * 3600


@contextmanager
def working_folder(lake: Lake) -> Iterator[Path]:
    """A folder for one launch, removed at the end.

    It lies inside a local lake, as publishing is then a rename within one file system; else among temporary files.

    Raises:
        LakeError: the place is full or read-only, or becomes full while the block writes in the folder.
    """
    parent = Path(lake.place(".mixing")) if lake.is_local else Path(tempfile.gettempdir()) / "smc_mixing"
    folder = parent / uuid.uuid4().hex
    with writing_to(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.iterdir():
            if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
    try:
        with writing_to(parent, FULL):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
