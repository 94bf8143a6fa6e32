"""Dagster's event log in SQLite, with connections that stay open.

What belongs here: how this process connects to the log. What does not: what is logged, and other databases.

Dagster (1.13) makes an engine and a connection for every event, twice or more for each that names an asset: it compiles
the statement anew, and as the last connection closes, SQLite merges its write-ahead log into the file and waits for the
disk. That took 18 ms an event, and a run of 28 arms logs thousands, one for each check of each arm. Here the index and
the run that is being written keep their connection. The log is synced to disk as SQLite merges it rather than at each
event: a process that is killed loses nothing, and a machine that goes down at most its last events.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, Pool, StaticPool

_KEPT = "_smc_engines"
_dispose_of_dagster = SqliteEventLogStorage.dispose


def keep_connections() -> None:
    """Make every SQLite event log of this process keep its connections; a second call changes nothing."""
    SqliteEventLogStorage._connect = _connect  # type: ignore[method-assign,assignment]
    SqliteEventLogStorage.dispose = _dispose  # type: ignore[method-assign,assignment]


@contextmanager
def _connect(log: SqliteEventLogStorage, shard: str) -> Iterator[Connection]:
    """A transaction on a shard: the index, or the events of a run. One at a time, as in Dagster's own."""
    with log._db_lock:
        if shard not in log._initialized_dbs:
            # its file may have been deleted, and what is still open would not be the one made now
            _drop(log, shard)
            log._initdb(_made(log, shard, NullPool))
            log._initialized_dbs.add(shard)
        engine = _kept(log, shard)
        with engine.connect() as connection, connection.begin():
            yield connection


def _kept(log: SqliteEventLogStorage, shard: str) -> Engine:
    """The shard's engine, of one connection. Beside the index one shard is kept open: runs are written one by one."""
    # a connection must be neither used nor closed by a process that was forked since
    kept: dict[tuple[int, str], Engine] = log.__dict__.setdefault(_KEPT, {})
    key = (os.getpid(), shard)
    if key not in kept:
        for process, other in list(kept):
            if process == key[0] and other != INDEX_SHARD_NAME:
                _drop(log, other)
        kept[key] = _made(log, shard, StaticPool)
        event.listen(kept[key], "connect", _sync_as_it_merges)
    return kept[key]


def _drop(log: SqliteEventLogStorage, shard: str) -> None:
    engine = log.__dict__.get(_KEPT, {}).pop((os.getpid(), shard), None)
    if engine is not None:
        engine.dispose()


def _made(log: SqliteEventLogStorage, shard: str, pool: type[Pool]) -> Engine:
    # threads take turns under the lock
    waits = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    return create_engine(log.conn_string_for_shard(shard), poolclass=pool, connect_args=waits)


def _dispose(log: SqliteEventLogStorage) -> None:
    """Close what was kept, so that the log is merged into its files."""
    with log._db_lock:
        for _, shard in list(log.__dict__.get(_KEPT, {})):
            _drop(log, shard)
    _dispose_of_dagster(log)


def _sync_as_it_merges(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
