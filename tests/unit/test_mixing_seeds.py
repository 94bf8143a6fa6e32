"""Caps and strictness seeds: every rule they can break, and what their digests depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_dagster.errors import CapsError
from smc_dagster.mixing import seeds
from smc_dagster.study import Study, load_study

pytestmark = pytest.mark.unit

HEAD = "study,domain,cap,note\n"
STRICT_HEAD = "strictness,max_contamination,cluster_exponent,template_exponent,max_template_share,note\n"
STRICT = {
    "off": "off,,0,0,,filters nothing\n",
    "weak": "weak,0.8,0,0,,\n",
    "medium": "medium,0.7,0.5,0.5,,\n",
    "strong": "strong,0.5,1,1,0.25,\n",
}


def study(name: str = "mine") -> Study:
    return Study.model_validate(
        {
            "name": name,
            "title": "t",
            "question": "q",
            "seed": 1,
            "corpus": {"source": {"kind": "files", "path": "."}},
            "pools": {"made": {"generator": "template"}},
            "series": [{"name": "a", "pool": "made"}],
            "shares": [0, 0.5],
        }
    )


def written(folder: Path, text: str, name: str = "caps.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "mine,json,1.2,\n", ["caps.csv, line 2", "json", "outside 0-1", "'1.2'"]),
        (HEAD + "mine,json,-0.1,\n", ["line 2", "outside 0-1"]),
        (HEAD + "mine,json,inf,\n", ["line 2", "outside 0-1"]),
        (HEAD + "mine,re,0.5,\nmine,json,half,\n", ["line 3", "json", "is not a number", "'half'"]),
        (HEAD + "mine,json,nan,\n", ["line 2", "is not a number"]),
        (HEAD + "mine,json,0.5,\nmine,re,1,\nmine,json,0.6,\n", ["line 4", "duplicate of line 2", "json"]),
        ("study,domain,note\nmine,json,\n", ["line 1", "no column `cap`", "study, domain, note"]),
        (HEAD + "mine,null,0.5,\n", ["line 2", "`domain` is 'null'"]),
        (HEAD + ",json,0.5,\n", ["line 2", "`study` is ''"]),
        (HEAD + "mine,json,0.5,measured, twice\n", ["line 2", "fields"]),
        (HEAD + "mine,json\n", ["line 2", "fields"]),
        ("", ["line 1", "no column `study`"]),
    ],
)
def test_broken_caps_name_file_line_and_value(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(CapsError) as caught:
        seeds.read_caps(written(tmp_path, text))
    for one in said:
        assert one in str(caught.value)


def test_missing_file_is_a_caps_error(tmp_path: Path) -> None:
    with pytest.raises(CapsError, match=r"absent\.csv cannot be read"):
        seeds.read_caps(tmp_path / "absent.csv")


def test_unknown_domain_names_line_and_what_exists(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "other,nowhere,0.1,\nmine,*,0.9,\nmine,jsno,0.5,\n")
    with pytest.raises(CapsError) as caught:
        seeds.check_caps(study(), ["re", "json"], path)
    for one in ("caps.csv, line 4", "`mine`", "`jsno`", "json, re"):
        assert one in str(caught.value)


def test_other_studies_domains_are_not_judged(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "other,nowhere,0.1,\nmine,*,0.9,\nmine,json,0.5,\n")
    assert seeds.check_caps(study(), ["re", "json"], path).of("mine") == {"*": 0.9, "json": 0.5}


def test_quoted_domains_and_bom_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff" + HEAD + 'mine,"a, ""b""",0.5,"x, y"\n')
    assert seeds.read_caps(path).of("mine") == {'a, "b"': 0.5}


@pytest.mark.parametrize(
    ("level", "row", "said"),
    [
        ("off", "off,0.9,0,0,,\n", ["line 2", "`off` must filter nothing"]),
        ("off", "off,,0.1,0,,\n", ["`off` must filter nothing"]),
        ("weak", "weak,0.9,0,0,,\n", ["line 3", "`max_contamination` of `weak` is 0.9", "0.8"]),
        ("weak", "weak,,0,0,,\n", ["is empty"]),
        ("medium", "medium,0.8,x,0,,\n", ["line 4", "`cluster_exponent` of `medium` is not a number", "'x'"]),
        ("medium", "medium,0.8,,0,,\n", ["`cluster_exponent`"]),
        ("medium", "medium,0.8,0,5,,\n", ["`template_exponent`", "outside 0-4"]),
        ("strong", "strong,0.8,0,0,1.5,\n", ["line 5", "`max_template_share`", "outside 0-1"]),
        ("strong", "brutal,0.8,0,0,,\n", ["line 5", "unknown strictness `brutal`", "off, weak, medium, strong"]),
        ("strong", "weak,0.8,0,0,,\n", ["line 5", "stands twice"]),
        ("strong", "", ["no row for strictness `strong`"]),
    ],
)
def test_broken_strictness_names_file_line_and_value(tmp_path: Path, level: str, row: str, said: list[str]) -> None:
    text = STRICT_HEAD + "".join((STRICT | {level: row}).values())
    with pytest.raises(CapsError) as caught:
        seeds.read_strictness(written(tmp_path, text, "strictness.csv"))
    for one in ["strictness.csv", *said]:
        assert one in str(caught.value)


def test_strictness_without_a_column(tmp_path: Path) -> None:
    with pytest.raises(CapsError, match="no column `template_exponent`"):
        seeds.read_strictness(written(tmp_path, "strictness,max_contamination,cluster_exponent,max_template_share\n"))


def test_the_shipped_seeds_are_sound() -> None:
    caps = seeds.read_caps()
    assert {row.study for row in caps.rows} >= {"default"}
    levels = seeds.read_strictness()
    assert list(levels) == ["off", "weak", "medium", "strong"]
    # each level is at least as strict as the one before
    for milder, stricter in zip(list(levels.values())[1:], list(levels.values())[2:], strict=False):
        assert (stricter.max_contamination or 2) <= (milder.max_contamination or 2)
        assert stricter.cluster_exponent >= milder.cluster_exponent


def test_the_shipped_caps_name_the_default_studys_domains() -> None:
    source = load_study("default").corpus.source
    assert source.kind == "docstrings"
    assert set(seeds.read_caps().of("default")) == {"*", *source.packages}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project with seeds and one model, in force for the test."""
    for folder in ("seeds", "models/marts", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    written(tmp_path / "seeds", HEAD + "mine,json,0.5,\n")
    written(tmp_path / "seeds", STRICT_HEAD + "".join(STRICT.values()), "strictness.csv")
    written(tmp_path / "models/marts", "select 1", "mixture.sql")
    monkeypatch.setenv("SMC_DBT_PROJECT", str(tmp_path))
    return tmp_path


def test_caps_digest_follows_what_is_in_force(project: Path) -> None:
    def digest(text: str) -> str:
        written(project / "seeds", HEAD + text)
        return seeds.caps_digest(study())

    first = digest("mine,json,0.5,\n")
    assert digest("other,json,0.1,\nmine,*,1,new note\nmine,json,0.50,\n") == first
    assert digest("mine,json,0.4,\n") != first
    assert digest("mine,json,0.5,\nmine,re,0.5,\n") != first
    assert digest("mine,json,0.5,\nmine,*,0.9,\n") != first


def test_strictness_digest_changes_for_its_own_level_only(project: Path) -> None:
    before = seeds.strictness_digests()
    changed = STRICT | {"medium": "medium,0.7,0.6,0.5,,\n", "weak": "weak,0.8,0,0,,another note\n"}
    written(project / "seeds", STRICT_HEAD + "".join(changed.values()), "strictness.csv")
    after = seeds.strictness_digests()
    assert {level for level in before if before[level] != after[level]} == {"medium"}


def test_code_digest_follows_models_not_tests(project: Path) -> None:
    before = seeds.mixture_code_digest()
    written(project / "tests", "select 2", "a.sql")
    written(project / "models/marts", "a description", "mixture.yml")
    assert seeds.mixture_code_digest() == before
    written(project / "models/marts", "select 2", "mixture.sql")
    assert seeds.mixture_code_digest() != before


def test_code_digest_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMC_DBT_PROJECT", str(tmp_path))
    with pytest.raises(CapsError, match="holds no dbt models"):
        seeds.mixture_code_digest()


def test_a_limit_below_the_floor_of_what_is_measured_is_refused(tmp_path: Path) -> None:
    study = load_study("default")
    seeds.check_strictness(study)
    blind = study.model_copy(update={"screening": study.screening.model_copy(update={"contamination_floor": 0.75})})
    with pytest.raises(CapsError, match=r"`max_contamination` of `medium` is 0.7, and series `templated_filtered`"):
        seeds.check_strictness(blind)
