"""What a person sees: the asset graph and the report, in real Chromium over the real webserver."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from conftest import PLOTS, Site
from servers import Server, dagster_dev, wait_for

from smc_dagster.definitions import build_defs

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


ARM = "templated@60"


@pytest.fixture(scope="module")
def site(tiny: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A copy of the tiny study in which an arm was audited, and failed."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copytree(tiny.folder, folder / "data")
    made = Site(folder / "data", "tiny")
    with dg.DagsterInstance.from_config(str(made.home)) as instance:
        job = build_defs("tiny", str(made.lake)).resolve_job_def("audit")
        assert not job.execute_in_process(instance=instance, partition_key=ARM, raise_on_error=False).success
    return made


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with dagster_dev(site, site.folder / "dagster.log") as running:
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


def test_the_plot_of_an_asset_is_seen(server: Server, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    for asset, plot in PLOTS.items():
        page.goto(f"{server.url}/assets/{asset}?view=overview")
        row = page.locator("tr").filter(has=page.get_by_text(plot, exact=True)).last
        row.get_by_text("[Show Markdown]").click(timeout=60_000)
        picture = page.locator("img[src^='data:image/png']")
        picture.wait_for(timeout=30_000)
        assert picture.evaluate("one => one.complete && one.naturalWidth") > 300, asset
    page.close()


def test_a_failing_check_is_shown_as_failing_with_figure_and_limit(server: Server, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{server.url}/assets/arm_audit?view=checks")
    page.get_by_text("This is a blocking asset check.").wait_for(timeout=60_000)
    page.get_by_text("Failed", exact=True).first.wait_for()
    assert page.get_by_text("Passed", exact=True).count() == 0
    page.get_by_text(re.compile(r"confidence gap on slice `rare` is \+0\.\d+, the limit 0\.100")).first.wait_for()
    page.close()


def test_an_arm_is_materialised_by_clicking(server: Server, site: Site, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{server.url}/assets/arm_metrics?view=overview")
    page.get_by_role("button", name="Materialize").first.click(timeout=60_000)
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text(ARM, exact=True).locator("visible=true").last.click()
    page.keyboard.press("Escape")
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        before = {run.run_id for run in instance.get_runs()}
        page.get_by_role("button", name="Launch").click()
        made = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])

        def succeeded() -> str | None:
            return next((run.run_id for run in instance.get_runs(made) if run.run_id not in before), None)

        run_id = wait_for("the run succeeds", succeeded)
        seen = instance.fetch_materializations(dg.AssetRecordsFilter(dg.AssetKey("arm_metrics"), [ARM]), limit=1)
    assert seen.records[0].run_id == run_id
    page.goto(f"{server.url}/runs/{run_id}")
    page.get_by_text("Success", exact=True).first.wait_for(timeout=60_000)
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
    widths = page.evaluate(
        "[...document.querySelectorAll('figure .plot')].map(one => one.getBoundingClientRect().width)"
    )
    assert len(widths) >= 3
    assert min(widths) > 300
    assert page.get_by_text("undecided").count() + page.get_by_text("contradicted").count() > 0
    # nothing runs off the page, nor off that of a phone
    for width in (1200, 400):
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    page.close()


# [text, ground]: colours as painted, of running text, of text in plots, and of the lines of series
PAINTED = """() => {
    const colour = (one, what) => getComputedStyle(one)[what];
    const body = colour(document.body, "backgroundColor");
    const found = {text: [[colour(document.body, "color"), body]], lines: []};
    for (const mark of document.querySelectorAll(".mark"))
        found.text.push([colour(mark, "color"), colour(mark, "backgroundColor")]);
    for (const figure of document.querySelectorAll("figure")) {
        const ground = colour(figure.querySelector(".ground"), "backgroundColor");
        for (const one of figure.querySelectorAll(".plot text")) found.text.push([colour(one, "fill"), ground]);
        const lines = "path[stroke^='var(--series'], path[stroke='var(--control)']";
        for (const one of figure.querySelectorAll(lines))
            found.lines.push([colour(one, "stroke"), ground]);
    }
    return found;
}"""
# height of what each folded part shows beside its summary; those that hold nothing are left out
FOLDED = """() => [...document.querySelectorAll("details:not([open])")].filter(
    one => one.textContent.trim() !== one.querySelector("summary").textContent.trim()).map(
    one => one.getBoundingClientRect().height - one.querySelector("summary").getBoundingClientRect().height)"""


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(...)`, 0-1."""
    parts = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrasts(pairs: list[list[str]]) -> list[float]:
    """Contrast ratios (WCAG 2), 1 to 21."""
    sides = [sorted((luminance(one), luminance(other))) for one, other in pairs]
    return [(high + 0.05) / (low + 0.05) for low, high in sides]


def test_the_report_reads_on_light_and_dark_screens_and_on_paper(tiny: Site, browser: Browser) -> None:
    page = browser.new_page(color_scheme="light")
    page.goto(f"file://{tiny.lake / 'report' / 'index.html'}")
    grounds = {}
    for look, media in {"light": "screen", "dark": "screen", "paper": "print"}.items():
        page.emulate_media(media=media, color_scheme="light" if look == "light" else "dark")
        painted = page.evaluate(PAINTED)
        assert len(painted["lines"]) > 10
        assert min(contrasts(painted["text"])) >= 4.5, look
        assert min(contrasts(painted["lines"])) >= 3, look
        grounds[look] = [luminance(ground) for _, ground in painted["lines"]]
    assert max(grounds["dark"]) < 0.05
    assert min(grounds["light"] + grounds["paper"]) > 0.9
    # what is folded on the screen is there on paper
    assert min(page.evaluate(FOLDED)) > 20
    page.emulate_media(media="screen")
    assert max(page.evaluate(FOLDED)) < 20
    sheets = page.pdf(format="A4")
    assert sheets[:5] == b"%PDF-"
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", sheets)) <= 30
    page.close()


def test_a_download_is_the_table_in_the_lake(tiny: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"file://{tiny.lake / 'report' / 'index.html'}")
    with page.expect_download() as waiting:
        page.locator("#table-headline a[download]").click()
    assert waiting.value.suggested_filename == "tiny.headline.csv"
    with open(waiting.value.path(), newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    stored = pq.read_table(tiny.lake / "headline" / "data.parquet")
    assert header == stored.column_names
    assert [row[header.index("verdict")] for row in rows] == stored["verdict"].to_pylist()
    shown = [float(row[header.index("estimate")] or "nan") for row in rows]
    assert shown == pytest.approx(stored["estimate"].to_numpy(zero_copy_only=False), nan_ok=True)
    page.close()


def test_an_answers_link_leads_to_its_table(tiny: Site, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.goto(f"file://{tiny.lake / 'report' / 'index.html'}")
    page.locator(".answer a.from", has_text="headline").first.click()
    box = page.locator("#table-headline").bounding_box()
    assert box is not None
    assert -50 < box["y"] < 400
    page.close()
