"""Nothing confirmed is lost: training under seeded faults, kills and cancels, again and again.

    OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/soak.py [--faults 300] [--others 100] [--kills 50]
        [--cancels 20]

Faults: one process is service and worker; each seed lets the disk fail or the process die at named places
(`dynamics.faults`). Others: the same while files are opened, data prepared, fates told, models tested, and
things in the library renamed, deleted and brought back. Kills: worker, job service and server die in turn by
`kill -9` under a real service. After each of them every file must be readable, no step that the journal calls
kept may be lost, and the model in the end must equal that of an undisturbed run, byte for byte; no job stays
at work, and the disk returns to its base. Cancels come at random moments of all kinds of jobs.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import results
from benchmarks.soak_checks import STEPS, Findings, compare, look, tidy
from benchmarks.soak_fork import ATTEMPTS, QUIET, forked
from benchmarks.soak_kills import cancels, kills
from benchmarks.soak_kinds import furnish_heavily
from benchmarks.soak_others import others
from dynamics import faults, read
from dynamics.inspect import inspect
from jobs import client, tasks, work, work_models, worker
from jobs.workspace import Workspace
from models import loop, resume
from models.config import TrainConfig

COMMAND = "OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/soak.py"
TASKS = {**tasks.TASKS, "train": tasks.Task("benchmarks.soak:slow_train", "Train", resumable=True)}
os.environ[tasks.MODULE_VARIABLE] = "benchmarks.soak"


def slow_train(*, params: Mapping, folder: Path, progress: Callable[..., bool]) -> dict:
    """Train as the product does, keeping every state; slowly where there must be time to disturb it."""
    loop.REPORT_SECONDS, resume.CHECKPOINT_SECONDS, worker.PAUSE_S = 0.0, params["every_s"], 0.0

    def slowed(fraction: float, message: str = "", **figures: float) -> bool:
        time.sleep(params["pause_s"])
        return progress(fraction, message, **figures)

    return work_models.train(params=params, folder=folder, progress=slowed)


def make_home(home: Path) -> dict:
    """Make a workspace with 60 cells that move to the right, and return what a training is asked for."""
    rng = np.random.default_rng(0)
    days = np.repeat([0.0, 1.0, 3.0], 20)
    states = (rng.normal(size=(60, 2)) + np.c_[2 * days, 0 * days]).astype(np.float32)
    adata = AnnData(
        obs=pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(60)]), obsm={"X_umap": states}
    )
    workspace = Workspace(home)
    fresh = work.fresh_folder(home / "fresh")
    read.write_h5ad(adata, fresh / "data.h5ad")
    found = inspect(adata)
    roles = found.roles.to_json() | {"rep": "X_umap", "embedding": "X_umap"}
    dataset = workspace.add_dataset(fresh, name="d", origin="", roles=roles, report=found.to_json())
    settings = {"steps": STEPS, "batch": 32, "width": 16}
    config = TrainConfig("ot-cfm", settings=settings).to_json()
    return {"dataset": dataset.id, "config": config, "name": "soak"}


def undisturbed(home: Path, params: Mapping) -> bytes:
    """Return the model of a training that nobody disturbs."""
    folder = home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    work_models.train(params=params, folder=folder, progress=lambda *_, **__: True)
    path = home / "models" / f"{folder.name}.safetensors"
    content = path.read_bytes()
    for one in (path, path.with_suffix(".json")):
        one.unlink()
    return content


# seeded faults


def faulty(template: Path, seed: int, found: Findings, *, params: Mapping, expected: bytes) -> None:
    """Train under the faults of one seed until the job is done."""
    home = template.with_name(f"seed{seed}")
    shutil.copytree(template, home)
    os.environ[faults.RECORD] = str(record := home / "faults.txt")
    jobs = client.Jobs(home)
    id = jobs.submit("train", {**params, "every_s": 0.0, "pause_s": 0.0})
    for attempt in range(ATTEMPTS + QUIET):
        drawn = None if attempt >= ATTEMPTS else f"{seed}.{attempt}"
        if not forked(home, drawn):
            found.wrong.append(f"seed {seed}, attempt {attempt + 1}: the service hangs")
        look(jobs, id, found, when=f"seed {seed}, attempt {attempt + 1}")
        job = jobs.get(id)
        if job.state == "done":
            break
        if job.over:
            jobs.resume(id)
    compare(jobs, id, found, expected=expected, when=f"seed {seed}")
    tidy(jobs, template, found, when=f"seed {seed}")
    found.count(record)
    if not any(f"seed {seed}" in one for one in found.wrong):
        shutil.rmtree(home)


# the report


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="soak", ignore_cleanup_errors=True) as name:
        yield Path(name)


def lines(found: Findings, seconds: Mapping[str, list[tuple[float, float]]]) -> list[str]:
    """Return the table of places and what happened there, and the counts."""
    kinds = sorted({kind for _, kind in found.fired})
    rows = ["| place | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    for place in sorted({place for place, _ in found.fired}):
        rows.append(
            f"| {place} | " + " | ".join(str(found.fired[place, kind] or "") for kind in kinds) + " |"
        )
    rows += ["", f"{sum(found.fired.values()):,} faults and kills; {found.n_files:,} files read again, "]
    rows[-1] += f"{found.n_steps:,} steps compared with the journal; {len(found.wrong)} promises broken."
    rows += ["", *(f"- {end}: {n}" for end, n in sorted(found.ends.items()))]
    rows += [f"- unforeseen, {n} times: {text}" for text, n in sorted(found.unforeseen.items())]
    for task, taken in sorted(seconds.items()):
        to_stop, to_free = np.array(taken).T
        rows += [f"- {len(taken)} cancels of {task}: stopped after at most {to_stop.max():.2f} s (median "]
        rows[-1] += f"{np.median(to_stop):.2f} s), processor free after at most {to_free.max():.2f} s."
    return rows + [f"- BROKEN: {one}" for one in found.wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--others", type=int, default=100, help="seeds for other work than training")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cancels", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)  # to tell what was seen until then
    found, seconds, whole = Findings(), {}, False
    with folder() as place:
        try:
            disturb(place, given, found, seconds)
            whole = True
        except KeyboardInterrupt:
            print("Broken off; this is what was seen until then.")
        told_all = lines(found, seconds)
        print("\n".join(told_all))
        if found.wrong and os.environ.get("SOAK_KEEP"):
            shutil.copytree(place, os.environ["SOAK_KEEP"])
    if given.write and whole:
        counts = {name: getattr(given, name) for name in ("faults", "others", "kills", "cancels")}
        options = "".join(f" --{name} {n}" for name, n in counts.items())
        section = "Faults, kills and cancels" if given.faults else "Kills and cancels"
        results.write(section, COMMAND + options, told_all)
    return bool(found.wrong)


def disturb(place: Path, given: argparse.Namespace, found: Findings, seconds: dict) -> None:
    """Do all that is asked for, in homes below a folder."""
    params = make_home(template := place / "template")
    expected = undisturbed(template, params)
    for seed in range(given.first, given.first + given.faults):
        faulty(template, seed, found, params=params, expected=expected)
    others(place, range(given.first, given.first + given.others), found)
    os.environ.pop(faults.RECORD, None)
    shutil.copytree(template, home := place / "home")
    furnish_heavily(home)
    try:
        if given.kills:
            kills(home, given.kills, found, params=params, expected=expected)
        if given.cancels:
            cancels(home, given.cancels, found, seconds, params=params)
    finally:
        client.stop_service(home)


if __name__ == "__main__":
    sys.exit(main())
