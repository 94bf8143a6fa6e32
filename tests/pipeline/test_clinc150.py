"""CLINC150 against what is published about it: the 0 % arm on its full training set, beside a linear model on words.

Published on the in-scope test: BERT-base .965 with an ECE of .022, BERT-tiny .945 with .038 (uncertainty-baselines).
Needs the dataset's own JSON: SMC_CLINC150, or `shared/data/clinc150` beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from conftest import ROOT, Site
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from smc_dagster.lake import Lake
from smc_dagster.study import shipped_studies
from smc_dagster.tables import ARM_METRICS, REAL_DOCUMENTS

CLINC = Path(os.environ.get("SMC_CLINC150") or ROOT.parent / "shared" / "data" / "clinc150")
ARM = "real_dropped@00"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of the shipped study's 0 % arm, on the full training set."""
    if not CLINC.is_dir():
        pytest.skip("CLINC150 is not there: set SMC_CLINC150")
    folder = tmp_path_factory.mktemp("clinc150")
    study = yaml.safe_load(shipped_studies()["clinc150"].read_text())
    study["corpus"]["local"]["variant"] = "data_full"
    # of all that the arm does not use, as little as may be
    study |= {"name": "clinc150_full", "shares": [0], "replicates": 3, "anchors": {"adversarial": 1}}
    study["series"] = [one for one in study["series"] if one["name"] == "real_dropped"]
    study["pools"] = {"templated": {"generator": "template", "ratio": 0.01}}
    path = folder / "clinc150_full.yaml"
    path.write_text(yaml.safe_dump(study))
    site = Site(folder / "data", "clinc150_full")
    done = site.smc("study", "run", "--study", str(path), "--corpus", str(CLINC), SMC_STUDY=str(path))
    assert done.returncode == 0, done.stderr
    return Lake(site.lake, "clinc150_full")


def figure(lake: Lake, metric: str, slice_name: str = "test") -> np.ndarray:
    """[replicates, 3] value, low, high."""
    table = lake.read(ARM_METRICS, ARM)
    chosen = table.filter(
        (pc.field("metric") == metric) & (pc.field("slice") == slice_name) & (pc.field("domain") == "*")
    )
    return np.stack([chosen[side].to_numpy(zero_copy_only=False) for side in ("value", "low", "high")], axis=1)


def test_the_splits_are_the_datasets_own(full: Lake) -> None:
    real = full.read(REAL_DOCUMENTS, columns=["split", "domain", "label"])
    sizes = {row["values"]: row["counts"] for row in pc.value_counts(real["split"]).to_pylist()}
    assert set(sizes) == {"train", "test", "anchor_eval"}
    # what is lost are texts that came twice, and training texts that nearly equal one that is held out
    for split, published in (("train", 15000), ("anchor_eval", 3000), ("test", 4500)):
        assert 0.97 * published < sizes[split] <= published
    assert len(pc.unique(real["label"])) == 150
    assert len(pc.unique(real["domain"])) == 10


def test_frozen_features_reach_what_is_published_and_beat_words(full: Lake) -> None:
    real = full.read(REAL_DOCUMENTS, columns=["split", "label", "text"])
    train, test = (real.filter(pc.field("split") == one).to_pydict() for one in ("train", "test"))
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=30, max_iter=60, tol=1e-3)
    model.fit(words.fit_transform(train["text"]), train["label"])
    floor = model.score(words.transform(test["text"]), test["label"])
    accuracy = figure(full, "accuracy")
    assert 0.88 < floor < 0.93
    assert accuracy[:, 0].mean() >= 0.945
    # of every replicate, with its interval over the test documents
    assert (accuracy[:, 1] > floor).all()


def test_its_calibration_is_sensible(full: Lake) -> None:
    error = figure(full, "ece")[:, 0].mean()
    assert error < 0.038
    # the equal-width error tells the same
    assert figure(full, "ece_width")[:, 0].mean() == pytest.approx(error, abs=0.01)
    assert abs(figure(full, "gap")[:, 0].mean()) <= error + 1e-9
