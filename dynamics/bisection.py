"""Near-exact pairing of two large snapshots in close to linear time.

Both clouds are cut into equally heavy parts by planes, the parts are matched exactly by their centres,
matched parts are solved exactly, and then pairs that lie near each other are regrouped at random and solved
again, a few times: each round can only lower the cost. Masses are whole numbers, so marginals stay exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

Solve = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""`solve(a, b, cost) -> plan` of one small transport problem with whole masses `a`, `b` of equal sum."""

PARTS = 256
"""Parts whose centres are matched exactly; a power of two."""
CELLS_PER_PART = 8
LEAF = 64
BLOCK = 128
POWER_STEPS = 4


@dataclass(frozen=True)
class Side:
    """One cloud cut into parts: pieces of cells, sorted by part."""

    x: np.ndarray
    """(n, dim) states of the cloud."""
    cell: np.ndarray
    """(m,) which cell each piece belongs to; a cell on a cut has a piece on either side."""
    mass: np.ndarray
    """(m,) whole mass of each piece."""
    part: np.ndarray
    """(m,) part of each piece, rising."""

    def starts(self, n_parts: int) -> np.ndarray:
        return np.searchsorted(self.part, np.arange(n_parts))


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""`i`, `j`, whole mass: one entry per pair."""


def pair(
    x0: np.ndarray,
    x1: np.ndarray,
    masses: tuple[np.ndarray, np.ndarray],
    *,
    solve: Solve,
    rounds: int,
    rng: np.random.Generator,
) -> Pairs:
    """Pair two clouds at nearly the least total squared distance.

    Parameters
    ----------
    x0, x1 : (n0, dim), (n1, dim)
    masses : (n0,), (n1,) int64
        Whole mass of each cell; both sides weigh the same.
    solve
        Exact solver for small problems.
    rounds
        How often neighbouring pairs are regrouped and solved again.

    Returns
    -------
    i, j : (m,) int64
    mass : (m,) int64
        Sums to a common multiple of `masses` over the pairs of each cell.

    References
    ----------
    Gerber and Maggioni, Multiscale strategies for computing optimal transport, JMLR 2017 (coarse to fine).
    Schmitzer, A sparse multiscale algorithm for dense optimal transport, JMIV 2016; Bonafini and Schmitzer,
    Domain decomposition for entropy regularized optimal transport, Numer. Math. 2021 (overlapping blocks).
    """
    n_parts = _n_parts(min(len(x0), len(x1)))
    source, target, total = _sides((x0, x1), masses, n_parts)
    while len(total) < n_parts:
        source, target = (_halve(side, total, _main_axes(side, len(total), rng)) for side in (source, target))
        total = _halves(total)
    target = _match(source, target, n_parts)
    while len(source.cell) * len(target.cell) > (LEAF * len(total)) ** 2:
        axes = _main_axes(source, len(total), rng)
        source, target = _halve(source, total, axes), _halve(target, total, axes)
        total = _halves(total)
    i, j, mass = _solve_parts(source, target, len(total), solve=solve)
    for _ in range(rounds if len(total) > 1 else 0):
        block, n_blocks = _regroup(x0[i] + x1[j], rng)
        source, target = _gather(x0, i, mass, block), _gather(x1, j, mass, block)
        i, j, mass = _solve_parts(source, target, n_blocks, solve=solve)
    return i, j, mass


def _n_parts(n: int) -> int:
    wanted = n // CELLS_PER_PART
    return min(PARTS, 1 << max(wanted.bit_length() - 1, 0))


def _sides(
    clouds: tuple[np.ndarray, np.ndarray], masses: tuple[np.ndarray, np.ndarray], n_parts: int
) -> tuple[Side, Side, np.ndarray]:
    """Multiply the masses such that both clouds split evenly into `n_parts`."""
    sides = (
        Side(x, np.arange(len(x)), n_parts * mass, np.zeros(len(x), np.int64))
        for x, mass in zip(clouds, masses, strict=True)
    )
    return *sides, np.array([n_parts * int(masses[0].sum())])


def _halves(total: np.ndarray) -> np.ndarray:
    half = total // 2
    return np.stack([half, total - half], axis=1).ravel()


def _main_axes(side: Side, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """Direction in which each part is widest, (n_parts, dim), by a few power steps from a random start."""
    starts, x, weight = side.starts(n_parts), side.x[side.cell], side.mass[:, None].astype(float)
    centre = np.add.reduceat(weight * x, starts) / np.add.reduceat(weight, starts)
    x = x - centre[side.part]
    axes = rng.standard_normal(centre.shape)
    for _ in range(POWER_STEPS):
        along = np.einsum("nd,nd->n", x, axes[side.part])[:, None]
        axes = np.add.reduceat(weight * along * x, starts)
        length = np.linalg.norm(axes, axis=1, keepdims=True)
        axes = np.divide(axes, length, out=np.ones_like(axes), where=length > 0)
    return axes


def _halve(side: Side, total: np.ndarray, axes: np.ndarray) -> Side:
    """Cut every part in two of equal mass by a plane across its axis; a cell on the plane is shared."""
    along = np.einsum("nd,nd->n", side.x[side.cell], axes[side.part])
    order = np.lexsort((along, side.part))
    cell, mass, part = side.cell[order], side.mass[order], side.part[order]
    before = np.cumsum(mass) - mass - (np.cumsum(total) - total)[part]
    lower = np.clip((total // 2)[part] - before, 0, mass)
    upper = mass - lower
    below, above = lower > 0, upper > 0
    cell = np.concatenate([cell[below], cell[above]])
    mass = np.concatenate([lower[below], upper[above]])
    part = np.concatenate([2 * part[below], 2 * part[above] + 1])
    return _sorted(side.x, cell, mass, part)


def _sorted(x: np.ndarray, cell: np.ndarray, mass: np.ndarray, part: np.ndarray) -> Side:
    order = np.argsort(part, kind="stable")
    return Side(x, cell[order], mass[order], part[order])


def _match(source: Side, target: Side, n_parts: int) -> Side:
    """Rename the parts of `target` to the parts of `source` that they are matched with."""
    rows, columns = linear_sum_assignment(
        cdist(_centres(source, n_parts), _centres(target, n_parts), "sqeuclidean")
    )
    renamed = np.empty(n_parts, np.int64)
    renamed[columns] = rows
    return _sorted(target.x, target.cell, target.mass, renamed[target.part])


def _centres(side: Side, n_parts: int) -> np.ndarray:
    starts, weight = side.starts(n_parts), side.mass[:, None].astype(float)
    return np.add.reduceat(weight * side.x[side.cell], starts) / np.add.reduceat(weight, starts)


def _solve_parts(source: Side, target: Side, n_parts: int, *, solve: Solve) -> Pairs:
    """Solve the transport problem of every part exactly."""
    bounds0 = np.append(source.starts(n_parts), len(source.part))
    bounds1 = np.append(target.starts(n_parts), len(target.part))
    found = []
    for k in range(n_parts):
        here0, here1 = slice(*bounds0[k : k + 2]), slice(*bounds1[k : k + 2])
        cell0, cell1 = source.cell[here0], target.cell[here1]
        cost = cdist(source.x[cell0], target.x[cell1], "sqeuclidean")
        plan = np.rint(solve(source.mass[here0], target.mass[here1], cost)).astype(np.int64)
        rows, columns = np.nonzero(plan)
        found.append((cell0[rows], cell1[columns], plan[rows, columns]))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _regroup(middle: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Cut the pairs into blocks of neighbours by random planes; returns pair → block, and n_blocks."""
    n, dim = middle.shape
    centred = middle - middle.mean(axis=0)
    values, vectors = np.linalg.eigh(np.einsum("nd,ne->de", centred, centred) / n)
    stretch = vectors * np.sqrt(np.maximum(values, 0))
    block, n_blocks = np.zeros(n, np.int64), 1
    for level in range(max(int(np.ceil(np.log2(n / BLOCK))), 0)):
        if level % dim == 0:
            turn, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
        order = np.lexsort((middle @ (stretch @ turn[:, level % dim]), block))
        size = np.bincount(block, minlength=n_blocks)
        rank = np.empty(n, np.int64)
        rank[order] = np.arange(n) - (np.cumsum(size) - size)[block[order]]
        block = 2 * block + (rank >= size[block] // 2)
        n_blocks *= 2
    return block, n_blocks


def _gather(x: np.ndarray, cell: np.ndarray, mass: np.ndarray, block: np.ndarray) -> Side:
    """Sum the mass that each cell has in each block."""
    order = np.lexsort((cell, block))
    cell, mass, block = cell[order], mass[order], block[order]
    first = np.ones(len(cell), bool)
    first[1:] = (cell[1:] != cell[:-1]) | (block[1:] != block[:-1])
    starts = np.flatnonzero(first)
    return Side(x, cell[starts], np.add.reduceat(mass, starts), block[starts])
