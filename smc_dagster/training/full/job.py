"""A job: all that training some arms takes, in one folder that can be carried to another machine.

What belongs here: the folder's form, writing and reading it. What does not: where its content comes from (prepare.py),
training (run.py). Nothing here needs more than numpy.

    job.json                        settings, labels, arms, what each is made from
    base/                           config, tokenizer and weights that training starts from
    tokens.bin, offsets.bin         token ids of all documents, and where each document's begin
    arms/<slug>/rows-<r>.npy        document of each place of each batch of replicate r, [steps, batch]
    arms/<slug>/codes-<r>.npy       its label
    work/<slug>/replicate=<r>/      checkpoints of a run that is not done
    out/<slug>/replicate=<r>/       trained networks, folders as transformers reads them

Tokens and orders are mapped into memory, so that a run holds no more of them than its batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from smc_dagster.errors import LakeError

FORMAT = 1
JOB, BASE, TOKENS, OFFSETS = "job.json", "base", "tokens.bin", "offsets.bin"


@dataclass(frozen=True)
class Settings:
    """How every replicate is trained; as `study.Training`, and besides:

    Attributes:
        seed: the study's.
        scratch: weights start at random.
        padding: id of the token that fills up batches.
    """

    seed: int
    scratch: bool
    padding: int
    max_tokens: int
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: float
    checkpoint_every: int
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class ArmJob:
    """An arm: its key, its name in paths, and the digest of what it is made from."""

    key: str
    slug: str
    digest: str


@dataclass(frozen=True)
class Job:
    """A job folder.

    Attributes:
        labels: outputs of the networks, in order.
        width: bytes of a token id, 2 or 4.
        replicates: numbers.
    """

    folder: Path
    study: str
    labels: list[str]
    settings: Settings
    width: int
    replicates: list[int]
    arms: list[ArmJob]

    def order(self, arm: ArmJob, replicate: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents and label codes of each batch, both [steps, batch], mapped.

        Raises:
            LakeError: the files are missing or damaged.
        """
        found = []
        for name in ("rows", "codes"):
            path = self.folder / "arms" / arm.slug / f"{name}-{replicate}.npy"
            try:
                one = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise LakeError(f"{path}: {error}", "prepare the job again") from error
            if one.shape != (self.settings.steps, self.settings.batch):
                raise LakeError(f"{path}: its shape is {one.shape}, not steps x batch", "prepare the job again")
            found.append(one)
        return found[0], found[1]


class Tokens:
    """Token ids of the documents of a job, mapped."""

    def __init__(self, job: Job) -> None:
        try:
            self._offsets = np.memmap(job.folder / OFFSETS, np.int64, "r")
            self._ids = np.memmap(job.folder / TOKENS, np.uint16 if job.width == 2 else np.int32, "r")
        except (OSError, ValueError) as error:
            raise LakeError(f"{job.folder}: {error}", "prepare the job again") from error

    def take(self, rows: np.ndarray) -> list[np.ndarray]:
        """Ids of each document, int64 copies."""
        return [self._ids[self._offsets[row] : self._offsets[row + 1]].astype(np.int64) for row in rows.tolist()]


def write_tokens(folder: Path, parts: Iterable[tuple[np.ndarray, np.ndarray]], width: int) -> int:
    """Write token ids as they come, piece by piece; returns the number of documents.

    Args:
        parts: (ids of some documents one after the other, their numbers of tokens).
        width: bytes of an id, 2 or 4.
    """
    total = documents = 0
    with open(folder / TOKENS, "wb") as ids_file, open(folder / OFFSETS, "wb") as offsets_file:
        np.zeros(1, np.int64).tofile(offsets_file)
        for ids, counts in parts:
            ids.astype(np.uint16 if width == 2 else np.int32).tofile(ids_file)
            (total + np.cumsum(counts, dtype=np.int64)).tofile(offsets_file)
            total += int(counts.sum())
            documents += len(counts)
    return documents


def write_order(folder: Path, arm: ArmJob, replicate: int, rows: np.ndarray, codes: np.ndarray) -> None:
    """Write what each batch of a replicate takes, both [steps, batch]."""
    place = folder / "arms" / arm.slug
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / f"rows-{replicate}.npy", rows.astype(np.int64))
    np.save(place / f"codes-{replicate}.npy", codes.astype(np.int32))


def write_job(job: Job) -> None:
    """Write `job.json`, last of all."""
    said = {name: value for name, value in asdict(job).items() if name != "folder"} | {"format": FORMAT}
    (job.folder / JOB).write_text(json.dumps(said, indent=1), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """Read a job folder.

    Raises:
        LakeError: it is none, or of another format.
    """
    path = folder / JOB
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            raise ValueError(f"another format than {FORMAT}")
        said["settings"] = Settings(**said["settings"])
        said["arms"] = [ArmJob(**one) for one in said["arms"]]
        return Job(folder=folder, **said)
    except FileNotFoundError as error:
        raise LakeError(f"{folder} is no job: it holds no {JOB}", "give the folder that was packed") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(f"{path} is not readable: {error}", "prepare the job again") from error
