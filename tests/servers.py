"""Real Dagster servers for tests, on loopback ports of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import ROOT, Site


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def wait_for(what: str, probe: Callable[[], Any], seconds: float = 150) -> Any:
    """Call `probe` until it gives something true; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(1)
    raise AssertionError(f"{what}: not within {seconds} s")


class Server:
    """A running `dagster dev`: webserver, daemon and code server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the webserver's GraphQL; errors fail."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            payload = json.loads(answer.read())
        assert "errors" not in payload, payload["errors"]
        return payload["data"]

    def loaded(self) -> bool:
        """Whether the code location answers with assets."""
        try:
            data = self.graphql("{ assetNodes { id } }")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return len(data["assetNodes"]) > 0


@contextmanager
def dagster_dev(site: Site, log: Path) -> Iterator[Server]:
    """`dagster dev` over a site's instance, as `make dev` starts it; ended with all its processes."""
    port = free_port()
    scripts = str(Path(sys.executable).parent)
    environment = site.environment | {
        "DAGSTER_HOME": str(site.home),
        "PATH": f"{scripts}:{os.environ['PATH']}",
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            [f"{scripts}/dagster", "dev", "--workspace", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            server = Server(f"http://127.0.0.1:{port}")
            wait_for("dagster dev loads the code location", server.loaded)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
