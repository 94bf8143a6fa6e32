"""Bad input ends with exit status 2, a message that names what is wrong, and nothing overwritten."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Site

TINY = ROOT / "smc_dagster" / "studies" / "tiny.yaml"


def tree(folder: Path) -> dict[str, str]:
    """Content of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def altered(tmp_path: Path, **changes: object) -> str:
    study = yaml.safe_load(TINY.read_text()) | changes
    path = tmp_path / "altered.yaml"
    path.write_text(yaml.safe_dump(study))
    return str(path)


@pytest.fixture
def empty(tmp_path: Path) -> Site:
    return Site(tmp_path / "data", "tiny")


def test_unknown_study_names_the_ones_there_are(empty: Site) -> None:
    done = empty.smc("study", "run", "--study", "nosuch")
    assert done.returncode == 2
    assert "nosuch" in done.stderr
    assert "default" in done.stderr
    assert not empty.folder.exists()


def test_a_corpus_that_is_not_there(empty: Site) -> None:
    done = empty.smc("study", "run", "--study", "clinc150", "--corpus", "nowhere")
    assert done.returncode == 2, done.stderr
    assert "nowhere" in done.stderr
    assert "--corpus" in done.stderr
    assert not empty.folder.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicats": 5}, ["replicats", "unknown key", "replicates"]),
        ({"shares": [0, 0.3, 1.4]}, ["shares", "1.4", "0-1"]),
        ({"shares": [0.1, 0.3]}, ["shares", "must hold 0"]),
        ({"series": [{"name": "one", "pool": "nosuch"}]}, ["nosuch", "declare the pool"]),
        ({"corpus": {"source": {"kind": "docstrings", "packages": ["json"], "pakages": 1}}}, ["pakages", "packages"]),
        ({"pools": {"a": {"generator": "nosuch"}}, "series": [{"name": "a", "pool": "a"}]}, ["nosuch", "markov"]),
    ],
)
def test_malformed_study_names_the_key_and_what_is_allowed(
    empty: Site, tmp_path: Path, changes: dict, words: list[str]
) -> None:
    done = empty.smc("study", "run", "--study", altered(tmp_path, **changes))
    assert done.returncode == 2, done.stderr
    for word in ["altered.yaml", *words] if "pools" not in changes else words:
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not empty.folder.exists()


def test_a_study_that_is_not_yaml(empty: Site, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: [unclosed")
    done = empty.smc("study", "run", "--study", str(path))
    assert done.returncode == 2
    assert "broken.yaml" in done.stderr


def test_no_arm_matches(empty: Site) -> None:
    done = empty.smc("study", "run", "--arms", "nosuch@*")
    assert done.returncode == 2
    assert "nosuch@*" in done.stderr


def test_caps_name_a_domain_that_does_not_exist(tiny_copy: Site, tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    with (project / "seeds" / "caps.csv").open("a") as file:
        file.write("tiny,nosuchdomain,0.2,planted\n")
    before = tree(tiny_copy.lake)
    done = tiny_copy.smc("study", "run", SMC_DBT_PROJECT=str(project))
    assert done.returncode == 2, done.stderr
    assert "nosuchdomain" in done.stderr
    assert "caps.csv" in done.stderr
    assert tree(tiny_copy.lake) == before


def test_weights_that_are_not_the_published_ones(empty: Site, tmp_path: Path) -> None:
    weights = tmp_path / "encoder"
    weights.mkdir()
    study = altered(tmp_path, training={"encoder": str(weights)})
    done = empty.smc("study", "run", "--study", study)
    assert done.returncode == 2, done.stderr
    assert "encoder" in done.stderr


def test_a_lake_that_another_study_wrote(tiny_copy: Site, tmp_path: Path) -> None:
    before = tree(tiny_copy.lake)
    done = tiny_copy.smc("study", "run", "--study", altered(tmp_path, name="other"), SMC_LAKE=str(tiny_copy.lake))
    assert done.returncode == 2, done.stderr
    assert "tiny" in done.stderr
    assert "other" in done.stderr
    assert tree(tiny_copy.lake) == before


def test_a_folder_that_is_no_lake(empty: Site, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.txt").write_text("dear to someone")
    done = empty.smc("study", "run", SMC_LAKE=str(folder))
    assert done.returncode == 2, done.stderr
    assert "not a lake" in done.stderr
    assert tree(folder).keys() == {"holiday.txt"}


def test_a_half_written_lake_is_resumed(tiny_copy: Site) -> None:
    """What a killed run can leave: a table cut short, a temporary file, an arm without its pointer."""
    truth = tree(tiny_copy.lake)
    metrics = sorted((tiny_copy.lake / "arm_metrics").glob("*/data.parquet"))[0]
    metrics.write_bytes(metrics.read_bytes()[:100])
    (metrics.parent / ".data.parquet.0123").write_bytes(b"half")
    sorted((tiny_copy.lake / "mixture_documents").glob("*/current.json"))[-1].unlink()
    outcome = tiny_copy.json("study", "run")
    assert outcome["made"]["arm_metrics"] == 1
    assert outcome["made"]["mixture_documents"] == 1
    assert outcome["made"]["real_documents"] == 0
    now = tree(tiny_copy.lake)
    same = {key for key in truth if key.startswith(("arm_metrics", "predictions", "headline")) and ".data" not in key}
    assert {key: now[key] for key in same} == {key: truth[key] for key in same}


def test_findings_before_any_run(empty: Site) -> None:
    done = empty.smc("findings")
    assert done.returncode == 2
    assert "smc study run" in done.stderr


def test_doctor_says_what_is_there(empty: Site) -> None:
    rows = json.loads(empty.smc("doctor", "--json").stdout)
    assert {"encoder weights", "dbt manifest", "study"} <= {row["thing"] for row in rows if row["ok"]}
