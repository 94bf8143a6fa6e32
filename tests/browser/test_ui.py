"""What a person sees: the asset graph and the report, in real Chromium over the real webserver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Site
from servers import Server, dagster_dev

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

from playwright.sync_api import Browser, sync_playwright  # noqa: E402


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(tiny: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ui")
    shutil.copytree(tiny.folder, folder / "data")
    with dagster_dev(Site(folder / "data", "tiny"), folder / "dagster.log") as running:
        yield running


def test_the_graph_shows_every_group(server: Server, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{server.url}/asset-groups")
    for group in ("corpora", "synthesis", "features", "mixtures", "training", "evaluation", "findings"):
        page.get_by_text(group, exact=True).first.wait_for(timeout=60_000)
    page.close()


def test_a_materialised_asset_shows_its_metadata_and_its_checks(server: Server, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{server.url}/assets/real_documents?view=overview")
    page.get_by_text("tail_labels").first.wait_for(timeout=60_000)
    page.goto(f"{server.url}/assets/real_documents?view=checks")
    page.get_by_text("doc_id_unique").first.wait_for(timeout=60_000)
    page.close()


def test_the_report_needs_no_network_and_runs_no_script(tiny: Site, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 1600})
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    report = Path(tiny.lake) / "report" / "index.html"
    page.goto(f"file://{report}")
    assert [one for one in asked if not one.startswith(("file://", "data:"))] == []
    assert faults == []
    assert page.locator("table").count() >= 4
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) >= 3
    assert min(widths) > 0
    assert page.get_by_text("undecided").count() + page.get_by_text("contradicted").count() > 0
    # nothing runs off the page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    page.close()
