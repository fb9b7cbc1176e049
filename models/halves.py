"""The same course as other cells would have shown it: random halves of the cells, paired anew."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dynamics import bisection
from dynamics.plan import About, Coupling, finished
from models.objectives.base import Problem

WHOLE = 300
"""Up to so many cells a time they are paired at once; above, in parts."""
ROUNDS = 1
"""How often neighbouring pairs are improved then: with one round the plan costs 10 to 20 % more than that of
the full pairing in few dimensions, no more in many, and takes a quarter of its time."""
MEMBERS, CELLS = 4, 5
"""Streams of random numbers drawn from the seed."""


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member of an ensemble; the first, 0, has the seed itself."""
    if member == 0:
        return seed
    return int(np.random.SeedSequence([seed, MEMBERS, member]).generate_state(1)[0])


def halved(problem: Problem, *, seed: int) -> Problem:
    """Draw half of the cells of each time, without replacement; an odd one is kept.

    A mean over a random half of n cells differs from that over all of them by the variance σ²/(n/2) − σ²/n =
    σ²/n, as a mean over all n cells does from the truth, and as one over a bootstrap of n cells does. A half
    has no cell twice: with copies, pairings are cheaper than those of real cells and the network learns
    single cells by heart, so that a bootstrap is known to fail where cells are matched.

    References
    ----------
    McCarthy, Pseudo-replication: half samples, Rev. Int. Stat. Inst. 1969; Politis, Romano and Wolf,
    Subsampling, 1999; Abadie and Imbens, On the failure of the bootstrap for matching estimators,
    Econometrica 2008.
    """
    rng = np.random.default_rng([seed, CELLS])
    sizes = [len(states) for states in problem.states]
    rows = [np.sort(rng.choice(n, (n + 1) // 2, replace=False)) for n in sizes]
    states, prior = (
        None if given is None else tuple(one[drawn] for one, drawn in zip(given, rows, strict=True))
        for given in (problem.states, problem.prior_growth)
    )
    return Problem(states, problem.times, seed, prior, halved=True)


def paired(x0: np.ndarray, x1: np.ndarray, *, seed: int) -> Coupling:
    """Pair two clouds at nearly the least total squared distance, quickly.

    The cells of each side are repeated evenly until both sides are equally many (which cells get one copy
    more is drawn), so that every small problem is an assignment, which is solved several times faster than
    transport between unequal masses. Marginals are therefore equal to within one copy.

    Parameters
    ----------
    x0, x1 : (n0, dim), (n1, dim)

    References
    ----------
    See `dynamics.bisection.pair`; Crouse, On implementing 2D rectangular assignment algorithms, IEEE Trans.
    Aerosp. Electron. Syst. 2016.
    """
    rng = np.random.default_rng(seed)
    x0, x1 = x0.astype(np.float64), x1.astype(np.float64)
    most = max(len(x0), len(x1))
    n = most if most <= WHOLE else _divisible(most)
    copies0, copies1 = (_evenly(len(x), n, rng) for x in (x0, x1))
    y0, y1 = x0[copies0], x1[copies1]
    if most <= WHOLE:
        i, j = linear_sum_assignment(cdist(y0, y1, "sqeuclidean"))
    else:
        each = np.ones(n, np.int64)
        i, j, _ = bisection.pair(y0, y1, (each, each), solve=_assign, rounds=ROUNDS, rng=rng)
    about = About("assignment", f"{len(x0):,} × {len(x1):,} cells, repeated evenly and assigned")
    return finished(x0, x1, (copies0[i], copies1[j], np.ones(len(i))), about=about)


def _divisible(n: int) -> int:
    """Return the least number of copies from `n` on that bisection never has to cut through."""
    unit = 1 << (n // bisection.CELLS_PER_PART).bit_length() - 1
    return -(-n // unit) * unit


def _evenly(n: int, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of `n` cells, each at most once more often than any other, (copies,)."""
    whole, rest = divmod(copies, n)
    return np.concatenate([np.tile(np.arange(n), whole), rng.choice(n, rest, replace=False)])


def _assign(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Solve a transport problem between equally many cells of equal mass."""
    plan = np.zeros(cost.shape)
    plan[linear_sum_assignment(cost)] = a[0]
    return plan
