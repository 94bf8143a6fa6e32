"""The generator `endpoint` against real servers: a trained model behind `transformers serve`, and planted faults."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml
from chat_server import front
from conftest import ROOT, Site
from servers import free_port

from smc_dagster.corpora.text import normalise
from smc_dagster.definitions import build_defs
from smc_dagster.errors import CorpusError
from smc_dagster.lake import Lake
from smc_dagster.study import Corpus
from smc_dagster.synthesis.contract import Made, Request
from smc_dagster.synthesis.endpoint import Endpoint, EndpointSettings
from smc_dagster.tables import SYNTHETIC_DOCUMENTS

SECRET = "sk-planted-7f3a9c"
LINES = [
    "Open the file and read its lines.",
    "Close the socket when the queue is empty.",
    "Return the value of the key.",
    "Raise an error where the path is missing.",
    "Write the list of names to the file.",
    "Lock the thread until the signal comes.",
]
TRAIN = pa.table(
    {
        "doc_id": [f"{n:032x}" for n in range(8)],
        "domain": ["io"] * 4 + ["net"] * 4,
        "label": ["io.files"] * 4 + ["net.sockets"] * 4,
        "text": [f"Open the file number {n}." for n in range(4)] + [f"Close the socket number {n}." for n in range(4)],
    }
)
CORPUS = Corpus.model_validate({"source": {"kind": "files", "path": "."}})


def asked(folder: Path, url: str, counts: dict[str, int] | None = None, **settings: Any) -> Request:
    given = {"base_url": url, "model": "m", "first_wait": 0.01, "timeout": 0.5, "per_request": 8, **settings}
    return Request(
        "s",
        "p",
        TRAIN,
        counts or {"io.files": 20, "net.sockets": 12},
        EndpointSettings.model_validate(given),
        5,
        folder / "work",
        cache=folder / "cache",
        corpus=CORPUS,
    )


def run(request: Request) -> Made:
    return Endpoint().generate(request)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL and name of a small causal model, trained here on a few lines, behind `transformers serve`."""
    folder = tmp_path_factory.mktemp("served")
    train_model(folder)
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--host", "127.0.0.1"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with (
        open(folder / "serve.log", "wb") as log,
        subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"], env=environment, stdout=log, stderr=log
        ) as p,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", p)
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            p.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"nothing serves {url}")


def train_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.manual_seed(3)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        LINES * 5, trainers.BpeTrainer(vocab_size=420, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = "{% for one in messages %}{{ one['content'] }}\n{% endfor %}"
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=64,
            n_layer=2,
            n_head=2,
            n_positions=1024,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    order = torch.Generator().manual_seed(1)
    for _ in range(120):
        picked = torch.randint(len(LINES), (16, 6), generator=order).tolist()
        batch = tokenizer(["\n".join(LINES[i] for i in row) for row in picked], return_tensors="pt", padding=True)
        loss = model(**batch, labels=batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_real_model_makes_the_pool_and_a_rerun_asks_nothing(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    with front(url) as proxy:
        counts = {"io.files": 10, "net.sockets": 6}
        request = asked(tmp_path, proxy.url, counts, model=model, max_tokens=120, timeout=60, rounds=20, attempts=2)
        first = run(request)
        assert first.texts["label"].value_counts().to_pylist() == [
            {"values": "io.files", "counts": 10},
            {"values": "net.sockets", "counts": 6},
        ]
        assert set(first.texts["generator"].to_pylist()) == {f"endpoint:{model}"}
        assert set(first.texts["provenance"].to_pylist()) == {"generated"}
        known = {normalise(text) for text in TRAIN["text"].to_pylist()}
        assert not known & {normalise(text) for text in first.texts["text"].to_pylist()}
        # what the model was trained on comes out, so it was this model that answered
        said = " ".join(first.texts["text"].to_pylist())
        assert any(word in said for word in ("file", "socket", "value", "path", "thread"))
        sent = len(proxy.seen)
        assert sent == first.figures["requests_sent"] > 0
        again = run(request)
        assert len(proxy.seen) == sent
        assert again.texts.equals(first.texts)
        assert again.figures["requests_sent"] == 0


@pytest.mark.parametrize("fault", [429, 500, 503, 408, "cut", "hang", "not_json", "other_json", "empty"])
def test_what_may_pass_is_asked_again(fault: str | int, tmp_path: Path) -> None:
    with front(faults=[fault, fault]) as server:
        made = run(asked(tmp_path, server.url, {"io.files": 8}, concurrency=1))
        assert made.texts.num_rows == 8
        assert len(server.seen) == 3
        assert len({json.dumps(body) for _, body, _ in server.seen}) == 1


def test_waits_grow_and_heed_the_server(tmp_path: Path) -> None:
    with front(faults=[500, 500, 500]) as server:
        run(asked(tmp_path, server.url, {"io.files": 8}, concurrency=1, first_wait=0.1))
        times = [at for at, _, _ in server.seen]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        for number, wait in enumerate(waits):
            assert 0.1 * 2**number <= wait < 0.1 * 2**number * 2 + 0.3
    with front(faults=[429], retry_after="1") as server:
        run(asked(tmp_path / "second", server.url, {"io.files": 8}, concurrency=1, first_wait=0.001))
        assert server.seen[1][0] - server.seen[0][0] >= 1.0


def test_what_does_not_pass_ends_with_the_reason(tmp_path: Path) -> None:
    with front(faults=[500] * 4) as server:
        with pytest.raises(CorpusError, match=r"no answer after 3 attempts: .*500"):
            run(asked(tmp_path, server.url, {"io.files": 8}, concurrency=1, attempts=3))
        assert len(server.seen) == 3
    with front(faults=[404]) as server:
        with pytest.raises(CorpusError, match=r"refused: .*404"):
            run(asked(tmp_path, server.url, {"io.files": 8}))
        assert len(server.seen) == 1
    with pytest.raises(CorpusError, match="no answer after 2 attempts"):
        run(asked(tmp_path, f"http://127.0.0.1:{free_port()}/v1", {"io.files": 8}, attempts=2))


def test_the_budget_holds_and_a_rerun_goes_on(tmp_path: Path) -> None:
    counts = {"io.files": 40, "net.sockets": 40}
    with front(faults=[503]) as server:
        with pytest.raises(CorpusError, match=r"budget of 4 requests is spent; 7 answers are still due"):
            # the first waits to be sent again when the others spend the budget
            run(asked(tmp_path, server.url, counts, max_requests=4, concurrency=3, first_wait=5))
        assert len(server.seen) == 4
        made = run(asked(tmp_path, server.url, counts, max_requests=7, concurrency=3))
        assert len(server.seen) == 4 + 7
        assert made.texts.num_rows == 80
        assert made.figures["answers_reused"] == 3


def test_the_pool_does_not_depend_on_concurrency_or_on_other_labels(tmp_path: Path) -> None:
    counts = {"io.files": 60, "net.sockets": 60}
    with front(lag=0.05) as server:
        one = run(asked(tmp_path / "a", server.url, counts, concurrency=1)).texts
        many = run(asked(tmp_path / "b", server.url, counts, concurrency=12)).texts
        alone = run(asked(tmp_path / "c", server.url, {"net.sockets": 60}, concurrency=5)).texts
    assert many.equals(one)
    assert alone["text"].to_pylist() == one.filter(pa.compute.equal(one["label"], "net.sockets"))["text"].to_pylist()


def test_prompts_hold_the_training_split_alone(tmp_path: Path) -> None:
    with front() as server:
        run(asked(tmp_path, server.url, {"io.files": 16}, examples=2))
        for _, body, _ in server.seen:
            shown = [line[2:] for line in body["messages"][1]["content"].splitlines() if line.startswith("- ")]
            assert len(shown) == 2
            assert set(shown) <= set(TRAIN["text"].to_pylist()[:4])


def test_texts_that_never_fit_end_with_an_error_or_a_short_pool(tmp_path: Path) -> None:
    with front() as server:
        strict = CORPUS.model_copy(update={"min_words": 50})
        request = asked(tmp_path, server.url, {"io.files": 8}, rounds=2)
        request = Request(**{**request.__dict__, "corpus": strict})
        with pytest.raises(CorpusError, match=r"0 of 8 texts after 2 rounds; 1 labels are short, `io.files` by 8"):
            run(request)
        assert len(server.seen) == 2
        # half of the eight texts of an answer repeat no word more than once: enough for a short pool
        short = asked(tmp_path, server.url, {"io.files": 30}, rounds=1, allow_short=True, per_request=30)
        made = run(short)
        assert made.texts.num_rows == 8
        assert made.figures["texts_short"] == 22


@pytest.fixture
def with_endpoint(tiny_copy: Site, tmp_path: Path) -> Any:
    """The tiny study with an endpoint as its pool, over a lake that has the corpus already."""

    def make(url: str) -> tuple[Site, str]:
        raw = yaml.safe_load((ROOT / "smc_dagster" / "studies" / "tiny.yaml").read_text())
        settings = {"base_url": url, "model": "m", "api_key_env": "PLANTED_KEY", "first_wait": 0.01, "attempts": 2}
        raw["pools"] = {"templated": {"generator": "endpoint", "ratio": 0.1, "settings": settings}}
        path = tmp_path / "endpoint.yaml"
        path.write_text(yaml.safe_dump(raw))
        return tiny_copy, str(path)

    return make


def materialise(site: Site, study: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        return (
            build_defs(study, str(site.lake))
            .resolve_job_def("pools")
            .execute_in_process(
                instance=instance,
                partition_key="templated",
                asset_selection=[dg.AssetKey("synthetic_documents")],
                raise_on_error=False,
            )
        )


def files_with(folder: Path, word: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def test_the_key_stays_in_the_environment(with_endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_KEY", SECRET)
    with front(faults=["echo_key", "echo_key"]) as server:
        site, study = with_endpoint(server.url)
        monkeypatch.setenv("SMC_DATA", str(site.folder))
        refused = materialise(site, study)
        assert not refused.success
        event = refused.failure_data_for_node("synthetic_documents")
        assert event is not None
        assert "401" in event.error.to_string()
        assert "***" in event.error.to_string()
        server.faults.clear()
        done = materialise(site, study)
        assert done.success
        # it was sent, so there was something to leak
        assert all(headers["authorization"] == f"Bearer {SECRET}" for _, _, headers in server.seen)
    assert files_with(site.folder, SECRET) == []
    assert Lake(site.lake, "tiny").rows(SYNTHETIC_DOCUMENTS, "templated") > 0
    # the scan sees what it must: a key in a file is found
    (site.folder / "leak").write_text(f"key={SECRET}")
    assert files_with(site.folder, SECRET) == [str(site.folder / "leak")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "ftp://host/v1"}, "http or https"),
        ({"base_url": "http://me:pw@host/v1"}, "holds a secret"),
        ({"api_key_env": "sk-live-123"}, "pattern"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"model": ""}, "at least 1 character"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        asked(tmp_path, **{"url": settings.pop("base_url", "http://h/v1"), **settings})
