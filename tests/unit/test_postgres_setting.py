"""The setting of the Postgres server: what it may look like, and that no message shows its password."""

from __future__ import annotations

import socket

import pytest

from smc_dagster import postgres
from smc_dagster.errors import SmcError

GOOD = "postgresql+psycopg2://smc:t0psecret@db.example:6000/runs"


def test_the_form_that_dagster_can_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(postgres.VARIABLE, raising=False)
    assert postgres.url() is None
    monkeypatch.setenv(postgres.VARIABLE, GOOD)
    assert postgres.url() == GOOD
    assert postgres.shown(GOOD) == "db.example:6000/runs"
    assert postgres.shown("postgresql+psycopg2://smc@/runs?host=/run/sql") == "/run/sql:5432/runs"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (GOOD.replace("+psycopg2", ""), "postgresql://"),
        (GOOD.removesuffix("/runs"), "no database"),
        (GOOD.replace("6000", "six"), "not a URL"),
        ("db.example", "://"),
    ],
)
def test_another_form_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, given: str, word: str) -> None:
    monkeypatch.setenv(postgres.VARIABLE, given)
    with pytest.raises(SmcError) as refused:
        postgres.url()
    assert word in str(refused.value)
    assert postgres.SCHEME in refused.value.remedy
    assert "t0psecret" not in str(refused.value)


def test_a_server_that_does_not_answer() -> None:
    with socket.socket() as taken:
        # bound and not listening: refused at once, and nobody else's
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SmcError) as refused:
            postgres.server_version(f"postgresql+psycopg2://smc:t0psecret@127.0.0.1:{port}/runs")
    assert f"127.0.0.1:{port}/runs" in refused.value.problem
    assert "t0psecret" not in str(refused.value)
