"""Take every h5ad of a folder through the command line: inspect, prepare, train, simulate, annotate.

    .venv/bin/python -m benchmarks.real_data ../shared/data [NAME …]

Prints one row a file: seconds of each step, or why it stops there.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import cli


def main(folder: Path, names: list[str]) -> None:
    print(
        f"{'file':34} {'cells':>7} {'genes':>6} {'times':>5}  inspect prepare   train simulate annotate  (s)"
    )
    for file in sorted(folder.glob("*.h5ad")):
        if not names or file.stem in names:
            with tempfile.TemporaryDirectory() as out:
                print(row(file, Path(out)), flush=True)


def row(file: Path, out: Path) -> str:
    """Return the line of one file."""
    code, took, said = run("inspect", file, "--json", "-")
    if code:
        return f"{file.stem:34} {said}"
    found = json.loads(said)
    roles = found["roles"]
    times = roles["times"] or []
    line = f"{file.stem:34} {found['n_cells']:7,} {found['n_genes']:6,} {len(times):5}  {took:7.1f}"
    ready, model = file, out / "model.safetensors"
    if not (roles["rep"] and roles["embedding"]):
        ready = out / "prepared.h5ad"
        code, took, said = run("prepare", file, "-o", ready)
        line += f" {took:7.1f}" if not code else f" {said}"
    else:
        line += f" {'-':>7}"
    for command in (
        ("train", ready, "-o", model),
        ("simulate", ready, model, "-o", out / "simulated.h5ad"),
        ("annotate", ready, model, "-o", out / "annotated.h5ad"),
    ):
        code, took, said = run(*command)
        if code:
            return f"{line}  {command[0]}: {said}"
        line += f" {took:7.1f}"
    return line


def run(*words: object) -> tuple[int, float, str]:
    """Run one command; return its exit code, its seconds, and what it printed."""
    printed, errors = io.StringIO(), io.StringIO()
    began = time.perf_counter()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        code = cli.main([str(word) for word in words])
    return code, time.perf_counter() - began, errors.getvalue().strip() if code else printed.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
