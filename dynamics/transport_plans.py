"""Transport plans with entropy, and plans that may leave mass behind or make more of it.

One scaling algorithm serves all of them. Clouds beyond `DENSE_ENTRIES` are solved on a sample of their cells;
the potentials, which are smooth functions of the state, are then carried over to all cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from dynamics.errors import CouplingError
from dynamics.plan import Pairs

DENSE_ENTRIES = 2_250_000
"""Largest cost matrix that is iterated on: 18 MB, about 4 ms a step on one core."""
DENSE_PAIRS = 1_000_000
"""Largest plan that is kept whole."""
SAMPLED_PAIRS = 32
"""Pairs that are kept of a larger plan: this many times the cells of the two snapshots, on either side."""
NEGLIGIBLE = 1e-9
"""Pairs with less than this share of an even plan are left out."""
BLOCK_ENTRIES = 1_000_000
MAX_ITERATIONS, TOLERANCE = 5_000, 1e-6
ACCEPTED = 1e-4
"""Share of the mass that may still move once all iterations are used, as happens with a handful of cells."""
COOLING, STAGE_ITERATIONS, STAGE_TOLERANCE = 4.0, 100, 1e-2
LARGE = 50.0
"""Scalings are moved into the potentials before their logarithm exceeds this."""
SCALE_ROUNDS, SCALE_TOLERANCE = 500, 1e-5
WHOLE = 2**24
"""Whole numbers that the mass of a snapshot is written in, at least; far larger ones overtax the solver."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The masses to be joined, and how strictly.

    Attributes
    ----------
    a, b : (n0,), (n1,) float64
        Mass of each cell; positive.
    row_relaxation, column_relaxation
        Price of one unit of Kullback–Leibler divergence from `a` and from `b`, in squared state units;
        infinite: the masses hold exactly.
    """

    a: np.ndarray
    b: np.ndarray
    row_relaxation: float = np.inf
    column_relaxation: float = np.inf

    def shift(self, f: np.ndarray, g: np.ndarray) -> float:
        """Constant that, moved from `g` to `f`, makes both sides weigh the same; zero if none is relaxed."""
        price = 1 / self.row_relaxation + 1 / self.column_relaxation
        if price == 0:
            return 0.0
        row = _log_total(-f / self.row_relaxation, self.a)
        return (row - _log_total(-g / self.column_relaxation, self.b)) / price

    def reached(self, f: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Masses of rows and columns at which the potentials are optimal: a exp(−f/λ_a), b exp(−g/λ_b)."""
        return self.a * np.exp(-f / self.row_relaxation), self.b * np.exp(-g / self.column_relaxation)


@dataclass(frozen=True, eq=False)
class Potentials:
    """The dual solution: π_ij = a_i b_j exp((f_i + g_j − C_ij)/ε).

    Attributes
    ----------
    f, g : (n0,), (n1,) float64
        In squared state units.
    reg
        Entropy weight ε, in squared state units.
    error
        Share of the mass that one more step would move.
    share
        Share of the cells that were iterated on.
    """

    f: np.ndarray
    g: np.ndarray
    reg: float
    iterations: int
    error: float
    share: float = 1.0

    def converged(self, tolerance: float) -> bool:
        return self.error <= tolerance


def mean_square(x0: np.ndarray, x1: np.ndarray, *, centred: bool = False) -> float:
    """Mean squared distance between the cells of two snapshots, or of both once their centres coincide.

    One where all cells are the same, so that it can serve as a unit.
    """
    apart = 0.0 if centred else float(np.square(x0.mean(axis=0) - x1.mean(axis=0)).sum())
    return float(x0.var(axis=0).sum() + x1.var(axis=0).sum()) + apart or 1.0


def solve(
    cost: np.ndarray,
    sides: Sides,
    *,
    reg: float,
    start: Potentials | None = None,
    max_iter: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Potentials:
    """Minimise <C,π> + ε KL(π|a⊗b) + λ_a KL(π1|a) + λ_b KL(πᵀ1|b) by scaling rows and columns in turn.

    The entropy is lowered in stages; scalings that grow large are moved into the potentials; after each step
    the constant that only total mass decides is set to its best value.

    Parameters
    ----------
    reg
        Entropy weight ε, in squared state units.
    start
        Potentials of a similar problem; without them the entropy begins at the largest cost.

    References
    ----------
    Cuturi, Sinkhorn distances, NeurIPS 2013. Chizat, Peyré, Schmitzer and Vialard, Scaling algorithms for
    unbalanced optimal transport problems, Math. Comp. 2018. Schmitzer, Stabilized sparse scaling algorithms
    for entropy regularized transport problems, SIAM J. Sci. Comput. 2019. Séjourné, Vialard and Peyré, Faster
    unbalanced optimal transport: translation invariant Sinkhorn, AISTATS 2022.
    """
    g = np.zeros(cost.shape[1]) if start is None else start.g
    f, error, steps = np.zeros(cost.shape[0]), np.inf, 0
    regs = [reg] if start is not None else _cooling(float(np.ptp(cost)), reg)
    for stage in regs:
        last = stage == reg
        budget, goal = (max_iter, tolerance) if last else (STAGE_ITERATIONS, STAGE_TOLERANCE)
        f, g, done, error = _stage(cost, sides, g, reg=stage, budget=(budget, goal))
        steps += done
    return Potentials(f, g, reg, steps, error)


def _cooling(high: float, low: float) -> list[float]:
    regs = [low]
    while regs[-1] * COOLING < high:
        regs.append(regs[-1] * COOLING)
    return regs[::-1]


def _stage(
    cost: np.ndarray, sides: Sides, g: np.ndarray, *, reg: float, budget: tuple[int, float]
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Iterate at one entropy; returns `f`, `g`, the steps made and the last error."""
    tau = [1 / (1 + reg / relaxation) for relaxation in (sides.row_relaxation, sides.column_relaxation)]
    f = -reg * tau[0] * _log_mean(cost, g, sides.b, reg)
    kernel, error, steps = gibbs(cost, f, g, reg), np.inf, 0
    u, v = np.ones(len(f)), np.ones(len(g))
    while error > budget[1] and steps < budget[0]:
        steps += 1
        v = (kernel.T @ (sides.a * u)) ** -tau[1] * np.exp(-g / (sides.column_relaxation + reg))
        shift = sides.shift(f + reg * np.log(u), g + reg * np.log(v))
        f, g = f + shift, g - shift  # the kernel knows only their sum
        towards = kernel @ (sides.b * v)
        new = towards ** -tau[0] * np.exp(-f / (sides.row_relaxation + reg))
        error = float((sides.a * np.abs(new - u)) @ towards / ((sides.a * new) @ towards))
        u = new
        if max(np.abs(np.log(u)).max(), np.abs(np.log(v)).max()) > LARGE:
            g = g + reg * np.log(v)
            f = -reg * tau[0] * _log_mean(cost, g, sides.b, reg)
            kernel, u, v = gibbs(cost, f, g, reg), np.ones(len(f)), np.ones(len(g))
    return f + reg * np.log(u), g + reg * np.log(v), steps, error


def gibbs(cost: np.ndarray, f: np.ndarray, g: np.ndarray, reg: float) -> np.ndarray:
    """exp((f_i + g_j − C_ij)/ε), (n0, n1)."""
    return np.exp((f[:, None] + g - cost) / reg)


def _log_total(exponent: np.ndarray, mass: np.ndarray) -> float:
    """log Σ m exp(e), without overflow."""
    highest = exponent.max()
    return float(highest + np.log(mass @ np.exp(exponent - highest)))


def _log_mean(cost: np.ndarray, g: np.ndarray, b: np.ndarray, reg: float) -> np.ndarray:
    """log Σ_j b_j exp((g_j − C_ij)/ε) of each row, (n0,)."""
    exponent = (g - cost) / reg
    highest = exponent.max(axis=1)
    np.exp(exponent - highest[:, None], out=exponent)
    return highest + np.log(exponent @ b)


def solve_clouds(
    x0: np.ndarray,
    x1: np.ndarray,
    sides: Sides,
    *,
    reg: float,
    seed: int = 0,
    max_iter: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Potentials:
    """Solve for two snapshots: whole where they are small, else on a sample and carried over to all cells.

    Raises
    ------
    CouplingError
        No convergence; the message proposes a larger entropy.

    References
    ----------
    Pooladian and Niles-Weed, Entropic estimation of optimal transport maps, 2021 (potentials of a sample
    evaluated elsewhere).
    """
    share = min(1.0, np.sqrt(DENSE_ENTRIES / (len(x0) * len(x1))))
    rows, columns = some(len(x0), share, seed), some(len(x1), share, seed + 1)
    sampled = Sides(
        sides.a[rows] * (sides.a.sum() / sides.a[rows].sum()),
        sides.b[columns] * (sides.b.sum() / sides.b[columns].sum()),
        sides.row_relaxation,
        sides.column_relaxation,
    )
    cost = cdist(x0[rows], x1[columns], "sqeuclidean")
    found = solve(cost, sampled, reg=reg, max_iter=max_iter, tolerance=tolerance)
    check_converged(found, max(tolerance, ACCEPTED), unit=mean_square(x0, x1, centred=True))
    if share == 1:
        return found
    g = _carried((x1, x0[rows]), found.f, sampled.a, reg=reg, relaxation=sides.column_relaxation)
    f = _carried((x0, x1), g, sides.b, reg=reg, relaxation=sides.row_relaxation)
    shift = sides.shift(f, g)
    return Potentials(f + shift, g - shift, reg, found.iterations, found.error, share)


def some(n: int, share: float, seed: int) -> np.ndarray:
    """Rows of a sample of `n` cells, rising."""
    if share == 1:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, n]).choice(n, max(int(share * n), 1), replace=False))


def check_converged(found: Potentials, tolerance: float, *, unit: float) -> None:
    """Refuse potentials that still move; `unit` is that of `reg` in the message."""
    if not found.converged(tolerance):
        reg = found.reg / unit
        raise CouplingError(
            f"The pairing with entropy did not converge in {found.iterations:,} steps with reg = {reg:.3g}: "
            f"a share of {found.error:.1e} of the mass still moved (allowed: {tolerance:.0e}). "
            f"Try a larger one, reg = {4 * reg:.2g}."
        )


def _carried(
    clouds: tuple[np.ndarray, np.ndarray],
    known: np.ndarray,
    mass: np.ndarray,
    *,
    reg: float,
    relaxation: float,
) -> np.ndarray:
    """Best potential of every cell of the first cloud, given that of the cells of the second, (n,)."""
    x, y = clouds
    parts = [_log_mean(cdist(x[at], y, "sqeuclidean"), known, mass, reg) for at in _blocks(len(x), len(y))]
    return -reg / (1 + reg / relaxation) * np.concatenate(parts)


def _blocks(n: int, width: int) -> Iterator[slice]:
    size = max(BLOCK_ENTRIES // width, 1)
    return (slice(first, first + size) for first in range(0, n, size))


def pairs(x0: np.ndarray, x1: np.ndarray, sides: Sides, *, found: Potentials, seed: int = 0) -> Pairs:
    """Write a plan as pairs whose marginals are those of the plan, or `a` and `b` where these are strict.

    A plan of more than `DENSE_PAIRS` is represented by pairs drawn from it, for every row and every column,
    weighted such that the marginals still hold.
    """
    row, column = sides.reached(found.f, found.g)
    column = column * (row.sum() / column.sum())
    if len(x0) * len(x1) <= DENSE_PAIRS:
        plan = gibbs(cdist(x0, x1, "sqeuclidean"), found.f, found.g, found.reg)
        plan *= sides.a[:, None] * sides.b
        i, j = np.nonzero(plan > NEGLIGIBLE * row[:, None] / len(x1))
        return rounded((i, j, plan[i, j]), row, column)
    i, j, mass = _drawn(x0, x1, sides, found=found, seed=seed)
    return rounded(_scaled((i, j, mass), row, column), row, column)


def _drawn(x0: np.ndarray, x1: np.ndarray, sides: Sides, *, found: Potentials, seed: int) -> Pairs:
    """Draw pairs for every row and for every column; their masses are unbiased for the plan's."""
    rng = np.random.default_rng([seed, 2])
    row, column = sides.reached(found.f, found.g)
    cells = len(x0) + len(x1)
    each = [int(np.ceil(SAMPLED_PAIRS * cells / (2 * len(x)))) for x in (x0, x1)]
    i, j = _partners((x0, x1), found.g, sides.b, reg=found.reg, each=each[0], rng=rng)
    j2, i2 = _partners((x1, x0), found.f, sides.a, reg=found.reg, each=each[1], rng=rng)
    flat, times = np.unique(np.concatenate([i * len(x1) + j, i2 * len(x1) + j2]), return_counts=True)
    i, j = np.divmod(flat, len(x1))
    return i, j, times / (each[0] / row[i] + each[1] / column[j])


def _partners(
    clouds: tuple[np.ndarray, np.ndarray],
    known: np.ndarray,
    mass: np.ndarray,
    *,
    reg: float,
    each: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `each` partners of every cell of the first cloud, evenly along their cumulated weight."""
    x, y = clouds
    found = []
    for at in _blocks(len(x), len(y)):
        exponent = (known - cdist(x[at], y, "sqeuclidean")) / reg
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True)) * mass
        ends = np.cumsum(weight, axis=1)
        ends /= ends[:, -1:]
        rows = np.arange(len(ends))[:, None]
        places = (np.arange(each) + rng.random((len(ends), 1))) / each
        flat = np.searchsorted((ends + rows).ravel(), (places + rows).ravel(), side="right")
        found.append(np.minimum(flat - np.repeat(rows, each) * len(y), len(y) - 1))
    return np.repeat(np.arange(len(x)), each), np.concatenate(found)


def _scaled(plan: Pairs, row: np.ndarray, column: np.ndarray) -> Pairs:
    """Scale the masses of given pairs towards given marginals (iterative proportional fitting)."""
    i, j, mass = plan
    for _ in range(SCALE_ROUNDS):
        mass = mass * (column / np.bincount(j, mass, minlength=len(column)))[j]
        reached = np.bincount(i, mass, minlength=len(row))
        if np.abs(reached - row).sum() <= SCALE_TOLERANCE * row.sum():
            break
        mass = mass * (row / reached)[i]
    return i, j, mass


def rounded(plan: Pairs, row: np.ndarray, column: np.ndarray) -> Pairs:
    """Make marginals exact: shrink what is too heavy, and pair what is then left over in order.

    References
    ----------
    Altschuler, Weed and Rigollet, Near-linear time approximation algorithms for optimal transport via
    Sinkhorn iteration, NeurIPS 2017, algorithm 2.
    """
    i, j, mass = plan
    for rows, goal in ((i, row), (j, column)):
        reached = np.bincount(rows, mass, minlength=len(goal))
        mass = mass * np.divide(goal, reached, out=np.ones(len(goal)), where=reached > goal)[rows]
    left = [
        np.maximum(goal - np.bincount(rows, mass, minlength=len(goal)), 0)
        for rows, goal in ((i, row), (j, column))
    ]
    more = _in_order(*left)
    i, j, mass = (np.concatenate(both) for both in zip((i, j, mass), more, strict=True))
    flat, place = np.unique(i * len(column) + j, return_inverse=True)
    return *np.divmod(flat, len(column)), np.bincount(place, mass)


def _in_order(left0: np.ndarray, left1: np.ndarray) -> Pairs:
    """Pair two rows of masses in the order in which they stand."""
    if not left0.any() or not left1.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    ends0, ends1 = np.cumsum(left0), np.cumsum(left1 * (left0.sum() / left1.sum()))
    ends = np.union1d(ends0, ends1)
    mass = np.diff(ends, prepend=0.0)
    i, j = (np.minimum(np.searchsorted(end, ends), len(end) - 1) for end in (ends0, ends1))
    kept = mass > 0
    return i[kept], j[kept], mass[kept]


def whole_masses(mass: np.ndarray, other: int) -> tuple[np.ndarray, np.ndarray]:
    """Write masses as whole numbers, and the equal whole masses of `other` cells that they sum to.

    Each cell keeps at least one part in 17 million of the total.
    """
    each = -(-WHOLE // other)
    total = each * other
    share = mass / mass.sum() * (total - len(mass))
    whole = np.floor(share).astype(np.int64)
    missing = total - len(mass) - int(whole.sum())
    whole[np.argsort(whole - share, kind="stable")[:missing]] += 1
    return whole + 1, np.full(other, each, np.int64)
