"""The whole report on a method: held-out times, cell types, genes, and checks with a known answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dynamics.errors import Stopped
from dynamics.field import Progress, no_progress, share
from dynamics.snapshots import Snapshots
from models import holdout, nulls, verdict
from models.calibration import Calibration, calibrate
from models.config import TrainConfig
from models.folds import Look, Naive, Trial, naive, trial
from models.holdout import Run, Task
from models.resampling import FEWEST
from models.train import versions
from models.verdict import Judgement, plain

BACKWARDS, PERMUTED = "reversed", "permuted"
MOST_NULL_FOLDS = {PERMUTED: 2, BACKWARDS: 1}
"""Held-out times of the checks; only shuffled times can fail."""
DRAWN = (
    "W1: exact earth mover's distance, Euclidean, mean over 12 draws of up to 500 cells a side; MMD likewise"
)
BEST_KNOWN = 40
"""Cell types that are listed; the rarest are left out."""


@dataclass(frozen=True)
class Plan:
    """What a report is made of.

    Attributes
    ----------
    configs
        Recipes to test; the first is the one that the report is about, with its ensemble.
    held_out
        Positions of the times to leave out; none where there are only two times.
    seeds
        Trainings of each recipe, with seeds from that of the recipe on.
    null_checks
        Also with permuted times, with time run backwards, and with one time dealt out as two.
    """

    configs: tuple[TrainConfig, ...]
    held_out: tuple[int, ...]
    seeds: int = 1
    null_checks: bool = True
    origin: str = "previous"


@dataclass(frozen=True, eq=False)
class Null:
    """A method on data whose answer is known."""

    name: str
    judged: Judgement


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that was found; `to_json` puts it into words and figures."""

    snapshots: Snapshots
    plan: Plan
    look: Look
    naive: dict[int, Naive]
    trials: dict[str, list[Trial]]
    nulls: list[Null]
    split: nulls.SplitCheck | None

    @property
    def calibration(self) -> Calibration | None:
        """What the bands of the first recipe's ensemble held; None for a single model."""
        found = [one.misses for one in next(iter(self.trials.values()), []) if one.misses is not None]
        return calibrate(found) if found else None


def testable(snapshots: Snapshots, held_out: Sequence[int]) -> list[int]:
    """Return the times with enough cells, there and just before, to tell error from chance."""
    n = snapshots.axis.n_cells
    return [k for k in held_out if min(n[k - 1], n[k]) >= 2 * FEWEST]


def make(
    snapshots: Snapshots,
    plan: Plan,
    look: Look,
    *,
    run: Run | None = None,
    progress: Progress = no_progress,
) -> Report:
    """Do all of a report's work.

    Parameters
    ----------
    run
        Where it is done; by default here, one piece after the other. The report is the same.

    Raises
    ------
    Stopped
        `progress` returned False.
    """
    folds = testable(snapshots, plan.held_out)
    work = []  # the longest first: the last pieces then end together
    for config in plan.configs:
        name = holdout.name_of(config)
        for task in holdout.tasks([config], folds, seeds=plan.seeds, origin=plan.origin):
            work.append(_Work(("trial", name), snapshots, trial, (_single(task, plan), look)))
    work += _null_work(snapshots, plan) if plan.null_checks else []
    work += [_Work(("naive", k), snapshots, naive, (k, look)) for k in folds]
    found: dict[tuple, list[Any]] = {}
    calls = [(one.snapshots, one.function, *one.arguments) for one in work]
    results = run(call, calls) if run else _here(work, progress)
    for done, (one, got) in enumerate(zip(work, results, strict=True), start=1):
        found.setdefault(one.key, []).append(got)
        if not progress(done / len(work), one.words):
            raise Stopped
    return Report(
        snapshots=snapshots,
        plan=plan,
        look=look,
        naive={k: found["naive", k][0] for k in folds},
        trials={name: got for (kind, name), got in found.items() if kind == "trial"},
        nulls=[_null(name, found) for name in (PERMUTED, BACKWARDS) if ("trial of", name) in found],
        split=found.get(("split", ""), [None])[0],
    )


def _single(task: Task, plan: Plan) -> Task:
    """Leave the ensemble to the first training of the recipe that the report is about."""
    return task if task.config == plan.configs[0] else replace(task, config=replace(task.config, members=1))


def call(snapshots: Snapshots, function: Callable[..., Any], *arguments: Any) -> Any:
    """Do one piece of the work; it must be importable where it runs."""
    return function(snapshots, *arguments)


def _here(work: Sequence["_Work"], progress: Progress) -> Iterator[Any]:
    """Do one piece after the other, and hear a stop also within a training."""
    for done, one in enumerate(work):
        part = share(progress, done / len(work), (done + 1) / len(work))
        named = {"progress": _named(part, one.words)} if one.function is trial else {}
        yield one.function(one.snapshots, *one.arguments, **named)


def _named(progress: Progress, name: str) -> Progress:
    """Put a name before each message, and leave the figures of single trainings away."""
    return lambda fraction, message="", **_: progress(fraction, f"{name}: {message}")


@dataclass(frozen=True, eq=False)
class _Work:
    key: tuple
    snapshots: Snapshots
    function: Callable[..., Any]
    arguments: tuple

    @property
    def words(self) -> str:
        labels, kind = self.snapshots.axis.labels, self.key[0]
        if kind == "naive":
            return f"Predictions without learning, time {labels[self.key[1]]}"
        if kind == "trial":
            return f"{self.key[1]} without time {labels[self.arguments[0].held_out]}"
        return "Checks with a known answer"


def _null_work(snapshots: Snapshots, plan: Plan) -> list[_Work]:
    """List the work on shuffled times, on time run backwards, and on one time dealt out as two."""
    config = replace(plan.configs[0], members=1)
    few, plain_look = nulls.thinned(snapshots), Look()
    work = [_Work(("split", ""), snapshots, nulls.split_check, (config,))]
    last = snapshots.n_times - 1
    for name, changed in ((PERMUTED, nulls.permuted(few)), (BACKWARDS, nulls.backwards(few))):
        folds = testable(changed, [last - k if name == BACKWARDS else k for k in plan.held_out])
        for k in folds[:: -(-len(folds) // MOST_NULL_FOLDS[name])] if folds else ():
            work.append(_Work(("naive of", name), changed, naive, (k, plain_look)))
            work.append(_Work(("trial of", name), changed, trial, (Task(config, k), plain_look)))
    return work


def _null(name: str, found: dict[tuple, list[Any]]) -> Null:
    judged = [
        verdict.at_time([one.apart], beside, name="")
        for one, beside in zip(found["trial of", name], found["naive of", name], strict=True)
    ]
    return Null(name, verdict.overall(judged))


# what it says


def to_json(
    report: Report,
    *,
    data: dict[str, Any],
    protocol: dict[str, Any],
    alarms: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the report in the form that `cli.py validate --json` writes and the library keeps.

    Parameters
    ----------
    data, protocol
        What else is to be said of the data and of how they were taken.
    alarms
        What was noticed that may look like motion and is something else, as findings.
    """
    rows = [one.score for trials in report.trials.values() for one in trials]
    shots, plan = report.snapshots, report.plan
    data |= {"n_cells": shots.n_cells, "times": list(shots.axis.labels), "unit": shots.unit}
    protocol |= {"from": holdout.ORIGINS[plan.origin], "seeds": plan.seeds, "versions": versions()}
    protocol["distance"] = holdout.DISTANCE if report.look.exact else DRAWN
    return {
        "data": data,
        "protocol": protocol | {"verdict_rule": verdict.RULE},
        "rows": [asdict(row) for row in rows],
        "baselines": [asdict(one) for found in report.naive.values() for one in found.baselines],
        "summary": summaries(report),
        "times": [one for name in _names(report) for one in _times(report, name)],
        "types": _types(report),
        "genes": _genes(report),
        "nulls": _nulls(report),
        "calibration": _calibration(report.calibration),
        "alarms": [dict(one) for one in alarms],
    }


def summaries(report: Report) -> list[dict[str, Any]]:
    """Return one entry a method, over all its held-out times and seeds."""
    return [_summary(report, name) for name in _names(report)]


def _names(report: Report) -> list[str]:
    return list(dict.fromkeys(holdout.name_of(config) for config in report.plan.configs))


def _summary(report: Report, name: str) -> dict[str, Any]:
    trials = report.trials.get(name, [])
    if not trials:
        two = report.snapshots.n_times < 3
        why = verdict.ONLY_TWO if two else "cannot be tested: too few cells at the times in between"
        told = verdict.untestable(why).to_json()
        unknown = {"w1_mean": None, "w1_sd": None, "train_seconds": None, "chosen": []}
        return {"method": name, **unknown, **told}
    judged = verdict.overall([one for _, one in _judged_times(report, name)])
    seeds = sorted({one.score.seed for one in trials})
    w1 = [np.mean([one.score.w1 for one in trials if one.score.seed == seed]) for seed in seeds]
    return {
        "method": name,
        "w1_mean": float(np.mean(w1)),
        "w1_sd": float(np.std(w1, ddof=1)) if len(w1) > 1 else None,
        "train_seconds": float(np.mean([one.score.train_seconds for one in trials])),
        "chosen": list(dict.fromkeys(one.score.chosen for one in trials if one.score.chosen)),
        **judged.to_json(),
    }


def _judged_times(report: Report, name: str) -> list[tuple[int, Judgement]]:
    """Judge a method at each held-out time; a time with too few cells cannot be tested."""
    return [
        (k, verdict.at_time(_at(report, name, k), beside, name=report.snapshots.axis.name(k)))
        for k, beside in report.naive.items()
    ]


def _at(report: Report, name: str, k: int) -> list[Any]:
    return [one.apart for one in report.trials[name] if one.task.held_out == k]


def _times(report: Report, name: str) -> list[dict[str, Any]]:
    axis, told = report.snapshots.axis, []
    judged = dict(_judged_times(report, name))
    for k in report.plan.held_out:
        few = min(axis.n_cells[k - 1], axis.n_cells[k])
        one = judged.get(k) or verdict.untestable(f"cannot be tested on {axis.name(k)}: only {few} cells")
        cells = {"cells": report.naive[k].draws.m} if k in report.naive else {}
        told.append({"method": name, "held_out": axis.labels[k], **cells, **one.to_json()})
    return told


def _types(report: Report) -> list[dict[str, Any]]:
    """Judge the method that the report is about on every cell type at every held-out time."""
    if not report.trials or not report.look.names:
        return []
    name = next(iter(report.trials))
    axis, told = report.snapshots.axis, []
    for k, beside in report.naive.items():
        found = _at(report, name, k)
        common = np.argsort(-beside.group_cells, kind="stable")[:BEST_KNOWN]
        for group in sorted(int(g) for g in common if beside.group_cells[g] >= 2 * FEWEST):
            who = f"{report.look.names[group]} at {axis.name(k)}"
            one = verdict.of_group(found, beside, group, name=who)
            if one.verdict != "untestable":
                entry = {"held_out": axis.labels[k], "type": report.look.names[group]}
                told.append({**entry, "n_cells": int(beside.group_cells[group]), **one.to_json()})
    return told


def _genes(report: Report) -> list[dict[str, Any]]:
    """List the genes that change most at each held-out time, with how far each prediction is from them."""
    told = []
    for k, beside in report.naive.items():
        trials = [one for one in next(iter(report.trials.values())) if one.task.held_out == k]
        if not trials or trials[0].genes is None:
            continue
        model = np.mean([one.genes.distance for one in trials], axis=0)
        naive_ = {name: one.distance for name, one in beside.genes.items()}
        for g, gene in enumerate(trials[0].genes.genes):
            values = {"model": model[g], "copy": naive_["copy"][g], "line": naive_["ot-midpoint"][g]}
            told.append(
                {"held_out": report.snapshots.axis.labels[k], "gene": gene}
                | {name: plain(float(value), 4) for name, value in values.items()}
            )
    return told


def _nulls(report: Report) -> list[dict[str, Any]]:
    """Say of each check what came out and what that means."""
    told = []
    for one in report.nulls:
        found = one.judged.finds_motion or one.judged.verdict == "better"
        told.append({"name": one.name, "passed": not found if one.name == PERMUTED else None})
        told[-1] |= one.judged.to_json()
    if report.split is not None:
        one = report.split
        told.append({"name": "split", "passed": one.passed, **asdict(one)})
    return told


def _calibration(found: Calibration | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "fine": found.fine}
