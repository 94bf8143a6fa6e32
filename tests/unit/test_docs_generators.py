"""docs/generators.md says what the registry takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from smc_dagster.study import Study
from smc_dagster.synthesis.registry import GENERATORS, check_pools

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "generators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(pools:.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_taken(block: str) -> None:
    pools = yaml.safe_load(block)["pools"]
    study = Study(
        name="page",
        title="Page",
        question="Does it hold?",
        seed=1,
        synthetic_from="edited",
        corpus={"source": {"kind": "docstrings", "packages": ["python"]}},
        pools=pools,
        series=[{"name": "none", "composition": "drop"}],
        shares=[0.0],
    )
    check_pools(study)


@pytest.mark.parametrize("name", ["template", "markov", "edit", "endpoint", "files"])
def test_settings_and_grade_are_those_of_the_code(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", PAGE, re.MULTILINE)
    generator = GENERATORS[name]
    if name != "files":
        assert row.split("|")[0].strip() == generator.provenance.value
    if name != "endpoint":
        told = re.findall(r"`(\w+)`", row.split("|")[2])
        assert set(told) == set(generator.settings.model_fields)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 3
