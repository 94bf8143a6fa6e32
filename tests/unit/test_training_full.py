"""Whole networks: micro-batches, what they cost, which network is meant, jobs, and arms beside each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from full_jobs import LABELS, documents, job_of, mixture, study
from small_network import classifier, config

from smc_dagster.errors import LakeError, ModelError, StaleInputError, StudyError, WeightsError
from smc_dagster.study import Training, load_study
from smc_dagster.study.training import Network
from smc_dagster.tables import REAL_TOKENS
from smc_dagster.training.compute import budget_due, departures
from smc_dagster.training.full import network, run, store
from smc_dagster.training.full.base import base_digest, check_length, tokenizer_of
from smc_dagster.training.full.flops import cost_of
from smc_dagster.training.full.job import Tokens, read_job
from smc_dagster.training.full.pieces import cut, lanes_of
from smc_dagster.training.full.prepare import prepare
from smc_dagster.training.full.tokens import token_table

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return config(tmp_path_factory.mktemp("config"))


def weights(folder: Path) -> list[bytes]:
    return [(folder / f"replicate={one}" / "model.safetensors").read_bytes() for one in (0, 1)]


def test_a_step_is_cut_where_it_costs_least() -> None:
    lengths = [3, 30, 4, 29, 3, 31]
    assert [sorted(lengths[place] for place in piece) for piece in cut(lengths, 5, 1000)] == [[29, 30, 31], [3, 3, 4]]
    assert len(cut(lengths, 10_000, 1000)) == 1
    held = cut(lengths, 10_000, 62)
    assert len(held) == 3
    assert all(len(piece) * max(lengths[place] for place in piece) <= 62 for piece in held)
    assert [len(piece) for piece in cut([40, 40], 0, 8)] == [1, 1], "a long text has a micro-batch of its own"

    def every_cut(rest: list[int]) -> int:
        sizes = sorted(rest, reverse=True)
        return min(
            5 + end * sizes[0] + (every_cut(sizes[end:]) if end < len(sizes) else 0) for end in range(1, len(sizes) + 1)
        )

    for seed in range(20):
        some = np.random.default_rng(seed).integers(2, 20, 8).tolist()
        found = sum(5 + len(piece) * max(some[place] for place in piece) for piece in cut(some, 5, 1000))
        assert found == every_cut(some)
    lanes = lanes_of(lengths * 9, "cpu", 0)
    assert sorted(place for lane in lanes for piece in lane for place in piece) == list(range(54))
    assert len(lanes) == 2
    for halvings in range(12):
        lanes = lanes_of([512] * 64, "cpu", halvings)
        assert max(len(piece) for lane in lanes for piece in lane) == max(1, 4 >> halvings)
    assert len(lanes_of(lengths, "cuda", 0)) == 1


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_flops_are_those_that_torch_counts(kind: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = classifier(kind)
    # fused attention is counted otherwise
    model.set_attn_implementation("eager")
    cost = cost_of(model)
    for rows, length in ((1, 5), (4, 20)):
        ids = torch.randint(1, 50, (rows, length))
        with FlopCounterMode(display=False) as counter:
            model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
        assert cost.training(rows, rows * length, rows * length**2) == counter.get_total_flops()


def test_a_job_trains_every_replicate_at_one_budget(base: Path, tmp_path: Path) -> None:
    asked = study(base)
    job = job_of(tmp_path / "job", asked, "one@00", "two@30")
    told: list[tuple[str, int, int, int]] = []
    done: list[str] = []
    run.run(
        job,
        tmp_path / "work",
        tmp_path / "out",
        on_arm=lambda arm: done.append(arm.key),
        progress=lambda *given: told.append(given),
    )
    assert sorted(done) == ["one@00", "two@30"]
    assert {one[:2] for one in told} == {(arm, replicate) for arm in done for replicate in (0, 1)}
    one, two = (store.gather(tmp_path / "out" / arm, LABELS) for arm in ("one@00", "two@30"))
    assert departures(one.budget, budget_due(asked.training, 2)) == []
    assert one.budget["flops_spent"] < one.budget["flops"], "padding was not left out"
    assert one.budget["text_tokens"] < one.budget["tokens_seen"]
    assert one.curve == two.curve
    # replicates share nothing but their rows; arms of the same rows share all
    first, second = weights(tmp_path / "out" / "one@00")
    assert first != second
    assert weights(tmp_path / "out" / "two@30") == [first, second]
    assert not list((tmp_path / "work").glob("*/*/step-*"))
    folder = tmp_path / "out" / "one@00" / "replicate=0"
    from transformers import pipeline

    assert pipeline("text-classification", str(folder))("what is the card")[0]["label"] in LABELS


def test_an_arm_that_fails_leaves_the_others_alone(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(tmp_path / "job", study(base), "bad@00", "good@30")
    inner = network.logits

    def poisoned(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> torch.Tensor:
        found = inner(model, ids, mask)
        return found * float("nan") if model.poisoned else found

    began = network.begin
    arms: list[str] = []

    def begin(*given: object, **named: object) -> torch.nn.Module:
        model = began(*given, **named)
        # one worker: replicates begin in the job's order
        model.poisoned = len(arms) == 0
        arms.append("one more")
        return model

    monkeypatch.setattr(network, "begin", begin)
    monkeypatch.setattr(network, "logits", poisoned)
    done: list[str] = []
    with pytest.raises(ModelError, match=r"1 of 2 arms failed.*`bad@00`, replicate 0: the loss is nan at step 1"):
        run.run(job, tmp_path / "work", tmp_path / "out", on_arm=lambda arm: done.append(arm.key), workers=1)
    assert done == ["good@30"]
    # mended, it goes on, and what is done is not trained again
    before = weights(tmp_path / "out" / "good@30")
    run.run(job, tmp_path / "work", tmp_path / "out", on_arm=lambda arm: done.append(arm.key), workers=1)
    assert done == ["good@30", "good@30", "bad@00"]
    assert weights(tmp_path / "out" / "good@30") == before == weights(tmp_path / "out" / "bad@00")


def test_a_job_says_what_it_lacks(base: Path, tmp_path: Path) -> None:
    asked = study(base)
    with pytest.raises(WeightsError, match="max_tokens is 40, the network takes 32 at most"):
        check_length(asked.training.model, 40)
    tokens = token_table(documents(), tokenizer_of(asked.training.model), 16, None)
    with pytest.raises(StaleInputError, match="1 of 16 documents have no tokens"):
        prepare(tmp_path / "job", asked, LABELS, tokens.slice(1).to_batches(), [("a", "d", mixture("a"))])
    assert list(tmp_path.iterdir()) == [], "a half-written job was left"
    job = job_of(tmp_path / "job", asked, "a")
    (job.folder / "arms" / "a" / "rows-1.npy").unlink()
    with pytest.raises(LakeError, match=r"rows-1\.npy"):
        run.run(job, tmp_path / "work", tmp_path / "out")
    (job.folder / "job.json").write_text("{}")
    with pytest.raises(LakeError, match=r"job\.json is not readable"):
        read_job(job.folder)


def test_a_job_keeps_what_was_trained_and_reads_every_token(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large:
        """A tokenizer whose ids need more than two bytes."""

        pad_token_id = eos_token_id = 0

        def __len__(self) -> int:
            return 70_000

    job = job_of(tmp_path / "job", study(base), "a")
    assert job.width == 2
    (job.folder / "out" / "a").mkdir(parents=True)
    monkeypatch.setattr("smc_dagster.training.full.prepare.tokenizer_of", lambda model: Large())
    ids = documents()["doc_id"]
    table = pa.table(
        [ids, pa.array([[place, 69_999] for place in range(len(ids))], pa.list_(pa.int32()))], REAL_TOKENS.schema.names
    )
    # batches that begin within their arrays
    batches = table.cast(REAL_TOKENS.schema).to_batches(max_chunksize=5)[::-1]
    again = prepare(job.folder, study(base), LABELS, batches, [("a", "d", mixture("a"))])
    assert (again.folder / "out" / "a").is_dir()
    read = [one.tolist() for one in Tokens(again).take(np.array([0, 1, 15]))]
    assert read == [[15, 69_999], [10, 69_999], [4, 69_999]]
    longer = replace(again, settings=replace(again.settings, steps=7))
    with pytest.raises(LakeError, match="not steps x batch"):
        longer.order(again.arms[0], 0)


def test_tokens_are_reused_and_cut(base: Path) -> None:
    tokenizer = tokenizer_of(Network(config=str(base)))
    docs = documents()
    whole = token_table(docs, tokenizer, 6, None)
    assert whole.schema == REAL_TOKENS.schema
    assert max(map(len, whole["tokens"].to_pylist())) == 6
    planted = whole.slice(0, 4).set_column(1, "tokens", pa.array([[7]] * 4, pa.list_(pa.int32())))
    again = token_table(docs.slice(2), tokenizer, 6, planted)
    assert again["tokens"].to_pylist() == [[7], [7], *whole["tokens"].to_pylist()[4:]]
    assert again["doc_id"].to_pylist() == docs["doc_id"].to_pylist()[2:]


def test_a_network_by_folder_and_what_is_wrong_with_it(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", study(base), "one@00")
    run.run(job, tmp_path / "work", tmp_path / "out")
    folder = tmp_path / "out" / "one@00" / "replicate=0"
    # a trained network is trained on, with a new head where the labels are others
    model = network.begin(folder, ["a", "b", "c"], 5, scratch=False, padding=0)
    trained = network.opened(folder)
    assert model.classifier.weight.shape[0] == 3
    assert torch.equal(model.bert.pooler.dense.weight, trained.bert.pooler.dense.weight)
    assert base_digest(Network(folder=str(folder))) != base_digest(Network(config=str(base)))
    with pytest.raises(WeightsError, match=r"training\.model\.folder: `/no/such` is no folder"):
        base_digest(Network(folder="/no/such"))
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        base_digest(Network(folder=str(base)))
    held = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(held | {"num_hidden_layers": 3}))
    with pytest.raises(WeightsError, match=r"lacks 16 weights of its model, bert\.encoder\.layer\.2"):
        network.begin(folder, LABELS, 5, scratch=False, padding=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tuning": "both"}, "`training.tuning`.*'head' or 'full'"),
        ({"tuning": "full"}, "learning_rate: tuning `full` has no default"),
        ({"tuning": "full", "learning_rate": 1e-4, "hidden": 32}, "hidden is of no use with tuning `full`"),
        ({"model": {"folder": "x"}}, "model is of no use with tuning `head`"),
        ({"checkpoint_every": 5}, "checkpoint_every is of no use with tuning `head`"),
        ({"label_smoothing": 0.1}, "label_smoothing is of no use with tuning `head`"),
        (
            {"tuning": "full", "learning_rate": 1e-4, "model": {"name": "a", "folder": "b"}},
            "`training.model`: give one of name, folder and config; name and folder are given",
        ),
        (
            {"tuning": "full", "learning_rate": 1e-4, "model": {"folder": "b", "revision": "c"}},
            "revision: only a hub name has one",
        ),
    ],
)
def test_the_study_file_says_what_does_not_fit(tmp_path: Path, given: dict, said: str) -> None:
    import yaml

    from smc_dagster.study import shipped_studies

    spoken = yaml.safe_load(shipped_studies()["tiny"].read_text())
    spoken["training"] = given
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(spoken))
    with pytest.raises(StudyError, match=said):
        load_study(str(tmp_path / "s.yaml"))


def test_paths_of_the_network_are_beside_the_study_file(tmp_path: Path) -> None:
    import yaml

    from smc_dagster.study import shipped_studies

    spoken = yaml.safe_load(shipped_studies()["tiny"].read_text())
    spoken["training"] = {"tuning": "full", "learning_rate": 1e-4, "model": {"config": "nets/small"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(spoken))
    training = load_study(str(tmp_path / "s.yaml")).training
    assert training.model.config == str(tmp_path / "nets" / "small")
    # what is said in full is read back as it was
    assert Training.model_validate(training.model_dump(mode="json")) == training
