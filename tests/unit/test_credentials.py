"""URLs that hold a secret: told from others, shown without it, and refused wherever a place is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from smc_dagster.credentials import holds_secret, masked
from smc_dagster.errors import LakeError, StudyError
from smc_dagster.lake import Lake
from smc_dagster.study import load_study, shipped_studies
from smc_dagster.synthesis.registry import check_pools

pytestmark = pytest.mark.unit
SECRET = "hunter2"
WITH_SECRET = [
    f"https://me:{SECRET}@host/rows.jsonl",
    f"s3://key:{SECRET}@bucket/rows",
    f"https://host/rows.jsonl?sig={SECRET}",
    f"zip://rows.jsonl::ftp://me:{SECRET}@host/rows.zip",
    f"ftp://:{SECRET}@host:21/rows.csv",
]
WITHOUT = ["s3://bucket/rows", "abfs://container@account.host/rows", "http://host:80/a@b", "/tmp/a?b", "../a:b@c/d"]


@pytest.mark.parametrize("url", WITH_SECRET)
def test_a_secret_is_seen_and_masked(url: str) -> None:
    assert holds_secret(url)
    told = masked(f"{url!r} cannot be read")
    assert SECRET not in told
    assert "***" in told
    assert told.endswith("' cannot be read")
    assert masked(masked(url)) == masked(url)


@pytest.mark.parametrize("place", WITHOUT)
def test_a_place_without_one_is_left_as_it_is(place: str) -> None:
    assert not holds_secret(place)


@pytest.mark.parametrize("url", WITH_SECRET)
def test_places_with_a_secret_are_refused_and_not_shown(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(**changes: Any) -> str:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(shipped_studies()["tiny"].read_text()) | changes))
        return str(path)

    refused: list[BaseException] = []
    files = {"generator": "files", "settings": {"path": url}}
    source = {"kind": "files", "path": url}
    with pytest.raises(StudyError, match=r"corpus\.source") as error:
        load_study(written(corpus={"source": source}))
    refused.append(error.value)
    study = written(pools={"templated": files})
    with pytest.raises(StudyError, match="`path`") as error:
        check_pools(load_study(study))
    refused.append(error.value)
    with pytest.raises(LakeError, match="SMC_LAKE") as lake_error:
        Lake(url, "tiny")
    refused.append(lake_error.value)
    plain = written(corpus={"source": source | {"path": "rows.jsonl"}})
    monkeypatch.setenv("SMC_CORPUS", url)
    with pytest.raises(StudyError, match=r"corpus\.source") as error:
        load_study(plain)
    refused.append(error.value)
    for one in refused:
        assert SECRET not in str(one)
        assert "FSSPEC_" in str(one)


def test_a_key_in_place_of_the_name_of_its_variable_is_not_shown(tmp_path: Path) -> None:
    settings = {"base_url": f"http://me:{SECRET}@host/v1", "model": "m", "api_key_env": f"sk-{SECRET}"}
    study = yaml.safe_load(shipped_studies()["tiny"].read_text())
    study["pools"] = {"templated": {"generator": "endpoint", "settings": settings}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(StudyError, match="api_key_env") as error:
        check_pools(load_study(str(path)))
    assert SECRET not in str(error.value)
