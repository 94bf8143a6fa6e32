"""`make evidently` in real Chromium: days of a study, one drifted, served on loopback and without the network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import Site
from servers import free_port, wait_for

from smc_dagster.quality import drift_history
from smc_dagster.quality.day_drift import COLUMNS, day_drift
from smc_dagster.study import load_study
from smc_dagster.tables import EMBEDDING_WIDTH

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

from playwright.sync_api import Request, sync_playwright  # noqa: E402

CALM, DRIFTED = "2026-03-04", "2026-03-05"


def documents(name: str, n: int, words: int, label: str = "") -> pa.Table:
    rows = [
        (f"{name}{at}", "desk", label or f"desk.{at % 5}", " ".join(["word"] * (words + at % 7))) for at in range(n)
    ]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def keep(workspace: Path, day: str, current: pa.Table) -> set[str]:
    """Compare a day and put it into the workspace as the asset does; returns the columns that drifted."""
    study, before = load_study("tiny"), documents("before", 200, 10)
    drawn = np.random.default_rng(1).normal(size=(before.num_rows + current.num_rows, EMBEDDING_WIDTH))
    unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    embeddings = pa.table(
        {
            "doc_id": pa.concat_arrays([one["doc_id"].combine_chunks() for one in (before, current)]),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(unit.reshape(-1)), EMBEDDING_WIDTH),
        }
    )
    found = day_drift(day, before, current, embeddings, study.gates.drift, study.seed)
    drift_history.keep(workspace, study.name, study.title, day, found.snapshot)
    return {one.column for one in found.scores if one.drifted}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("evidently")
    workspace = folder / "evidently" / "tiny"
    assert keep(workspace, CALM, documents("calm", 100, 10)) == set()
    assert {"label", "words"} <= keep(workspace, DRIFTED, documents("odd", 100, 60, "desk.0"))
    port = free_port()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("smc")), "evidently", "--study", "tiny", "--port", str(port)],
        env=Site(folder, "tiny").environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(url, timeout=5).read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    try:
        wait_for("Evidently's UI answers", answers)
        yield url
    finally:
        # as Ctrl-C does, to the command and what it started
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 0


def test_a_drifted_day_is_seen_and_nothing_is_fetched(served: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        elsewhere: list[str] = []

        def note(request: Request) -> None:
            if not request.url.startswith((served, "data:", "blob:")):
                elsewhere.append(request.url)

        page.on("request", note)
        page.goto(served)
        page.get_by_text("tiny", exact=True).first.click(timeout=60_000)
        page.get_by_text("Drift of each day against the days before").wait_for(timeout=60_000)
        for column in ("label", "domain", "words", "characters"):
            # one line a column, through all days
            page.get_by_text(column, exact=True).first.wait_for(timeout=60_000)
            assert page.get_by_text(column, exact=True).count() == 1
        page.goto(f"{served}/projects/{drift_history.project_id('tiny')}/reports")
        page.get_by_text(DRIFTED).first.wait_for(timeout=60_000)
        browser.close()
    assert elsewhere == []


def test_it_listens_on_loopback_alone(served: str) -> None:
    port = int(served.rpartition(":")[2])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # state 0A: listening; an address is four bytes in reverse and the port
    held = [one[1].split(":")[0] for one in listening if one[3] == "0A" and int(one[1].split(":")[1], 16) == port]
    assert held == ["0100007F"]
    if Path("/proc/net/tcp6").is_file():
        six = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
        assert [one for one in six if one[3] == "0A" and int(one[1].split(":")[1], 16) == port] == []
