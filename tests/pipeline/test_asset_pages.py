"""What each asset and job says of itself in the UI: words, owner, kinds, and of a table its schema, rows and plot."""

from __future__ import annotations

import dagster as dg
import pytest
from conftest import PLOTS, Site

from smc_dagster.definitions import STUDY_TAG, build_defs
from smc_dagster.defs.findings import DRAWN
from smc_dagster.tables import TABLES

REPORTED = {"drift_report", "study_report", *DRAWN}
# tables that the tiny study's report has no rows for
UNSHOWN = {"mitigation_effects", "strictness_trade", "domain_correlations", "provenance_thresholds"}
# made of files that are no tables
NO_TABLE = {"study_report", "released_model", "generator_model"}


@pytest.fixture(scope="module")
def defs(tiny: Site) -> dg.Definitions:
    return build_defs("tiny", str(tiny.lake))


def test_every_asset_says_what_it_is(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    keys = graph.materializable_asset_keys
    assert len(keys) > 30
    for key in keys:
        node, name = graph.get(key), key.to_user_string()
        words = node.description or ""
        assert len(words) >= 20, name
        assert words.strip()[-1] in ".:", name
        assert node.owners, name
        assert node.kinds, name
        assert node.group_name in (
            *("corpora", "synthesis", "features", "mixtures", "training", "evaluation", "findings"),
        ), name
        assert node.code_version, name
        assert node.tags[STUDY_TAG] == "tiny", name
        if name in NO_TABLE:
            continue
        # there to see before the table is made
        schema = node.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema), name
        assert schema.columns, name
        if node.group_name == "mixtures":
            assert all(one.description for one in schema.columns), name


def test_what_was_made_shows_its_schema_its_rows_and_its_plot(tiny: Site, defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    shown: set[str] = set()
    with dg.DagsterInstance.from_config(str(tiny.home)) as instance:
        for key in graph.materializable_asset_keys:
            name = key.to_user_string()
            # a model that dbt keeps in memory is gone when its launch ends
            if name in NO_TABLE | {"arm_audit"} or (graph.get(key).group_name == "mixtures" and name not in TABLES):
                continue
            partitions = instance.get_materialized_partitions(key) if graph.get(key).is_partitioned else [None]
            assert partitions, name
            for partition in partitions:
                found = instance.fetch_materializations(
                    dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None), limit=1
                )
                seen = found.records[0].asset_materialization
                assert seen is not None
                held = seen.metadata
                assert isinstance(held["dagster/column_schema"].value, dg.TableSchema), name
                assert int(str(held["dagster/row_count"].value)) >= 0, name
                assert len(str(held["fingerprint"].value)) == 16, name
            if name in PLOTS:
                assert str(held[PLOTS[name]].value).startswith("!["), name
                shown.add(name)
            if name in REPORTED:
                where, _, place = str(held["report"].value).removeprefix("http://127.0.0.1:3001/").partition("#")
                page = (tiny.lake / where).read_text()
                assert not place or (f'id="{place}"' in page) == (name not in UNSHOWN), name
    assert shown == set(PLOTS)


def test_jobs_are_named_for_what_people_want(tiny: Site, defs: dg.Definitions) -> None:
    for name in ("ingest", "study", "refresh_findings", "release"):
        job = defs.resolve_job_def(name)
        assert len(job.description or "") > 20, name
        # the launchpad opens with what may be left as it is, and says what each field is
        fields = job.run_config_schema.config_type.fields
        assert not any(one.is_required for one in fields.values()), name
        resource = fields["resources"].config_type.fields["smc"].config_type.fields["config"]
        assert resource.default_value == {"study": "tiny", "lake": str(tiny.lake)}
        assert all(len(one.description or "") > 20 for one in resource.config_type.fields.values())
    for name, op, field in (("study", "run_study", "arms"), ("release", "released_model", "arm")):
        ops = defs.resolve_job_def(name).run_config_schema.config_type.fields["ops"].config_type.fields
        asked = ops[op].config_type.fields["config"].config_type.fields[field]
        assert asked.default_provided
        assert len(asked.description or "") > 20
