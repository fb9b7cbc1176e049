"""Held-out quality of every method on every time course of a folder, beside torchcfm and naive predictions.

    .venv/bin/python -m benchmarks.quality ../shared/data [--files NAME …] [--write]

Each inner time is left out in turn and predicted from the real cells of the time before (100 Euler steps, all
cells, exact W1). Times count 0, 1, 2, … as in the published protocol; `--time-as value` takes real time. Rows
are kept in a file, so that an interrupted run goes on where it was.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks import results, torchcfm_recipe
from benchmarks.courses import courses
from dynamics.snapshots import Snapshots
from jobs.farm import farm
from models import holdout, train
from models.config import TrainConfig
from models.holdout import headroom
from models.methods import METHODS
from models.report import call as report_call

REFERENCE, MAIN = "torchcfm ot-cfm", ("auto", "ot-cfm")
NAIVE = ("copy", "ot-midpoint", "noise-floor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5, help="of torchcfm, auto and ot-cfm")
    parser.add_argument("--other-seeds", type=int, default=1, help="of all other methods")
    parser.add_argument("--all-folds", action="store_true", help="for all methods, not the main ones only")
    parser.add_argument("--time-as", choices=("index", "value"), default="index")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kept", type=Path, default=Path("quality.json"), help="rows already measured")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    rows = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    found = courses(options.folder, options.files, time_as=options.time_as)
    with farm(workers=options.workers) as run:
        for name, shots in found.items():
            _measure(name, shots, rows, options=options, run=run or holdout.here)
    lines = report(rows, found, options)
    print("\n".join(lines))
    if options.write:
        command = f"python -m benchmarks.quality FOLDER --seeds {options.seeds} --time-as {options.time_as}"
        results.write(f"Held-out quality, times as {options.time_as}", command, lines)


def _measure(name: str, shots: Snapshots, rows: dict, *, options: argparse.Namespace, run) -> None:
    """Score what is not among the rows yet."""
    wanted = []
    for k in holdout.inner_times(shots):
        wanted.append((f"{name}|baselines|{k}|0", holdout.baselines, (shots, k)))
        wanted += [
            (f"{name}|{REFERENCE}|{k}|{seed}", torchcfm_recipe.score, (shots, k, seed))
            for seed in range(options.seeds)
        ]
        for method in options.methods:
            seeds = options.seeds if method in MAIN else options.other_seeds
            seeds *= method in MAIN or options.all_folds or k == shots.n_times // 2
            fits = seeds and _fits(method, shots)
            tasks = holdout.tasks([TrainConfig(method)], [k], seeds=seeds) if fits else []
            wanted += [(f"{name}|{method}|{k}|{t.config.seed}", _score, (shots, t)) for t in tasks]
    wanted = [one for one in wanted if one[0] not in rows]
    calls = [(shots, function, *arguments[1:]) for _, function, arguments in wanted]
    for (key, _, _), got in zip(wanted, run(report_call, calls), strict=True):
        rows[key] = [asdict(one) for one in got] if isinstance(got, list) else asdict(got)
        shown = "" if isinstance(got, list) else f"W1 {got.w1:.4f}, {got.train_seconds:.1f} s {got.chosen}"
        print(key, shown, flush=True)
        options.kept.write_text(json.dumps(rows))


def _score(shots: Snapshots, task: holdout.Task) -> holdout.Score:
    """Score a fit, with the processor seconds of its training: they do not depend on what else runs."""
    rest, began = holdout.without(shots, task.held_out), time.process_time()
    model = train.fit(rest, task.config)
    seconds = time.process_time() - began
    return replace(holdout.judge(shots, task, model), train_seconds=seconds)


def _fits(method: str, shots: Snapshots) -> bool:
    return not METHODS[method].why_not(n_times=shots.n_times - 1, dim=shots.dim)


def report(rows: dict, found: dict[str, Snapshots], options: argparse.Namespace) -> list[str]:
    """Return the table: mean W1 over held-out times of each method, in ratio to torchcfm, and a summary."""
    scores = {key: one for key, one in rows.items() if "|baselines|" not in key}
    methods = [REFERENCE, *(m for m in options.methods if any(f"|{m}|" in key for key in scores))]
    head = "| method | " + " | ".join(found) + " | mean ratio | worst | mean headroom | CPU s a fit |"
    lines = [
        "Mean W1 over the held-out times (± sd over seeds), in brackets the ratio to torchcfm's OT-CFM on "
        f"the same times. Methods besides {', '.join(MAIN)}: fewer seeds, and only the middle time unless "
        "all were asked for.",
        "",
    ]
    lines += [head, "|" + "---|" * (len(found) + 5)]
    for method in (*NAIVE, *methods):
        cells, ratios, rooms, seconds = [], [], [], []
        for name in found:
            folds = _folds(scores, name, method if method not in NAIVE else REFERENCE)
            if not folds:
                cells.append("–")
                continue
            naive = _naive(rows, name, folds)
            w1, sd, spent = (naive[method], None, 0.0) if method in NAIVE else _mean(scores, name, method)
            ratios.append(w1 / _mean(scores, name, REFERENCE, folds)[0])
            rooms.append(headroom(w1, copy=naive["copy"], floor=naive["noise-floor"]))
            seconds.append(spent)
            cells.append(f"{w1:.4g}" + (f"±{sd:.2g}" if sd is not None else "") + f" ({ratios[-1]:.3f})")
        rooms = [one for one in rooms if one is not None]
        lines.append(
            f"| {method} | " + " | ".join(cells) + f" | {np.mean(ratios):.3f} | {max(ratios):.3f} | "
            f"{np.mean(rooms):.0%} | {np.mean(seconds):.1f} |"
        )
    reference = {name: _mean(scores, name, REFERENCE)[0] for name in found}
    return [*lines, "", *_summary(scores, found, reference)]


def _summary(scores: dict, found: dict[str, Snapshots], reference: dict[str, float]) -> list[str]:
    """Say how `auto` compares with torchcfm, and what it chose."""
    ratios = {name: (_mean(scores, name, "auto")[0] or np.nan) / reference[name] for name in found}
    known = {name: one for name, one in ratios.items() if np.isfinite(one)}
    if not known:
        return []
    worst, best = max(known, key=known.get), min(known, key=known.get)
    others = [one for name, one in known.items() if name != best] or [known[best]]
    lines = [
        f"auto against torchcfm's OT-CFM over {len(known)} courses: W1 "
        f"{np.mean(list(known.values())) - 1:+.1%} on average ({np.mean(others) - 1:+.1%} without the best, "
        f"{best}), worst {known[worst] - 1:+.1%} ({worst})."
    ]
    for name in known:
        chosen = [one["chosen"] for key, one in scores.items() if key.startswith(f"{name}|auto|")]
        times = {one: chosen.count(one) for one in dict.fromkeys(chosen)}
        lines.append(f"- {name}: chose " + ", ".join(f"{one} ({n}×)" for one, n in times.items()))
    return lines


def _folds(scores: dict, name: str, method: str) -> set[str]:
    """Held-out times that a method was tested on."""
    return {one["held_out"] for key, one in scores.items() if key.startswith(f"{name}|{method}|")}


def _naive(rows: dict, name: str, folds: set[str]) -> dict[str, float]:
    """Mean over times of every prediction that needs no learning."""
    found = [one for key, told in rows.items() if key.startswith(f"{name}|baselines|") for one in told]
    found = [one for one in found if one["held_out"] in folds]
    return {naive: float(np.mean([one["w1"] for one in found if one["name"] == naive])) for naive in NAIVE}


def _mean(
    scores: dict, name: str, method: str, folds: set[str] | None = None
) -> tuple[float | None, float | None, float]:
    """Mean over times of the mean over seeds, deviation of the means of the seeds, seconds of a fit.

    Rows without seconds, measured elsewhere, do not count in the last.
    """
    folds = folds or _folds(scores, name, method)
    mine = [one for key, one in scores.items() if key.startswith(f"{name}|{method}|")]
    mine = [one for one in mine if one["held_out"] in folds]
    if not mine:
        return None, None, 0.0
    means = [np.mean([one["w1"] for one in mine if one["held_out"] == fold]) for fold in folds]
    seeds = {one["seed"] for one in mine}
    by_seed = [[one["w1"] for one in mine if one["seed"] == seed] for seed in seeds]
    whole = [np.mean(one) for one in by_seed if len(one) == len(folds)]
    sd = float(np.std(whole, ddof=1)) if len(whole) > 1 else None
    timed = [one["train_seconds"] for one in mine if one["train_seconds"] is not None]
    return float(np.mean(means)), sd, float(np.mean(timed)) if timed else 0.0


if __name__ == "__main__":
    main()
