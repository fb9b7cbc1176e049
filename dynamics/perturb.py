"""What a perturbation, or another starting population, changes about where cells go, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from dynamics.errors import DataError
from dynamics.fate_readout import Outcome, Readout, outcome
from dynamics.field import Progress, no_progress
from dynamics.perturbation import Perturbation, Surroundings, held_axes, perturbed_states
from dynamics.perturbed_field import PerturbedField

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

NOMINAL = 0.8
MOST = 300
"""Cells that an effect is worked out for at most; of more, a fixed random choice."""

BOOTSTRAPS = 400
REFUSED = 0.5
"""No conclusion is drawn where more than this share of the cells is off the measured ones."""

CALLED = 0.1
"""An effect counts as more than that of random genes below this share of them."""


@dataclass(frozen=True, eq=False)
class Effect:
    """Change of fates between two sets of states.

    Attributes
    ----------
    names
        Of the terminal states; none where there are fewer than two.
    before, after : (n_fates,)
        Mean fate probabilities of the cells without and with.
    change, low, high : (n_fates,)
        Their difference, with a nominal 80 % interval from the members and a bootstrap over the cells.
    by_cell : (n, n_fates) or None
        Change of each cell, mean over the members; None where the populations are not the same cells.
    types, types_before, types_after
        Share of each cell type at the end, of the paths still on the data; empty where no types are known.
    jump, displacement
        Mean distance that cells are moved at once, and by which their ends differ, in spreads of a snapshot;
        NaN where the populations are not the same cells.
    off, off_start : float
        Share of cells off the measured ones at the start or on the way, and at the start.
    n_cells, n_members
    what
        What was done, as the beginning of a sentence.
    """

    names: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    low: np.ndarray
    high: np.ndarray
    by_cell: np.ndarray | None = field(repr=False)
    types: tuple[str, ...] = ()
    types_before: np.ndarray = field(default_factory=lambda: np.empty(0))
    types_after: np.ndarray = field(default_factory=lambda: np.empty(0))
    jump: float = np.nan
    displacement: float = np.nan
    off: float = 0.0
    off_start: float = 0.0
    n_cells: int = 0
    n_members: int = 1
    what: str = ""

    @property
    def refused(self) -> bool:
        """Whether too many cells are off the data to conclude anything."""
        return self.off > REFUSED

    @property
    def largest(self) -> int:
        """Number of the fate that gains or loses most."""
        return int(np.nanargmax(np.abs(self.change))) if np.isfinite(self.change).any() else 0


def effect(
    velocity_field: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    states: np.ndarray,
    times: np.ndarray,
    perturbation: Perturbation,
    before: Outcome | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Effect:
    """Tell how a perturbation changes the fates of cells.

    Cells are moved to the perturbed states (`dynamics.perturbation.perturbed_states`) and followed, with the
    genes held unless the perturbation says otherwise; the same cells, unperturbed, are what is compared with.
    Both are readings of the correlation between genes among measured cells, no experiment. Growth does not
    count; a stochastic model is followed along its mean flow.

    Parameters
    ----------
    states : (n, dim), times : (n,)
        Of the chosen cells (`chosen`).
    before
        Outcome of the unperturbed cells, where it is already there.

    References
    ----------
    Yeo et al., Generative modeling of single-cell time series with PRESCIENT enables prediction of cell
    trajectories with interventions, Nature Communications 2021 (cells moved by a gene's scaled expression);
    Kamimoto et al., Dissecting cell identity via network inference and in silico gene perturbation, Nature
    2023 (a change propagated to the other genes by linear models).
    """
    before = before or outcome(velocity_field, told, states, times=times)
    index = np.searchsorted(told.times, times - 1e-9)
    moved = perturbed_states(around, states, perturbation, time_index=index)
    tried: VelocityField = velocity_field
    if perturbation.held and perturbation.dose > 0:
        tried = PerturbedField(velocity_field, held_axes(around, perturbation), dose=perturbation.dose)
    after = before
    if perturbation.dose > 0:
        after = outcome(tried, told, moved, times=times, progress=progress)
    jump = float(np.linalg.norm(moved - states, axis=1).mean() / told.width)
    return compare(told, before, after, paired=jump, what=perturbation.words, seed=seed)


def dose_response(
    velocity_field: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    states: np.ndarray,
    times: np.ndarray,
    perturbation: Perturbation,
    doses: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    seed: int = 0,
) -> tuple[Effect, ...]:
    """Tell the effect at several doses; parameters as for `effect`."""
    before = outcome(velocity_field, told, states, times=times)
    given = {"states": states, "times": times, "before": before, "seed": seed}
    return tuple(
        effect(velocity_field, told, around, perturbation=perturbation.at(dose), **given) for dose in doses
    )


def start_population(
    velocity_field: "VelocityField",
    told: Readout,
    *,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    what: str = "starting from other cells",
    seed: int = 0,
) -> Effect:
    """Compare the fates of two starting populations, each given as states, (n, dim), and times, (n,)."""
    outcomes = [outcome(velocity_field, told, one, times=at) for one, at in (first, second)]
    return compare(told, *outcomes, what=what, seed=seed)


def chosen(
    snapshots: "Snapshots", rows: np.ndarray, *, most: int = MOST, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return states and times of chosen cells, of more than `most` a fixed random choice (`some`)."""
    rows = some(rows, most=most, seed=seed)
    return snapshots.states[rows], snapshots.times[rows]


def some(rows: np.ndarray, *, most: int = MOST, seed: int = 0) -> np.ndarray:
    """Return chosen cells, of more than `most` a fixed random choice in their order.

    Raises
    ------
    DataError
        No cell is chosen.
    """
    rows = np.asarray(rows, np.int64)
    if not len(rows):
        raise DataError("No cell is chosen. Choose cells by type, by time, or on the map.")
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def compare(
    told: Readout,
    before: Outcome,
    after: Outcome,
    *,
    paired: float | None = None,
    what: str = "",
    seed: int = 0,
) -> Effect:
    """Return the effect that two outcomes make: of the same cells, moved by `paired`, or of others."""
    first, second = (one.fates.mean(axis=0) for one in (before, after))
    rng = np.random.default_rng(seed)
    means = [_by_member(one) for one in (before, after)]
    change = means[1].mean(axis=0) - means[0].mean(axis=0)
    if paired is not None:
        draws = _resampled(second - first, rng)
    else:
        draws = _resampled(second, rng) - _resampled(first, rng)
    low, high = _interval(means[1] - means[0], draws, centre=change)
    types = [_types(one) for one in (before, after)]
    displacement = np.nan
    if paired is not None:
        displacement = float(np.nanmean(np.linalg.norm(after.ends - before.ends, axis=2)) / told.width)
    return Effect(
        names=told.names,
        before=means[0].mean(axis=0),
        after=means[1].mean(axis=0),
        change=change,
        low=low,
        high=high,
        by_cell=second - first if paired is not None else None,
        types=told.types,
        types_before=types[0],
        types_after=types[1],
        jump=np.nan if paired is None else paired,
        displacement=displacement,
        off=float(after.off.mean()),
        off_start=float(after.off_start.mean()),
        n_cells=len(after.off_start),
        n_members=len(after.off),
        what=what,
    )


def _by_member(one: Outcome) -> np.ndarray:
    """Mean fates of the cells by each member, (members, n_fates); NaN where no cell has any."""
    known = np.isfinite(one.fates).all(axis=(0, 2))
    if not known.any():
        return np.full((one.fates.shape[0], one.fates.shape[2]), np.nan)
    return one.fates[:, known].mean(axis=1)


def _types(one: Outcome) -> np.ndarray:
    if one.composition is None:
        return np.empty(0)
    total = one.composition.sum(axis=(0, 1))
    return total / total.sum() if total.sum() else np.full(len(total), np.nan)


def _resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return means of cells drawn with replacement, (BOOTSTRAPS, n_fates)."""
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return np.full((BOOTSTRAPS, values.shape[1]), np.nan)
    return values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)


def _interval(
    by_member: np.ndarray, draws: np.ndarray, *, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a nominal 80 % interval: Student's for one more member, with the variance of the bootstrap."""
    n = len(by_member)
    variance, quantile = draws.var(axis=0), stats.norm.ppf((1 + NOMINAL) / 2)
    if n > 1:
        variance = variance + (1 + 1 / n) * by_member.var(axis=0, ddof=1)
        quantile = stats.t.ppf((1 + NOMINAL) / 2, n - 1)
    half = quantile * np.sqrt(variance)
    return centre - half, centre + half
