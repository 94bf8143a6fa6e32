"""Which steps are tried again: those stopped by what can pass, and no other.

What belongs here: the policy, and telling what can pass. What does not: retrying whole runs, which the instance does
where a run's worker died (instance.yaml).

Dagster retries a step that has a policy whatever it raised. So each step's function is wrapped: what cannot pass
leaves it as a Failure that forbids retries. A step whose process was killed raises nothing: the policy alone counts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

from smc_dagster.errors import InterruptedWorkError, SmcError

POLICY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)
# a connection refused or lost, a server that did not answer
PASSING = (InterruptedWorkError, ConnectionError, TimeoutError)
# by name, as importing SQLAlchemy's costs time and only a lost database raises them
PASSING_NAMES = ("OperationalError", "InterfaceError", "DagsterPostgresException")


def can_pass(error: BaseException) -> bool:
    """Whether trying again may help: the error, or what it was raised from, is a lost process or connection."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, PASSING) or type(found).__name__ in PASSING_NAMES:
            return True
        if isinstance(found, SmcError | dg.Failure):
            # said by us, knowing the cause
            return False
        found = found.__cause__
    return False


def retried(op: dg.OpDefinition) -> None:
    """Give a step the policy, and let only what can pass be retried."""
    # the definitions have no public way to add either once an asset is made, and asking each asset to name both
    # would be forgotten for the next one
    op._retry_policy = POLICY
    function = op.compute_fn.decorated_fn  # type: ignore[union-attr]
    op._compute_fn = DecoratedOpFunction(decorated_fn=_guarded(function))


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from function(*args, **kwargs)
            except Exception as error:
                _forbid(error)
                raise

        return generate

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            _forbid(error)
            raise

    return call


def _forbid(error: Exception) -> None:
    """Raise what cannot pass as a Failure that forbids retries, with the error as its cause."""
    if can_pass(error):
        return
    if isinstance(error, dg.Failure):
        error.allow_retries = False
        return
    said = str(error) if isinstance(error, SmcError) else f"{type(error).__name__}: {error}"
    raise dg.Failure(said, allow_retries=False) from error
