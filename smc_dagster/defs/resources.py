"""Resources of the code location.

What belongs here: what assets are handed by Dagster. What does not: the science (the packages beside defs/).
"""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from smc_dagster.workbench import Workbench, open_workbench


class StudyResource(dg.ConfigurableResource):
    """The study this code location is about, and its lake."""

    study: str = Field(description="Shipped study, or path of a study file, that this code location was loaded for.")
    lake: str = Field(description="Root of the study's lake: a path or an fsspec URL without a secret.")

    def open(self) -> Workbench:
        """Open the study over its lake, and mark the lake as this study's where it is new."""
        return open_workbench(self.study, self.lake, claim=True)

    def look(self) -> Workbench:
        """Open the study over its lake to read; nothing is written, not even the mark."""
        return open_workbench(self.study, self.lake)
