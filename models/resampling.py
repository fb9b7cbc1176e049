"""How sure a distance between clouds of cells is: the same comparison on many random draws of the cells."""

import math
from dataclasses import dataclass

import numpy as np

from dynamics import metrics
from dynamics.errors import DataError

DRAWS = 12
MOST = 500
"""Cells a side of one draw; where there are fewer than twice as many, half of them."""
FEWEST = 10
"""Cells a side of a draw below which nothing can be told."""
CLEAR = 1.645
"""Standard errors that make a difference clear: 19 of 20 cases of mere chance stay below, on one side."""


@dataclass(frozen=True)
class Draws:
    """Which cells are compared in each draw; the same for every prediction of one held-out time.

    Attributes
    ----------
    start, target, rest : (draws, m) int64
        Cells that a prediction starts from, real cells that it is compared with, and as many other real
        cells: real against real is the noise floor.
    n_cells
        Cells of the smaller side that there are to draw from.
    """

    start: np.ndarray
    target: np.ndarray
    rest: np.ndarray
    n_cells: int

    @property
    def m(self) -> int:
        """Cells a side of one draw."""
        return self.start.shape[1]


@dataclass(frozen=True, eq=False)
class Apart:
    """Distance from a prediction to the real cells in each draw.

    Attributes
    ----------
    w1, mmd : (draws,)
    by_group : (draws, n_groups)
        Mean distance that the real cells of each group are from what the cheapest plan brings to them; their
        mean, weighted by the cells of the groups, is W1. NaN where a draw holds too few of a group.
    """

    w1: np.ndarray
    mmd: np.ndarray
    by_group: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error; NaN where it cannot be told."""

    mean: float
    se: float

    def above(self, value: float) -> bool:
        """Whether the figure is clearly above a value."""
        return self.mean - CLEAR * self.se > value

    def below(self, value: float) -> bool:
        """Whether the figure is clearly below a value."""
        return self.mean + CLEAR * self.se < value


def draw(n_start: int, n_target: int, *, stream: tuple[int, ...], most: int = MOST) -> Draws:
    """Choose the cells of every draw, without replacement.

    Parameters
    ----------
    stream
        Numbers that name the stream of chance.

    Raises
    ------
    DataError
        There are too few cells on one side.
    """
    n = min(n_start, n_target)
    m = min(most, n // 2)
    if m < FEWEST:
        raise DataError(
            f"Only {n} cells on one side of the comparison; {2 * FEWEST} are needed to tell error from "
            "chance."
        )
    rng = np.random.default_rng(stream)
    start = np.stack([rng.permutation(n_start)[:m] for _ in range(DRAWS)])
    both = np.stack([rng.permutation(n_target)[: 2 * m] for _ in range(DRAWS)])
    return Draws(start, both[:, :m], both[:, m:], n)


def apart(
    points: np.ndarray,
    target: np.ndarray,
    draws: Draws,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Apart:
    """Compare predicted states with real cells in every draw.

    Parameters
    ----------
    points : (n_start, dim)
        Where each starting cell is predicted to be; `target` itself for the noise floor.
    target : (n_target, dim)
    weights : (n_start,)
        How many cells each predicted one stands for.
    groups : (n_target,) int
        Code of the group of each real cell, −1 for none.
    """
    rows = draws.rest if points is target else draws.start
    n_groups = 0 if groups is None else int(groups.max(initial=-1)) + 1
    w1, mmd = np.empty(DRAWS), np.empty(DRAWS)
    by_group = np.full((DRAWS, n_groups), np.nan)
    for r, (left, right) in enumerate(zip(rows, draws.target, strict=True)):
        here, there = points[left], target[right]
        a = None if weights is None else weights[left]
        costs = metrics.transport_costs(here, there, a=a)
        w1[r], mmd[r] = costs.mean(), metrics.mmd(here, there, a=a)
        if n_groups:
            by_group[r] = _group_means(costs, groups[right], n_groups)
    return Apart(w1, mmd, by_group)


def ratio(one: np.ndarray, other: np.ndarray, draws: Draws) -> Estimate:
    """Logarithm of how many times further away one prediction is than another, draw by draw."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimate(np.log(one / other), draws)


def estimate(values: np.ndarray, draws: Draws) -> Estimate:
    """Mean over draws and its standard error for as many cells as there are.

    The variance among draws of m of n cells, times m/(n − m), is that of the figure taken from all n; what
    the number of draws adds comes on top.

    References
    ----------
    Shao and Wu, A general theory for jackknife variance estimation, Ann. Statist. 1989 (delete-d jackknife).
    """
    known = values[np.isfinite(values)]
    if len(known) < 3:
        return Estimate(math.nan, math.nan)
    spread = float(known.var(ddof=1))
    share = draws.m / max(draws.n_cells - draws.m, 1)
    return Estimate(float(known.mean()), math.sqrt(spread * (share + 1 / len(known))))


def pooled(estimates: list[Estimate]) -> Estimate:
    """Mean of independent figures; those that cannot be told are left out."""
    known = [one for one in estimates if math.isfinite(one.mean) and math.isfinite(one.se)]
    if not known:
        return Estimate(math.nan, math.nan)
    se = math.sqrt(sum(one.se**2 for one in known)) / len(known)
    return Estimate(sum(one.mean for one in known) / len(known), se)


def _group_means(costs: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Mean cost of each group that has enough cells here; NaN for the others."""
    known = groups >= 0
    n = np.bincount(groups[known], minlength=n_groups)
    total = np.bincount(groups[known], costs[known], minlength=n_groups)
    return np.where(n >= FEWEST // 2, total / np.maximum(n, 1), np.nan)
