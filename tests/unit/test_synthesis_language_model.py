"""The language model's parts: tokens that no text can pretend to be, batches, steps, checkpoints, and draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from smc_dagster.errors import ModelError, StudyError, WeightsError
from smc_dagster.fit import checkpoint, loop
from smc_dagster.study import Study
from smc_dagster.study.language_model import LanguageModel
from smc_dagster.synthesis.language_model import batches, network, train
from smc_dagster.synthesis.language_model.draw import ROWS, Wanted, draw
from smc_dagster.synthesis.language_model.sample import Diversity, sample
from smc_dagster.synthesis.language_model.vocabulary import drawable, learn
from smc_dagster.synthesis.registry import check_pools

pytestmark = pytest.mark.unit

LABELS = ["a", "b"]
TEXTS = [
    f"the {noun} of my {other}" for noun in ("card", "loan", "fee") for other in ("bank", "branch", "house", "bill")
]
SECTION = LanguageModel(width=16, layers=1, heads=2, vocabulary=280, max_tokens=16, epochs=2, batch=4)
TABLE = pa.table({"label": ["a"] * 6 + ["b"] * 6, "text": TEXTS})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """An untrained network, its vocabulary and its folder."""
    folder = tmp_path_factory.mktemp("model")
    model, vocabulary = network.begin(SECTION, TEXTS, LABELS, 5)
    network.write(model, vocabulary, folder)
    return model, vocabulary, folder


def rows(vocabulary: Any) -> list[np.ndarray]:
    labels = [vocabulary.label_ids[one] for one in TABLE["label"].to_pylist()]
    return batches.sequences(vocabulary.encode(TEXTS), labels, vocabulary.end, SECTION.max_tokens)


def test_text_comes_back_and_cannot_pretend() -> None:
    vocabulary = learn(TEXTS, LABELS, 300)
    for text in ("the card", "Ünïcode 漢字", "<|label:1|> x <|end|>", "<script>&amp;"):
        (ids,) = vocabulary.encode([text])
        assert vocabulary.decode(ids) == text
        assert vocabulary.end not in ids
        assert not set(ids) & set(vocabulary.label_ids.values())
    allowed = drawable(vocabulary)
    assert allowed[vocabulary.end]
    assert not allowed[list(vocabulary.label_ids.values())].any()


def test_the_tokenizer_does_not_depend_on_the_order_of_texts() -> None:
    one, two = (learn(texts, LABELS, 300).tokenizer.backend_tokenizer.to_str() for texts in (TEXTS, TEXTS[::-1]))
    assert one == two


def test_every_text_is_in_one_batch_an_epoch() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 101)
    for epoch in (0, 1):
        found = batches.order(lengths, 8, 3, epoch)
        assert sorted(np.concatenate(found).tolist()) == list(range(101))
    assert not np.array_equal(found[0], batches.order(lengths, 8, 3, 0)[0])
    spread = np.mean([np.ptp(lengths[one]) for one in found])
    assert spread < 0.2 * np.ptp(lengths)


def test_targets_are_the_next_tokens() -> None:
    inputs, targets = batches.padded([np.array([9, 1, 2, 0]), np.array([8, 3, 0])], 0)
    assert inputs.tolist() == [[9, 1, 2], [8, 3, 0]]
    assert targets.tolist() == [[1, 2, 0], [3, 0, batches.IGNORED]]


def trained(folder: Path, section: LanguageModel = SECTION, until: int | None = None) -> dict[str, torch.Tensor]:
    model, vocabulary = network.begin(section, TEXTS, LABELS, 5)

    def stop(done: int, total: int) -> None:
        if done == until:
            raise KeyboardInterrupt

    train.train(model, rows(vocabulary), vocabulary.end, section, 5, folder, "key", stop)
    return {name: one.detach().clone() for name, one in model.named_parameters()}


def test_a_run_that_was_cut_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = SECTION.model_copy(update={"checkpoint_every": 2})
    whole = trained(tmp_path / "whole", section)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", section, until=5)
    found = checkpoint.latest(tmp_path / "cut", "key")
    assert found is not None
    assert found.step == 4
    assert checkpoint.latest(tmp_path / "cut", "another") is None
    # on one core as on two
    monkeypatch.setattr(loop, "cores", lambda: 1)
    again = trained(tmp_path / "cut", section)
    assert all(torch.equal(again[name], one) for name, one in whole.items())


def counts(**given: int) -> dict[str, int]:
    return given


def test_a_label_gets_the_same_whoever_else_is_asked(made: tuple[Any, Any, Path], tmp_path: Path) -> None:
    folder = made[2]
    both = sample(folder, TABLE, counts(a=40, b=ROWS + 9), Diversity(top_p=0.9), 3, tmp_path / "1", "m")
    alone = sample(folder, TABLE, counts(b=ROWS + 9), Diversity(top_p=0.9), 3, tmp_path / "2", "m", block=50)
    fewer = sample(folder, TABLE, counts(b=7), Diversity(top_p=0.9), 3, tmp_path / "3", "m")
    assert alone["b"] == both["b"]
    assert fewer["b"] == both["b"][:7]
    assert sample(folder, TABLE, counts(b=7), Diversity(top_p=0.9), 4, tmp_path / "4", "m") != fewer


def test_prototypes_open_every_text(made: tuple[Any, Any, Path], tmp_path: Path) -> None:
    folder = made[2]
    texts = sample(folder, TABLE, counts(a=50), Diversity(prototypes=2), 3, tmp_path, "m")["a"]
    openings = {" ".join(one.split()[:3]) for one in TEXTS[:6]}
    used = {one for one in openings for text in texts if text.startswith(one)}
    assert all(any(text.startswith(one) for one in openings) for text in texts)
    assert 0 < len(used) <= 2


def test_temperature_and_nucleus_sharpen(made: tuple[Any, Any, Path]) -> None:
    model, vocabulary, _ = made
    banned = ~torch.from_numpy(drawable(vocabulary))
    label = vocabulary.label_ids["a"]
    random = np.random.default_rng(0)
    wanted = [Wanted([label], random.random(16)) for _ in range(100)]

    def first(**given: float) -> set[int]:
        settings = {"temperature": 1.0, "top_p": 1.0} | given
        return {ids[0] for ids, _ in draw(model, wanted, vocabulary.end, banned, most=3, **settings)}

    assert len(first(top_p=0.05)) < len(first(top_p=0.5)) < len(first())
    assert len(first(temperature=0.05)) < len(first())
    with torch.inference_mode():
        likeliest = model(input_ids=torch.tensor([[label]])).logits[0, -1].masked_fill(banned, -1e9)
        likeliest[vocabulary.end] = -1e9
    assert first(top_p=1e-6) == {int(likeliest.argmax())}


def test_a_model_that_says_nothing_is_an_error(
    made: tuple[Any, Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(made[1]), "decode", lambda self, ids: "")
    with pytest.raises(ModelError, match="no text for label `a`"):
        sample(made[2], TABLE, counts(a=2), Diversity(), 3, tmp_path, "m")
    with pytest.raises(ModelError, match="knows no label `c`"):
        sample(made[2], TABLE, counts(c=2), Diversity(), 3, tmp_path, "m")


def test_a_local_model_is_trained_on_from(made: tuple[Any, Any, Path], tmp_path: Path) -> None:
    section = SECTION.model_copy(update={"model": str(made[2])})
    assert network.base_digest(section) != network.base_digest(SECTION)
    model, vocabulary = network.begin(section, TEXTS, ["x", "y", "z"], 1)
    assert set(vocabulary.label_ids) == {"x", "y", "z"}
    assert model.get_output_embeddings().weight.shape[0] >= max(vocabulary.label_ids.values()) + 1
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        network.base_digest(SECTION.model_copy(update={"model": str(tmp_path)}))


def study(**pools: dict[str, Any]) -> Study:
    return Study(
        name="pools",
        title="t",
        question="q",
        seed=7,
        corpus={"source": {"kind": "docstrings", "packages": ["python"]}},
        pools=pools,
        series=[{"name": "none", "composition": "drop"}],
        shares=[0.0],
    )


def test_which_generation_a_pool_samples() -> None:
    asked = study(
        t={"generator": "template"},
        a={"generator": "lm"},
        b={"generator": "recursive"},
        c={"generator": "recursive", "settings": {"generation": 4}},
    )
    check_pools(asked)
    assert [asked.generation_of(one) for one in "tabc"] == [None, 0, 1, 3]
    assert asked.generations == 4
    assert study(t={"generator": "template"}).generations == 0


@pytest.mark.parametrize(
    ("generator", "settings", "named"),
    [
        ("lm", {"temperature": 0}, "`temperature`.*0"),
        ("lm", {"generation": 2}, "`generation`: unknown setting"),
        ("recursive", {"generation": 1}, "`generation`.*1"),
        ("recursive", {"generation": "many"}, "`generation`.*'many'"),
        ("lm", {"prototypes": -1}, "`prototypes`"),
    ],
)
def test_bad_settings_are_named(generator: str, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(StudyError, match=named):
        check_pools(study(p={"generator": generator, "settings": settings}))
