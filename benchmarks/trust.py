"""What the report on a model is worth: true and shuffled times, known truths, bands, and flags.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.trust ../shared/data [--parts PART …] [--write]

Parts: `reports` (verdicts on every course), `time` (of a whole report on 17,000 cells at 5 times),
`shuffled` (20 permutations of the time labels of three courses), `rule` (error rates of the rule on
simulated courses whose answer is known), `bands` (share of held-out quantities inside the 80 % bands of the
ensemble), `flags` (do the cells that are called unreliable have the larger errors?). Results are kept in a
file, so that an interrupted run goes on where it was.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import results
from benchmarks.courses import courses
from dynamics import demo, preprocess, read, roles, snapshots, velocity
from dynamics.reliability import reliability
from dynamics.snapshots import Snapshots, from_arrays
from jobs.farm import farm
from models import holdout, nulls, report
from models.calibration import calibrate
from models.config import TrainConfig
from models.folds import Look, naive, trial
from models.holdout import Task
from models.methods import USUAL_MEMBERS
from models.train import fit

SHUFFLED = ("emt_latent10", "sim_threegene_growth_2d", "reprogramming_3day")
PERMUTATIONS = 20
LARGE, ROUNDS = "eb_phate2d", 3
SIMULATED = ("sim_threegene_growth_2d", "sim_threegene_growth_3d", "sim_boolode_gsd", "sim_dyngen_branching")
TRUTH = "sim_dyngen_branching"
Kept = dict[str, dict]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=20, help="simulated courses of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kept", type=Path, default=Path("trust.json"), help="what was already measured")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    kept: Kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    for part in options.parts:
        mine = kept.setdefault(part, {})
        for key, value in PARTS[part][1](options, mine):
            mine[key] = value
            print(part, key, value, flush=True)
            options.kept.write_text(json.dumps(kept))
        lines = PARTS[part][2](mine)
        print("\n".join(lines))
        if options.write:
            results.write(
                PARTS[part][0],
                f"python -m benchmarks.trust FOLDER --parts {part} --method {options.method}",
                lines,
            )


Rows = Iterator[tuple[str, dict]]


# verdicts on every course


def reports(options: argparse.Namespace, known: dict) -> Rows:
    """Make the whole report on every course, in this process."""
    found = courses(options.folder, options.files, time_as="value")
    if not options.files or "demo" in options.files:
        found["demo"] = _demo()[1]
    for name, shots in found.items():
        if name in known:
            continue
        began = time.process_time()
        told = report.to_json(report.make(shots, _plan(options, shots), Look()), data={}, protocol={})
        yield (
            name,
            {
                "cells": shots.n_cells,
                "times": {row["held_out"]: row["verdict"] for row in told["times"]},
                "line": told["summary"][0]["against_line"],
                "line_se": told["summary"][0]["against_line_se"],
                "headroom": told["summary"][0]["headroom"],
                "headroom_se": told["summary"][0]["headroom_se"],
                "verdict": told["summary"][0]["verdict"],
                "motion": told["summary"][0]["finds_motion"],
                "checks": {one["name"]: one["passed"] for one in told["nulls"]},
                "covered": told["calibration"]["covered"],
                "seconds": time.process_time() - began,
            },
        )


def _plan(options: argparse.Namespace, shots: Snapshots) -> report.Plan:
    config = TrainConfig(options.method, members=USUAL_MEMBERS)
    return report.Plan((config,), tuple(holdout.inner_times(shots)))


def _report_lines(known: dict) -> list[str]:
    lines = [
        "Verdict of the whole report on each course, and of each held-out time; W1 over that of straight "
        "lines, and headroom, each ± one standard error; checks; processor seconds.",
        "",
        "| course | cells | verdict | by time | W1 / line | headroom | shuffled | split | bands held | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in known.items():
        words = list(one["times"].values())
        by_time = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        passed = {True: "negative", False: "POSITIVE", None: "–"}
        room = "–" if one["headroom"] is None else f"{one['headroom']:.0%} ± {one['headroom_se']:.0%}"
        lines.append(
            f"| {name} | {one['cells']:,} | {one['verdict']} | {by_time} | {np.exp(one['line']):.3f} ± "
            f"{one['line_se']:.3f} | {room} | {passed[one['checks'].get('permuted')]} | "
            f"{passed[one['checks'].get('split')]} | {one['covered']:.0%} | {one['seconds']:.0f} |"
        )
    return lines


# time of the largest


def timed(options: argparse.Namespace, known: dict) -> Rows:
    """Take the time on the wall of a whole report on 17,000 cells at 5 times, by processes that are there."""
    shots = courses(options.folder, [LARGE], time_as="value")[LARGE]
    with farm(workers=options.workers) as run:
        list(run(report.call, [(shots, naive, 1, Look())] * options.workers))  # what a first call loads
        for again in range(ROUNDS):
            if (key := f"{options.method}|{again}") not in known:
                began = time.perf_counter()
                report.make(shots, _plan(options, shots), Look(), run=run)
                yield key, {"seconds": time.perf_counter() - began, "workers": options.workers}


def _timed_lines(known: dict) -> list[str]:
    lines = [f"{LARGE}, 16,825 cells at 5 times, 2 dimensions; seconds on the wall.", ""]
    lines += ["| method | processes | median | rounds |", "|---|---|---|---|"]
    for method in dict.fromkeys(key.split("|")[0] for key in known):
        mine = [one for key, one in known.items() if key.split("|")[0] == method]
        seconds = sorted(one["seconds"] for one in mine)
        shown = ", ".join(f"{value:.0f}" for value in seconds)
        lines.append(f"| {method} | {mine[0]['workers']} | {np.median(seconds):.0f} | {shown} |")
    return lines


# shuffled times


def shuffled(options: argparse.Namespace, known: dict) -> Rows:
    """Test data whose times were dealt out at random; the true times beside them."""
    config = TrainConfig(options.method)
    with farm(workers=options.workers) as run:
        for name, shots in courses(options.folder, list(SHUFFLED), time_as="value").items():
            few = nulls.thinned(shots)
            wanted = {f"{name}|{seed}": nulls.permuted(few, seed) for seed in range(PERMUTATIONS)}
            for key, mixed in ({f"{name}|true": few} | wanted).items():
                if key not in known:
                    yield key, _verdict(mixed, config, run)


def _verdict(shots: Snapshots, config: TrainConfig, run: Callable | None) -> dict:
    plan = report.Plan((config,), tuple(holdout.inner_times(shots)), null_checks=False)
    told = report.summaries(report.make(shots, plan, Look(), run=run))[0]
    return {"verdict": told["verdict"], "motion": told["finds_motion"], "line": told["against_line"]}


def _shuffled_lines(known: dict) -> list[str]:
    lines = [
        "Verdict is negative where it is not “better” and no motion is found.",
        "",
        "| course | true times | finds motion | shuffled: negative |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(key.split("|")[0] for key in known):
        mixed = [one for key, one in known.items() if key.startswith(f"{name}|") and "true" not in key]
        negative = sum(one["verdict"] != "better" and not one["motion"] for one in mixed)
        true = known[f"{name}|true"]
        word = "yes" if true["motion"] else "no"
        lines.append(f"| {name} | {true['verdict']} | {word} | {negative} of {len(mixed)} |")
    return lines


# error rates of the rule


def simulated(kind: str, n: int, seed: int) -> Snapshots:
    """Return a course whose answer is known: cells of two kinds that stand, drift, or run along an arc."""
    rng = np.random.default_rng([seed, n])
    turns = {"still": np.zeros(5), "straight": np.zeros(5), "bent": np.linspace(0, np.pi, 5)}[kind]
    pace = 0.0 if kind == "still" else 1.0
    states = []
    for k, angle in enumerate(turns):
        side = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        if kind == "bent":
            centre = 3 * np.column_stack([np.full(n, np.cos(angle)), side * np.sin(angle)])
        else:
            centre = pace * k * np.column_stack([np.ones(n), 0.3 * side])
        noise = rng.standard_normal((n, 5)) * 0.4
        noise[:, :2] += centre
        states.append(noise)
    return from_arrays(np.concatenate(states), np.repeat(np.arange(5.0), n), unit="day")


def rule(options: argparse.Namespace, known: dict) -> Rows:
    """Apply the rule where the right verdict is known."""
    with farm(workers=options.workers) as run:
        for kind in ("still", "straight", "bent"):
            for n in (60, 200):
                for method in ("ot-cfm", "spline-cfm"):
                    for seed in range(options.seeds):
                        key = f"{kind}|{n}|{method}|{seed}"
                        if key not in known:
                            shots = simulated(kind, n, seed)
                            yield key, _verdict(shots, TrainConfig(method, {"steps": 300}), run)


def _rule_lines(known: dict) -> list[str]:
    lines = [
        "Share of simulated courses with each verdict. Cells stand still (there is nothing to find), drift "
        "along straight lines (nothing is better than these), or run along an arc (smooth paths are better).",
        "",
        "| course | cells a time | method | better | no-better | worse | finds motion | courses |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in dict.fromkeys(key.rsplit("|", 1)[0] for key in known):
        mine = [one for key, one in known.items() if key.startswith(f"{case}|")]
        share = {word: np.mean([one["verdict"] == word for one in mine]) for word in WORDS}
        motion = np.mean([one["motion"] for one in mine])
        kind, n, method = case.split("|")
        shown = " | ".join(f"{share[word]:.0%}" for word in WORDS)
        lines.append(f"| {kind} | {n} | {method} | {shown} | {motion:.0%} | {len(mine)} |")
    return lines


WORDS = ("better", "no-better", "worse")


# bands


def bands(options: argparse.Namespace, known: dict) -> Rows:
    """Count real values inside the bands of the ensemble at held-out times of simulated courses."""
    config = TrainConfig(options.method, members=USUAL_MEMBERS)
    found = courses(options.folder, list(SIMULATED), time_as="value")
    found["demo"] = _demo()[1]
    with farm(workers=options.workers) as run:
        for name, shots in found.items():
            if name in known:
                continue
            calls = [(shots, trial, Task(config, k), Look()) for k in holdout.inner_times(shots)]
            misses = [one.misses for one in (run or holdout.here)(report.call, calls)]
            told = calibrate(misses)
            yield (
                name,
                {
                    "covered": told.covered,
                    "widened": told.covered_widened,
                    "factor": told.factor,
                    "n": told.n_values,
                    "times": told.n_times,
                },
            )


def _band_lines(known: dict) -> list[str]:
    lines = [
        "Means and quartiles of every dimension at held-out times: share inside the 80 % bands of an "
        f"ensemble of {USUAL_MEMBERS}, and where each time's bands are corrected by what the other times "
        "call for.",
        "",
        "| course | times | values | inside | factor | inside when corrected |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {name} | {one['times']} | {one['n']} | {one['covered']:.0%} | {one['factor']:.2f} | "
        f"{one['widened']:.0%} |"
        for name, one in known.items()
    ]


# flags


def flags(options: argparse.Namespace, known: dict) -> Rows:
    """Compare the reliability of cells with their true angular errors."""
    for name, source in (("demo", _demo), (TRUTH, lambda: _dyngen(options.folder))):
        if name not in known:
            yield name, _flagged(*source())


def _flagged(true: np.ndarray, shots: Snapshots) -> dict:
    model = fit(shots, TrainConfig(members=USUAL_MEMBERS))
    learned = velocity.evaluate(model, shots.times, shots.states).astype(float)
    lengths = np.linalg.norm(learned, axis=1) * np.linalg.norm(true, axis=1)
    told = lengths > 0
    cosine = (learned * true).sum(axis=1)[told] / lengths[told]
    found = reliability(model, shots)
    flagged = found.unreliable[told]
    wrong = cosine < 0.5
    return {
        "cells": int(told.sum()),
        "wrong": float(wrong.mean()),
        "flagged": float(flagged.mean()),
        "cosine_flagged": float(cosine[flagged].mean()) if flagged.any() else None,
        "cosine_others": float(cosine[~flagged].mean()) if (~flagged).any() else None,
        "auc": float(roc_auc_score(wrong, -found.score[told])),
        "auc_median": float(roc_auc_score(cosine < np.median(cosine), -found.score[told])),
    }


def _flag_lines(known: dict) -> list[str]:
    lines = [
        "True and learned velocity in the states; wrong: more than 60° off. ROC: does the reliability score "
        "tell wrong cells from the others, and the worse half from the better?",
        "",
        "| course | cells | wrong | unreliable | their cosine | of the others | ROC, wrong | ROC, halves |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in known.items():
        shown = [
            "–" if one[key] is None else f"{one[key]:.2f}" for key in ("cosine_flagged", "cosine_others")
        ]
        lines.append(
            f"| {name} | {one['cells']:,} | {one['wrong']:.0%} | {one['flagged']:.0%} | {shown[0]} | "
            f"{shown[1]} | {one['auc']:.2f} | {one['auc_median']:.2f} |"
        )
    return lines


def _demo() -> tuple[np.ndarray, Snapshots]:
    """Return the demo's true velocity in its states, and its snapshots."""
    adata = preprocess.prepare(demo.make_demo("branching", seed=0))
    shots = snapshots.from_anndata(adata, roles.detect(adata))
    true = np.asarray(adata.layers["true_velocity"], float) @ adata.varm["PCs"][:, : shots.dim]
    return true[shots.cells], shots


def _dyngen(folder: Path) -> tuple[np.ndarray, Snapshots]:
    """Return dyngen's true velocity of spliced counts as a velocity of logged, normalised states."""
    adata = read.read_h5ad(folder / f"{TRUTH}.h5ad")
    counts = np.asarray(adata.layers["spliced"].todense(), float)
    rate = adata.layers["true_velocity"]
    rate = np.asarray(rate.todense() if hasattr(rate, "todense") else rate, float)
    adata = preprocess.prepare(
        adata, preprocess.PrepareConfig.from_mapping({"umap": "skip", "neighbours": "skip"})
    )
    shots = snapshots.from_anndata(adata, replace(roles.detect(adata), time_as="value"))
    total = counts.sum(axis=1, keepdims=True)
    size = np.median(total) / total
    share = counts / total
    logged = size / (1 + counts * size) * (rate - share * rate.sum(axis=1, keepdims=True))
    loadings = np.asarray(adata.varm["PCs"], float)[:, : shots.dim]
    return (logged @ loadings)[shots.cells], shots


PARTS = {
    "reports": ("Reports on all courses", reports, _report_lines),
    "time": ("Time of a whole report", timed, _timed_lines),
    "shuffled": ("Shuffled time labels", shuffled, _shuffled_lines),
    "rule": ("Error rates of the rule for verdicts", rule, _rule_lines),
    "bands": ("Bands of the ensemble", bands, _band_lines),
    "flags": ("Cells called unreliable", flags, _flag_lines),
}

if __name__ == "__main__":
    main()
