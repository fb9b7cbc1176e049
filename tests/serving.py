"""A Streamlit server on a port of its own, and the Chromium to look at it with."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[1]
QUIET = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOFTWARE_GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def chromium() -> str | None:
    """Return the path of an installed Chromium; None takes Playwright's own."""
    known = os.environ.get("DRIFTSCOPE_CHROMIUM")
    return known or shutil.which("chromium") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Server:
    """A running app; what it prints is in `log`."""

    port: int
    folder: Path
    process: subprocess.Popen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, how: int = signal.SIGINT) -> None:
        """End the server and wait until it is gone."""
        self.process.send_signal(how)
        self.process.wait(30)


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def awaited(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine gives. It has a thread of its own: Playwright keeps a loop in that of tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def serve(
    folder: Path,
    *,
    cwd: Path = ROOT,
    within_s: float = 240,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """Start an `app.py`, with `folder` as home of its data, models and jobs, and wait until it answers."""
    port = port or free_port()
    options = {"port": port, "address": "127.0.0.1", "headless": "true", "fileWatcherType": "none"}
    words = [word for name, value in options.items() for word in (f"--server.{name}", str(value))]
    own = {"DRIFTSCOPE_HOME": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    own["DRIFTSCOPE_WARM"] = "0"  # tests/jobs/test_warm.py
    log = folder / "server.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", *words],
            cwd=cwd,
            env={**os.environ, **own, **(env or {}), "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"},
            stdout=file,
            stderr=file,
        )
    server = Server(port, folder, process)
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2):
                return server
        except OSError:
            assert process.poll() is None, log.read_text()
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise AssertionError(f"the app did not start within {within_s} s") from None
            time.sleep(0.1)
