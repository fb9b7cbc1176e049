"""What held-out distances say, by one rule: better than straight lines, no better, worse than copying."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.folds import Naive
from models.resampling import Apart, Draws, Estimate, estimate, pooled, ratio

MARGIN = 0.03
"""A method must be this much closer than the OT midpoint to count as better."""
RULE = (
    "W1 is taken on 12 draws of up to 500 cells a side, the same for every prediction. Clear: by more than "
    "1.645 standard errors, so that 19 of 20 cases of mere chance stay below. better: clearly closer to the "
    "real cells than the OT midpoint, by 3 % or more, and clearly closer than a copy of the time before. "
    "worse: clearly further away than the copy. untestable: no time lies between two others, or too few "
    "cells. no-better: all else, also where the real cells differ no more from the time before than from "
    "each other, so that there is no motion to predict."
)
LINE = "a straight line between its neighbours"
ONLY_TWO = "cannot be tested: only two time points"


@dataclass(frozen=True)
class Judgement:
    """What is said of one method at one held-out time, over all, or for one cell type.

    Attributes
    ----------
    against_line, against_copy
        Logarithm of its W1 over that of the OT midpoint, and of the copy; below 0 it is closer.
    moved
        Logarithm of the copy's W1 over the noise floor: how much there is to predict.
    headroom
        (copy − model) / (copy − noise floor): 1 as good as the noise allows, 0 as copying.
    finds_motion
        There is motion, and the method is clearly closer than the copy.
    """

    verdict: str
    text: str
    against_line: Estimate
    against_copy: Estimate
    moved: Estimate
    headroom: Estimate
    finds_motion: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it; what cannot be told is None."""
        figures = {
            "against_line": self.against_line,
            "against_copy": self.against_copy,
            "moved": self.moved,
            "headroom": self.headroom,
        }
        told = {"verdict": self.verdict, "verdict_text": self.text, "finds_motion": self.finds_motion}
        for name, one in figures.items():
            told |= {name: plain(one.mean), f"{name}_se": plain(one.se)}
        return told


def at_time(found: Sequence[Apart], beside: Naive, *, name: str) -> Judgement:
    """Judge a method at one held-out time, from one fit or several with other seeds."""
    return _compared(found, beside, lambda one: one.w1, name)


def of_group(found: Sequence[Apart], beside: Naive, group: int, *, name: str) -> Judgement:
    """Judge a method on the real cells of one cell type at one held-out time."""
    return _compared(found, beside, lambda one: one.by_group[:, group], name)


def overall(judged: Sequence[Judgement]) -> Judgement:
    """Judge a method over all held-out times; each counts the same."""
    parts = [
        pooled([getattr(one, figure) for one in judged])
        for figure in ("against_line", "against_copy", "moved", "headroom")
    ]
    return _judged(*parts, name="times that it has not seen", line="straight lines between their neighbours")


def untestable(text: str) -> Judgement:
    """Say that nothing can be said."""
    unknown = Estimate(math.nan, math.nan)
    return Judgement("untestable", text, unknown, unknown, unknown, unknown, finds_motion=False)


def plain(value: float | None, digits: int = 6) -> float | None:
    """Return a number with few digits; None where it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def _compared(
    found: Sequence[Apart], beside: Naive, distance: Callable[[Apart], np.ndarray], name: str
) -> Judgement:
    """Judge one distance of each draw, (draws,), beside the same of the naive predictions."""
    mean = np.mean([distance(one) for one in found], axis=0)
    naive = {which: distance(one) for which, one in beside.apart.items()}
    return _judged(*_figures(mean, naive, beside.draws), name=name)


def _figures(
    model: np.ndarray, naive: dict[str, np.ndarray], draws: Draws
) -> tuple[Estimate, Estimate, Estimate, Estimate]:
    copy, line, floor = (naive[name] for name in ("copy", "ot-midpoint", "noise-floor"))
    room = np.nanmean(copy - floor) if np.isfinite(copy - floor).any() else math.nan
    reached = (copy - model) / room if room > 0 else np.full(len(copy), math.nan)
    return (
        ratio(model, line, draws),
        ratio(model, copy, draws),
        ratio(copy, floor, draws),
        estimate(reached, draws),
    )


def _judged(
    against_line: Estimate,
    against_copy: Estimate,
    moved: Estimate,
    headroom: Estimate,
    *,
    name: str,
    line: str = LINE,
) -> Judgement:
    closer = against_copy.below(0)
    finds = moved.above(0) and closer
    verdict = "no-better"
    if not math.isfinite(against_line.mean):
        return untestable(f"cannot be tested on {name}: too few cells")
    if against_copy.above(0):
        verdict, text = "worse", f"predicts {name} worse than copying the time before"
    elif not moved.above(0):
        text = f"has nothing to predict at {name}: cells differ as much within a time as between times"
    elif closer and against_line.below(0) and against_line.mean < math.log(1 - MARGIN):
        verdict, text = "better", f"predicts {name} clearly better than {line}"
    elif not closer:
        text = f"predicts {name} no better than copying the time before"
    elif against_line.above(math.log(1 + MARGIN)):
        text = f"predicts {name} less well than {line}, but better than copying the time before"
    else:
        text = f"predicts {name} no better than {line}; both are better than copying the time before"
    if not moved.above(0):
        headroom = Estimate(math.nan, math.nan)
    return Judgement(verdict, text, against_line, against_copy, moved, headroom, finds_motion=finds)
