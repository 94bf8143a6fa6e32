"""The mixtures that findings look at themselves, each read from the lake once.

What belongs here: the rows of an arm's mixture, and how many of them are of each grade. What does not: what is made of
either (strictness_trade.py, thresholds.py). Rows are not kept: mixtures are the largest tables.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.lake import Lake
from smc_dagster.study import Arm
from smc_dagster.tables import MIXTURE_DOCUMENTS


class Mixtures:
    """Mixtures of a lake.

    All methods raise StaleInputError where an arm's mixture is missing, and LakeError where it is damaged.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._grades: dict[str, dict[str, int]] = {}

    def rows(self, arm: Arm) -> pa.Table:
        """Replicate and doc_id of every row."""
        table = self._lake.read(MIXTURE_DOCUMENTS, arm.key, columns=["replicate", "doc_id", "provenance"])
        counted = table["provenance"].value_counts().to_pylist()
        self._grades[arm.key] = {str(one["values"]): int(one["counts"]) for one in counted}
        return table.drop(["provenance"])

    def grades(self, arm: Arm) -> dict[str, int]:
        """Rows of each provenance, over all replicates."""
        if arm.key not in self._grades:
            self._grades[arm.key] = self._lake.count_values(MIXTURE_DOCUMENTS, arm.key, "provenance")
        return self._grades[arm.key]
