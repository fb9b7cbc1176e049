"""Many can look: sessions that act every few seconds on one large data set, over real WebSockets.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/load.py [--sessions 1,5,10,20] [--minutes 10] [--write]

The server is started as ./run starts it. Each session is a browser of its own: it speaks Streamlit's
protocol, opens the page, fetches what the page fetches, and then does one thing every few seconds: another
page, another colour, another time, a lasso, a prediction, a download. An act has ended when the script has
and all arrays are there. On a shared server everybody has a workspace, a data set and a model of their own,
as after an upload of the same file; with `--alone` all work in one workspace.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import load_course, results
from benchmarks.load_session import Browser, Failed, Session
from dynamics import read
from jobs import client
from tests.serving import Server, serve
from ui import keys

COMMAND = "OMP_NUM_THREADS=1 .venv/bin/python benchmarks/load.py"
TARGET_MB, TARGET_MB_EACH = 150.0, 2.0
RAMP_S = 10.0
MB = 1e6
PAGES = ("data", "flow", "trajectories", "fates", "genes", "library")
ON_MAP = ("data", "flow", "trajectories")
WEIGHTS = {
    "another page": 22,
    "colour: column": 12,
    "colour: gene": 14,
    "another time": 14,
    "arrows or lines": 8,
    "lasso": 10,
    "predict": 10,
    "download": 6,
    "genes over time": 4,
}
"""How often each act is wished for, in percent. Who is elsewhere first goes to a page that has it."""

WHERE = {
    "colour: column": ON_MAP,
    "colour: gene": ON_MAP,
    "another time": ("flow",),
    "arrows or lines": ("flow",),
    "lasso": ("trajectories", "fates"),
    "predict": ("trajectories",),
    "download": ("library",),
    "genes over time": ("trajectories", "genes"),
}


@dataclass
class Measured:
    """What was seen of one number of sessions."""

    n_sessions: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    n_bytes: int = 0
    idle_mb: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    private_mb: float = 0.0
    cpu: float = 0.0
    cpu_s: float = 0.0

    @property
    def all(self) -> np.ndarray:
        return np.array([one for many in self.seconds.values() for one in many])


class Person:
    """Somebody who looks around: what they do next depends on chance and on the page they are on."""

    def __init__(self, session: Session, measured: Measured, *, seed: int, n_genes: int) -> None:
        self.session, self.measured, self.n_genes = session, measured, n_genes
        self.rng = np.random.default_rng(seed)

    async def look(self, opened: dict[str, str], *, until: float, every_s: float, after_s: float) -> None:
        """Open the page, then act at regular moments until the end."""
        await asyncio.sleep(after_s)
        start = time.monotonic()
        await self._time("opening", lambda: self.session.open("flow", **opened))
        place = 1
        while max(start + place * every_s, time.monotonic()) < until:
            await asyncio.sleep(max(0.0, start + place * every_s - time.monotonic()))
            name, act = self._next()
            await self._time(name, act)
            place += 1

    async def _time(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        began = time.perf_counter()
        try:
            await act()
        except Failed as wrong:
            self.measured.errors.append(f"{name} on {self.session.page}: {wrong}")
        self.measured.seconds.setdefault(name, []).append(time.perf_counter() - began)

    def _next(self) -> tuple[str, Callable[[], Awaitable[object]]]:
        names = list(WEIGHTS)
        share = np.array(list(WEIGHTS.values()), float)
        name = names[self.rng.choice(len(names), p=share / share.sum())]
        here, where = self.session.page, WHERE.get(name)
        if where is not None and here not in where:
            page = where[self.rng.integers(len(where))]
            return f"to {page}", lambda: self.session.go(page)
        if where is None:
            page = [one for one in PAGES if one != here][self.rng.integers(len(PAGES) - 1)]
            return f"to {page}", lambda: self.session.go(page)
        return name, self._act(name)

    def _act(self, name: str) -> Callable[[], Awaitable[object]]:
        session, rng = self.session, self.rng
        if name == "lasso":
            key = session.find("path-map" if session.page == "trajectories" else "fate-map")
            return lambda: session.lasso(key, rng)
        if name == "download":
            return lambda: session.download(session.find("download-"))
        if name == "colour: gene":
            return lambda: session.choose("colour", f"Gene{rng.integers(self.n_genes)}")
        if name == "colour: column":
            columns = ["cell_type", "day", "donor", "n_counts"]
            return lambda: session.choose("colour", columns[rng.integers(len(columns))])
        if name == "genes over time":
            key, some = session.find("genes-", "multiselect"), rng.integers(self.n_genes, size=3)
            picked = [f"Gene{k}" for k in some]
            return lambda: session.choose(key, picked) if key else session.go("genes")
        key = {"another time": "time-", "arrows or lines": "drawn", "predict": "start-from-"}[name]
        if name == "predict" and rng.random() < 0.6:
            key = ("direction", "start-time-")[rng.integers(2)]
        return lambda: self._other(session.find(key))

    async def _other(self, key: str | None) -> None:
        """Choose another of the options of a widget."""
        if key is None:  # nothing to choose while no cell is
            await self.session.choose(self.session.find("start-from-"), "All cells")
            return
        options = self.session.options(key)
        await self.session.choose(key, options[self.rng.integers(len(options))])


def furnish(server: Server, made: Path, *, n: int, shared: bool) -> list[tuple[Browser, dict[str, str]]]:
    """Give everybody a browser and a workspace with the data set; alone: one workspace for all."""
    home = server.folder
    people = []
    for place in range(n):
        browser, owner = Browser("127.0.0.1", server.port), ""
        if shared:
            known = keys.Keys(home)
            key = known.issue()
            browser.cookies[known.cookie], owner = key, known.browser(key)
        if shared or not place:
            opened = dict(zip(("dataset", "model"), load_course.furnish(home, owner, made), strict=True))
        people.append((browser, opened))
    return people


async def watch(process: psutil.Process, measured: Measured) -> None:
    """Note the server's memory once a second, until cancelled."""
    while True:
        measured.rss_mb.append(process.memory_info().rss / MB)
        await asyncio.sleep(1.0)


async def go(
    server: Server, people: list[tuple[Browser, dict[str, str]]], options: argparse.Namespace
) -> Measured:
    """Let people look around on a server."""
    n = len(people)
    measured = Measured(n)
    process = psutil.Process(server.process.pid)
    measured.idle_mb = process.memory_info().rss / MB
    ramp_s = min(RAMP_S, options.minutes * 20)
    until = time.monotonic() + options.minutes * 60
    sessions = [Session(browser) for browser, _ in people]
    watching = asyncio.create_task(watch(process, measured))
    before, began = process.cpu_times(), time.monotonic()
    looking = [
        Person(session, measured, seed=options.seed + k, n_genes=options.genes).look(
            opened, until=until, every_s=options.every, after_s=ramp_s * k / n
        )
        for k, (session, (_, opened)) in enumerate(zip(sessions, people, strict=True))
    ]
    for found in await asyncio.gather(*looking, return_exceptions=True):
        if found is not None:
            measured.errors.append(repr(found))
    after, took = process.cpu_times(), time.monotonic() - began
    measured.cpu_s = after.user + after.system - before.user - before.system
    measured.cpu = measured.cpu_s / took
    measured.private_mb = process.memory_full_info().uss / MB
    measured.n_bytes = sum(browser.n_bytes for browser, _ in people)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    for session in sessions:
        await session.close()
    return measured


def data_set_mb(made: Path) -> float:
    """Return the size of the data set in memory, as it is read whole."""
    adata = read.read_h5ad(made / "data.h5ad")
    parts = [adata.X, *adata.layers.values()]
    matrices = sum(part.data.nbytes + part.indices.nbytes + part.indptr.nbytes for part in parts)
    rest = sum(part.nbytes for part in adata.obsm.values()) + adata.obs.memory_usage(deep=True).sum()
    return float(matrices + rest) / MB


def report(found: list[Measured], one_mb: float) -> list[str]:
    """Return the tables: all acts by number of sessions, then by kind of act at the largest number."""
    lines = [
        "| sessions | acts | errors (target 0) | median | p95 (target ≤ 2 s) | longest "
        "| server CPU, of it for an act "
        "| memory of the server: at first, highest | target |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        target = one_mb + TARGET_MB + TARGET_MB_EACH * one.n_sessions
        low, high, most = np.percentile(one.all, [50, 95, 100])
        lines.append(
            f"| {one.n_sessions} | {len(one.all)} | {len(one.errors)} | {low:.2f} s | {high:.2f} s "
            f"| {most:.2f} s | {one.cpu:.0%}, {one.cpu_s / len(one.all):.2f} s "
            f"| {one.idle_mb:.0f}, {max(one.rss_mb):.0f} MB | ≤ {target:.0f} MB |"
        )
    last = found[-1]
    lines += ["", f"By kind of act, {last.n_sessions} sessions:", ""]
    lines += ["| act | times | median | p95 | longest |", "|---|---|---|---|---|"]
    for name in sorted(last.seconds):
        low, high, most = np.percentile(last.seconds[name], [50, 95, 100])
        lines.append(f"| {name} | {len(last.seconds[name])} | {low:.2f} s | {high:.2f} s | {most:.2f} s |")
    lines += [
        "",
        f"One data set is {one_mb:.0f} MB in memory, read whole. The target for memory is one data set + "
        f"{TARGET_MB:.0f} MB + {TARGET_MB_EACH:g} MB for each session. The browsers of the last row fetched "
        f"{last.n_bytes / MB:.0f} MB besides what came through the sockets.",
    ]
    return lines


def run(options: argparse.Namespace) -> list[Measured]:
    """Measure each number of sessions on a server and a home of its own."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(options.keep or temporary)
        settings = {"steps": options.steps} if options.steps else None
        made = load_course.make(keep, n_cells=options.cells, n_genes=options.genes, settings=settings)
        for n in map(int, str(options.sessions).split(",")):
            home = keep / f"home-{n}-{time.time_ns()}"
            home.mkdir(parents=True)
            shared = {} if options.alone else {"DRIFTSCOPE_SHARED": "1"}
            server = serve(home, env=shared)
            try:
                people = furnish(server, made, n=n, shared=not options.alone)
                found.append(asyncio.run(go(server, people, options)))
            finally:
                server.stop()
                client.stop_service(home)
            for wrong in found[-1].errors[:10]:
                print(f"{n} sessions: {wrong}")
            print("\n".join(report(found[-1:], data_set_mb(made))), flush=True)
    if options.write:
        command = f"{COMMAND} --sessions {options.sessions} --minutes {options.minutes:g}"
        results.write("Many sessions", command, report(found, data_set_mb(made)))
    return found


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=how)
    parser.add_argument("--sessions", default="1,5,10,20", help="numbers of sessions, one after the other")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two acts of a session")
    parser.add_argument("--alone", action="store_true", help="all in one workspace, not one for each")
    parser.add_argument("--keep", help="a folder to keep the data set, the model and the homes in")
    parser.add_argument("--steps", type=int, help="training steps of the model; by default the usual ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the figures into RESULTS.md")
    return parser.parse_args(words)


if __name__ == "__main__":
    run(parse())
