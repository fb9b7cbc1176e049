"""How genes change over time on the way to each fate, and which of them peak when."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse, stats

from dynamics.errors import DataError

NOMINAL = 0.8
"""Share of cases in which a band is meant to hold the mean."""

FEWEST = 20
"""Effective cells of all times that the trends of a fate need."""

FEWEST_AT_TIME = 5
"""Effective cells that a time needs to count."""

TIMES_SMOOTHED = 8
"""Up to so many times trends are straight lines between measured means; of more, neighbours are joined."""

GRID = 61
ALL = "all cells"

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray


@dataclass(frozen=True, eq=False)
class Trends:
    """Mean expression over time, of cells weighted by each fate.

    Attributes
    ----------
    genes, fates
        Names.
    times : (n_grid,)
        Times of the lines.
    mean, low, high : (n_fates, n_grid, n_genes)
        Weighted mean and its nominal 80 % band; NaN where a fate has too few cells.
    measured : (n_times,)
        Times at which cells were measured.
    at : (n_fates, n_times, n_genes)
        Weighted mean of the cells of each measured time; NaN where they are too few.
    effective : (n_fates, n_times)
        Effective number of cells of each fate at each time (Kish).
    n_members
        Of the ensemble that the bands count.
    """

    genes: tuple[str, ...]
    fates: tuple[str, ...]
    times: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    measured: np.ndarray = field(repr=False)
    at: np.ndarray = field(repr=False)
    effective: np.ndarray = field(repr=False)
    n_members: int = 1

    def __post_init__(self) -> None:
        for name in ("times", "mean", "low", "high", "measured", "at", "effective"):
            getattr(self, name).flags.writeable = False

    @property
    def drawn(self) -> tuple[str, ...]:
        """Fates with cells enough."""
        pairs = zip(self.fates, self.mean, strict=True)
        return tuple(name for name, line in pairs if np.isfinite(line).any())

    @property
    def message(self) -> str:
        """Which fates are not drawn, in words; empty where all are."""
        lost = [
            f"{name} ({total:.0f} effective cells; {FEWEST} are needed, at two times)"
            for name, total in zip(self.fates, self.effective.sum(axis=1), strict=True)
            if name not in self.drawn
        ]
        return f"Not drawn, too few cells: {', '.join(lost)}." if lost else ""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Genes in the order in which they peak on the way to one fate.

    Attributes
    ----------
    order : (m,)
        Columns of the trends, the earliest peak first.
    scaled : (m, n_grid)
        Trend of each, 0 at its lowest and 1 at its highest.
    peak : (m,)
        Time at which each is highest.
    change : (m,)
        Highest less lowest, in units of expression.
    """

    order: np.ndarray = field(repr=False)
    scaled: np.ndarray = field(repr=False)
    peak: np.ndarray = field(repr=False)
    change: np.ndarray = field(repr=False)


def trends(
    expression: Matrix,
    times: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    genes: Sequence[str] = (),
    fates: Sequence[str] = (ALL,),
    by_member: np.ndarray | None = None,
    at: np.ndarray | None = None,
) -> Trends:
    """Return the mean expression over real time of the measured cells, weighted by each fate.

    Cells of a snapshot share one time, so nothing is known between snapshots: a local-linear smoother whose
    kernel is a triangle over the neighbouring times (as wide as one gap, from nine times on as an eighth of
    all) draws straight lines between the measured means where times are few, and smooths where they are
    many. The band adds the error of the weighted means (linearised, the limit of a bootstrap over cells) to
    Student's interval for one more member of the ensemble.

    Parameters
    ----------
    expression : (n, n_genes)
        On the log scale; dense or sparse.
    times : (n,)
        Time of each cell.
    weights : (n, n_fates)
        Fate probabilities; NaN counts as none. All cells alike by default.
    by_member : (n_members, n, n_fates)
        The same by each member of an ensemble.
    at : (n_grid,)
        Times of the lines, by default the measured ones and some between.

    Raises
    ------
    DataError
        The shapes do not fit, or weights are below zero.

    References
    ----------
    Cleveland, Robust locally weighted regression and smoothing scatterplots, Journal of the American
    Statistical Association 1979 (local lines); Kish, Survey Sampling, 1965 (effective number).
    """
    known, index = np.unique(np.asarray(times, float), return_inverse=True)
    weights = np.ones((len(index), 1)) if weights is None else np.nan_to_num(weights, nan=0.0)
    _check(expression, index, weights, names=fates)
    grid = _grid(known) if at is None else np.asarray(at, float)
    values = expression.tocsr() if sparse.issparse(expression) else np.asarray(expression, np.float64)
    members = () if by_member is None or len(by_member) < 2 else np.nan_to_num(by_member, nan=0.0)
    found = [
        _one(values, index, weights[:, f], known=known, grid=grid, members=[one[:, f] for one in members])
        for f in range(weights.shape[1])
    ]
    mean, half, points, effective = (np.stack(parts) for parts in zip(*found, strict=True))
    return Trends(
        genes=tuple(genes) or tuple(f"gene {k + 1}" for k in range(expression.shape[1])),
        fates=tuple(fates),
        times=grid,
        mean=mean,
        low=mean - half,
        high=mean + half,
        measured=known,
        at=points,
        effective=effective,
        n_members=max(1, len(members)),
    )


def peaks(along: Trends, fate: str, *, most: int | None = None) -> Peaks:
    """Return the genes that change most on the way to one fate, in the order in which they peak.

    Genes that peak at the same time are ordered by the centre of their scaled trend. Genes without change
    are left out.

    Raises
    ------
    DataError
        The fate is not among the trends, or has too few cells.
    """
    if fate not in along.drawn:
        raise DataError(f"There are no trends on the way to {fate}. {along.message}")
    line = along.mean[along.fates.index(fate)]
    known = np.isfinite(line).all(axis=1)
    times, line = along.times[known], line[known]
    low, high = line.min(axis=0), line.max(axis=0)
    change = high - low
    varies = np.flatnonzero(change > 1e-6 * np.maximum(np.abs(high), 1e-6))
    picked = varies[np.argsort(-change[varies], kind="stable")[:most]]
    scaled = ((line[:, picked] - low[picked]) / change[picked]).T
    peak = times[scaled.argmax(axis=1)] if len(picked) else np.empty(0)
    centre = scaled @ times / np.maximum(scaled.sum(axis=1), 1e-12)
    order = np.lexsort((centre, peak))
    everywhere = np.full((len(picked), len(along.times)), np.nan)
    everywhere[:, known] = scaled
    return Peaks(picked[order], everywhere[order], peak[order], change[picked][order])


def smoother(times: np.ndarray, mass: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the local-linear smoother from measured times to others, (n_at, n_times); rows sum to one.

    Parameters
    ----------
    times : (n_times,)
        Increasing.
    mass : (n_times,)
        Weight of each time; those of zero are left out. Rows of times outside the others are NaN.
    """
    result = np.full((len(at), len(times)), np.nan)
    kept = np.flatnonzero(mass > 0)
    if not len(kept):
        return result
    own = times[kept]
    inside = (at >= own[0]) & (at <= own[-1])
    place = np.interp(at[inside], own, np.arange(len(own)))
    reach = max(1.0, len(own) / TIMES_SMOOTHED)
    kernel = np.clip(1 - np.abs(place[:, None] - np.arange(len(own))) / reach, 0, None) * mass[kept]
    kernel /= kernel.sum(axis=1, keepdims=True)
    apart = (own - at[inside][:, None]) / max(np.ptp(own), np.finfo(float).tiny)
    first, second = (np.sum(kernel * apart**power, axis=1, keepdims=True) for power in (1, 2))
    spread = second - first**2
    line = spread[:, 0] > 1e-12
    kernel[line] *= ((second - apart * first)[line]) / spread[line]
    rows = np.zeros((int(inside.sum()), len(times)))
    rows[:, kept] = kernel
    result[inside] = rows
    return result


def _one(
    values: Matrix,
    index: np.ndarray,
    weight: np.ndarray,
    *,
    known: np.ndarray,
    grid: np.ndarray,
    members: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return trend, half width of its band, means at the measured times and effective cells of one fate."""
    n_times = len(known)
    mass = np.bincount(index, weight, minlength=n_times)
    squared = np.bincount(index, weight**2, minlength=n_times)
    effective = np.divide(mass**2, squared, out=np.zeros(n_times), where=squared > 0)
    enough = effective >= FEWEST_AT_TIME
    if effective.sum() < FEWEST or enough.sum() < min(2, n_times):
        blank = np.full((len(grid), values.shape[1]), np.nan)
        return blank, blank, np.full((n_times, values.shape[1]), np.nan), effective
    mean = _means(values, index, weight, n_times=n_times)
    through = smoother(known, np.where(enough, mass, 0), grid)
    error = _variance(values, index, weight, mean=mean)
    error *= (effective / np.maximum(effective - 1, 1))[:, None]
    trend, half = through @ mean, stats.norm.ppf((1 + NOMINAL) / 2) ** 2 * (through**2 @ error)
    if members:
        own = np.stack(
            [_smoothed(values, index, one, known=known, grid=grid, enough=enough) for one in members]
        )
        quantile = stats.t.ppf((1 + NOMINAL) / 2, len(members) - 1)
        half = half + quantile**2 * own.var(axis=0, ddof=1) * (1 + 1 / len(members))
    return trend, np.sqrt(half), np.where(enough[:, None], mean, np.nan), effective


def _smoothed(
    values: Matrix,
    index: np.ndarray,
    weight: np.ndarray,
    *,
    known: np.ndarray,
    grid: np.ndarray,
    enough: np.ndarray,
) -> np.ndarray:
    """Return the trend by one member, at the times where the mean of all has cells enough."""
    mass = np.bincount(index, weight, minlength=len(known))
    through = smoother(known, np.where(enough, np.maximum(mass, 1e-9), 0), grid)
    return through @ _means(values, index, weight, n_times=len(known))


def _means(values: Matrix, index: np.ndarray, weight: np.ndarray, *, n_times: int) -> np.ndarray:
    """Return the weighted mean of each time, (n_times, n_genes); zero where nothing weighs."""
    shape = (n_times, len(index))
    sums = sparse.csr_matrix((weight, (index, np.arange(len(index)))), shape=shape) @ values
    sums = sums.toarray() if sparse.issparse(sums) else np.asarray(sums)
    mass = np.bincount(index, weight, minlength=n_times)
    return sums / np.where(mass > 0, mass, 1)[:, None]


def _variance(values: Matrix, index: np.ndarray, weight: np.ndarray, *, mean: np.ndarray) -> np.ndarray:
    """Return the squared error of each weighted mean, (n_times, n_genes): Σ w² (y − m)² / (Σ w)²."""
    shape = (len(mean), len(index))
    pick = sparse.csr_matrix((weight**2, (index, np.arange(len(index)))), shape=shape)
    square = values.multiply(values).tocsr() if sparse.issparse(values) else values**2
    second, first = (
        part.toarray() if sparse.issparse(part) else np.asarray(part)
        for part in (pick @ square, pick @ values)
    )
    total = np.asarray(pick.sum(axis=1)).reshape(-1, 1)
    mass = np.bincount(index, weight, minlength=len(mean))[:, None]
    spread = np.maximum(second - 2 * mean * first + mean**2 * total, 0)
    return spread / np.where(mass > 0, mass, 1) ** 2


def _grid(known: np.ndarray) -> np.ndarray:
    """Return the measured times and evenly spaced ones between them."""
    return np.unique(np.concatenate([known, np.linspace(known[0], known[-1], GRID)]))


def _check(expression: Matrix, index: np.ndarray, weights: np.ndarray, *, names: Sequence[str]) -> None:
    n = len(index)
    if len(weights) != n or expression.shape[0] != n or weights.shape[1] != len(names):
        raise DataError(
            f"Expression has {expression.shape[0]:,} cells, times {n:,}, and weights have shape "
            f"{weights.shape} for {len(names)} fates: a row for each cell and a column for each fate are "
            "needed."
        )
    if n == 0 or (weights < 0).any():
        raise DataError("Trends need cells, and weights that are not below zero.")
