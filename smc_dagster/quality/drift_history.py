"""The history of days' drift: an Evidently workspace.

What belongs here: the study's project in it, its dashboard, and adding a day's report. What does not: making the report
(day_drift.py), serving the workspace (`evidently ui`).

A workspace is a folder on this machine. A study is one project and a day one report in it, with ids that follow from
their names: days kept at the same time meet in one project, and a day that is compared again replaces its report.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smc_dagster.quality.drift import METHODS

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

# of the uuids that follow from names (RFC 4122)
NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


def project_id(study: str) -> str:
    """Id of a study's project."""
    return str(_id(study))


def _id(name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"smc_dagster/{name}")


def keep(folder: Path, study: str, title: str, day: str, snapshot: Snapshot) -> None:
    """Put a day's report into the workspace, in place of an earlier one of that day.

    Args:
        folder: the workspace; made where it is missing.
        snapshot: dated with the day.
    """
    from evidently.ui.workspace import Workspace

    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(str(folder))
    project = workspace.get_project(project_id(study)) or _project(workspace, study, title)
    kept = snapshot.to_snapshot_model()
    for result in kept.metric_results.values():
        place = result.metric_value_location
        if place is not None:
            # a day's threshold is its own: left among what names the metric, each day would be a line by itself
            place.metric.params.pop("threshold", None)
    # as Workspace.add_run does, but under an id of ours
    workspace.state.write_snapshot(project.id, _id(f"{study}/{day}"), kept)


def _project(workspace: Any, study: str, title: str) -> Any:
    from evidently.sdk.models import DashboardPanelPlot, PanelMetric, ProjectModel

    project = workspace.add_project(ProjectModel(id=_id(study), name=study, description=title))
    project.dashboard.add_panel(
        DashboardPanelPlot(
            title="Drift of each day against the days before",
            subtitle="0: none; labels and domains by Jensen-Shannon distance, lengths by Wasserstein distance",
            size="full",
            values=[
                PanelMetric(legend=one, metric="ValueDrift", metric_labels={"column": one})
                for one, method in METHODS.items()
                if method != "classifier_auc"
            ],
            plot_params={"plot_type": "line"},
        )
    )
    return project
