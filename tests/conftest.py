"""What all tiers share: a clean environment for `smc`, and one materialised tiny study."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("unit", "pipeline", "browser")
# asset -> its plot, what a person looks for first on its page
PLOTS = {
    "collapse_onset": "recall_against_share",
    "mixture_composition": "composition",
    "checkpoints": "loss_curve",
    "arm_metrics": "reliability",
    "drift_report": "drift_by_column",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's tier is its folder, so that none is without one and tiers cannot be mixed."""
    for item in items:
        tier = Path(item.path).relative_to(ROOT / "tests").parts[0]
        if tier in TIERS and item.get_closest_marker(tier) is None:
            item.add_marker(tier)


@pytest.fixture(scope="session")
def daft_is_imported() -> None:
    """So that the import is not the cost of the first test that compares texts."""
    import pyarrow as pa

    from smc_dagster.corpora.shingles import signatures

    signatures(pa.array(["so that daft is imported"]), "chars")


@dataclass(frozen=True)
class Site:
    """A data folder with a lake and an instance of its own, and the environment that points at it."""

    folder: Path
    study: str

    @property
    def lake(self) -> Path:
        return self.folder / "lake" / self.study

    @property
    def home(self) -> Path:
        return self.folder / "dagster_home" / self.study

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SMC_", "DAGSTER_"))}
        return kept | {"SMC_DATA": str(self.folder), "SMC_STUDY": self.study, "COLUMNS": "200"}

    def smc(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `smc` as a user would, in a process of its own."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("smc")), *words],
            env=self.environment | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def json(self, *words: str, **environment: str) -> dict:
        """Run `smc ... --json`; the command must succeed."""
        done = self.smc(*words, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Site:
    """The tiny study, run once. Tests read it; a test that changes anything takes `tiny_copy`.

    Of several workers the first runs it, and each has a copy: an instance serves the tests of one process at a time.
    """
    here = tmp_path_factory.mktemp("tiny")
    shared = here.parent if worker_id == "master" else here.parent.parent
    made = shared / "tiny-made"
    with FileLock(shared / "tiny-made.lock"):
        if not made.exists():
            site = Site(shared / "tiny-being-made", "tiny")
            done = site.smc("study", "run")
            assert done.returncode == 0, done.stderr
            site.folder.rename(made)
    shutil.copytree(made, here, dirs_exist_ok=True)
    return Site(here, "tiny")


@pytest.fixture
def tiny_copy(tiny: Site, tmp_path: Path) -> Site:
    """A copy of the tiny study's lake and instance that a test may change."""
    shutil.copytree(tiny.folder, tmp_path / "data")
    return Site(tmp_path / "data", "tiny")
