"""Mixtures as findings read them: once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from findings_world import make_study

from smc_dagster.errors import StaleInputError
from smc_dagster.findings.mixtures import Mixtures
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.tables import MIXTURE_DOCUMENTS

pytestmark = pytest.mark.unit
GRADES = ["human", "generated", "human", "edited", "human", "human"]


def test_a_mixture_whose_rows_were_read_is_not_read_again_for_its_grades(tmp_path: Path) -> None:
    arm, other = make_study(
        pools={"p": {"generator": "template"}}, series=[{"name": "mixed", "pool": "p"}], shares=[0, 0.5]
    ).arms
    lake = Lake(tmp_path / "lake", "s")
    columns = {
        "replicate": pa.array([0, 0, 0, 1, 1, 1], pa.int32()),
        "doc_id": list("abcdef"),
        "domain": ["d"] * 6,
        "provenance": GRADES,
        "slot": pa.array([0, 1, 2, 0, 1, 2], pa.int32()),
    }
    for one in (arm, other):
        (tmp_path / one.key).mkdir()
        pq.write_table(pa.table(columns), tmp_path / one.key / "rows.parquet")
        lake.publish_folder(MIXTURE_DOCUMENTS, tmp_path / one.key, Fingerprint("mixture_documents", "p", "1"), one.key)
    mixtures = Mixtures(lake)
    assert mixtures.rows(arm).to_pydict() == {"replicate": [0, 0, 0, 1, 1, 1], "doc_id": list("abcdef")}
    counted = mixtures.grades(other)
    shutil.rmtree(tmp_path / "lake")
    assert mixtures.grades(arm) == counted == {"human": 4, "generated": 1, "edited": 1}
    with pytest.raises(StaleInputError):
        mixtures.rows(other)
