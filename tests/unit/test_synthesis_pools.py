"""Pools from real docstrings: what generators see, what they give, and how they differ."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from smc_dagster.corpora.text import doc_id, normalise
from smc_dagster.errors import CorpusError, StudyError
from smc_dagster.study import Provenance, Study
from smc_dagster.synthesis import registry
from smc_dagster.synthesis.contract import MADE, Made, Request
from smc_dagster.synthesis.markov import Markov, MarkovSettings
from smc_dagster.synthesis.registry import GENERATORS, Place, check_pools
from smc_dagster.synthesis.template import SLOT, Template, TemplateSettings
from tests.unit.docstring_text import real_documents

pytestmark = pytest.mark.unit

BOTH = ("template", "markov")
NOWHERE = Place(Path("/nonexistent"))


@pytest.fixture(scope="module", autouse=True)
def _text_is_read() -> None:
    real_documents()


def study(**pools: dict[str, Any]) -> Study:
    return Study(
        name="pools",
        title="Pools",
        question="What do generators make?",
        seed=7,
        corpus={"source": {"kind": "docstrings", "packages": ["python"]}},
        pools=pools or {name: {"generator": name} for name in BOTH},
        series=[{"name": "none", "composition": "drop"}],
        shares=[0.0, 0.5],
    )


def make_pool(study: Study, pool: str, real: pa.Table) -> pa.Table:
    """Its documents; neither generator here leaves anything in a folder."""
    return registry.make_pool(study, pool, real, NOWHERE).documents


def generate(
    generator: Any, rows: pa.Table, counts: Mapping[str, int], settings: Any, seed: int
) -> dict[str, list[str]]:
    """Texts by label."""
    texts = generator.generate(Request("s", "p", rows, counts, settings, seed, NOWHERE.work)).texts
    return {label: texts.filter(pc.equal(texts["label"], label))["text"].to_pylist() for label in counts}


def train() -> pa.Table:
    real = real_documents()
    return real.filter(pc.equal(real.column("split"), "train"))


@pytest.mark.parametrize("name", BOTH)
def test_counts_follow_the_ratio(name: str) -> None:
    made = Counter(
        make_pool(study(**{name: {"generator": name, "ratio": 0.3}}), name, real_documents())["label"].to_pylist()
    )
    real = Counter(train()["label"].to_pylist())
    # half up: 5 documents at .3 are 1.5, so 2
    assert made == {label: max(1, int(0.3 * n + 0.5)) for label, n in real.items()}
    assert min(made.values()) == 1


@pytest.mark.parametrize("name", BOTH)
def test_only_the_training_split_reaches_a_generator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[pa.Table] = []

    inner = GENERATORS[name]

    class Spy:
        provenance, settings, counts_bind = inner.provenance, inner.settings, inner.counts_bind

        def generate(self, request: Request) -> Made:
            seen.append(request.train)
            return inner.generate(request)

    spy = Spy()
    real = real_documents()
    before = make_pool(study(), name, real)
    monkeypatch.setitem(registry.GENERATORS, "spy", spy)
    make_pool(study(spy={"generator": "spy"}), "spy", real)
    assert seen[0].column_names == ["doc_id", "domain", "label", "text"]
    assert sorted(seen[0]["text"].to_pylist()) == sorted(train()["text"].to_pylist())
    # whatever the evaluation text becomes, the pool is the same
    other = pc.if_else(pc.equal(real.column("split"), "train"), real.column("text"), "Something else altogether.")
    changed = real.set_column(real.schema.get_field_index("text"), "text", other)
    assert make_pool(study(), name, changed).equals(before)


@pytest.mark.parametrize("name", BOTH)
def test_order_of_rows_does_not_matter(name: str) -> None:
    real = real_documents()
    order = pa.array(np.random.default_rng(3).permutation(real.num_rows))
    assert make_pool(study(), name, real.take(order)).equals(make_pool(study(), name, real))


@pytest.mark.parametrize(("generator", "settings"), [(Template(), TemplateSettings()), (Markov(), MarkovSettings())])
def test_a_label_does_not_depend_on_which_others_are_asked_for(generator: Any, settings: Any) -> None:
    counts = Counter(train()["label"].to_pylist())
    rows = train().select(["domain", "label", "text"])
    together = generate(generator, rows, counts, settings, 11)
    for label in ("email.header", "json.encoder", "asyncio.events"):
        assert generate(generator, rows, {label: counts[label]}, settings, 11)[label] == together[label]
    assert generate(generator, rows, counts, settings, 12) != together


@pytest.mark.parametrize("name", BOTH)
def test_documents_keep_the_contract(name: str) -> None:
    real = real_documents()
    pool = make_pool(study(**{name: {"generator": name, "ratio": 2.0}}), name, real)
    ids = pool["doc_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(real["doc_id"].to_pylist())
    texts = pool["text"].to_pylist()
    assert len({normalise(text) for text in texts}) < len(texts), "no copies: the ids of copies are not tested"
    assert not set(ids) & {doc_id(row["domain"], row["label"], row["text"]) for row in pool.to_pylist()}
    assert all(text and text == " ".join(text.split()) for text in texts)
    assert max(map(len, texts)) <= max(map(len, train()["text"].to_pylist()))
    assert set(pool["provenance"].to_pylist()) == {"templated" if name == "template" else "generated"}
    again = make_pool(study(**{name: {"generator": name, "ratio": 2.0}}), name, real)
    assert again.equals(pool)
    other = make_pool(study(second={"generator": name, "ratio": 2.0}), "second", real)
    assert not set(other["doc_id"].to_pylist()) & set(ids)
    assert other["text"].to_pylist() != texts


def test_templates_are_few_polished_and_of_the_labels_own_words() -> None:
    rows = train().select(["domain", "label", "text"])
    counts = dict.fromkeys(("email.message", "asyncio.events", "logging.__init__"), 60)
    for templates in (1, 4):
        made = generate(Template(), rows, counts, TemplateSettings(templates=templates), 1)
        for label, texts in made.items():
            own = " ".join(rows.filter(pc.equal(rows["label"], label))["text"].to_pylist()).lower()
            assert all(text.endswith(".") and text[0] == text[0].upper() for text in texts)
            assert all("`" not in text and SLOT not in text for text in texts)
            opened = Counter(text.split()[0] for text in texts)
            assert len(opened) <= 60
            words = [word.strip(".,").lower() for text in texts for word in text.split()]
            assert np.mean([word in own for word in words]) > 0.95
    one = generate(Template(), rows, counts, TemplateSettings(templates=1), 1)
    assert sum(len(set(texts)) for texts in one.values()) < sum(len(set(texts)) for texts in made.values())


def test_a_domain_of_codes_has_templates_too() -> None:
    random = np.random.default_rng(2)
    texts = [f"error {random.integers(1000)} in line {n % 7} of {random.choice(['a.c', 'b.c'])}" for n in range(60)]
    plain = [f"Return the {one} of the thing." for one in ("size", "name", "kind")] * 40
    rows = pa.table(
        {
            "domain": ["codes"] * 60 + ["words"] * 120,
            "label": [f"codes.{n % 2}" for n in range(60)] + ["words.one"] * 120,
            "text": texts + plain,
        }
    )
    made = generate(Template(), rows, {"codes.0": 30, "codes.1": 30, "words.one": 5}, TemplateSettings(), 1)
    assert len(set(made["codes.0"])) > 10
    assert all(re.fullmatch(r"Error \d+ in line \d of [ab]\.c\.", text) for text in made["codes.0"] + made["codes.1"])
    assert set(made["words.one"]) <= set(plain)


def test_where_there_is_nothing_to_fill_sentences_stay_whole() -> None:
    spoken = [f"把{one}放在桌子上。然后离开房间。" for one in ("书", "笔", "纸", "杯子")] * 5
    comma = ["Close it, then stop."] * 30
    other = [f"Return the {one} of the thing and then stop." for one in ("size", "name", "kind")] * 10
    rows = pa.table(
        {
            "domain": ["zh"] * 20 + ["comma"] * 30 + ["other"] * 30,
            "label": ["zh.a"] * 20 + ["comma.a"] * 30 + ["other.a"] * 30,
            "text": spoken + comma + other,
        }
    )
    made = generate(Template(), rows, {"zh.a": 20, "comma.a": 5, "other.a": 5}, TemplateSettings(), 1)
    # the first sentence, not the document
    assert set(made["zh.a"]) == {f"把{one}放在桌子上." for one in ("书", "笔", "纸", "杯子")}
    # a sentence never lands in the slot of another
    assert all(len(text.split()) <= 4 for text in made["comma.a"])


def test_one_voice() -> None:
    texts = [f"Returns the {one} of the thing." for one in ("size", "name", "kind")] * 3
    texts += [f"Return the {one} of the thing." for one in ("age", "face", "hue")] * 3
    rows = pa.table({"domain": ["d"] * len(texts), "label": ["l"] * len(texts), "text": texts})
    made = generate(Template(), rows, {"l": 20}, TemplateSettings(), 1)["l"]
    assert all(text.startswith("Return ") for text in made)


def test_sampled_text_is_new_balanced_and_on_its_label() -> None:
    rows = train().select(["domain", "label", "text"])
    counts = {"email.message": 150, "asyncio.events": 150}
    made = generate(Markov(), rows, counts, MarkovSettings(), 1)
    known = {normalise(text) for text in rows["text"].to_pylist()}
    texts = [text for label in counts for text in made[label]]
    assert np.mean([normalise(text) in known for text in texts]) < 0.02
    assert all(text.count("(") == text.count(")") and text.count("`") % 2 == 0 for text in texts)
    # nearer to its own label's words than to the other's
    words = {
        label: set(" ".join(rows.filter(pc.equal(rows["label"], label))["text"].to_pylist()).split())
        for label in counts
    }
    for label, other in (("email.message", "asyncio.events"), ("asyncio.events", "email.message")):
        said = [word for text in made[label] for word in text.split()]
        assert np.mean([word in words[label] for word in said]) > np.mean([word in words[other] for word in said]) + 0.2


def test_temperature_order_and_prior_do_what_they_say() -> None:
    rows = train().select(["domain", "label", "text"])
    counts = {"email.header": 200}

    def distinct(**settings: float) -> int:
        made = generate(Markov(), rows, counts, MarkovSettings.model_validate(settings), 1)["email.header"]
        return len({word for text in made for word in text.split()})

    assert distinct(temperature=0.2) < distinct(temperature=1.0)
    assert distinct(prior=0.0) < distinct(prior=1000.0)
    # a bigram model says no pair of words that the domain never said, but for the marks that it takes off and puts on
    pairs = {pair for text in rows["text"].to_pylist() for pair in neighbours(text)}
    made = generate(Markov(), rows, counts, MarkovSettings(order=2), 1)["email.header"]
    assert all(pair in pairs for text in made for pair in neighbours(text))


def neighbours(text: str) -> list[tuple[str, str]]:
    words = re.sub(r"(?<=\S)([.,;:!?]+)(?=\s|$)", r" \1", text).split()
    return list(itertools.pairwise(words))


@pytest.mark.parametrize("name", ["template", "markov", "edit"])
def test_text_of_nothing_but_marks_is_survived(name: str) -> None:
    texts = ["\u2060 \u2060 \u2060", "((( [[[ {{{", "`", "!!! ... ???", "x", "<script>alert(1)</script> {0} %s"]
    ids = [f"{number:032x}" for number in range(6)]
    rows = pa.table({"doc_id": ids, "domain": ["d"] * 6, "label": ["l"] * 6, "text": texts})
    made = generate(GENERATORS[name], rows, {"l": 30}, GENERATORS[name].settings(), 1)["l"]
    assert len(made) == 30
    assert all(text.strip() for text in made)


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        ({"generator": "gpt"}, ["`p`", "`gpt`", "markov, recursive, template"]),
        (
            {"generator": "template", "settings": {"temperature": 1.0}},
            ["`p`", "`temperature`", "templates (1-100, "],
        ),
        ({"generator": "markov", "settings": {"order": 9}}, ["`p`", "`order`", "9", "order (2-5, default 3)"]),
        ({"generator": "markov", "settings": {"order": "many"}}, ["`p`", "`order`", "'many'"]),
        ({"generator": "markov", "settings": {"temperature": 0}}, ["`p`", "`temperature`", "greater than 0"]),
    ],
)
def test_bad_settings_are_named(pool: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(StudyError) as refused:
        check_pools(study(p=pool))
    for part in named:
        assert part in str(refused.value)


def test_a_pool_that_counts_as_real_is_refused() -> None:
    asked = study(p={"generator": "template"}).model_copy(update={"synthetic_from": Provenance.generated})
    with pytest.raises(StudyError, match="pool `p`: generator `template` makes `templated` text, which counts as real"):
        check_pools(asked)


class Broken:
    """A generator that breaks its contract in one way."""

    provenance, counts_bind = Provenance.generated, True
    settings = MarkovSettings

    def __init__(self, change: Any) -> None:
        self.change = change

    def generate(self, request: Request) -> Made:
        return Made(self.change(Markov().generate(request).texts))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda texts: texts.slice(1), "texts for"),
        (lambda texts: texts.drop(["parent_doc_id"]), "not \\['label'"),
        (lambda texts: texts.set_column(0, MADE.field("label"), pa.array(["other"] * texts.num_rows)), "texts for"),
        (lambda texts: texts.set_column(3, MADE.field(3), pa.array(["edited"] * texts.num_rows)), "below the grade"),
        (lambda texts: texts.set_column(1, MADE.field(1), pa.array([" "] * texts.num_rows)), "an empty text"),
        (lambda texts: texts.set_column(2, MADE.field(2), pa.array(["f" * 32] * texts.num_rows)), "no training doc"),
    ],
)
def test_a_generator_that_breaks_its_contract_is_caught(
    change: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.GENERATORS, "broken", Broken(change))
    with pytest.raises(RuntimeError, match=said):
        make_pool(study(p={"generator": "broken"}), "p", real_documents())


def test_good_settings_pass() -> None:
    check_pools(
        study(
            a={"generator": "template", "settings": {"templates": 2}},
            b={"generator": "markov", "settings": {"order": 2}},
        )
    )


def test_no_training_rows_and_no_such_pool() -> None:
    real = real_documents()
    with pytest.raises(CorpusError, match="split `train`"):
        make_pool(study(), "markov", real.filter(pc.equal(real["split"], "test")))
    with pytest.raises(StudyError, match="no pool `other`"):
        make_pool(study(), "other", real)
