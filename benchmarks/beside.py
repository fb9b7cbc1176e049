"""One job cannot hurt another, nor the pages: how soon pages answer beside trainings, and find them again.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/beside.py [--minutes 2] [--away 10] [--write]

People look around on a large data set as in load.py, in turn while nothing else runs and while every worker
trains a model; what pages show for the first time is worked out before. Then all close their tabs while
trainings go on, come back after some minutes, and from another browser too: seconds until the page shows how
far the training is.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import load, load_course, results
from benchmarks.load_session import Browser, Session
from jobs import client
from models.config import TrainConfig
from tests.serving import Server, serve
from ui import keys

COMMAND = "OMP_NUM_THREADS=1 .venv/bin/python benchmarks/beside.py"
RECIPE = TrainConfig(
    "ot-cfm", settings={"steps": 200_000, "batch": 8192, "width": 512, "depth": 6}, members=1
)
"""A training that goes on until it is stopped: its steps are so long that its loss does not settle before."""

PEOPLE = 5
LOST_S = 60.0
Tab = tuple[Browser, dict[str, str]]


class Watcher(Session):
    """A tab that notes what is said of the progress of a training."""

    said = ""

    def _draw(self, delta) -> None:
        super()._draw(delta)
        told = delta.new_element.progress.text
        if not told.endswith(" used"):  # the bar of the disk's share
            self.said = told.replace("\\::small[]", ":") or self.said


def trainings(server: Server, people: list[Tab]) -> list[tuple[client.Jobs, str]]:
    """Give every worker a training, of people in turn; return when all go on."""
    started = []
    for browser, opened in people[: client.Jobs(server.folder).service().workers]:
        jobs = client.Jobs(server.folder, _owner(server, browser))
        asked = {"dataset": opened["dataset"], "config": RECIPE.to_json(), "name": "beside"}
        started.append((jobs, jobs.submit("train", asked, dataset=opened["dataset"])))
    while not all(jobs.get(id).fraction or jobs.get(id).over for jobs, id in started):
        time.sleep(0.1)
    return started


def stop(started: list[tuple[client.Jobs, str]]) -> list[str]:
    """Stop trainings and return how they ended."""
    for jobs, id in started:
        jobs.stop(id)
    return [jobs.wait(id).state for jobs, id in started]


def look(server: Server, people: list[Tab], *, minutes: float, seed: int) -> load.Measured:
    """Let everybody look around for some minutes."""
    options = load.parse(["--minutes", str(minutes), "--seed", str(seed)])
    return asyncio.run(load.go(server, people, options))


async def come_back(browser: Browser, opened: dict[str, str]) -> tuple[float, str]:
    """Open the page of trainings; return the seconds until it says how far one is, and what it says."""
    tab, began = Watcher(browser), time.monotonic()
    await tab.open("train", dataset=opened["dataset"])
    while not tab.said and time.monotonic() - began < LOST_S:
        await tab.go("train")
    took = time.monotonic() - began
    await tab.close()
    return took, tab.said


def again(server: Server, tab: Tab) -> list[tuple[str, float, str]]:
    """Come back in the same browser, and in another that has the same key."""
    browser, opened = tab
    other = Browser(browser.host, browser.port, cookies=dict(browser.cookies))
    ways = {"the same browser": browser, "another browser with the same key": other}
    return [(name, *asyncio.run(come_back(one, opened))) for name, one in ways.items()]


def _owner(server: Server, browser: Browser) -> str:
    known = keys.Keys(server.folder)
    return known.browser(browser.cookies[known.cookie])


def measure(server: Server, made: Path, options: argparse.Namespace) -> list[str]:
    """Return the tables."""
    people = load.furnish(server, made, n=PEOPLE, shared=True)
    look(server, people, minutes=options.minutes, seed=0)  # what is worked out once
    rows = {"nothing else": [], "a training on every worker": []}
    errors = []
    for turn in range(options.turns):
        for name, found in rows.items():
            started = trainings(server, people) if name != "nothing else" else []
            one = look(server, people, minutes=options.minutes, seed=1 + turn)
            errors += [*one.errors, *(f"a training is {end}" for end in stop(started) if end != "stopped")]
            found.append(one)
    lines = ["| beside the pages | acts | median | p95 of each turn | p95 | p95 to idle (target ≤ 1.5) |"]
    lines.append("|---|---:|---:|---|---:|---:|")
    idle = _p95(rows["nothing else"])
    for name, found in rows.items():
        turns = ", ".join(f"{_p95([one]):.2f}" for one in found)
        times = np.concatenate([one.all for one in found])
        lines.append(
            f"| {name} | {len(times)} | {np.median(times):.2f} s | {turns} s | {_p95(found):.2f} s "
            f"| {_p95(found) / idle:.2f} |"
        )
    print("\n".join(lines), flush=True)
    started = trainings(server, people)
    time.sleep(options.away * 60)
    lines += ["", f"{PEOPLE} people, one act in 5 s, {len(started)} workers; {len(errors)} errors."]
    lines += [f"- ERROR: {one}" for one in errors]
    lines += ["", f"After {options.away:g} minutes without any browser:", ""]
    for name, took, said in again(server, people[0]):
        lines.append(f"- in {name}, “{said}” after {took:.2f} s (target ≤ 5 s)")
    lines.append(f"- the trainings had gone on and ended when they were told to: {', '.join(stop(started))}")
    return lines


def _p95(found: list[load.Measured]) -> float:
    return float(np.percentile(np.concatenate([one.all for one in found]), 95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--away", type=float, default=10.0, help="minutes without a browser")
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--keep", help="a folder to keep the data set and the model in")
    parser.add_argument("--write", action="store_true", help="put the figures into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = load_course.make(Path(options.keep or temporary), n_cells=options.cells, n_genes=options.genes)
        home = Path(temporary) / "home"
        home.mkdir()
        server = serve(home, env={"DRIFTSCOPE_SHARED": "1"})
        try:
            lines = measure(server, made, options)
        finally:
            server.stop()
            client.stop_service(home)
    print("\n".join(lines))
    if options.write:
        command = f"{COMMAND} --minutes {options.minutes:g} --turns {options.turns} --away {options.away:g}"
        results.write("Pages beside jobs", command, lines)


if __name__ == "__main__":
    main()
