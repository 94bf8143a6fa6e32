"""The Postgres server that may hold Dagster's runs: the setting, whether it answers, and its programs for tests.

What belongs here: the variable and what it must look like, asking the server. What does not: Dagster's storage
(defs/instance.py).

No message shows more of the setting than host, port and database.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from smc_dagster.errors import SmcError

VARIABLE = "SMC_POSTGRES_URL"
SCHEME = "postgresql+psycopg2"
FORM = f"{SCHEME}://USER:PASSWORD@HOST:PORT/DATABASE"
SECONDS = 10
# where Debian keeps the programs of each version, which it does not put on PATH
DEBIAN = Path("/usr/lib/postgresql")


def url() -> str | None:
    """The setting, or None where Dagster's records are kept in SQLite.

    Raises:
        SmcError: it is not of the form that Dagster can open.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    try:
        parts = urlsplit(given)
        scheme, database, _ = parts.scheme, parts.path.strip("/"), parts.port
    except ValueError:
        raise SmcError(f"{VARIABLE} is not a URL", f"write {FORM}, with %XX for signs such as / or @") from None
    if scheme != SCHEME:
        # Dagster reads the variable as it is, and SQLAlchemy takes plain postgresql:// for another driver
        raise SmcError(f"{VARIABLE} begins with `{scheme}://`", f"write {FORM}")
    if not database:
        raise SmcError(f"{VARIABLE} names no database", f"write {FORM}")
    return given


def shown(given: str) -> str:
    """Host, port and database of a URL, without user and password."""
    parts = urlsplit(given)
    host = parts.hostname or (parse_qs(parts.query).get("host") or ["local socket"])[0]
    return f"{host}:{parts.port or 5432}{parts.path}"


def server_version(given: str) -> str:
    """Connect once; returns the server's version.

    Raises:
        SmcError: the driver is missing, or the server does not let us in within 10 s.
    """
    try:
        import dagster_postgres  # noqa: F401
        import psycopg2
    except ImportError as error:
        raise SmcError(
            f"{VARIABLE} is set, and the package `{error.name}` is missing", "pip install 'smc-dagster[postgres]'"
        ) from error
    try:
        connection = psycopg2.connect(given.replace(SCHEME, "postgresql", 1), connect_timeout=SECONDS)
    except psycopg2.OperationalError as error:
        said = " ".join(str(error).split())
        password = urlsplit(given).password
        raise SmcError(
            f"the Postgres server {shown(given)} of {VARIABLE} cannot be reached: "
            f"{said.replace(password, '***') if password else said}",
            "start it, or mend the variable",
        ) from None
    try:
        number = int(connection.server_version)
        return f"{number // 10000}.{number % 10000}"
    finally:
        connection.close()


def programs() -> Path | None:
    """Folder of `initdb` and `pg_ctl`, of the newest version there is; None where they are missing."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(DEBIAN.glob("*/bin"), key=lambda one: float(one.parent.name), reverse=True)
    return next((one for one in folders if (one / "initdb").is_file() and (one / "pg_ctl").is_file()), None)
