"""Text from any server with the OpenAI chat API.

What belongs here: the settings, which requests are due, and which texts of the answers are taken. What does not:
sending (chat/asking.py), wording (chat/prompts.py), reading an answer (chat/answers.py).

Requests have numbers, label by label, and answers are used in that order whichever came first, so the pool does not
depend on concurrency. Every answer is kept in the cache: a rerun, after a crash or a spent budget, asks for nothing
twice. A label that is short once its requests are answered (texts that break the contract, or that copy the training
split word for word, are not taken) is asked again, in at most `rounds` rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from smc_dagster import progress
from smc_dagster.corpora.contract import fit_texts
from smc_dagster.corpora.text import normalise
from smc_dagster.errors import CorpusError
from smc_dagster.study import Provenance
from smc_dagster.synthesis.chat import prompts
from smc_dagster.synthesis.chat.answers import texts_in
from smc_dagster.synthesis.chat.asking import Asker, BudgetSpentError, Server
from smc_dagster.synthesis.chat.cache import AnswerCache, key_of
from smc_dagster.synthesis.contract import Made, Request, made


class EndpointSettings(BaseModel):
    """Settings of the generator `endpoint`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="of the API, e.g. http://127.0.0.1:8000/v1")
    model: str = Field(min_length=1, description="name of the model, as the server knows it")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable with the key"
    )
    prompt: str = Field(
        default=prompts.DEFAULT, min_length=1, description="fields: {count} {label} {domain} {examples}"
    )
    examples: int = Field(default=4, ge=0, le=50, description="training documents shown in a prompt")
    per_request: int = Field(default=8, ge=1, le=100, description="texts asked of one request")
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=1024, ge=1, le=100_000, description="longest answer")
    concurrency: int = Field(default=4, ge=1, le=64, description="requests at a time")
    attempts: int = Field(default=5, ge=1, le=20, description="times that one request is sent at most")
    first_wait: float = Field(default=1.0, ge=0, le=60, description="seconds before the second attempt; then doubled")
    timeout: float = Field(default=60.0, gt=0, le=3600, description="seconds for one request")
    max_requests: int = Field(default=10_000, ge=1, description="requests that one run may send, failed ones included")
    rounds: int = Field(default=3, ge=1, le=20, description="times that a label which is short is asked again")
    allow_short: bool = Field(default=False, description="take a pool that has fewer texts than asked")

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be an http or https URL")
        if "@" in parts.netloc or parts.query:
            raise ValueError("holds a secret or a query; the key belongs in the environment, see api_key_env")
        return url.rstrip("/")


class Endpoint:
    """The generator that asks a server."""

    provenance = Provenance.generated
    settings = EndpointSettings
    # it refuses to give fewer itself, unless it may
    counts_bind = False

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`; the column `generator` names the model.

        Raises:
            CorpusError: the server refuses or does not answer, the budget is spent, or texts are missing in the end.
        """
        settings: EndpointSettings = request.settings
        run = _Run(request, settings)
        try:
            return run.pool(self.provenance)
        finally:
            run.asker.close()


class _Run:
    def __init__(self, request: Request, settings: EndpointSettings) -> None:
        self.request, self.settings = request, settings
        server = Server(
            settings.base_url, settings.api_key_env, settings.timeout, settings.attempts, settings.first_wait
        )
        self.asker = Asker(server, settings.max_requests, settings.concurrency)
        self.cache = AnswerCache(request.cache or request.work)
        train = request.train
        self.own = {label: train.filter(pc.equal(train["label"], label)) for label in sorted(request.counts)}
        self.seen = {normalise(text) for text in train["text"].to_pylist()}
        self.reused = 0

    def pool(self, provenance: Provenance) -> Made:
        answers: dict[str, list[str]] = {label: [] for label in self.own}
        texts: dict[str, list[str]] = {label: [] for label in self.own}
        for _ in range(self.settings.rounds):
            due = {label: self._due(label, len(texts[label])) for label in self.own}
            if not any(due.values()):
                break
            for label, new in self._round({label: (len(answers[label]), n) for label, n in due.items() if n}).items():
                answers[label] += new
                texts[label] = [text for answer in answers[label] for text in self._fit(answer)]
        counts = self.request.counts
        texts = {label: texts[label][: counts[label]] for label in texts}
        have, asked = sum(map(len, texts.values())), sum(counts.values())
        if have < asked and not self.settings.allow_short:
            short = {label: counts[label] - len(texts[label]) for label in texts if len(texts[label]) < counts[label]}
            first = next(iter(short))
            raise CorpusError(
                f"pool `{self.request.pool}`: {have:,} of {asked:,} texts after {self.settings.rounds} rounds; "
                f"{len(short)} labels are short, `{first}` by {short[first]}: the other texts broke the contract or "
                "copied training text",
                "raise settings.rounds or temperature, mend settings.prompt, or set settings.allow_short",
            )
        if not have:
            raise CorpusError(f"pool `{self.request.pool}`: no answer held a text to use", "mend settings.prompt")
        figures = {"requests_sent": self.asker.sent, "answers_reused": self.reused, "texts_short": asked - have}
        return Made(made(texts, provenance, f"endpoint:{self.settings.model}").texts, figures=figures)

    def _due(self, label: str, have: int) -> int:
        """Requests that a label needs for what it lacks."""
        return math.ceil((self.request.counts[label] - have) / self.settings.per_request)

    def _round(self, due: Mapping[str, tuple[int, int]]) -> dict[str, list[str]]:
        """Answers to the next requests of each label, given the number of the first and how many."""
        keys, missing = {}, []
        found: dict[str, str] = {}
        for label, (first, count) in due.items():
            for number in range(first, first + count):
                parameters = self._parameters(label, number)
                key = key_of({"url": self.settings.base_url, "number": [label, number], **parameters})
                keys[label, number] = key
                known = self.cache.get(key)
                if known is None:
                    missing.append((key, parameters))
                else:
                    found[key] = known
        self.reused += len(found)
        self._ask(missing, found)
        return {
            label: [found[keys[label, number]] for number in range(first, first + count)]
            for label, (first, count) in due.items()
        }

    def _ask(self, missing: list[tuple[str, dict[str, object]]], found: dict[str, str]) -> None:
        before = len(found)

        def keep(key: str, answer: str) -> None:
            self.cache.put(key, answer)
            found[key] = answer
            progress.report(f"endpoint {self.request.pool}", len(found) - before, len(missing))

        failure = self.asker.ask_all(missing, keep)
        if isinstance(failure, BudgetSpentError):
            raise CorpusError(
                f"pool `{self.request.pool}`: the budget of {self.settings.max_requests:,} requests is spent; "
                f"{len(missing) - len(found) + before:,} answers are still due",
                "run again, which goes on from the answers that are kept, or raise settings.max_requests",
            )
        if failure is not None:
            raise CorpusError(f"pool `{self.request.pool}`: {failure.problem}", failure.remedy)

    def _parameters(self, label: str, number: int) -> dict[str, object]:
        settings, own = self.settings, self.own[label]
        # a request past those that the count needs is one of a later round
        left = self.request.counts[label] - number * settings.per_request
        asked = min(settings.per_request, left) if left > 0 else settings.per_request
        return {
            "model": settings.model,
            "messages": prompts.messages(
                settings.prompt,
                label,
                own["domain"][0].as_py(),
                own["text"].to_pylist(),
                settings.examples,
                asked,
                self.request.seed,
                number,
            ),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
        }

    def _fit(self, answer: str) -> list[str]:
        """The texts of an answer that keep the contract and copy no training text."""
        texts = texts_in(answer)
        fit = fit_texts(pa.array(texts, pa.string()), self.request.limits).tolist()
        return [text for text, good in zip(texts, fit, strict=True) if good and normalise(text) not in self.seen]
