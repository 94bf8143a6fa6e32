"""The report: one file, nothing from outside, nothing unescaped."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings import canvas, plot_numbers, plots
from smc_dagster.findings.domain_answer import domain_answers
from smc_dagster.findings.downloads import download
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.report import render
from smc_dagster.study.training import Tuning

pytestmark = pytest.mark.unit
HOSTILE = "<script>alert(1)</script>"
STUDY = make_study(question='Is <b onclick="x">it</b> safe?')
FORMULA = "=HYPERLINK(1)"
LINK = "data:text/csv;charset=utf-8;base64,"
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    lake = make_lake(
        tmp_path_factory.mktemp("lake"),
        STUDY,
        lambda series, share: (-0.3 * share, 0.1 * share),
        domains=("json", HOSTILE, FORMULA),
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
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def opened(href: str) -> list[list[str]]:
    """The rows of a download, header first."""
    text = base64.b64decode(href.removeprefix(LINK), validate=True).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def plain(cell: str, like: object) -> object:
    """A cell as the kind of value it was written from."""
    if isinstance(like, bool):
        return {"true": True, "false": False}[cell]
    if isinstance(like, float | int):
        return type(like)(cell)
    return cell.removeprefix("'")


def test_names_from_the_corpus_are_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b onclick" not in page
    assert not [tag for tag, attrs in Tags(page).seen if tag == "script" or any(one.startswith("on") for one in attrs)]


def test_nothing_is_fetched(page):
    tags = Tags(page)
    assert tags.open == []
    for tag, attrs in tags.seen:
        assert tag not in {"link", "iframe", "object", "embed", "img", "image", "foreignobject"}
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", LINK))
    assert not re.search(r"@import|url\((?!#)", page)


def test_only_the_pages_own_stylesheet_may_style(page):
    (policy,) = (attrs["content"] for tag, attrs in Tags(page).seen if attrs.get("http-equiv"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not [tag for tag, attrs in Tags(page).seen if "style" in attrs]


def asked_of(page: str) -> set[str]:
    """The places that a page's links and drawings point to, each of which must be there, once."""
    seen = Tags(page).seen
    ids = [attrs["id"] for _, attrs in seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    asked = {attrs["href"][1:] for _, attrs in seen if attrs.get("href", "").startswith("#")}
    asked |= set(re.findall(r'"url\(#([^)]+)\)"', page))
    assert asked <= set(ids)
    return asked


def test_every_link_resolves_and_no_id_is_there_twice(page):
    asked = asked_of(page)
    assert {"plot-rare_recall", "table-headline", "table-collapse_onset"} <= asked


def test_plots_say_what_they_show_and_tables_have_headers(page):
    seen = Tags(page).seen
    plots_said = [attrs["aria-label"] for _, attrs in seen if attrs.get("role") == "img"]
    assert len(plots_said) == 7 == sum(tag == "figure" for tag, _ in seen)
    assert all(len(one) > 40 for one in plots_said)
    assert all(attrs.get("scope") in {"col", "row", "rowgroup", "colgroup"} for tag, attrs in seen if tag == "th")
    assert sum(tag == "caption" for tag, _ in seen) == sum(tag == "table" for tag, _ in seen)


def test_every_plot_has_its_numbers_beside_it(page):
    for figure in re.findall(r"<figure.*?</figure>", page, re.DOTALL):
        (link,) = [attrs for _, attrs in Tags(figure).seen if "download" in attrs]
        assert len(opened(link["href"])) > 1


def test_the_numbers_of_a_plot_are_those_drawn(page, world):
    (figure,) = re.findall(r'<figure id="plot-rare_recall">.*?</figure>', page, re.DOTALL)
    (link,) = [attrs["href"] for _, attrs in Tags(figure).seen if "download" in attrs]
    header, *rows = opened(link)
    assert header == ["series", "share", "replicates", "mean", "low", "high"]
    assert len(rows) == 27
    measured = world[1].evidence.metric("rare_recall", "rare")
    for series, share, replicates, mean, low, high in rows:
        _, values = measured[f"{series}@{round(float(share) * 100):02d}"]
        assert float(mean) == pytest.approx(values.mean())
        assert int(replicates) == len(values)
        assert float(low) < float(mean) < float(high)


def test_a_download_is_its_table(page, world):
    links = {attrs["download"]: attrs["href"] for _, attrs in Tags(page).seen if "download" in attrs}
    tables = world[1].tables
    for name, table in tables.items():
        header, *rows = opened(links[f"known.{name}.csv"])
        assert header == table.column_names
        expected = [["" if value is None else value for value in row.values()] for row in table.to_pylist()]
        assert [
            [plain(cell, like) for cell, like in zip(*pair, strict=True)] for pair in zip(rows, expected, strict=True)
        ] == expected
    assert tables["safe_shares"].num_rows == 16


def test_the_page_says_what_was_found_and_what_was_not(page):
    assert "No onset was found" in page
    assert "1 of 28 arms have no results yet: sampled@30" in page
    assert "60 % was asked, 45 % was reached" in page
    assert "3 by cap" in page
    assert "0123456789abcdef" in page
    assert re.search(r'class="mark supported"><span aria-hidden="true">✓</span> supported', page)


def test_what_a_study_tried_is_not_called_untested(page, world):
    full = STUDY.model_copy(update={"training": STUDY.training.model_copy(update={"tuning": Tuning.FULL})})
    assert "Fine-tuning of the whole encoder" in page
    assert "Fine-tuning of the whole encoder" not in render(full, *world, "0123456789abcdef")


def test_a_study_that_does_not_ship_is_run_again_by_its_file(page, world):
    assert "smc study run --study known.yaml" in page
    shipped = STUDY.model_copy(update={"name": "tiny"})
    assert "smc study run --study tiny\n" in render(shipped, *world, "0123456789abcdef")


def test_no_share_below_0_or_above_1_is_drawn():
    row = {"series": "a", "replicates": 2, "mean": 0.05, "low": -0.6, "high": 0.7}
    numbers = pa.Table.from_pylist([row | {"share": at} for at in (0.0, 0.6)], schema=plot_numbers.CURVE)
    drawn = plots.svg_share_curve(numbers, "x", "recall", ["a"], set())
    assert "0.6" in Tags(drawn).text
    assert not [one for one in Tags(drawn).text if one.startswith(("-", "−"))]


def test_the_answer_by_domain_comes_first(page, world):
    first = re.search(r"<table.*?</table>", page, re.DOTALL)[0]
    assert first.startswith('<table id="table-domain_answer"')
    answers = domain_answers(STUDY, world[1].safe_shares, world[1].evidence.composition)
    assert first.count('<th scope="row">') == len(answers) == 4
    assert f'<th scope="row">{FORMULA}</th>' in first
    assert '<th scope="row">&lt;script&gt;alert(1)&lt;/script&gt;</th>' in first
    assert first.index("all domains") < first.index("alert(1)")
    assert "over 3 domains" in page[: page.index(first)]
    link = next(attrs["href"] for _, attrs in Tags(first).seen if "download" in attrs)
    header, *rows = opened(link)
    at = [header.index(name) for name in ("domain", "status")]
    guarded = {FORMULA: f"'{FORMULA}"}
    assert [[row[i] for i in at] for row in rows] == [
        [guarded.get(one["domain"], one["domain"]), one["status"]] for one in answers
    ]
    for name in ("share_in_use", "safe_share", "cap", "harm_from"):
        cells = [row[header.index(name)] for row in rows]
        assert [float(cell) if cell else None for cell in cells] == [one[name] for one in answers]


def test_the_same_findings_give_the_same_page(world, page):
    assert render(STUDY, *world, "0123456789abcdef") == page


def test_a_study_with_one_arm_still_has_a_page(tmp_path):
    study = make_study()
    never = make_lake(tmp_path, study, lambda *_: (0.0, 0.0), documents=60, arms=lambda key: key == "drop@00")
    found = render(study, never, draw_findings(study, never), "x")
    assert "Too few arms have results" in found
    assert Tags(found).open == []


def test_where_no_label_is_rare_the_page_says_so_and_shows_nothing_empty(tmp_path):
    study = make_study([{"name": "made", "pool": "templated"}])
    lake = make_lake(tmp_path, study, lambda *_: (0.0, 0.1), documents=200, rare=False)
    found = render(study, lake, draw_findings(study, lake), "x")
    said = " ".join(" ".join(Tags(found).text).split())
    assert "No onset was looked for: rare-case recall was not measured" in said
    assert "no document of a rare label is left to judge it by" in said
    assert "Rare-case recall: not measured in any arm." in said
    assert "so that there is no curve to look at" in said
    assert "Scores of the rival shapes" not in said
    # confidence and calibration are measured all the same
    assert len(re.findall(r"<svg", found)) >= 2
    bodies = re.findall(r"<tbody>(.*?)</tbody>", found, re.DOTALL)
    assert bodies
    assert all("<tr" in one for one in bodies)
    asked_of(found)


def test_plots_have_no_date_and_no_colour_of_their_own(page):
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) >= 7
    for one in drawn:
        assert "dc:date" not in one
        assert not re.search(r"#[0-9a-f]{6}", one)
        (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        light, dark, paper = (style.split(at)[1] for at in (":root {", "(prefers-color-scheme: dark)", "@media print"))
        for name in set(re.findall(r"var\((--[\w-]+)\)", one)):
            assert all(f"{name}: " in part.split("}")[0] for part in (light, dark, paper))


def test_a_colour_outside_the_palette_is_refused():
    with canvas.figure(2, 2) as (figure, axes):
        axes[0, 0].plot([0, 1], [0, 1], color="#123456")
        with pytest.raises(ValueError, match="#123456 is not of the palette"):
            canvas.svg(figure, "x")


def test_names_in_a_plot_are_text():
    names = [HOSTILE, "$x^2$ &amp; co", 'a" onload="alert(1)', "bell \x07 and null \x00"]
    numbers = pa.Table.from_pylist(
        [
            {"series": name, "share": share, "replicates": 1, "mean": share, "low": None, "high": None}
            for name in names
            for share in (0.0, 0.5)
        ],
        schema=plot_numbers.CURVE,
    )
    drawn = plots.svg_share_curve(numbers, "x", "<i>recall</i>", names, set())
    tags = Tags(drawn)
    assert {tag for tag, _ in tags.seen} <= {"svg", "g", "path", "use", "defs", "clippath", "rect", "text"}
    assert not [attrs for _, attrs in tags.seen if any(one.startswith("on") for one in attrs)]
    assert {HOSTILE, "$x^2$ &amp; co", 'a" onload="alert(1)', "<i>recall</i>"} <= set(tags.text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\t=", "＝", "－"])
def test_a_cell_like_a_formula_is_made_text(start):
    table = pa.table({"domain": [f"{start}cmd|' /C calc'!A0", "plain-name", 'a "b", c'], "value": [-0.5, 1 / 3, None]})
    header, *rows = opened(download(table, "known", "x").href)
    assert header == ["domain", "value"]
    assert rows[0] == [f"'{start}cmd|' /C calc'!A0", "-0.5"]
    assert rows[1][0] == "plain-name"
    assert float(rows[1][1]) == 1 / 3
    assert rows[2] == ['a "b", c', ""]


def test_png_plots_for_metadata(world):
    _, found = world
    curve, bars = plots.png_share_curve(found.metrics), plots.png_composition(found.evidence.composition)
    assert curve[:8] == bars[:8] == b"\x89PNG\r\n\x1a\n"
    assert curve == plots.png_share_curve(found.metrics)


def test_a_curve_is_a_mean_with_its_t_interval(world):
    _, found = world
    one = plot_numbers.share_curve(found.metrics, ["drop"], "rare_recall", "rare", 0.95).to_pylist()[-1]
    values = found.evidence.metric("rare_recall", "rare")["drop@60"][1]
    assert one["mean"] == pytest.approx(values.mean())
    assert one["high"] - one["mean"] == pytest.approx(2.7764 * values.std(ddof=1) / 5**0.5, rel=1e-4)


def test_the_onset_says_what_it_could_have_seen_and_speaks_of_every_domain(page, world):
    section = page[page.index('<section id="onset">') :]
    section = section[: section.index("</section>")]
    assert "What it could have seen" in section
    found = world[1].onset.to_pylist()
    whole = [row for row in found if row["domain"] == "*"]
    seen = section[section.index("Smallest knee seen") :]
    for row in whole:
        assert f"\u2212{row['smallest_loss'] * 100:.1f} %" in seen
    assert f"By domain ({len(found) - len(whole)} rows)" in section
    assert len(found) == 4 * len(whole)
