"""From states back to genes: the linear map that explains expression best, and how well it does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.errors import DataError
from dynamics.values import kind_of_values

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

RIDGE = 1e-6
"""Added to the states' variances, relative to the largest, so that idle dimensions do no harm."""

ROWS = 4096
TARGET_SUM = 1e4


@dataclass(frozen=True)
class StateBasis:
    """A linear map from states to expression; for principal components these are the loadings.

    Attributes
    ----------
    genes
        Names, in the order of the data set.
    loadings : (dim, n_genes) float32
        Expression per unit of state.
    mean : (n_genes,) float32
        Expression at the state zero.
    r2 : (n_genes,) float32
        Share of a gene's variance over the cells that the states explain; 0 for a gene that does not vary.
    """

    genes: tuple[str, ...] = field(repr=False)
    loadings: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    r2: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        for array in (self.loadings, self.mean, self.r2):
            array.flags.writeable = False

    @property
    def dim(self) -> int:
        return self.loadings.shape[0]

    def columns(self, genes: Sequence[str] | None = None) -> np.ndarray:
        """Return the columns of genes, (m,); raises DataError naming those that are not there."""
        if genes is None:
            return np.arange(len(self.genes))
        place = {gene: k for k, gene in reversed(list(enumerate(self.genes)))}
        missing = [gene for gene in genes if gene not in place]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(genes)} genes are not among the model’s {len(self.genes):,}: "
                f"{', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}. Choose genes of the data set."
            )
        return np.array([place[gene] for gene in genes], dtype=np.int64)

    def to_genes(self, states: np.ndarray, genes: Sequence[str] | None = None) -> np.ndarray:
        """Return the expression at states, (n, n_genes), on the scale that the basis was fitted on."""
        columns = self.columns(genes)
        return self._times_loadings(states, columns) + self.mean[columns]

    def velocity_to_genes(self, velocity: np.ndarray, genes: Sequence[str] | None = None) -> np.ndarray:
        """Return the change of expression per unit of time at velocities of states, (n, n_genes)."""
        return self._times_loadings(velocity, self.columns(genes))

    def _times_loadings(self, states: np.ndarray, columns: np.ndarray) -> np.ndarray:
        states = np.asarray(states, dtype=np.float32)
        if states.ndim != 2 or states.shape[1] != self.dim:
            raise DataError(
                f"The basis maps states of width {self.dim} to genes; the states have shape {states.shape}. "
                "Use the representation that the model was trained on."
            )
        return states @ self.loadings[:, columns]


def fit_basis(
    expression: np.ndarray | sparse.spmatrix | sparse.sparray, states: np.ndarray, genes: Sequence[str]
) -> StateBasis:
    """Fit the linear map from states to expression by least squares, gene by gene.

    Parameters
    ----------
    expression : (n, n_genes)
        On the log scale (see `log_expression`); dense, CSR or CSC; never made dense as a whole.
    states : (n, dim)
        States of the same cells.
    genes
        Name of each column.

    Raises
    ------
    DataError
        The shapes do not fit, there are no cells or genes, or values are not finite.
    """
    expression = _checked(expression, states, genes)
    n = len(states)
    x = np.asarray(states, dtype=np.float64)
    centre = x.mean(axis=0)
    x = x - centre
    total, squares, cross = _moments(expression, x)
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0)
    covariance = x.T @ x / n
    ridge = RIDGE * max(float(np.trace(covariance)) / len(covariance), np.finfo(float).tiny)
    loadings = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), cross / n)
    residual = variance - 2 * np.sum(loadings * cross / n, axis=0)
    residual += np.einsum("dg,de,eg->g", loadings, covariance, loadings, optimize=True)
    varies = variance > 1e-12 * np.maximum(mean**2, np.finfo(float).tiny)
    r2 = np.where(varies, 1 - residual / np.where(varies, variance, 1), 0)
    return StateBasis(
        genes=tuple(str(gene) for gene in genes),
        loadings=loadings.astype(np.float32),
        mean=(mean - centre @ loadings).astype(np.float32),
        r2=np.clip(r2, 0, 1).astype(np.float32),
    )


def from_anndata(adata: "AnnData", roles: "Roles", snapshots: "Snapshots") -> StateBasis | None:
    """Fit the map from the states of snapshots to all genes of their data set; None where it has none.

    Raises
    ------
    DataError
        The expression values are not all finite.
    """
    expression = log_expression(adata, roles)
    if expression is None:
        return None
    if len(snapshots.cells) < adata.n_obs:
        rows = expression.tocsr() if sparse.issparse(expression) else expression
        expression = rows[snapshots.cells]
    return fit_basis(expression, snapshots.states, list(adata.var_names))


def log_expression(adata: "AnnData", roles: "Roles") -> np.ndarray | sparse.spmatrix | sparse.sparray | None:
    """Return the expression of a data set on the log scale, without changing the data set.

    X is taken as it is when it holds log values, and logged when it is normalised; otherwise the counts are
    brought to 10,000 a cell and logged, and without counts X is taken as it is. None without genes.
    """
    if adata.n_vars == 0:
        return None
    kind, _ = kind_of_values(adata.X)
    if kind not in ("log", "normalised") and roles.counts_layer in adata.layers:
        counts = adata.layers[roles.counts_layer]
        return _logged(counts, kind_of_values(counts)[0])
    return None if adata.X is None else _logged(adata.X, kind)


def _logged(
    matrix: np.ndarray | sparse.spmatrix | sparse.sparray, kind: str
) -> np.ndarray | sparse.spmatrix | sparse.sparray:
    if kind not in ("counts", "normalised"):
        return matrix
    matrix = matrix.astype(np.float32)
    if kind == "counts":
        size = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
        factor = TARGET_SUM / np.where(size > 0, size, 1)
        if sparse.issparse(matrix):
            matrix = (sparse.diags_array(factor.astype(np.float32)) @ matrix).asformat(matrix.format)
        else:
            matrix = matrix * factor[:, None].astype(np.float32)
    return matrix.log1p() if sparse.issparse(matrix) else np.log1p(matrix)


def _checked(
    expression: np.ndarray | sparse.spmatrix | sparse.sparray, states: np.ndarray, genes: Sequence[str]
) -> np.ndarray | sparse.spmatrix | sparse.sparray:
    if not sparse.issparse(expression):
        expression = np.asarray(expression)
    if expression.shape != (len(states), len(genes)) or 0 in expression.shape:
        raise DataError(
            f"Expression has shape {expression.shape}, with {len(states):,} states and {len(genes):,} "
            "gene names: a row for each cell and a column for each gene are needed."
        )
    values = expression.data if sparse.issparse(expression) else expression
    if not np.isfinite(values).all() or not np.isfinite(states).all():
        raise DataError(
            "The expression values or the states hold missing or infinite values. "
            "Prepare the data set again, leaving out these cells or genes."
        )
    return expression


def _moments(
    expression: np.ndarray | sparse.spmatrix | sparse.sparray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sums, sums of squares, (n_genes,), and products with the states, (dim, n_genes)."""
    if sparse.issparse(expression):
        by_gene = expression.tocsc()
        total = np.asarray(by_gene.sum(axis=0, dtype=np.float64)).ravel()
        squares = np.asarray(by_gene.astype(np.float64).power(2).sum(axis=0)).ravel()
        return total, squares, np.asarray(by_gene.T @ x).T
    n_genes = expression.shape[1]
    total, squares, cross = np.zeros(n_genes), np.zeros(n_genes), np.zeros((x.shape[1], n_genes))
    for first in range(0, len(x), ROWS):
        part = np.asarray(expression[first : first + ROWS], dtype=np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
        cross += x[first : first + ROWS].T @ part
    return total, squares, cross
