"""A screen: every variable gene perturbed in the same cells, ranked by its effect on one fate."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from dynamics.drivers import false_discovery_rate
from dynamics.ensemble import members_of
from dynamics.errors import DataError
from dynamics.fate_readout import Readout, outcome
from dynamics.field import Progress, no_progress
from dynamics.perturb import MOST, REFUSED
from dynamics.perturb_null import LEVEL, Moves, eligible, many
from dynamics.perturbation import KNOCKOUT, SHIFT, UP, Perturbation, Surroundings
from dynamics.perturbed_field import OneMember

if TYPE_CHECKING:
    from dynamics.field import VelocityField

PATHS = 100_000
"""Paths that a screen follows in all, about: the fewer genes, the more cells each is tried on."""

FEWEST_CELLS = 20

ALIKE = 50
"""Genes of about equal variance and level whose effects tell what is usual."""

FEWEST_GENES = 20
CALLED = 0.1
"""Genes are called below this false discovery rate."""


@dataclass(frozen=True, eq=False)
class Screen:
    """Effects of all genes on one fate.

    Attributes
    ----------
    fate
    genes
        Those tried, in the order of the data set.
    effect, error : (g,)
        Mean change of the fate's probability, and its standard error over the cells.
    z, p, q : (g,)
        Against genes of equal variance and level: robust score, two-sided p-value, false discovery rate.
    off : (g,)
        Share of perturbed cells off the measured ones.
    r2 : (g,)
        Share of the gene's variance that the states know.
    n_cells
        Cells each gene was tried on.
    n_left_out
        Genes of the data set that the states do not know enough of.
    kind
        "knockout", "up" or "shift".
    """

    fate: str
    genes: tuple[str, ...] = field(repr=False)
    effect: np.ndarray = field(repr=False)
    error: np.ndarray = field(repr=False)
    z: np.ndarray = field(repr=False)
    p: np.ndarray = field(repr=False)
    q: np.ndarray = field(repr=False)
    off: np.ndarray = field(repr=False)
    r2: np.ndarray = field(repr=False)
    n_cells: int
    n_left_out: int
    kind: str = KNOCKOUT

    @property
    def known(self) -> np.ndarray:
        """Genes of which something may be concluded, (g,) bool: over half of the cells on the data."""
        return np.isfinite(self.effect) & (self.off <= REFUSED)

    @property
    def order(self) -> np.ndarray:
        """Genes that may be concluded from, the largest effect first."""
        return np.flatnonzero(self.known)[np.argsort(-np.abs(self.effect[self.known]), kind="stable")]

    @property
    def called(self) -> np.ndarray:
        """Genes that stand out from those that vary as much, (g,) bool."""
        return self.known & (np.nan_to_num(self.q, nan=1.0) <= CALLED)

    @property
    def message(self) -> str:
        """What was done and found, in words."""
        n, off = int(self.called.sum()), int((~self.known).sum())
        return (
            f"{len(self.genes):,} genes tried on {self.n_cells:,} cells each; {self.n_left_out:,} left out "
            f"because the states hardly know them. {off:,} allow no conclusion: the perturbed cells are off "
            f"the measured ones. {n:,} stand out from genes of equal variance at a false discovery rate of "
            f"{CALLED:.0%}. Genes that are switched on together move a fate together: a candidate may be a "
            "passenger."
        )

    def table(self) -> pd.DataFrame:
        """Return one row for each gene, the largest effect first, those without a conclusion at the end."""
        order = np.concatenate([self.order, np.flatnonzero(~self.known)])
        rows = {"gene": [self.genes[k] for k in order]}
        for name in ("effect", "error", "z", "p", "q", "off", "r2"):
            rows[name] = getattr(self, name)[order]
        rows["conclusion"] = np.where(
            ~self.known[order], "off the data", np.where(self.called[order], "candidate", "not told")
        )
        return pd.DataFrame(rows)


def screen(
    velocity_field: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    states: np.ndarray,
    times: np.ndarray,
    fate: str,
    perturbation: Perturbation,
    paths: int = PATHS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Screen:
    """Perturb every variable gene in the same cells and rank the genes by their effect on a fate.

    By the model itself (the first member of an ensemble), on as many of the cells as the budget allows,
    drawn with a fixed seed. What is usual is told by the 50 genes most alike in variance and level: the
    median and the scaled median deviation of their effects give the score of a gene.

    Parameters
    ----------
    perturbation
        Its first change says what is done to every gene (knock-out, over-expression, or a shift by sd).
    paths
        Budget: genes times cells.

    Raises
    ------
    DataError
        There is no such fate, or fewer than 20 genes vary.

    References
    ----------
    Efron, Large-scale simultaneous hypothesis testing: the choice of a null hypothesis, Journal of the
    American Statistical Association 2004; Benjamini and Hochberg, Controlling the false discovery rate,
    Journal of the Royal Statistical Society B 1995.
    """
    if fate not in told.names:
        raise DataError(f"There is no fate “{fate}”; there are {', '.join(told.names) or 'none'}.")
    columns = eligible(around)
    if len(columns) < FEWEST_GENES:
        raise DataError(f"{len(columns)} genes vary enough; a screen needs {FEWEST_GENES}, to compare them.")
    n = int(np.clip(paths // len(columns), FEWEST_CELLS, MOST))
    some = np.sort(np.random.default_rng(seed).choice(len(states), min(n, len(states)), replace=False))
    states, times = states[some], times[some]
    member = members_of(velocity_field)[0]
    before = outcome(OneMember(member), told, states, times=times)
    moves = Moves(columns, perturbation.dose * _wanted(around, states, columns, perturbation))
    given = {"states": states, "times": times, "before": before, "progress": progress}
    change, error, off = many(member, told, around, moves=moves, perturbation=perturbation, **given)
    k = told.names.index(fate)
    usable = np.isfinite(change[:, k]) & (off <= REFUSED)
    alike = {"sd": around.sd(columns), "level": around.mean[columns]}
    z = standing_out(change[:, k], error[:, k], **alike, usable=usable)
    p = 2 * stats.norm.sf(np.abs(z))
    return Screen(
        fate=fate,
        genes=tuple(around.basis.genes[c] for c in columns),
        effect=change[:, k],
        error=error[:, k],
        z=z,
        p=p,
        q=false_discovery_rate(p),
        off=off,
        r2=around.basis.r2[columns].astype(np.float64),
        n_cells=len(states),
        n_left_out=len(around.basis.genes) - len(columns),
        kind=perturbation.changes[0].kind,
    )


def standing_out(
    effect: np.ndarray, error: np.ndarray, *, sd: np.ndarray, level: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """Return how far each effect lies from those of the genes most alike, in robust deviations, (g,).

    The deviation is that of those genes and the gene's own standard error together, so that an effect that
    none of them has is not called on a single cell. Genes alike are neighbours by the ranks of variance and
    level. NaN for genes that are not usable.
    """
    z = np.full(len(effect), np.nan)
    rows = np.flatnonzero(usable)
    if len(rows) < FEWEST_GENES:
        return z
    rank = [stats.rankdata(values[rows]) / len(rows) for values in (sd, level)]
    place = np.stack([rank[0], LEVEL * rank[1]], axis=1)
    for i, row in enumerate(rows):
        apart = np.square(place - place[i]).sum(axis=1)
        apart[i] = np.inf
        near = rows[np.argsort(apart, kind="stable")[: min(ALIKE, len(rows) - 1)]]
        middle = np.median(effect[near])
        scale = stats.median_abs_deviation(effect[near], scale="normal")
        scale = float(np.hypot(scale, error[row]))
        z[row] = (effect[row] - middle) / scale if scale > 0 else 0.0
    return z


def _wanted(
    around: Surroundings, states: np.ndarray, columns: np.ndarray, perturbation: Perturbation
) -> np.ndarray:
    """Return by how much each gene is to change in each cell, (g, n)."""
    one, basis = perturbation.changes[0], around.basis
    if one.kind == SHIFT:
        return np.repeat(one.sd * around.sd(columns)[:, None], len(states), axis=1)
    level = (states @ basis.loadings[:, columns] + basis.mean[columns]).T.astype(np.float64)
    if one.kind == UP:
        return np.maximum(around.top[columns][:, None] - level, 0)
    return np.minimum(-level, 0)
