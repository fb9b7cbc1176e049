"""Nobody let in: every file of the project's battery (tests/hostile), read as uploads are.

    OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/hostile.py [--only PATTERN] [--sample N] [--page]

Each file is made, and read by `jobs.sandbox.ingest` in a child of its own: what it says, writes, needs and
leaves behind is judged. `--page` sends the files through the jobs of a real server while a second session
asks for a page every second.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import hostile_page, results
from jobs import landlock, sandbox
from tests.hostile import battery, judging

COMMAND = "OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/hostile.py"


def chosen(only: str, sample: int) -> list[battery.Case]:
    """The cases whose name fits, or so many of them, of every family in turn."""
    cases = [case for case in battery.all_cases() if re.search(only, str(case))]
    return stratified(cases, sample) if sample else cases


def stratified(cases: Iterable[battery.Case], n: int) -> list[battery.Case]:
    """So many cases, drawn from every family in turn."""
    families: dict[str, list[battery.Case]] = {}
    for case in cases:
        families.setdefault(case.family, []).append(case)
    draw = random.Random(0)
    for family in families.values():
        draw.shuffle(family)
    rows = max(map(len, families.values()), default=0)
    order = [family[k] for k in range(rows) for family in families.values() if k < len(family)]
    return order[:n]


def through_the_child(cases: list[battery.Case]) -> list[judging.Outcome]:
    """Read every file in a child of its own."""
    outcomes = []
    sandbox.nursery().warm()
    for k, case in enumerate(cases):
        with tempfile.TemporaryDirectory(prefix="hostile") as folder:
            outcome = judging.run(case, Path(folder))
        outcomes.append(outcome)
        if outcome.wrong:
            print(f"{case}\n    {'; '.join(outcome.wrong)}\n    {outcome.said[:600]}", flush=True)
        if k % 50 == 49:
            print(f"{k + 1} of {len(cases)}", file=sys.stderr, flush=True)
    return outcomes


def table(outcomes: list[judging.Outcome]) -> list[str]:
    """One row for each family, and the sum."""
    rows = ["| family | files | refused | opened, bad part left out | leaks | hangs | peak | slowest |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    families = list(dict.fromkeys(one.case.family for one in outcomes))
    for name in [*families, "all"]:
        some = [one for one in outcomes if name in (one.case.family, "all")]
        leaks = sum("LEAK" in " ".join(one.wrong) for one in some)
        hangs = sum(one.seconds > judging.SECONDS for one in some)
        rows.append(
            f"| {name} | {len(some)} | {sum(not one.opened for one in some)} | "
            f"{sum(one.opened for one in some)} | {leaks} | {hangs} | "
            f"{max(one.peak for one in some) / 1e9:.2f} GB | {max(one.seconds for one in some):.1f} s |"
        )
    slow = sorted(outcomes, key=lambda one: -one.seconds)[:5]
    rows += ["", "Slowest: " + "; ".join(f"{one.case} {one.seconds:.1f} s" for one in slow) + "."]
    large = sorted(outcomes, key=lambda one: -one.peak)[:3]
    rows += ["", "Largest: " + "; ".join(f"{one.case} {one.peak / 1e9:.2f} GB" for one in large) + "."]
    wrong = [one for one in outcomes if one.wrong]
    rows += ["", f"{len(wrong)} of {len(outcomes)} files end otherwise than promised."]
    return rows + [f"- BROKEN: {one.case}: {'; '.join(one.wrong)}" for one in wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a pattern for family and name")
    parser.add_argument("--sample", type=int, default=0, help="so many files, of every family")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    os.environ["SERVER_TOKEN"] = battery.CANARY  # what the environment of the server hides
    started = time.monotonic()
    cases = chosen(given.only, given.sample)
    if given.page:
        lines, broken = hostile_page.report(cases)
    else:
        outcomes = through_the_child(cases)
        lines, broken = table(outcomes), any(one.wrong for one in outcomes)
    lines += ["", f"Landlock version {landlock.version()}; {(time.monotonic() - started) / 60:.0f} minutes."]
    print("\n".join(lines))
    if given.write:
        kind = "through the page" if given.page else "in the child"
        results.write(f"Hostile files, {kind}", COMMAND + " --page" * given.page, lines)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
