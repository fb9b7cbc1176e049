"""Phase portraits: unspliced against spliced molecules of one gene, and the line of no change."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.errors import DataError
from dynamics.neighbours import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

NEIGHBOURS = 30
EXTREME = 0.05
"""Share of the cells at each end that fix the line."""

FEWEST = 20

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray


@dataclass(frozen=True, eq=False)
class Portrait:
    """One gene's unspliced and spliced molecules.

    Attributes
    ----------
    spliced, unspliced : (n,)
        Molecules in a cell of median size, averaged over the cells around it.
    gamma
        Unspliced for each spliced molecule where the gene is made as fast as it is lost; NaN where the
        gene is not seen in the cells that would tell.
    residual : (n,)
        Unspliced beyond that line: above zero the gene is on the rise, below on the decline.
    r2
        Share of the variance of the unspliced that the line explains; below zero where it explains nothing.
    seen : (2,)
        Share of the cells with spliced, and with unspliced, molecules of this gene.
    """

    spliced: np.ndarray = field(repr=False)
    unspliced: np.ndarray = field(repr=False)
    gamma: float
    residual: np.ndarray = field(repr=False)
    r2: float
    seen: tuple[float, float]

    def __post_init__(self) -> None:
        for array in (self.spliced, self.unspliced, self.residual):
            array.flags.writeable = False


def around(states: np.ndarray, *, neighbours: int = NEIGHBOURS) -> sparse.csr_matrix:
    """Return the matrix that averages over each cell and its nearest ones, sparse (n, n)."""
    if len(states) < FEWEST:
        raise DataError(f"A phase portrait needs {FEWEST} cells at least; there are {len(states)}.")
    near = nearest(states, min(neighbours + 1, len(states))).indices
    n, k = near.shape
    return sparse.csr_matrix((np.full(n * k, 1 / k), near.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def normalised(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the molecules of one gene in cells of median size, (n,); zero for cells without molecules."""
    usual = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    return np.divide(values * usual, totals, out=np.zeros(len(values)), where=totals > 0)


def portrait(
    spliced: np.ndarray,
    unspliced: np.ndarray,
    average: sparse.csr_matrix,
    *,
    totals: "Sequence[np.ndarray] | None" = None,
) -> Portrait:
    """Return the phase portrait of one gene.

    Molecules are brought to the median cell and averaged over neighbouring cells. The line u = γ s is fitted
    by least squares through the cells at both ends, the outermost 5 % by the sum of both (each over its
    highest value): those that make none of it, and those that make most, where synthesis and loss are
    thought to balance.

    Parameters
    ----------
    spliced, unspliced : (n,)
        Molecules of the gene in each cell.
    average : sparse (n, n)
        As `around` gives it.
    totals : two arrays (n,)
        Spliced and unspliced molecules of each cell in all; left out for values that are normalised already.

    Raises
    ------
    DataError
        The sizes do not fit, or values are below zero or missing.

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018; Bergen et al., Generalizing RNA velocity to
    transient cell states through dynamical modeling, Nature Biotechnology 2020.
    """
    values = [np.asarray(one, np.float64) for one in (spliced, unspliced)]
    if any(one.shape != (average.shape[0],) or not (one >= 0).all() for one in values):
        raise DataError(
            f"A phase portrait needs spliced and unspliced molecules, none below zero or missing, of "
            f"{average.shape[0]:,} cells; the arrays have shapes {values[0].shape} and {values[1].shape}."
        )
    seen = tuple(float((one > 0).mean()) for one in values)
    if totals is not None:
        values = [normalised(one, total) for one, total in zip(values, totals, strict=True)]
    s, u = (np.asarray(average @ one) for one in values)
    gamma = _steady(s, u)
    residual = u - gamma * s
    total = np.square(u - u.mean()).sum()
    r2 = 1 - np.square(residual).sum() / total if total > 0 and np.isfinite(gamma) else float("nan")
    return Portrait(s, u, gamma, residual, float(r2), seen)


def _steady(s: np.ndarray, u: np.ndarray) -> float:
    """Return the slope through the cells at both ends; NaN where they show no spliced molecules."""
    if s.max() <= 0 or u.max() <= 0:
        return float("nan")
    amount = s / s.max() + u / u.max()
    low, high = np.quantile(amount, [EXTREME, 1 - EXTREME])
    ends = (amount <= low) | (amount >= high)
    square = float(np.square(s[ends]).sum())
    return float((s[ends] @ u[ends]) / square) if square > 0 else float("nan")
