"""What the numbers of an expression matrix are: counts, log values, normalised, z-scores or others."""

from typing import Any

import numpy as np
from scipy import sparse

MAX_ENTRIES = 4_000_000
MAX_ROWS = 1_000
LARGEST_LOG = 25.0
"""No logarithm of an expression value is larger (e²⁵ is 7·10¹⁰)."""
STEADY = 0.02
"""Relative spread of the totals per cell up to which they were made equal."""
UNEVEN = 0.03
"""Mean distance from whole multiples up to which values are scaled counts."""
INVERSES = {
    "": lambda x: x,
    "natural log": np.expm1,
    "log2": lambda x: np.exp2(x) - 1,
    "log10": lambda x: 10.0**x - 1,
}
"""How the logarithms in use are undone; small values look alike under all, so the best fit decides."""


def kind_of_values(matrix: Any) -> tuple[str, str]:
    """Recognise the values of a matrix from a sample of its cells.

    Parameters
    ----------
    matrix : (n_cells, n_genes)
        Dense or sparse; None where there is none.

    Returns
    -------
    One of "counts", "log", "normalised", "scaled", "other", "none", and a sentence that says why.
    """
    if matrix is None or 0 in matrix.shape:
        return "none", "There is no expression matrix."
    if matrix.dtype.kind not in "iuf":
        what = {"b": "yes/no values", "c": "complex numbers"}.get(matrix.dtype.kind, "no numbers")
        return "other", f"The matrix holds {what} instead of expression values."
    rows = sample_rows(matrix)
    values = _entries(rows)
    if len(values) == 0:
        return "other", "All values that were looked at are zero or missing."
    if values.min() < 0:
        return _signed(rows, values)
    if is_whole(values):
        if values.max() <= 1:
            return "other", "All values are 0 or 1."
        return "counts", f"All values that were looked at are whole numbers, up to {values.max():,.0f}."
    return _continuous(rows, values)


def is_counts(matrix: Any) -> bool:
    """Whether a matrix holds counts."""
    return kind_of_values(matrix)[0] == "counts"


def sample_rows(matrix: Any) -> Any:
    """Evenly spaced rows of a matrix, few enough to look at closely."""
    n_rows = min(matrix.shape[0], MAX_ROWS, max(50, MAX_ENTRIES // max(matrix.shape[1], 1)))
    chosen = np.unique(np.linspace(0, matrix.shape[0] - 1, n_rows).astype(np.int64))
    rows = matrix[chosen]
    if sparse.issparse(rows):
        return rows.tocsr().astype(np.float64)
    return np.asarray(rows, dtype=np.float64)


def is_whole(values: np.ndarray) -> bool:
    """Whether all values are whole numbers, however they are stored."""
    return bool(np.all(values == np.round(values)))


def _entries(rows: Any) -> np.ndarray:
    """Finite values other than zero."""
    values = rows.data if sparse.issparse(rows) else rows.ravel()
    return values[np.isfinite(values) & (values != 0)]


def _signed(rows: Any, values: np.ndarray) -> tuple[str, str]:
    """Tell z-scores from other values that can be negative."""
    dense = rows.toarray() if sparse.issparse(rows) else rows
    dense = np.where(np.isfinite(dense), dense, np.nan)
    used = dense[:, np.isfinite(dense).any(axis=0)]
    mean, spread = np.nanmean(used, axis=0), np.nanstd(used, axis=0)
    typical = (np.abs(mean) < 0.25) & (spread > 0.4) & (spread < 1.6)
    if typical[spread > 0].mean() > 0.6 if (spread > 0).any() else False:
        return "scaled", "Each gene has a mean near 0 and a spread near 1 (z-scores)."
    return "other", f"There are negative values (down to {values.min():.3g}), which are not z-scores."


def _continuous(rows: Any, values: np.ndarray) -> tuple[str, str]:
    """Values that are not negative and not whole."""
    largest = f"the largest seen is {values.max():,.4g}"
    if values.max() > LARGEST_LOG:
        if spread_of_totals(rows) < STEADY:
            return "normalised", f"Every cell has the same total, and no logarithm was taken ({largest})."
        return "normalised", f"The values are not whole and too large to be logarithms ({largest})."
    scale = _scale(rows)
    if scale == "":
        return "normalised", f"The values are counts divided by each cell's total, not logged ({largest})."
    if scale is not None:
        return "log", f"The values are the {scale} of normalised counts ({largest})."
    if rows.shape[1] >= 200:
        return "log", f"The values are not whole and small ({largest}), as logarithms are."
    return "other", f"There are few genes with continuous values ({largest}); they are taken as they are."


def _scale(rows: Any) -> str | None:
    """The logarithm (or "") after whose undoing totals are equal or values multiples of one; else None."""
    for measure, limit in ((spread_of_totals, STEADY), (_distance_from_counts, UNEVEN)):
        fits = {name: measure(rows, inverse) for name, inverse in INVERSES.items()}
        best = min(fits, key=fits.__getitem__)
        if fits[best] < limit:
            return best
    return None


def spread_of_totals(rows: Any, inverse: Any = None) -> float:
    """Standard deviation over mean of the totals per cell, after undoing a logarithm with `inverse`."""
    if rows.shape[0] < 3 or rows.shape[1] < 20:
        return np.inf
    linear = rows
    if inverse is not None:
        with np.errstate(over="ignore"):
            if sparse.issparse(rows):
                linear = sparse.csr_matrix((inverse(rows.data), rows.indices, rows.indptr), shape=rows.shape)
            else:
                linear = inverse(rows)
    totals = np.asarray(linear.sum(axis=1)).ravel()
    totals = totals[np.isfinite(totals) & (totals > 0)]
    return float(totals.std() / totals.mean()) if len(totals) > 2 else np.inf


def _distance_from_counts(rows: Any, inverse: Any) -> float:
    """How far the values of a cell are from whole multiples of its smallest one, as scaled counts are.

    0 means exact multiples; values spread evenly give 0.25.
    """
    distances = []
    for k in range(min(rows.shape[0], 80)):
        row = rows[k].data if sparse.issparse(rows) else rows[k]
        linear = inverse(row[np.isfinite(row) & (row > 0)].astype(np.float64))
        linear = linear[linear > 0]  # the smallest numbers vanish when a logarithm is undone
        if len(linear) > 1:
            ratio = linear / linear.min()
            ratio = ratio[(ratio > 1.001) & (ratio < 12)]
            distances.append(np.abs(ratio - np.round(ratio)))
    joined = np.concatenate(distances) if distances else np.empty(0)
    return float(joined.mean()) if len(joined) >= 20 else np.inf
