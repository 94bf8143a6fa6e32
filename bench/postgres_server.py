"""A real Postgres server for tests and measurements: initdb in a folder of its own, on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from smc_dagster import postgres

USER, SECRET, DATABASE = "smc", "p@ss/word", "postgres"


class PostgresServer:
    """A server that can be stopped and started again; its programs refuse root, so root becomes another user."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            self.port = int(opened.getsockname()[1])

    @property
    def url(self) -> str:
        """As SMC_POSTGRES_URL takes it, with a password that needs escaping."""
        return f"{postgres.SCHEME}://{USER}:{quote(SECRET, safe='')}@127.0.0.1:{self.port}/{DATABASE}"

    def create(self) -> None:
        """Make the cluster, whose database `postgres` is used, and start it."""
        secret = self.folder / "secret"
        secret.write_text(SECRET + "\n")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("nobody")
            for one in (self.folder, secret):
                os.chown(one, owner.pw_uid, owner.pw_gid)
        words = ["--no-sync", "--username", USER, "--auth", "scram-sha-256", "--pwfile", str(secret)]
        self._run("initdb", "--pgdata", str(self.folder / "data"), *words)
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._pg_ctl("start", "--log", str(self.folder / "log"), "--options", options)

    def stop(self) -> None:
        """Stop at once: what is connected loses its connection."""
        self._pg_ctl("stop", "--mode", "fast")

    def dump(self) -> bytes:
        """All that the database holds, as SQL."""
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--username", USER, DATABASE]
        env = {"PATH": os.environ["PATH"], "PGPASSWORD": SECRET}
        return subprocess.run([self.programs / "pg_dump", *words], env=env, capture_output=True, check=True).stdout

    def _pg_ctl(self, *words: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self.folder / "data"), "--wait", *words)

    def _run(self, program: str, *words: str) -> None:
        root = os.geteuid() == 0
        done = subprocess.run(
            [str(self.programs / program), *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": SECRET, "LC_ALL": "C"},
            user="nobody" if root else None,
            group=pwd.getpwnam("nobody").pw_gid if root else None,
            extra_groups=[] if root else None,
            stdin=subprocess.DEVNULL,
            # the server that pg_ctl leaves behind would hold a pipe open
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "errors").open("ab"),
            timeout=120,
        )
        if done.returncode:
            said = "".join(one.read_text() for one in (self.folder / "errors", self.folder / "log") if one.is_file())
            raise RuntimeError(f"{program}: {said[-2000:]}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server with an empty database; ended and removed afterwards.

    Raises:
        FileNotFoundError: initdb or pg_ctl is missing.
    """
    programs = postgres.programs()
    if programs is None:
        raise FileNotFoundError("initdb and pg_ctl are missing; Debian: apt-get install postgresql")
    # a short path that any user may enter: sockets have room for 107 characters
    folder = Path(tempfile.mkdtemp(prefix="smc-postgres-"))
    server = PostgresServer(folder, programs)
    try:
        server.create()
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").is_file():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
