"""The same arms under two thresholds of what counts as synthetic."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from findings_world import SHARES, make_lake, make_study
from pydantic import ValidationError

from smc_dagster.errors import StaleInputError
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.mixtures import Mixtures
from smc_dagster.findings.report import render
from smc_dagster.findings.summary import summary
from smc_dagster.findings.thresholds import counted_shares
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Provenance, Study
from smc_dagster.tables import MIXTURE_DOCUMENTS

pytestmark = pytest.mark.unit
ROWS = 1000
SERIES = [
    {"name": "edits", "pool": "edits"},
    {"name": "mixed", "pool": "mixed"},
    {"name": "drop", "composition": "drop"},
]
# grades of the rows that a pool brings in, each with its part of them
POOLS = {"edits": {"edited": 1.0}, "mixed": {"edited": 0.5, "generated": 0.5}, None: {}}


def study(**changes: object) -> Study:
    given = {
        "series": SERIES,
        "pools": {"edits": {"generator": "edit"}, "mixed": {"generator": "files"}},
        "synthetic_from": "edited",
        "findings": {"bootstrap_draws": 400, "synthetic_from": ["generated"]},
        **changes,
    }
    return make_study(**given)


def write_mixtures(lake: Lake, asked: Study, folder) -> None:
    for arm in asked.arms:
        synthetic = round(arm.share * ROWS)
        grades = ["human"] * (ROWS - synthetic)
        for grade, part in POOLS[arm.series.pool].items():
            grades += [grade] * round(part * synthetic)
        made = folder / arm.key
        # two files, as dbt writes one a domain
        for number, half in enumerate((grades[::2], grades[1::2])):
            (made / f"domain={number}").mkdir(parents=True)
            pq.write_table(pa.table({"provenance": half}), made / f"domain={number}" / "rows.parquet")
        lake.publish_folder(MIXTURE_DOCUMENTS, made, Fingerprint("mixture_documents", "p", "1"), arm.key)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thresholds")
    lake = make_lake(folder / "lake", study(), lambda _, share: (-1.2 * max(share - 0.4, 0), 0.0))
    write_mixtures(lake, study(), folder / "made")
    return lake


@pytest.fixture(scope="module")
def drawn(world):
    return draw_findings(study(), world)


def by_threshold(drawn) -> dict[tuple[str, str], dict]:
    return {(row["series"], row["synthetic_from"]): row for row in drawn.thresholds.to_pylist()}


def test_a_row_a_series_with_synthetic_rows_and_threshold(drawn):
    assert set(by_threshold(drawn)) == {(s, g) for s in ("edits", "mixed") for g in ("edited", "generated")}


def test_the_first_threshold_is_the_onset_of_the_mixtures(drawn):
    onset = {row["series"]: row for row in drawn.onset.to_pylist() if row["domain"] == "*"}
    for series in ("edits", "mixed"):
        row = by_threshold(drawn)[series, "edited"]
        assert (row["status"], row["knot"], row["low"]) == tuple(onset[series][k] for k in ("status", "knot", "low"))
        assert row["status"] == "identified"
        assert row["counted"] == pytest.approx(0.6)


def test_a_series_whose_rows_do_not_count_says_nothing(drawn):
    row = by_threshold(drawn)["edits", "generated"]
    assert (row["status"], row["counted"], row["knot"], row["safe_counted"]) == ("not_counted", 0, None, None)


def test_where_half_of_the_rows_count_the_axis_shrinks_by_half(drawn):
    wide, narrow = (by_threshold(drawn)["mixed", grade] for grade in ("edited", "generated"))
    assert narrow["counted"] == pytest.approx(0.3)
    assert narrow["status"] == "identified"
    assert narrow["knot"] == pytest.approx(wide["knot"] / 2, abs=0.011)
    assert narrow["safe_share"] == wide["safe_share"]
    if wide["safe_share"] is not None:
        assert narrow["safe_counted"] == pytest.approx(wide["safe_counted"] / 2)


def test_the_counts_are_those_of_the_rows(world):
    arms = [arm for arm in study().arms if arm.series.name == "mixed"]
    found = counted_shares(Mixtures(world), arms, [Provenance.edited, Provenance.generated, Provenance.recursive])
    for arm, share in zip(arms, SHARES, strict=True):
        assert found[arm.key] == pytest.approx([share, share / 2, 0.0])


def test_they_stand_in_the_report_and_the_summary(world, drawn):
    page = render(study(), world, drawn, "f" * 16)
    assert "from generated on" in page
    assert "does not count" in page
    assert len(summary(study(), drawn, "f" * 16)["provenance_thresholds"]) == 4


def test_one_threshold_draws_nothing_and_reads_no_mixture(tmp_path):
    asked = study(findings={"bootstrap_draws": 200})
    found = draw_findings(asked, make_lake(tmp_path, asked, lambda *_: (0.0, 0.0)))
    assert found.thresholds.num_rows == 0
    assert "from generated on" not in render(asked, Lake(tmp_path, asked.name), found, "f" * 16)


def test_a_mixture_that_is_gone_is_told(tmp_path):
    lake = make_lake(tmp_path, study(), lambda *_: (0.0, 0.0))
    with pytest.raises(StaleInputError, match=r"mixture_documents\[edits@00\]"):
        draw_findings(study(), lake)


@pytest.mark.parametrize(
    ("lowest", "further"), [("templated", ["edited"]), ("edited", ["edited"]), ("edited", ["recursive", "generated"])]
)
def test_thresholds_must_rise(lowest, further):
    with pytest.raises(ValidationError, match="grades must rise"):
        study(synthetic_from=lowest, findings={"synthetic_from": further})


def test_people_are_not_synthetic():
    with pytest.raises(ValidationError, match="would leave no real text"):
        study(synthetic_from="human")
