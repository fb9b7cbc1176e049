"""A real server in a home of its own, and headless Chromium to use it with."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from jobs import client

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def chromium() -> str | None:
    """Return the path of an installed Chromium; None takes Playwright's own."""
    known = os.environ.get("DRIFTSCOPE_CHROMIUM")
    return known or shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Server:
    """A running app."""

    url: str
    home: Path
    process: subprocess.Popen

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the web server; the job service stays."""
        self.process.send_signal(how)
        self.process.wait(30)


def serve(home: Path, *, port: int | None = None) -> Server:
    """Start the app and wait until it answers."""
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    log = (home / "server.log").open("ab")
    process = subprocess.Popen(
        [*command, "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, "DRIFTSCOPE_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=log,
    )
    log.close()
    server = Server(f"http://127.0.0.1:{port}", home, process)
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2):
                return server
        except OSError:
            assert process.poll() is None, (home / "server.log").read_text()
            assert time.monotonic() < deadline, "the app did not start within 90 s"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running app with its job service, shared by the browser tests."""
    running = serve(tmp_path_factory.mktemp("home"))
    yield running
    running.stop()
    client.stop_service(running.home)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium with WebGL in software."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield running
        running.close()
