"""No file of the battery leaks, hangs or lies its way in: all are checked, a few are read by a real child.

The whole battery through children: `./test -m slow tests/hostile`, or benchmarks/hostile.py with its table.
"""

import ast
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.hostile import stratified
from dynamics.errors import FileError
from jobs import sandbox, work
from jobs.precheck import check
from jobs.workspace import Workspace
from tests.hostile import battery, judging
from tests.hostile.battery import EITHER, OPENED, REFUSED, Case

CASES = battery.all_cases()
FAMILIES = list(dict.fromkeys(case.family for case in CASES))
SLOW = {
    "120,000 attributes",
    "25,000 groups",
    "3,000 levels",
    "10,500 attributes",
    "blocks in a circle",
    "neighbours in a circle",
    "zeros of 960 MB in an embedding",
}
MOST = 24
"""Files of a family that are checked by default; `./test -m slow tests/hostile` reads all."""
ROOT = Path(__file__).resolve().parents[2]
READERS = {
    "jobs/blocks.py",
    "jobs/contents.py",
    "jobs/kinds.py",
    "jobs/layout.py",
    "jobs/lzf.py",
    "jobs/precheck.py",
}
"""Who may touch HDF5 files, besides what reads data sets in `dynamics`."""
OPENING = {"sniff", "check", "read_h5ad", "read_cells", "matrix_names", "gene_values", "opened"}


def of(family: str) -> list[Case]:
    return [case for case in CASES if case.family == family]


def few(family: str) -> list[Case]:
    """Some of a family, spread over all of it."""
    cases = [case for case in of(family) if case.in_process and case.name not in SLOW]
    return cases[:: -(-len(cases) // MOST) or 1]


def checked(case: Case, folder: Path) -> tuple[bool, str, list[str]]:
    """Whether the check lets a file in, what it says, and what is wrong with that."""
    folder.mkdir()
    path = case.make(folder)
    try:
        damaged = check(path)
    except FileError as refusal:
        said = str(refusal)
        return False, said, judging.judged(case, opened=False, said=said)
    wrong = []
    if case.ends not in (OPENED, EITHER) and not damaged:
        wrong.append("passed")
    if case.ends == OPENED and damaged:
        wrong.append(f"damaged: {damaged}")
    return True, str(dict(damaged)), wrong


def test_the_battery_is_large_and_every_name_is_its_own():
    assert len(CASES) > 1000
    assert len({str(case) for case in CASES}) == len(CASES)
    assert sum(case.ends == REFUSED for case in CASES) > 500


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_lets_nothing_hostile_in(tmp_path, family):
    found = {case.name: checked(case, tmp_path / f"{k}") for k, case in enumerate(few(family))}
    wrong = {name: (said, what) for name, (_, said, what) in found.items() if what}
    assert not wrong


@pytest.mark.parametrize(
    "case", stratified((case for case in CASES if case.name not in SLOW), len(FAMILIES))[::2], ids=str
)
def test_a_real_child_leaks_nothing_and_holds_its_limits(tmp_path, monkeypatch, case):
    monkeypatch.setenv("SERVER_TOKEN", battery.CANARY)
    outcome = judging.run(case, tmp_path)
    assert not outcome.wrong, outcome.said


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_in_a_real_child(tmp_path, monkeypatch, family):
    monkeypatch.setenv("SERVER_TOKEN", battery.CANARY)
    wrong = {}
    for k, case in enumerate(of(family)):
        (tmp_path / f"{k}").mkdir()
        outcome = judging.run(case, tmp_path / f"{k}")
        if outcome.wrong:
            wrong[case.name] = (outcome.said, outcome.wrong)
    assert not wrong


# nobody but the child opens what was uploaded


def test_only_readers_know_how_to_open_hdf5():
    found = {name for name, path in product() if "h5py" in imported(path)}
    found = {name for name in found if not name.startswith("dynamics/")}
    assert found == READERS


def product() -> list[tuple[str, Path]]:
    """The product's files by name."""
    own = ("app.py", "cli.py", "commands", "pages", "ui", "jobs", "models", "dynamics")
    paths = [path for name in own for path in [ROOT / name, *(ROOT / name).rglob("*.py")] if path.is_file()]
    return [(path.relative_to(ROOT).as_posix(), path) for path in paths]


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_the_server_never_opens_what_was_uploaded():
    """In pages and jobs, whatever opens a file gets the clean copy of a data set, not a source or upload."""
    found = []
    for name, path in product():
        if name in READERS | {"jobs/sandbox.py"} or name.startswith(("commands/", "dynamics/", "models/")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            given = ast.unparse(node.args[0])
            if called in OPENING and any(word in given for word in ("source", "upload", "params")):
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert not found


def test_the_worker_never_opens_what_was_uploaded(tmp_path, monkeypatch):
    """The task that takes an upload in leaves it to the child: here HDF5 files open in no other process."""
    home = Workspace(tmp_path / "home")
    source = battery.rich(home.home / "uploads" / "1.upload")
    opened = []
    monkeypatch.setattr(h5py.h5f, "open", lambda name, *given, **more: opened.append(name))
    monkeypatch.setattr(h5py, "File", lambda name, *given, **more: opened.append(name))
    folder = home.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    made = work.ingest(
        params={"source": str(source), "name": "a.h5ad"}, folder=folder, progress=lambda *_: True
    )
    assert home.dataset(made["dataset"]).opened.exists()
    assert opened == []


def test_the_environment_of_the_reading_process_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_TOKEN", battery.CANARY)
    keeper = sandbox.Nursery("jobs.sandbox", folder=sandbox.ROOT, environment=sandbox._environment())
    keeper.warm()
    try:
        environment = Path(f"/proc/{keeper._process.pid}/environ")
        if not environment.exists():
            pytest.skip("this system does not show the environment of processes")
        names = {part.partition(b"=")[0].decode() for part in environment.read_bytes().split(b"\0") if part}
        assert battery.CANARY.encode() not in environment.read_bytes()
        assert names <= {*sandbox.KEPT_VARIABLES, *sandbox.CHILD_VARIABLES, "PYTHONPATH"}
        assert "SERVER_TOKEN" in os.environ
    finally:
        keeper.close()


def test_a_short_file_gets_little_memory_and_time(tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_bytes(b"")
    assert sandbox._allowed(path, None, None) == (1.5, 18)
    os.truncate(path, 100 * 10**6)
    memory, seconds = sandbox._allowed(path, None, None)
    assert memory == 4.0
    assert 140 < seconds < 160
    os.truncate(path, 10**10)
    memory, seconds = sandbox._allowed(path, None, None)
    assert memory == pytest.approx(6.44, abs=0.01)
    assert seconds == 600
    assert sandbox._allowed(path, 2.0, 3.0) == (2.0, 3.0)


def test_what_the_child_says_is_bounded(tmp_path):
    """A data set with very many unreadable columns is described shortly."""

    def crowd(file: h5py.File, folder: Path) -> None:
        for k in range(400):
            file[f"obsm/x{k}"] = np.zeros(3)

    path = battery.edited(crowd)(tmp_path)
    (tmp_path / "set").mkdir()
    report = sandbox.ingest(path, tmp_path / "set" / "data.h5ad")
    assert len(report["findings"]) <= 201
    assert len(json.dumps(report)) < 200_000
