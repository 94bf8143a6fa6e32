"""Pictures of the README, taken from the running UI and the report of a finished study: `make pictures`.

Needs chromium and a study that was run (`make demo`).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

from smc_dagster import places
from smc_dagster.study import load_study

PICTURES = places.CHECKOUT / "docs" / "pictures"


def main() -> int:
    """Start the webserver, photograph the asset graph and the report, stop it."""
    study = load_study().name
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("chromium is missing; Debian: apt-get install chromium")
        return 2
    report = Path(places.lake_root(study)) / "report" / "index.html"
    if not report.is_file():
        print(f"no report of study `{study}`; run `make demo`")
        return 2
    PICTURES.mkdir(parents=True, exist_ok=True)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    scripts = Path(sys.executable).parent
    environment = os.environ | {"DAGSTER_HOME": str(places.dagster_home(study)), "SMC_STUDY": study}
    server = subprocess.Popen(
        [str(scripts / "dagster-webserver"), "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
        cwd=places.CHECKOUT,
        env=environment | {"PATH": f"{scripts}:{os.environ['PATH']}"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1500, "height": 800})
            page.goto(f"{url}/asset-groups")
            page.get_by_text("findings", exact=True).first.wait_for(timeout=90_000)
            page.get_by_text("Hide navigation").click()
            page.wait_for_timeout(4000)
            page.screenshot(path=PICTURES / "asset_graph.png")
            page = browser.new_page(viewport={"width": 1100, "height": 1500})
            page.goto(f"file://{report}")
            page.screenshot(path=PICTURES / "report.png")
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    print(f"wrote {PICTURES.relative_to(places.CHECKOUT)}/asset_graph.png and report.png")
    return 0


def _wait(url: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/server_info", timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise TimeoutError(f"the webserver did not answer within {seconds} s")


if __name__ == "__main__":
    sys.exit(main())
