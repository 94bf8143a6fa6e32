"""`smc export`: a folder that transformers loads and that predicts as the study did, or nothing at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from conftest import Site

from smc_dagster.errors import ExportError, StaleInputError, StudyError
from smc_dagster.export import folder, trained
from smc_dagster.export.folder import export_arm
from smc_dagster.hardware import has_bfloat16
from smc_dagster.study import load_study
from smc_dagster.workbench import Workbench, open_workbench

ARM = "templated@30"
# float32 on both sides but for the encoder, which the study runs in bfloat16 where the CPU has it
LIMIT = 0.1 if has_bfloat16() else 1e-4


@pytest.fixture(scope="module")
def bench(tiny: Site) -> Workbench:
    return open_workbench("tiny", str(tiny.lake))


def test_the_folder_predicts_as_the_study_did(tiny: Site, bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "models" / "mine"
    told = tiny.json("export", ARM, str(path))
    losses = {int(number): loss for number, loss in told["validation_losses"].items()}
    assert sorted(losses) == list(range(load_study("tiny").replicates))
    assert told["replicate"] == min(losses, key=losses.__getitem__)
    assert told["rule"] == "the lowest validation loss"
    assert [one.name for one in path.parent.iterdir()] == ["mine"]

    from transformers import pipeline

    classify = pipeline("text-classification", str(path), truncation=True, device="cpu")
    rows = bench.read("predictions", ARM)
    rows = rows.filter(pc.and_(pc.equal(rows["slice"], "test"), pc.equal(rows["replicate"], told["replicate"])))
    real = bench.read("real_documents", columns=["doc_id", "text", "label"])
    text = dict(zip(real["doc_id"].to_pylist(), real["text"].to_pylist(), strict=True))
    answers = classify([text[one] for one in rows["doc_id"].to_pylist()], batch_size=32)
    off = np.abs(np.array([one["score"] for one in answers]) - rows["confidence"].to_numpy())
    assert told["verified"]["documents"] == min(folder.TRIED, len(answers))
    assert off.max() < LIMIT
    same = np.mean([one["label"] == label for one, label in zip(answers, rows["predicted"].to_pylist(), strict=True)])
    assert same == 1 or (has_bfloat16() and same > 0.97)

    config = json.loads((path / "config.json").read_text())
    assert set(config["id2label"].values()) == set(real["label"].to_pylist())
    assert "auto_map" not in config
    held = "".join(one.read_text(errors="replace") for one in path.iterdir() if one.suffix in (".json", ".md"))
    assert str(tiny.folder) not in held
    card = (path / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert f"`{bench.lineage.due('checkpoints', ARM).digest}`" in card
    for name in ("fixed\\_compute", "budget\\_met", "rare\\_recall", "synthetic share reached"):
        assert name in card, name


def test_what_is_in_the_way_or_not_built_is_refused(
    tiny: Site, tiny_copy: Site, bench: Workbench, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    done = tiny.smc("export", ARM, str(tmp_path / "mine"))
    assert (done.returncode, "is there already; nothing was written" in done.stderr) == (2, True)
    assert list((tmp_path / "mine").iterdir()) == []
    out = tmp_path / "out"
    with pytest.raises(StudyError, match="has no arm `templated@31`"):
        export_arm(bench, "templated@31", out)
    with pytest.raises(ExportError, match="--replicate 9: arm `templated@30` has no such replicate"):
        export_arm(bench, ARM, out, 9)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written"):
        export_arm(bench, ARM, tmp_path / "file" / "out")
    # an arm whose predictions are another arm's making, then one that is not there
    other = open_workbench("tiny", str(tiny_copy.lake))
    held = tiny_copy.lake / "predictions" / f"arm={ARM}"
    shutil.copy(tiny_copy.lake / "predictions" / "arm=templated@60" / "data.parquet", held / "data.parquet")
    with pytest.raises(StaleInputError, match=r"predictions\[templated@30\] was made from other inputs"):
        export_arm(other, ARM, out)
    shutil.rmtree(tiny_copy.lake / "checkpoints" / f"arm={ARM}")
    with pytest.raises(StaleInputError, match=r"checkpoints\[templated@30\] is not in the lake"):
        export_arm(other, ARM, out)
    assert not any("out" in one.name for one in tmp_path.iterdir())


def test_a_folder_that_fails_or_predicts_otherwise_is_not_there(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list:
        raise RuntimeError("no checks today")

    with pytest.raises(RuntimeError, match="no checks today"):
        export_arm(bench, ARM, tmp_path / "out", 0, broken)
    made = trained.of_heads
    monkeypatch.setattr(trained, "of_heads", lambda checkpoint, replicate: made(checkpoint, 1 - replicate))
    with pytest.raises(ExportError, match="does not predict as the study did"):
        export_arm(bench, ARM, tmp_path / "out", 0)
    assert list(tmp_path.iterdir()) == []
