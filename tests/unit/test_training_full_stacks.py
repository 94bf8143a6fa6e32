"""Replicates of whole networks trained as a stack, and parts of a job in several processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_jobs import LABELS, job_of, study
from small_network import classifier, config

from smc_dagster.errors import DeviceError, InterruptedWorkError, ModelError, SmcError
from smc_dagster.training.full import network, outputs, replicates, run, spread, store
from smc_dagster.training.full.job import TOKENS, Tokens
from smc_dagster.training.full.pieces import LARGEST, OVERHEAD, stack_pieces
from smc_dagster.training.full.spread import Part, leave, part_here

pytestmark = pytest.mark.unit
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return config(tmp_path_factory.mktemp("config"))


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Makes a replicate of an arm begin with weights whose loss is no number."""
    began = replicates.Replicate.begin

    def poison(arm: str, number: int) -> None:
        def begin(one: replicates.Replicate) -> torch.nn.Module:
            model = began(one)
            if (one.arm.key, one.number) == (arm, number):
                with torch.no_grad():
                    model.classifier.bias[0] = float("inf")
            return model

        monkeypatch.setattr(replicates.Replicate, "begin", begin)

    return poison


@pytest.mark.parametrize(("kind", "can"), [("bert", True), ("roberta", True), ("distilbert", True), ("gpt2", False)])
def test_a_network_is_stacked_where_that_gives_the_same(kind: str, can: bool) -> None:
    assert network.can_stack(classifier(kind), 9) is can


def test_a_network_that_looks_at_a_window_is_tried_on_texts_that_are_longer() -> None:
    """Its windows are in a mask that a stack does without; of short texts nothing is left out."""
    model = classifier("modernbert")
    assert network.can_stack(model, 3)
    assert not network.can_stack(model, 30)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_a_stack_has_the_logits_and_gradients_of_its_members(kind: str) -> None:
    models = [classifier(kind) for _ in range(3)]
    with torch.no_grad():
        for number, model in enumerate(models):
            for one in model.parameters():
                one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(number)), alpha=0.1)
    owned = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in models]).requires_grad_()
        for name, _ in models[0].named_parameters()
    }
    random = np.random.default_rng(0)
    ids, mask = random.integers(1, 50, (3, 4, 9)), np.ones((3, 4, 9), dtype=np.int64)
    for place, length in ((0, 9), (1, 3), (2, 5)):
        mask[place, 1, length:] = 0
    ids[mask == 0] = 0
    found = network.StackCall(models[0], CPU).logits(owned, ids, mask)
    wanted = torch.from_numpy(random.normal(size=(3, 4, 3))).float()
    gradients = torch.autograd.grad((found * wanted).sum(), list(owned.values()))
    for number, model in enumerate(models):
        alone = network.logits(model, ids[number], mask[number])
        assert torch.allclose(found[number], alone, atol=1e-5)
        own = torch.autograd.grad((alone * wanted[number]).sum(), list(model.parameters()))
        for one, two in zip(gradients, own, strict=True):
            assert torch.allclose(one[number], two, atol=1e-4 * max(1.0, float(two.abs().max())))


def test_the_padding_of_every_member_is_left_as_it_is(base: Path, tmp_path: Path) -> None:
    """A text may hold the padding's own word; a network by itself does not train it, and weight decay shrinks it."""
    job = job_of(tmp_path / "job", study(base, steps=1), "one@00")
    ids = np.memmap(job.folder / TOKENS, np.uint16, "r+")
    ids[ids == 4] = job.settings.padding
    ids.flush()
    assert (ids == job.settings.padding).any()
    run.run(job, tmp_path / "work", tmp_path / "out", stack=2)
    run.run(job, tmp_path / "work", tmp_path / "alone")
    for number in job.replicates:
        one, two = (
            network.opened(outputs.place_of(tmp_path / name, job.arms[0], number)).base_model.embeddings.word_embeddings
            for name in ("out", "alone")
        )
        assert torch.allclose(one.weight, two.weight, atol=1e-6)


def test_pieces_of_a_stack_hold_every_text_of_every_member_once() -> None:
    random = np.random.default_rng(1)
    lengths = [random.integers(3, 60, 40).tolist() for _ in range(5)]
    for halvings in (0, 2, 30):
        pieces = stack_pieces(lengths, "cpu", halvings)
        for number, own in enumerate(lengths):
            assert sorted(place for piece in pieces for place in piece[number]) == list(range(40))
            sizes = [own[place] for piece in pieces for place in piece[number]]
            assert sizes == sorted(sizes, reverse=True), "texts of other lengths than those beside them"
        for piece in pieces:
            size = len(piece[0])
            assert {len(one) for one in piece} == {size}
            longest = max(lengths[number][place] for number, one in enumerate(piece) for place in one)
            assert size == 1 or size * longest * 5 <= LARGEST["cpu"] >> halvings
    assert max(len(piece[0]) for piece in stack_pieces(lengths, "cpu", 30)) == 1
    # a stack pays what a piece costs beside its texts once for all
    assert OVERHEAD["cpu"] // 5 < 60
    assert len(stack_pieces(lengths, "cpu", 0)) >= 5


def test_a_job_is_trained_in_stacks(base: Path, tmp_path: Path) -> None:
    """As one by one, but for rounding, which AdamW magnifies where a gradient is almost 0."""
    # 5 steps of 8 are no whole number of rounds through 16 texts: replicates see other texts
    job = job_of(tmp_path / "job", study(base, steps=5, label_smoothing=0.3), "one@00", "two@30")
    done: list[str] = []
    told: list[tuple[str, int, int, int]] = []
    run.run(job, tmp_path / "work", tmp_path / "alone")
    began = time.perf_counter()
    run.run(
        job,
        tmp_path / "work",
        tmp_path / "out",
        stack=3,
        on_arm=lambda arm: done.append(arm.key),
        progress=lambda *given: told.append(given),
    )
    wall = time.perf_counter() - began
    records = [json.loads(one.read_text()) for one in (tmp_path / "out").glob(f"*/*/{outputs.RECORD}")]
    assert 0 < sum(one["seconds"] for one in records) <= wall, "time that all spent together was counted for each"
    assert {one["threads"] for one in records if one["arm"] == "one@00"} == {1}
    assert done == ["one@00", "two@30"]
    assert {one[:2] for one in told} == {(arm, number) for arm in done for number in (0, 1)}
    assert len(told) == 4 * 5
    for key in done:
        alone, together = (store.gather(tmp_path / name / key, LABELS) for name in ("alone", "out"))
        assert [one[2] for one in together.curve] == pytest.approx([one[2] for one in alone.curve], abs=1e-5)
        due = {name: value for name, value in alone.budget.items() if name != "flops_spent"}
        assert {name: value for name, value in together.budget.items() if name != "flops_spent"} == due
        for number in (0, 1):
            one, two = (network.opened(tmp_path / name / key / f"replicate={number}") for name in ("alone", "out"))
            for a, b in zip(one.parameters(), two.parameters(), strict=True):
                assert torch.allclose(a, b, atol=1e-4)
    assert not list((tmp_path / "work").glob("*/*/step-*"))


def test_a_network_that_cannot_be_stacked_is_trained_by_itself(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path / "job", study(base), "one@00")
    run.run(job, tmp_path / "work", tmp_path / "alone")
    monkeypatch.setattr(run, "can_stack", lambda model, longest: False)
    monkeypatch.setattr(run, "train_stack", lambda *given: pytest.fail("it was stacked"))
    run.run(job, tmp_path / "work", tmp_path / "out", stack=2)
    for number in (0, 1):
        name = Path("one@00") / f"replicate={number}" / "model.safetensors"
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_member_that_fails_leaves_the_stack_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poisoned: Callable[[str, int], None]
) -> None:
    job = job_of(tmp_path / "job", study(base), "bad@00", "good@30")
    poisoned("bad@00", 1)
    done: list[str] = []
    with pytest.raises(ModelError, match=r"1 of 2 arms failed.*`bad@00`, replicate 1: the loss is nan at step 1"):
        run.run(job, tmp_path / "work", tmp_path / "out", stack=4, on_arm=lambda arm: done.append(arm.key))
    assert done == ["good@30"]
    assert outputs.is_done(outputs.place_of(tmp_path / "out", job.arms[0], 0), job.arms[0])
    monkeypatch.undo()
    run.run(job, tmp_path / "work", tmp_path / "out", stack=4, on_arm=lambda arm: done.append(arm.key))
    assert sorted(done) == ["bad@00", "good@30", "good@30"]


def test_an_arm_that_failed_takes_no_place_in_the_next_stack(
    base: Path, tmp_path: Path, poisoned: Callable[[str, int], None]
) -> None:
    job = job_of(tmp_path / "job", study(base), "good@30", "bad@00")
    poisoned("bad@00", 0)
    told: set[tuple[str, int]] = set()
    with pytest.raises(ModelError, match="`bad@00`, replicate 0"):
        run.run(
            job,
            tmp_path / "work",
            tmp_path / "out",
            stack=3,
            progress=lambda arm, number, *steps: told.add((arm, number)),
        )
    assert told == {("good@30", 0), ("good@30", 1)}


def test_a_loss_is_that_of_the_texts_of_the_step(base: Path, tmp_path: Path) -> None:
    """The first loss of each member, from the job's tokens by hand."""
    job = job_of(tmp_path / "job", study(base, steps=1), "one@00", "two@30")
    run.run(job, tmp_path / "work", tmp_path / "out", stack=4)
    tokens = Tokens(job)
    for arm in job.arms:
        for number in job.replicates:
            rows, codes = job.order(arm, number)
            model = replicates.Replicate(job, arm, number, tmp_path, tmp_path).begin()
            losses = []
            for text, code in zip(tokens.take(np.asarray(rows[0])), codes[0].tolist(), strict=True):
                z = model(input_ids=torch.from_numpy(text)[None]).logits
                losses.append(torch.nn.functional.cross_entropy(z, torch.tensor([code])).item())
            record = json.loads((outputs.place_of(tmp_path / "out", arm, number) / outputs.RECORD).read_text())
            assert record["losses"] == pytest.approx([np.mean(losses)], abs=1e-5)


def test_parts_share_out_everything_once() -> None:
    everything = [(arm, number) for arm in "abc" for number in range(5)]
    shared = [Part(rank, 4).of(everything) for rank in range(4)]
    assert sorted(one for part in shared for one in part) == everything
    assert {len(part) for part in shared} == {3, 4}
    assert spread.ALONE.of(everything) == everything


def test_a_part_trains_its_own_and_leaves_that_of_others(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", study(base), "one@00")
    work, out = tmp_path / "work", tmp_path / "out"
    # as another process leaves it while it writes
    hidden = out / "one@00" / ".replicate=1.abc"
    hidden.mkdir(parents=True)
    done: list[str] = []
    run.run(job, work, out, part=Part(0, 2), on_arm=lambda arm: done.append(arm.key))
    assert [one.name for one in sorted((out / "one@00").iterdir())] == [".replicate=1.abc", "replicate=0"]
    run.run(job, work, out, part=Part(1, 2))
    assert [one.name for one in sorted((out / "one@00").iterdir())] == ["replicate=0", "replicate=1"]


@pytest.mark.parametrize(
    ("rank", "world", "part"), [(None, None, Part(0, 1)), ("2", "3", Part(2, 3)), ("3", "3", None), ("x", "3", None)]
)
def test_torchrun_says_which_part(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, world: str | None, part: Part | None
) -> None:
    for name, value in (("RANK", rank), ("WORLD_SIZE", world)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    if part is not None:
        assert part_here() == part
        return
    with pytest.raises(SmcError, match="not a place among so many"):
        part_here()


def test_what_parts_say_of_their_end_is_told_together(tmp_path: Path) -> None:
    leave(tmp_path, Part(0, 3), None)
    leave(tmp_path, Part(1, 3), ModelError("arm `a` failed", "mend it"))
    leave(tmp_path, Part(2, 3), ModelError("arm `b` failed", "mend it"))
    with pytest.raises(ModelError, match=r"arm `a` failed; arm `b` failed\n  remedy: mend it$") as raised:
        spread.judge(tmp_path, 3, "")
    assert not isinstance(raised.value, DeviceError)
    leave(tmp_path, Part(0, 3), DeviceError("the GPU is gone", "mend that"))
    with pytest.raises(DeviceError, match="the GPU is gone; arm `a`"):
        spread.judge(tmp_path, 3, "")
    with pytest.raises(InterruptedWorkError, match=r"number 3 was cut off.*Killed"):
        spread.judge(tmp_path, 4, "Killed")
    (tmp_path / "part-3.json").write_text("")
    with pytest.raises(InterruptedWorkError, match=r"number 3 was cut off"):
        spread.judge(tmp_path, 4, "Killed")
    # an error of ours is none that can pass
    leave(tmp_path, Part(3, 4), ZeroDivisionError("division by zero"))
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        spread.judge(tmp_path, 4, "")


def test_how_a_part_ended_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where a folder is due")
    leave(tmp_path / "work", Part(0, 1), None)


def test_a_disk_that_is_full_at_the_end_fails_that_replicate_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors has an error of its own for what the system refuses."""
    from safetensors import SafetensorError
    from transformers import BertForSequenceClassification

    job = job_of(tmp_path / "job", study(base), "one@00")
    inner, calls = BertForSequenceClassification.save_pretrained, []

    def save(model: Any, folder: Path, **given: Any) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        inner(model, folder, **given)

    monkeypatch.setattr(BertForSequenceClassification, "save_pretrained", save)
    with pytest.raises(ModelError, match=r"could not be written: .*No space left on device"):
        run.run(job, tmp_path / "work", tmp_path / "out", stack=2)
    assert [one.name for one in (tmp_path / "out" / "one@00").iterdir()] == ["replicate=1"]
