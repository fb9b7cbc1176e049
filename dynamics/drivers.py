"""Driver genes: which genes go with each fate among the cells of one time, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse, stats

from dynamics.errors import DataError, SettingsError

NOMINAL = 0.8
METHODS = ("spearman", "pearson")
DRAWS = 200
"""Shuffles of the fates within each time."""

BINS = 10
"""Groups of genes by their mean, each split in two by the share of cells that show the gene."""

SAMPLED = 15
"""Genes of each such group whose shuffled effects make the null."""

SIGNIFICANT = 0.05
UNDECIDED = 0.8
"""Cells with less of their probability in one fate are still undecided."""

FEWEST = 20
BLOCK = 256

Matrix = np.ndarray | sparse.spmatrix | sparse.sparray


@dataclass(frozen=True, eq=False)
class Drivers:
    """How strongly each gene goes with each fate.

    Attributes
    ----------
    effect, low, high : (n_fates, n_genes)
        Correlation within the times and its nominal 80 % interval; NaN for genes and fates that do not vary.
    p, q : (n_fates, n_genes)
        Two-sided p-value of no correlation, and its false discovery rate over the genes of the fate.
    null_p : (n_fates, n_genes)
        Share of effects at least as large among matched genes with fates shuffled within each time.
    mean, detected : (n_genes,)
        Mean expression of a gene, and share of the cells that show it.
    n_cells
        Cells that were used.
    """

    genes: tuple[str, ...] = field(repr=False)
    fates: tuple[str, ...]
    effect: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    p: np.ndarray = field(repr=False)
    q: np.ndarray = field(repr=False)
    null_p: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    detected: np.ndarray = field(repr=False)
    n_cells: int
    n_members: int = 1
    method: str = "spearman"

    def __post_init__(self) -> None:
        for name in ("effect", "low", "high", "p", "q", "null_p", "mean", "detected"):
            getattr(self, name).flags.writeable = False

    @property
    def called(self) -> np.ndarray:
        """Genes that hold up against all three, (n_fates, n_genes): q, the matched null, the interval."""
        with np.errstate(invalid="ignore"):
            apart = (self.low > 0) | (self.high < 0)
            return (self.q < SIGNIFICANT) & (self.null_p < SIGNIFICANT) & apart

    def top(self, fate: str, n: int) -> np.ndarray:
        """Return the columns of the genes with the largest effect for a fate, (n,) or fewer."""
        effect = self.effect[self.fates.index(fate)]
        order = np.argsort(-np.nan_to_num(effect, nan=-np.inf), kind="stable")
        return order[: min(n, int(np.isfinite(effect).sum()))]


def drivers(
    expression: Matrix,
    probabilities: np.ndarray,
    times: np.ndarray,
    *,
    genes: Sequence[str],
    fates: Sequence[str],
    by_member: np.ndarray | None = None,
    method: str = "spearman",
    undecided: bool = False,
    ranks: Matrix | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Drivers:
    """Return how strongly each gene goes with each fate among cells that were measured at the same time.

    Expression and fate probability (their ranks, for Spearman's) have the mean of their time taken away, so
    that a gene that merely changes with time has no effect; then they are correlated over all cells, which
    gives times in which fates differ more the larger say. The interval is Fisher's, widened by Student's
    interval for one more member of the ensemble.

    Parameters
    ----------
    expression : (n, n_genes)
        On the log scale; dense or sparse, never made dense as a whole.
    probabilities : (n, n_fates)
        Fate probabilities; cells with NaN are left out.
    times : (n,)
        Time of each cell, or any grouping within which cells are compared.
    by_member : (n_members, n, n_fates)
        What each member of an ensemble says.
    method
        "spearman" or "pearson".
    undecided
        Whether to take only cells that have less than 80 % in one fate.
    ranks
        What `ranked` gives of the expression, where it is already there. Genes are ranked over all cells,
        whichever of them are used.

    Raises
    ------
    DataError
        The shapes do not fit, or fewer than 20 cells are left.
    SettingsError
        Another method.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022 (driver genes by
    correlation with Fisher's interval); Liu et al., Covariate-adjusted Spearman's rank correlation with
    probability-scale residuals, Biometrics 2018; Bonett and Wright, Sample size requirements for estimating
    Pearson, Kendall and Spearman correlations, Psychometrika 2000; Benjamini and Hochberg, Controlling the
    false discovery rate, Journal of the Royal Statistical Society B 1995.
    """
    if method not in METHODS:
        raise SettingsError(f"Drivers are told by {' or '.join(METHODS)}; “{method}” was asked for.")
    _check(expression, probabilities, times, genes=genes, fates=fates)
    rows = _rows(probabilities, undecided=undecided)
    _, group = np.unique(np.asarray(times)[rows], return_inverse=True)
    x = _taken(expression, rows)
    mean, detected = _levels(x)
    if method == "spearman":
        x = _taken(ranked(expression) if ranks is None else ranks, rows)
    members = () if by_member is None or len(by_member) < 2 else by_member[:, rows]
    y = _within(probabilities[rows], group, method=method)
    spread = _spread(x, group)
    effect = _correlation(x, y, spread)
    n = len(rows) - int(group.max())  # each time but one takes a degree of freedom
    own = [_correlation(x, _within(one, group, method=method), spread) for one in members]
    low, high = _interval(effect, own, n=n, method=method)
    p = _p_values(effect, df=n - 2)
    rng = np.random.default_rng(seed)
    matched = _matched(mean, detected)
    null_p = _null(x, y, group, effect=effect, spread=spread, matched=matched, draws=draws, rng=rng)
    return Drivers(
        genes=tuple(genes),
        fates=tuple(fates),
        effect=effect,
        low=low,
        high=high,
        p=p,
        q=np.stack([false_discovery_rate(one) for one in p]),
        null_p=null_p,
        mean=mean,
        detected=detected,
        n_cells=len(rows),
        n_members=max(1, len(members)),
        method=method,
    )


def table(found: Drivers, fate: str, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the genes of one fate, those with the largest effect first; genes that do not vary are left out.

    Parameters
    ----------
    names
        What genes are called in the table, by default as in the data set.
    """
    f = found.fates.index(fate)
    order = found.top(fate, len(found.genes))
    shown = np.asarray(found.genes if names is None else names, dtype=object)
    columns = {
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "q": found.q,
        "matched_null_p": found.null_p,
    }
    return pd.DataFrame(
        {
            "gene": shown[order],
            **{name: values[f, order] for name, values in columns.items()},
            "holds_up": found.called[f, order],
            "mean_expression": found.mean[order],
            "share_of_cells": found.detected[order],
        }
    )


def false_discovery_rate(p: np.ndarray) -> np.ndarray:
    """Return the q-values of Benjamini and Hochberg, (n,); NaN stays and does not count."""
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    if not len(known):
        return q
    order = known[np.argsort(p[known], kind="stable")]
    raw = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return q


def ranked(values: Matrix) -> Matrix:
    """Return the mid-ranks of each column over the number of cells; of a sparse matrix less that of zero."""
    n = values.shape[0]
    if not sparse.issparse(values):
        blocks = [
            stats.rankdata(values[:, k : k + BLOCK], axis=0) / n for k in range(0, values.shape[1], BLOCK)
        ]
        return np.concatenate(blocks, axis=1).astype(np.float32)
    columns = sparse.csc_matrix(values, dtype=np.float32, copy=True)
    columns.sum_duplicates()
    columns.eliminate_zeros()
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        own = columns.data[start:stop]
        zeros, below = n - len(own), int((own < 0).sum())
        rank = stats.rankdata(own) + np.where(own > 0, zeros, 0)
        columns.data[start:stop] = (rank - (below + (zeros + 1) / 2)) / n
    return columns


def _rows(probabilities: np.ndarray, *, undecided: bool) -> np.ndarray:
    """Return the cells to use, or say that they are too few."""
    use = np.isfinite(probabilities).all(axis=1)
    if undecided:
        use &= np.nan_to_num(probabilities, nan=1.0).max(axis=1) < UNDECIDED
    rows = np.flatnonzero(use)
    if len(rows) < FEWEST:
        which = "are still undecided (less than 80 % in one fate)" if undecided else "have fates"
        raise DataError(
            f"Only {len(rows)} cells {which}; drivers need {FEWEST} at least. "
            + ("Take all cells." if undecided else "Choose other terminal states on the Fates page.")
        )
    return rows


def _taken(values: Matrix, rows: np.ndarray) -> Matrix:
    """Return some of the cells; all of them as they are."""
    if len(rows) == values.shape[0]:
        return values
    return values.tocsr()[rows] if sparse.issparse(values) else np.asarray(values)[rows]


def _within(values: np.ndarray, group: np.ndarray, *, method: str) -> np.ndarray:
    """Return values, or their ranks, (n, m), less the mean of each group."""
    known = np.nan_to_num(np.asarray(values, np.float64))
    known = stats.rankdata(known, axis=0) / len(known) if method == "spearman" else known
    return known - (_indicator(group, mean=True) @ known)[group]


def _indicator(group: np.ndarray, *, mean: bool = False) -> sparse.csr_matrix:
    """Return the matrix that sums, or averages, over the cells of each group, sparse (n_groups, n)."""
    each = 1 / np.bincount(group)[group] if mean else np.ones(len(group))
    return sparse.csr_matrix((each, (group, np.arange(len(group)))))


def _spread(x: Matrix, group: np.ndarray) -> np.ndarray:
    """Return the root of the sum of squares within groups of each column, (n_genes,); 0 if it is constant."""
    if sparse.issparse(x):
        total = np.asarray(x.astype(np.float64).power(2).sum(axis=0)).ravel()
    else:
        total = np.einsum("ng,ng->g", x, x, dtype=np.float64)
    sums = _indicator(group) @ x
    sums = sums.toarray() if sparse.issparse(sums) else np.asarray(sums)
    within = total - (sums.astype(np.float64) ** 2 / np.bincount(group)[:, None]).sum(axis=0)
    return np.sqrt(np.where(within > 1e-6 * np.maximum(total, 1e-12), within, 0))


def _correlation(x: Matrix, y: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the correlation of columns with columns that are centred within groups, (m, n_genes)."""
    product = np.asarray(x.T @ y).T
    length = np.sqrt(np.square(y).sum(axis=0))
    scale = np.outer(np.where(length > 1e-9 * np.sqrt(len(y)), length, 0), spread)
    return np.clip(np.divide(product, scale, out=np.full(scale.shape, np.nan), where=scale > 0), -1, 1)


def _interval(
    effect: np.ndarray, own: Sequence[np.ndarray], *, n: int, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nominal 80 % interval of correlations over n cells, widened by the members'."""
    z = _fisher(effect)
    one = (1 + effect**2 / 2) if method == "spearman" else np.ones_like(effect)
    half = stats.norm.ppf((1 + NOMINAL) / 2) ** 2 * one / max(n - 3, 1)
    if own:
        quantile = stats.t.ppf((1 + NOMINAL) / 2, len(own) - 1)
        half = half + quantile**2 * _fisher(np.stack(own)).var(axis=0, ddof=1) * (1 + 1 / len(own))
    return np.tanh(z - np.sqrt(half)), np.tanh(z + np.sqrt(half))


def _fisher(r: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))


def _p_values(effect: np.ndarray, *, df: int) -> np.ndarray:
    t = np.abs(effect) * np.sqrt(df / np.maximum(1 - effect**2, 1e-300))
    return np.minimum(2 * stats.t.sf(t, df), 1)


def _levels(values: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean expression and share of cells that show the gene, (n_genes,) each."""
    mean = np.asarray(values.mean(axis=0), np.float64).ravel()
    shown = values.getnnz(axis=0) if sparse.issparse(values) else np.count_nonzero(values, axis=0)
    return mean, np.asarray(shown) / values.shape[0]


def _matched(mean: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Return the group of genes of like mean and like share of cells that each belongs to, (n_genes,)."""
    n_bins = int(np.clip(len(mean) // (2 * SAMPLED), 1, BINS))
    place = stats.rankdata(mean, method="ordinal") - 1
    bins = place * n_bins // len(mean)
    group = np.empty(len(mean), np.int64)
    for k in range(n_bins):
        mine = np.flatnonzero(bins == k)
        group[mine] = 2 * k + (detected[mine] > np.median(detected[mine]))
    return np.unique(group, return_inverse=True)[1]


def _null(
    x: Matrix,
    y: np.ndarray,
    group: np.ndarray,
    *,
    effect: np.ndarray,
    spread: np.ndarray,
    matched: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return where each effect lies among those of matched genes with shuffled fates, (n_fates, n_genes)."""
    varies = np.flatnonzero(spread > 0)
    p = np.full(effect.shape, np.nan)
    if not len(varies) or not draws:
        return p
    some = [rng.permutation(varies[matched[varies] == k])[:SAMPLED] for k in range(matched.max() + 1)]
    picked = np.concatenate(some)
    own = (x.tocsc()[:, picked].toarray() if sparse.issparse(x) else x[:, picked]).astype(np.float32)
    sorted_cells = np.argsort(group, kind="stable")
    drawn = np.empty((draws, y.shape[1], len(picked)), np.float32)
    for k in range(draws):
        shuffled = np.empty_like(y)
        shuffled[sorted_cells] = y[np.lexsort((rng.random(len(group)), group))]
        drawn[k] = np.abs(_correlation(own, shuffled.astype(np.float32), spread[picked]))
    for k in range(matched.max() + 1):
        mine = np.flatnonzero(matched == k)
        columns = np.flatnonzero(matched[picked] == k)
        for f in range(len(effect)):
            pool = np.sort(drawn[:, f, columns].ravel())
            pool = pool[np.isfinite(pool)]
            told = mine[np.isfinite(effect[f, mine])]
            above = len(pool) - np.searchsorted(pool, np.abs(effect[f, told]) - 1e-9)
            p[f, told] = (1 + above) / (1 + len(pool))
    return p


def _check(
    expression: Matrix,
    probabilities: np.ndarray,
    times: np.ndarray,
    *,
    genes: Sequence[str],
    fates: Sequence[str],
) -> None:
    n = len(times)
    if expression.shape != (n, len(genes)) or np.shape(probabilities) != (n, len(fates)) or not len(genes):
        raise DataError(
            f"Expression has shape {expression.shape} for {len(genes):,} genes, fates have "
            f"{np.shape(probabilities)} for {len(fates)}, and there are {n:,} times: a row for each cell is "
            "needed in each."
        )
