"""Light edits: near their parent, never the same, and the same whoever else is edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from smc_dagster.corpora.text import normalise
from smc_dagster.synthesis.contract import Request
from smc_dagster.synthesis.edit import Edit, EditSettings
from smc_dagster.synthesis.light_edits import ALWAYS, KINDS
from smc_dagster.synthesis.streams import stream
from tests.unit.docstring_text import real_documents

pytestmark = pytest.mark.unit
NOWHERE = Path("/nonexistent")


def train() -> pa.Table:
    real = real_documents()
    own = real.filter(pc.is_in(real["label"], value_set=pa.array(["email.header", "json.encoder", "logging.handlers"])))
    return own.filter(pc.equal(own["split"], "train")).select(["doc_id", "domain", "label", "text"])


def made(rows: pa.Table, counts: dict[str, int], **settings: object) -> pa.Table:
    return Edit().generate(Request("s", "p", rows, counts, EditSettings.model_validate(settings), 3, NOWHERE)).texts


def words(text: str) -> set[str]:
    return set(normalise(text).split())


def test_every_text_is_new_and_near_its_parent() -> None:
    rows = train()
    found = made(rows, {"email.header": 30, "logging.handlers": 40})
    parent = dict(zip(rows["doc_id"].to_pylist(), rows["text"].to_pylist(), strict=True))
    shared = []
    for row in found.to_pylist():
        came = parent[row["parent_doc_id"]]
        assert normalise(row["text"]) != normalise(came)
        shared.append(len(words(row["text"]) & words(came)) / len(words(row["text"]) | words(came)))
    assert np.median(shared) > 0.7
    assert set(found["provenance"].to_pylist()) == {"edited"}


def test_parents_serve_again_with_other_edits() -> None:
    own = train().filter(pc.equal(train()["label"], "email.header"))
    found = made(own, {"email.header": 3 * own.num_rows}, edits=3)
    uses = found["parent_doc_id"].value_counts().field("counts").to_pylist()
    assert set(uses) == {3}
    texts = [normalise(text) for text in found["text"].to_pylist()]
    assert len(set(texts)) > 0.9 * len(texts)


def test_neither_order_nor_other_labels_matter() -> None:
    rows = train()
    both = made(rows, {"email.header": 12, "json.encoder": 8})
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(rows.num_rows)))
    assert made(shuffled, {"email.header": 12, "json.encoder": 8}).equals(both)
    assert made(rows, {"email.header": 12}).equals(both.filter(pc.equal(both["label"], "email.header")))


def test_only_the_kinds_asked() -> None:
    rows = pa.table({"doc_id": ["a" * 32], "domain": ["d"], "label": ["l"], "text": ["Do not use the color of it."]})
    assert made(rows, {"l": 1}, kinds=["spelling"])["text"].to_pylist() == ["Do not use the colour of it."]
    assert made(rows, {"l": 1}, kinds=["contraction"], edits=1)["text"].to_pylist() == ["Don't use the color of it."]
    # a kind that does not fit gives way to one that fits any text
    odd = rows.set_column(3, "text", pa.array(["xyzzy"]))
    assert made(odd, {"l": 1}, kinds=["order"])["text"][0].as_py().endswith("xyzzy")


@pytest.mark.parametrize(
    "text", ["", " ", "x", "<script>alert(1)</script>", "a\\1 \\g<0> {0} %s", "émoji 🎉 . . .", "." * 50]
)
@pytest.mark.parametrize("kind", list(KINDS))
def test_odd_text_is_survived(kind: str, text: str) -> None:
    for seed in range(3):
        assert isinstance(KINDS[kind](text, stream(seed, "odd")), str)
    if kind in ALWAYS and text.strip():
        assert KINDS[kind](text, stream(0, "odd")) != text


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="kinds"):
        EditSettings.model_validate({"kinds": ["rewrite"]})
    with pytest.raises(ValidationError, match="edits"):
        EditSettings.model_validate({"edits": 0})
