"""Perturbations of genes: what is done to which gene, and the states that cells are moved to by it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.covariance import ledoit_wolf

from dynamics.errors import DataError, SettingsError

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.snapshots import Snapshots

KNOCKOUT, UP, SHIFT = "knockout", "up", "shift"
KINDS = (KNOCKOUT, UP, SHIFT)
UP_TO = 0.99
"""Over-expression takes a gene to this quantile of its values over all cells."""

PLAUSIBLE, LOADING = "plausible", "loading"
MOVES = (PLAUSIBLE, LOADING)
"""How a cell is moved: to the likeliest state of its time with that expression, or along the gene alone."""

FEWEST_R2 = 0.05
"""Genes of which the states know less of the variance cannot be perturbed."""

MOST_SD = 20.0
IDLE = 1e-12


@dataclass(frozen=True)
class GeneChange:
    """What is done to one gene: "knockout" (to zero), "up" (to the 99th percentile), or "shift" by `sd`."""

    gene: str
    kind: str = KNOCKOUT
    sd: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"“{self.kind}” is no perturbation; known are {', '.join(KINDS)}.")
        if not (np.isfinite(self.sd) and abs(self.sd) <= MOST_SD):
            raise SettingsError(
                f"A shift by {self.sd:g} standard deviations is out of reach; at most {MOST_SD:g}."
            )

    @property
    def words(self) -> str:
        """What is done, as the beginning of a sentence."""
        if self.kind == SHIFT:
            return f"shifting {self.gene} by {self.sd:+g} sd"
        return f"{'knocking out' if self.kind == KNOCKOUT else 'over-expressing'} {self.gene}"


@dataclass(frozen=True)
class Perturbation:
    """A change of one or several genes.

    Attributes
    ----------
    changes
        One for each gene, no gene twice.
    dose
        0 to 1: how much of the change is made, and how firmly the genes are held afterwards.
    move
        "plausible" or "loading", see `MOVES`.
    held
        Whether the genes stay where they were put while the cell moves on, as in a knock-out.
    """

    changes: tuple[GeneChange, ...]
    dose: float = 1.0
    move: str = PLAUSIBLE
    held: bool = True

    def __post_init__(self) -> None:
        genes = self.genes
        if not genes or len(set(genes)) < len(genes):
            raise SettingsError("A perturbation needs a gene, and none twice.")
        if not 0 <= self.dose <= 1:
            raise SettingsError(f"The dose is a number from 0 to 1; {self.dose:g} was given.")
        if self.move not in MOVES:
            raise SettingsError(f"“{self.move}” is no way to move a cell; known are {', '.join(MOVES)}.")

    @property
    def genes(self) -> tuple[str, ...]:
        return tuple(one.gene for one in self.changes)

    @property
    def words(self) -> str:
        text = " and ".join(one.words for one in self.changes)
        return text if self.dose == 1 else f"{text} (dose {self.dose:.0%})"

    def at(self, dose: float) -> "Perturbation":
        """Return the same at another dose."""
        return replace(self, dose=dose)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(values: Mapping[str, Any]) -> Perturbation:
    """Read what `Perturbation.to_json` gave."""
    changes = tuple(GeneChange(**one) for one in values["changes"])
    return Perturbation(changes, **{name: one for name, one in values.items() if name != "changes"})


def parsed(word: str) -> GeneChange:
    """Read `NAME`, `NAME=knockout`, `NAME=up`, `NAME=down` (two sd) or `NAME=+1.5` (shift by sd)."""
    name, _, kind = word.rpartition("=") if "=" in word else (word, "", KNOCKOUT)
    if kind in (KNOCKOUT, UP) and name:
        return GeneChange(name, kind)
    if kind == "down" and name:
        return GeneChange(name, SHIFT, -2.0)
    if name and re.fullmatch(r"[+-]?\d+(\.\d+)?", kind):
        return GeneChange(name, SHIFT, float(kind))
    raise SettingsError(
        f"--gene '{word}' is no perturbation: write NAME, NAME=knockout, NAME=up, NAME=down or NAME=+1.5."
    )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """How states vary among the cells of each time, and what each gene is there.

    Attributes
    ----------
    covariance : (n_times, dim, dim)
        Of the states of the cells of each time, shrunk.
    within : (dim, dim)
        Mean of these, by the number of cells.
    basis
        The map from states to genes.
    top : (n_genes,)
        99th percentile of each gene over all cells, by the basis.
    mean : (n_genes,)
        Mean of each gene over all cells.
    """

    covariance: np.ndarray = field(repr=False)
    within: np.ndarray = field(repr=False)
    basis: "StateBasis" = field(repr=False)
    top: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)

    def sd(self, columns: np.ndarray) -> np.ndarray:
        """Standard deviation of genes among the cells of one time that the states know of, (m,)."""
        loadings = self.basis.loadings[:, columns].astype(np.float64)
        return np.sqrt(np.maximum(np.einsum("dg,de,eg->g", loadings, self.within, loadings), 0))


def surroundings(snapshots: "Snapshots", basis: "StateBasis") -> Surroundings:
    """Measure how states and genes vary among the cells of each time.

    References
    ----------
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal of
    Multivariate Analysis 2004 (shrinkage of the covariance of each time).
    """
    shrunk, counts = [], []
    for k in range(snapshots.n_times):
        states = snapshots.at(k).astype(np.float64)
        counts.append(len(states))
        alone = len(states) < 2
        shrunk.append(np.zeros((snapshots.dim,) * 2) if alone else ledoit_wolf(states)[0])
    counts = np.where([not one.any() for one in shrunk], 0, counts)
    within = np.average(shrunk, axis=0, weights=np.maximum(counts, IDLE))
    shrunk = [one if one.any() else within for one in shrunk]
    top = np.empty(len(basis.genes), np.float32)
    for first in range(0, len(top), 256):
        columns = slice(first, first + 256)
        values = snapshots.states @ basis.loadings[:, columns] + basis.mean[columns]
        top[columns] = np.quantile(values, UP_TO, axis=0)
    mean = snapshots.states.mean(axis=0) @ basis.loadings + basis.mean
    return Surroundings(np.stack(shrunk), within, basis, top, mean)


def known_columns(around: Surroundings, genes: Sequence[str]) -> np.ndarray:
    """Return the columns of genes, (m,).

    Raises
    ------
    DataError
        A gene is not there, or the states know too little of it to move it.
    """
    columns = around.basis.columns(genes)
    r2 = around.basis.r2[columns]
    poor = [f"{gene} ({value:.0%})" for gene, value in zip(genes, r2, strict=True) if value < FEWEST_R2]
    if poor:
        raise DataError(
            f"The states hold under {FEWEST_R2:.0%} of the variance of {', '.join(poor)}, so the model "
            "cannot know what a change of it does. Choose a gene that varies between the cells."
        )
    return columns


def wanted_changes(around: Surroundings, states: np.ndarray, perturbation: Perturbation) -> np.ndarray:
    """Return by how much each gene of each cell is to change at full dose, (n, m), in log expression."""
    columns = known_columns(around, perturbation.genes)
    level = around.basis.to_genes(states, perturbation.genes).astype(np.float64)
    sd = around.sd(columns)
    delta = np.empty(level.shape)
    for k, one in enumerate(perturbation.changes):
        if one.kind == KNOCKOUT:
            delta[:, k] = np.minimum(-level[:, k], 0)
        elif one.kind == UP:
            delta[:, k] = np.maximum(around.top[columns[k]] - level[:, k], 0)
        else:
            delta[:, k] = one.sd * sd[k]
    return delta


def directions(around: Surroundings, loadings: np.ndarray, *, time: int, move: str) -> np.ndarray:
    """Return by how much a state moves for each unit of each gene, (dim, m), the other genes given alike.

    The state with the least Mahalanobis distance, among cells of that time, to have the wanted expression:
    Σ W (Wᵀ Σ W)⁻¹, the regression of states on the genes. With "loading" Σ is the identity.

    Parameters
    ----------
    loadings : (dim, m)
        Expression of the genes per unit of state.
    """
    spread = around.covariance[time] @ loadings if move == PLAUSIBLE else loadings
    return spread @ np.linalg.pinv(loadings.T @ spread, rcond=1e-10, hermitian=True)


def perturbed_states(
    around: Surroundings, states: np.ndarray, perturbation: Perturbation, *, time_index: np.ndarray
) -> np.ndarray:
    """Return the states that cells are moved to, (n, dim) float32; at dose 0 exactly the states themselves.

    Parameters
    ----------
    states : (n, dim)
    time_index : (n,)
        Number of the time of each cell.
    """
    states = np.asarray(states, np.float32)
    delta = perturbation.dose * wanted_changes(around, states, perturbation)
    loadings = around.basis.loadings[:, known_columns(around, perturbation.genes)].astype(np.float64)
    moved = states.copy()
    for k in np.unique(time_index):
        mine = time_index == k
        way = directions(around, loadings, time=int(k), move=perturbation.move)
        moved[mine] = (states[mine] + delta[mine] @ way.T).astype(np.float32)
    return moved


def held_axes(around: Surroundings, perturbation: Perturbation) -> np.ndarray:
    """Return the directions of state along which the genes would change, orthonormal, (m, dim)."""
    loadings = around.basis.loadings[:, known_columns(around, perturbation.genes)].astype(np.float64)
    left, size, _ = np.linalg.svd(loadings, full_matrices=False)
    return left[:, size > 1e-6 * size.max()].T
