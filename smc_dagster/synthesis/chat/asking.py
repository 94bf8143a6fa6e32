"""Requests to a server with the OpenAI chat API that may be slow, overloaded or broken.

What belongs here: sending, waiting and sending again within a budget, and never letting the key out. What does not:
what is asked (prompts.py) and what is made of the answer (answers.py).

What may pass is tried again: 408, 409, 429, 5xx, a connection that breaks or times out, an answer that is no JSON or
holds no text. Waits double from `first_wait` on, with a jitter of up to as much again, unless the server says how long
(`Retry-After`). What will not pass (401, 403, 404, 400) is an error at once.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from smc_dagster.errors import CorpusError

LONGEST_WAIT = 60.0
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Server:
    """Where and how to ask.

    Attributes:
        base_url: of the API, e.g. `http://127.0.0.1:8000/v1`.
        key_variable: name of the environment variable that holds the key; unset: a server that needs none.
        timeout: seconds for one request.
        attempts: times that a request is sent at most.
        first_wait: seconds before the second attempt.
    """

    base_url: str
    key_variable: str
    timeout: float
    attempts: int
    first_wait: float

    @property
    def key(self) -> str:
        """The key, or a word that stands for none."""
        return os.environ.get(self.key_variable) or "none"


class BudgetSpentError(Exception):
    """No further request may be sent."""


class _Passing(Exception):  # noqa: N818 - never leaves this module
    """A failure that may pass; `wait` is what the server asked for, in seconds."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Another request ended it all while this one waited to be sent again."""


class Asker:
    """Sends requests, several at a time, and counts them.

    Args:
        server: where to ask.
        budget: requests that may be sent, failed ones included.
        concurrency: requests at a time.
    """

    def __init__(self, server: Server, budget: int, concurrency: int) -> None:
        import openai

        self._server, self._budget, self._concurrency = server, budget, concurrency
        self._lock = threading.Lock()
        self.sent = 0
        self._client = openai.OpenAI(
            base_url=server.base_url, api_key=server.key, timeout=server.timeout, max_retries=0
        )

    def ask_all(
        self, asked: Sequence[tuple[str, Mapping[str, Any]]], keep: Callable[[str, str], None]
    ) -> CorpusError | BudgetSpentError | None:
        """Send requests and hand over each answer as it comes; the first failure stops what was not yet sent.

        Args:
            asked: name and parameters of each request.
            keep: called with name and answer, from several threads.

        Returns:
            what went wrong, None if nothing did. What was answered before was kept.
        """
        stop = threading.Event()

        def one(name: str, parameters: Mapping[str, Any]) -> CorpusError | BudgetSpentError | None:
            if stop.is_set():
                return None
            try:
                keep(name, self._patiently(parameters, stop))
            except _Stopped:
                return None
            except (CorpusError, BudgetSpentError) as error:
                stop.set()
                return error
            return None

        with ThreadPoolExecutor(self._concurrency) as threads:
            outcomes = list(threads.map(lambda pair: one(*pair), asked))
        failures = [outcome for outcome in outcomes if outcome is not None]
        # a refusal says more than a budget that ran out beside it
        return min(failures, key=lambda error: isinstance(error, BudgetSpentError), default=None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _patiently(self, parameters: Mapping[str, Any], stop: threading.Event) -> str:
        said = ""
        for attempt in range(self._server.attempts):
            wait: float | None = None
            with self._lock:
                if self.sent >= self._budget:
                    raise BudgetSpentError
                self.sent += 1
            try:
                return self._once(parameters)
            except _Passing as failure:
                said, wait = str(failure), failure.wait
            if attempt + 1 < self._server.attempts:
                if wait is None:
                    # the jitter keeps many waiting requests from coming back at one moment; no result depends on it
                    wait = self._server.first_wait * 2**attempt * (1 + random.random())
                if stop.wait(min(wait, LONGEST_WAIT)):
                    raise _Stopped
        raise CorpusError(
            f"{self._server.base_url}: no answer after {self._server.attempts} attempts: {said}",
            "see to the server and run again: what was answered is kept",
        )

    def _once(self, parameters: Mapping[str, Any]) -> str:
        import openai

        try:
            answer = self._client.chat.completions.create(**parameters)
            content = answer.choices[0].message.content
            if content and answer.choices[0].finish_reason == "length":
                # the last line was cut off; a list on one line is for the reader of answers to mend
                content = content.rpartition("\n")[0] or content
        except (openai.RateLimitError, openai.InternalServerError, openai.ConflictError) as error:
            fault: Exception = _Passing(self._clean(error), _asked_to_wait(error.response.headers))
        except openai.APIStatusError as error:
            fault = self._status_fault(error)
        except (openai.APIConnectionError, openai.APIResponseValidationError) as error:
            fault = _Passing(self._clean(error.__cause__ or error))
        except (ValueError, AttributeError, IndexError, TypeError) as error:
            # a body that is no JSON, or JSON of another shape
            fault = _Passing(f"the answer is not as the API has it: {self._clean(error)}")
        else:
            if isinstance(content, str) and content.strip():
                return content
            fault = _Passing("the answer holds no text")
        # raised out here, so that no exception of the client, which may quote the key, is its context
        raise fault

    def _status_fault(self, error: Any) -> Exception:
        if error.status_code == 408:
            return _Passing(self._clean(error))
        hint = f"mend base_url, model or settings of the pool (key: environment variable {self._server.key_variable})"
        return CorpusError(f"{self._server.base_url} refused: {self._clean(error)}", hint)

    def _clean(self, error: BaseException) -> str:
        """The message, short, without the key."""
        said = f"{type(error).__name__}: {error}"
        key = self._server.key
        if key != "none":
            said = said.replace(key, "***")
        return said[:500]


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header; a date, which few servers send, counts as none."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
