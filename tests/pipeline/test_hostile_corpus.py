"""Names and texts that a browser, a shell, SQL, dbt, YAML or a spreadsheet would obey, through the whole flow."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml
from chat_server import front
from conftest import ROOT, Site
from hostile_world import (
    DOMAINS,
    HUGE_CHARACTERS,
    LABELS,
    REFUSED,
    SCRIPT,
    TEXTS,
    label_of,
    own_rows,
    real_rows,
    write_study,
)

from smc_dagster.lake import Lake
from smc_dagster.tables import (
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    PREDICTIONS,
    QUARANTINE,
    REAL_DOCUMENTS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_QUARANTINE,
)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# a cap of its own for each domain, so that one taken for another shows
CAPS = {domain: round(0.1 + n / 100, 2) for n, domain in enumerate(DOMAINS)}
SECRET = "planted-7f3a9c-secret"
# what a team keeps in the environment of a run; the first is sent to the chat server
PLANTED = {
    "PLANTED_KEY": f"sk-{SECRET}",
    "DAGSTER_POSTGRES_PASSWORD": SECRET,
    "FSSPEC_S3_SECRET": SECRET,
    "HF_TOKEN": f"hf_{SECRET}",
}


class Hostile(Site):
    """The hostile study: a folder that the test owns, its data below it, and a dbt project whose caps may change."""

    @property
    def top(self) -> Path:
        return self.folder.parent

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "SMC_STUDY": str(self.top / "study" / "hostile.yaml"),
            "SMC_DBT_PROJECT": str(self.top / "dbt_project"),
            **PLANTED,
        }


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """The study run once, caps accepted for every domain, and run again; nothing may be written but below `data`."""
    top = tmp_path_factory.mktemp("hostile")
    shutil.copytree(ROOT / "dbt_project", top / "dbt_project", ignore=shutil.ignore_patterns("partial_parse*"))
    site = Hostile(top / "data", "hostile")
    with front(faults=["echo_key"]) as server:
        write_study(top / "study", real_rows(), own_rows(), server.url)
        before, checkout = files_of(top), files_of(ROOT / "dbt_project")
        refused = site.smc("study", "run")
        assert refused.returncode == 2, refused.stderr
        assert "401" in refused.stderr
        done = site.smc("study", "run")
        assert done.returncode == 0, done.stderr
        assert all(headers["authorization"] == f"Bearer sk-{SECRET}" for _, _, headers in server.seen)
    assert SECRET not in refused.stdout + refused.stderr + done.stdout + done.stderr
    words = [word for domain, cap in CAPS.items() for word in ("--cap", f"{domain}={cap}")]
    accepted = site.smc("caps", "accept", "--yes", "--reason", f"agreed; {SCRIPT} '; drop table x; --", *words)
    assert accepted.returncode == 0, accepted.stderr
    done = site.smc("study", "run")
    assert done.returncode == 0, done.stderr
    made = {one for one in files_of(top) - before if not one.startswith("data/")}
    assert made <= {"dbt_project/seeds/.caps.csv.lock"}, made
    assert files_of(ROOT / "dbt_project") == checkout
    assert {one.name for one in site.folder.iterdir()} <= {"lake", "dagster_home", "evidently", "work", "cache"}
    return site


def test_each_name_and_text_is_kept_as_it_is(hostile: Hostile) -> None:
    lake = Lake(hostile.lake, "hostile")
    real = lake.read(REAL_DOCUMENTS)
    pairs = set(zip(real["domain"].to_pylist(), real["label"].to_pylist(), strict=True))
    assert pairs == {(domain, label_of(domain, n)) for domain in DOMAINS for n in range(LABELS)}
    texts = set(real["text"].to_pylist())
    assert set(TEXTS) <= texts
    assert max(map(len, texts)) == HUGE_CHARACTERS
    (day,) = lake.partitions(QUARANTINE)
    refused = lake.read(QUARANTINE, day).to_pylist()
    assert [one["field"] for one in refused] == ["domain"] * len(REFUSED)
    for one, reason in zip(refused, REFUSED.values(), strict=True):
        assert reason in one["reason"]
    (unknown,) = lake.read(SYNTHETIC_QUARANTINE, "ours").to_pylist()
    assert unknown["field"] == "label"
    # every pool has text of every domain, and the models judge all of them
    for pool in ("templated", "ours"):
        assert set(lake.read(SYNTHETIC_DOCUMENTS, pool)["domain"].to_pylist()) == set(DOMAINS)
    assert set(lake.read(PREDICTIONS, "ours@50")["domain"].to_pylist()) == set(DOMAINS)


def test_folders_have_plain_names_of_their_own(hostile: Hostile) -> None:
    names = {one.name for one in (hostile.lake / MIXTURE_DOCUMENTS.name).rglob("domain_slug=*") if one.is_dir()}
    assert len({one.lower() for one in names}) == len(DOMAINS)
    assert all(one.isascii() and not set(one) & set("\\/:*?\"<>|%' ") and not one.endswith(".") for one in names)


def test_dbt_reads_the_caps_of_the_names_they_were_accepted_for(hostile: Hostile) -> None:
    composition = Lake(hostile.lake, "hostile").read(MIXTURE_COMPOSITION, "ours@50").to_pylist()
    assert {row["domain"]: row["cap"] for row in composition} == CAPS
    for row in composition:
        assert row["rows_synthetic"] == min(int(row["cap"] * row["budget"] + 1e-6), row["rows_asked"]), row["domain"]
    assert any(row["why"] == "cap" for row in composition)


def test_a_spreadsheet_takes_no_download_for_a_formula(hostile: Hostile) -> None:
    import base64
    import re

    page = (hostile.lake / "report" / "index.html").read_text()
    downloads = re.findall(r'href="data:text/csv[^,]*,([^"]+)"', page)
    cells = [
        cell
        for one in downloads
        for row in csv.reader(io.StringIO(base64.b64decode(one).decode("utf-8-sig"), newline=""))
        for cell in row
    ]
    assert "'=HYPERLINK(A1)" in cells
    numbers = re.compile(r"-?(\d|inf|nan)")
    assert [one for one in cells if one.lstrip()[:1] in ("=", "+", "@", "-") and not numbers.match(one)] == []


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_pages_show_text_and_run_none_of_it(hostile: Hostile) -> None:
    from playwright.sync_api import sync_playwright

    pages = [hostile.lake / "report" / "index.html", *hostile.lake.glob("drift_report/*/index.html")]
    assert len(pages) == 4
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for path in pages:
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(f"file://{path}")
            page.get_by_text(SCRIPT).first.wait_for(state="attached")
            assert page.evaluate("window.pwned") is None
            assert page.locator("script", has_text="window.pwned=1").count() == 0 or path != pages[0]
            assert page.locator("img[src=x], a[href^='javascript:']").count() == 0
            assert [one for one in asked if not one.startswith(("file://", "data:"))] == []
            page.close()
        browser.close()


def test_an_export_loads_and_its_card_is_whole(hostile: Hostile, tmp_path: Path) -> None:
    told = hostile.json("export", "ours@50", str(tmp_path / "model"))
    assert told["verified"]["documents"] > 0
    from transformers import pipeline

    classify = pipeline("text-classification", str(tmp_path / "model"), truncation=True, device="cpu")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(config["id2label"].values()) == {label_of(domain, n) for domain in DOMAINS for n in range(LABELS)}
    assert classify(TEXTS[0])[0]["label"] in config["label2id"]
    card = (tmp_path / "model" / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["model-index"][0]["name"] == "hostile ours@50"
    assert "<script" not in body
    assert "<img" not in body


def snapshots_of(site: Site) -> list[str]:
    """Jobs and plans of all runs as Dagster keeps them: its database holds them compressed."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        runs = instance.get_runs()
        jobs = {run.job_snapshot_id for run in runs} - {None}
        plans = {run.execution_plan_snapshot_id for run in runs} - {None}
        kept = [instance.get_job_snapshot(one) for one in sorted(jobs)]
        kept += [instance.get_execution_plan_snapshot(one) for one in sorted(plans)]
    return [dg.serialize_value(one) for one in kept]


def test_secrets_of_the_environment_are_nowhere(hostile: Hostile, tmp_path: Path) -> None:
    def holding(folder: Path) -> list[str]:
        return [str(one) for one in folder.rglob("*") if one.is_file() and SECRET.encode() in one.read_bytes()]

    exported = hostile.smc("export", "templated@50", str(tmp_path / "model"))
    assert exported.returncode == 0, exported.stderr
    # lake, report, answers kept, dbt project, and Dagster's home: run config, event logs, compute logs
    assert holding(hostile.top) == holding(tmp_path) == []
    assert snapshots_of(hostile)
    assert not [one for one in snapshots_of(hostile) if SECRET in one]
    # the scan sees what it must
    (tmp_path / "leak").write_text(f"key={SECRET}")
    assert holding(tmp_path) == [str(tmp_path / "leak")]


def test_dagster_is_told_text_and_no_markup(hostile: Hostile) -> None:
    """Markdown that Dagster renders holds our own pictures and tables, and no markup of the corpus."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(hostile.home)) as instance:
        markdown = []
        for record in instance.all_asset_keys():
            events = instance.fetch_materializations(record, limit=50).records
            held = [one.asset_materialization.metadata for one in events if one.asset_materialization]
            markdown += [
                str(value.value)
                for one in held
                for value in one.values()
                if isinstance(value, dg.MarkdownMetadataValue)
            ]
    assert markdown
    for one in markdown:
        assert "<img" not in one
        assert "<script" not in one
        assert "127.0.0.1:9" not in one.replace("\\", "")
