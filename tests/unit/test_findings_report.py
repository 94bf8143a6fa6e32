"""The report: one file, nothing from outside, nothing unescaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings import plots
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.report import render

pytestmark = pytest.mark.unit
HOSTILE = "<script>alert(1)</script>"
STUDY = make_study(question='Is <b onclick="x">it</b> safe?')
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    lake = make_lake(
        tmp_path_factory.mktemp("lake"),
        STUDY,
        lambda series, share: (-0.3 * share, 0.1 * share),
        domains=("json", HOSTILE, "$x^2$ & co"),
        cap=0.45,
        arms=lambda key: key != "sampled@30",
    )
    return lake, draw_findings(STUDY, lake)


@pytest.fixture(scope="module")
def page(world):
    return render(STUDY, *world, "0123456789abcdef")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_from_the_corpus_are_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b onclick" not in page
    assert not [tag for tag, attrs in Tags(page).seen if tag == "script" or any(one.startswith("on") for one in attrs)]


def test_nothing_is_fetched(page):
    tags = Tags(page)
    assert tags.open == []
    for tag, attrs in tags.seen:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/svg+xml;base64,"))
    assert not re.search(r"@import|url\(", page)


def test_images_say_what_they_show_and_tables_have_headers(page):
    tags = Tags(page).seen
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert len(images) == 7
    assert all(len(one["alt"]) > 40 for one in images)
    assert all(attrs.get("scope") in {"col", "row", "rowgroup"} for tag, attrs in tags if tag == "th")
    assert sum(tag == "caption" for tag, _ in tags) == sum(tag == "table" for tag, _ in tags)


def test_the_page_says_what_was_found_and_what_was_not(page):
    assert "No onset was found" in page
    assert "1 of 28 arms have no results yet: sampled@30" in page
    assert "60 % was asked, 45 % was reached" in page
    assert "3 by cap" in page
    assert "0123456789abcdef" in page
    assert re.search(r'class="mark supported"><span aria-hidden="true">✓</span> supported', page)


def test_the_same_findings_give_the_same_page(world, page):
    assert render(STUDY, *world, "0123456789abcdef") == page


def test_a_study_with_one_arm_still_has_a_page(tmp_path):
    study = make_study()
    never = make_lake(tmp_path, study, lambda *_: (0.0, 0.0), documents=60, arms=lambda key: key == "drop@00")
    found = render(study, never, draw_findings(study, never), "x")
    assert "Too few arms have results" in found
    assert Tags(found).open == []


def test_plots_are_svg_without_a_date(page):
    images = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    for one in images:
        svg = base64.b64decode(one).decode()
        assert svg.startswith("<svg")
        assert "dc:date" not in svg


def test_png_plots_for_metadata(world):
    _, found = world
    curve, bars = plots.png_share_curve(found.metrics), plots.png_composition(found.evidence.composition)
    assert curve[:8] == bars[:8] == b"\x89PNG\r\n\x1a\n"
    assert curve == plots.png_share_curve(found.metrics)


def test_a_curve_is_a_mean_with_its_t_interval(world):
    _, found = world
    one = plots.curve(found.metrics, "drop", "rare_recall", "rare", 0.95)
    values = found.evidence.metric("rare_recall", "rare")["drop@60"][1]
    assert one["mean"][-1] == pytest.approx(values.mean())
    assert one["high"][-1] - one["mean"][-1] == pytest.approx(2.7764 * values.std(ddof=1) / 5**0.5, rel=1e-4)
