"""What held-out scores say: one line a method, beside the predictions that need no learning."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.holdout import Baseline, Score, headroom

MARGIN = 0.03
"""A method must be this much closer than the OT midpoint to count as better."""
RULE = (
    "better: at least 3 % closer to the real cells than the OT midpoint, and closer than a copy of the time "
    "before; worse: further away than the copy; all on average over the held-out times"
)
TEXTS = {
    "better": "predicts cells that it has not seen better than straight lines between paired cells do",
    "no-better": "predicts no better than straight lines between paired cells of the neighbouring times",
    "worse": "predicts worse than a copy of the cells of the time before",
}


@dataclass(frozen=True)
class Summary:
    """The scores of one method over all held-out times and seeds."""

    method: str
    w1_mean: float
    """Mean over the held-out times and the seeds, in state units."""
    w1_sd: float | None
    """Standard deviation over the seeds of the mean over the held-out times; None for one seed."""
    headroom: float | None
    """Mean over times of (copy − model) / (copy − noise floor)."""
    verdict: str
    verdict_text: str
    train_seconds: float
    """Of one fit, mean."""
    chosen: tuple[str, ...] = ()
    """What an automatic method chose, each once."""


def summarise(scores: Sequence[Score], baselines: Sequence[Baseline]) -> list[Summary]:
    """Summarise scores by method, in the order in which the methods first appear."""
    naive = {(one.name, one.held_out): one.w1 for one in baselines}
    methods = list(dict.fromkeys(one.method for one in scores))
    return [_summary([one for one in scores if one.method == method], naive) for method in methods]


def _summary(scores: list[Score], naive: dict[tuple[str, str], float]) -> Summary:
    folds = list(dict.fromkeys(one.held_out for one in scores))
    seeds = sorted({one.seed for one in scores})
    by_seed = [np.mean([one.w1 for one in scores if one.seed == seed]) for seed in seeds]
    w1 = {fold: float(np.mean([one.w1 for one in scores if one.held_out == fold])) for fold in folds}
    copy, middle, floor = (
        {fold: naive[name, fold] for fold in folds} for name in ("copy", "ot-midpoint", "noise-floor")
    )
    room = [headroom(w1[fold], copy=copy[fold], floor=floor[fold]) for fold in folds]
    known = [one for one in room if one is not None]
    verdict = _verdict(*(float(np.mean(list(one.values()))) for one in (w1, copy, middle)))
    return Summary(
        method=scores[0].method,
        w1_mean=float(np.mean(by_seed)),
        w1_sd=float(np.std(by_seed, ddof=1)) if len(seeds) > 1 else None,
        headroom=float(np.mean(known)) if known else None,
        verdict=verdict,
        verdict_text=TEXTS[verdict],
        train_seconds=float(np.mean([one.train_seconds for one in scores])),
        chosen=tuple(dict.fromkeys(one.chosen for one in scores if one.chosen)),
    )


def _verdict(w1: float, copy: float, middle: float) -> str:
    if w1 > copy:
        return "worse"
    return "better" if w1 < (1 - MARGIN) * middle else "no-better"


def to_json(
    scores: Sequence[Score], baselines: Sequence[Baseline], *, data: dict[str, Any], protocol: dict[str, Any]
) -> dict[str, Any]:
    """Return everything in the form that `cli.py validate --json` writes."""
    return {
        "data": data,
        "protocol": protocol | {"verdict_rule": RULE},
        "rows": [asdict(one) for one in scores],
        "baselines": [asdict(one) for one in baselines],
        "summary": [asdict(one) for one in summarise(scores, baselines)],
    }


def lines(scores: Sequence[Score], baselines: Sequence[Baseline]) -> list[str]:
    """Return the same as a table for a terminal."""
    folds = list(dict.fromkeys(one.held_out for one in baselines))
    head = f"{'W1 to the real cells':32}" + "".join(f"{fold:>12.12}" for fold in folds)
    found = [f"{head}{'mean':>12}{'sd':>9}{'headroom':>10}{'s/fit':>8}"]
    for name in ("copy", "ot-midpoint", "noise-floor"):
        values = [one.w1 for one in baselines if one.name == name]
        found.append(_line(name, values))
    for one in summarise(scores, baselines):
        mine = [score for score in scores if score.method == one.method]
        values = [float(np.mean([s.w1 for s in mine if s.held_out == fold])) for fold in folds]
        sd = "" if one.w1_sd is None else f"{one.w1_sd:.3g}"
        room = "" if one.headroom is None else f"{one.headroom:.0%}"
        found.append(f"{_line(one.method, values)}{sd:>9}{room:>10}{one.train_seconds:8.1f}")
        found.append(f"    {one.verdict_text}" + (f"; chose {', '.join(one.chosen)}" if one.chosen else ""))
    return found


def _line(name: str, values: Sequence[float]) -> str:
    return f"{name:32.32}" + "".join(f"{value:12.4g}" for value in [*values, float(np.mean(values))])
