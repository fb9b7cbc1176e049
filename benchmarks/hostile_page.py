"""Hostile files through the jobs of a real server, while a second session asks for its page every second."""

import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from jobs import client, process
from jobs.workspace import Workspace
from tests.hostile import battery, judging
from tests.serving import Server, serve

EVERY_S, PATIENCE_S, WITHIN_S = 1.0, 60.0, 2.0
STUCK_S = 120.0
MB = 1e6
NUMBER = re.compile(r"The log has more under (\w+)")


@dataclass
class Visitor:
    """Somebody who looks at the start page again every second."""

    port: int
    seconds: list[float] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Ask again and again until `over`."""
        while not self.over.is_set():
            try:
                self._session()
            except Exception as problem:  # whatever it was, a visitor lost the page
                self.trouble.append(repr(problem))
                time.sleep(EVERY_S)

    def _session(self) -> None:
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        headers = {"Origin": f"http://127.0.0.1:{self.port}"}
        with connect(
            address, subprotocols=["streamlit"], additional_headers=headers, max_size=None
        ) as socket:
            self._run(socket)  # the first one loads what the page needs
            while not self.over.is_set():
                started = time.monotonic()
                self._run(socket)
                self.seconds.append(time.monotonic() - started)
                self.over.wait(max(0.0, EVERY_S - self.seconds[-1]))

    def _run(self, socket) -> None:
        message = BackMsg()
        message.rerun_script.query_string = ""
        socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=PATIENCE_S))
            early = answer.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN  # the whole run follows
            if answer.WhichOneof("type") == "script_finished" and not early:
                return


@contextmanager
def running(home: Path) -> Iterator[tuple[Server, Visitor]]:
    """A server with a secret in its environment, and a visitor."""
    server = serve(home, env={"SERVER_TOKEN": battery.CANARY})
    visitor = Visitor(server.port)
    thread = threading.Thread(target=visitor.look, daemon=True)
    thread.start()
    try:
        yield server, visitor
    finally:
        visitor.over.set()
        thread.join(PATIENCE_S)
        if server.process.poll() is None:
            server.stop()
        client.stop_service(home)


def report(cases: list[battery.Case]) -> tuple[list[str], bool]:
    """Send the files one by one; return the table, and whether a promise was broken."""
    with tempfile.TemporaryDirectory(prefix="hostile", ignore_cleanup_errors=True) as place:
        home = Path(place) / "home"
        home.mkdir()
        with running(home) as (server, visitor):
            _open_one(home)  # the first job waits for the workers to load
            visitor.seconds.clear()
            pid, keeper, before = server.process.pid, process.holder(home), _resident(server.process.pid)
            outcomes = [_send(case, home) for case in cases]
            grown = _resident(pid) - before
            wrong = [f"{one.case}: {', '.join(one.wrong)}" for one in outcomes if one.wrong]
            wrong += [f"the server ended with {server.process.returncode}"] * (
                server.process.poll() is not None
            )
            wrong += ["the job service was replaced"] * (process.holder(home) != keeper)
            wrong += [f"a visitor lost the page: {one}" for one in visitor.trouble]
        wrong += [f"left running: {one}" for one in _left(home)]
        log = "".join(path.read_text(errors="replace") for path in home.glob("*.log"))
        wrong += ["LEAK in the server's log"] * (battery.CANARY in log)
        numbers = [found for one in outcomes for found in NUMBER.findall(one.said)]
        wrong += [f"error {number} is not in the log" for number in numbers if number not in log]
    return _lines(outcomes, np.array(visitor.seconds), grown, wrong), bool(wrong)


def _open_one(home: Path) -> None:
    case = battery.Case(
        "honest", "honest", lambda folder: battery.rich(folder / "upload.h5ad"), battery.OPENED
    )
    assert _send(case, home).opened


def _send(case: battery.Case, home: Path) -> judging.Outcome:
    """Lay a file where uploads lie, have it opened, and judge what its owner gets to see."""
    folder = Path(tempfile.mkdtemp(prefix="file", dir=home.parent))
    name = case.make(folder)
    source = home / "uploads" / f"{folder.name}.upload"
    shutil.copyfile(name, source)
    jobs, started = client.Jobs(home), time.monotonic()
    id = jobs.submit("ingest", {"source": str(source), "name": "cells.h5ad"})
    while not (job := jobs.get(id)).over and time.monotonic() - started < STUCK_S:
        time.sleep(0.05)
    outcome = judging.Outcome(case, job.state == "done", job.error or "", time.monotonic() - started, 0)
    if not job.over:
        outcome.wrong.append("HANGS")
    if outcome.opened:
        dataset = Workspace(home).dataset(job.result["dataset"])
        outcome.said = json.dumps(dataset.report)
        outcome.wrong += judging.leaks(dataset.opened)
        shutil.rmtree(dataset.folder)
    outcome.wrong += judging.judged(case, opened=outcome.opened, said=outcome.said)
    if judging.RAW.search(jobs.log(id)) or battery.CANARY in jobs.log(id):
        outcome.wrong.append("the log of the job tells too much")
    if source.exists():
        outcome.wrong.append("the upload was kept")
    shutil.rmtree(folder)
    return outcome


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("VmRSS")), 0.0)


def _left(home: Path) -> list[str]:
    """Processes that still know the home, a while after all has ended."""
    deadline = time.monotonic() + 10
    while True:
        listed = subprocess.run(
            ["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        found = [line.strip() for line in listed.splitlines() if str(home) in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _lines(outcomes: list[judging.Outcome], seconds: np.ndarray, grown: float, wrong: list[str]) -> list[str]:
    """What happened, in words and figures."""
    leaks = sum("LEAK" in one for one in wrong)
    hangs = sum("HANGS" in one for one in wrong)
    late = int((seconds > WITHIN_S).sum())
    return [
        f"{len(outcomes)} files: {sum(not one.opened for one in outcomes)} refused, "
        f"{sum(one.opened for one in outcomes)} opened; {leaks} leaks, {hangs} hangs, "
        f"slowest {max(one.seconds for one in outcomes):.1f} s.",
        "",
        f"The same server process throughout, {grown:+.0f} MB. A second session asked for its page "
        f"{len(seconds)} times: median {np.median(seconds):.3f} s, p95 {np.quantile(seconds, 0.95):.3f} s, "
        f"slowest {seconds.max():.2f} s, {late} over {WITHIN_S:g} s.",
        "",
        f"{len(wrong)} promises broken.",
        *(f"- BROKEN: {one}" for one in wrong),
    ]
