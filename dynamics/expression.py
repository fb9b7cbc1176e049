"""The steps from a matrix of counts to principal components, each as one function on a data set."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

DENSE_PCA_GENES = 50  # up to so many genes all components are computed, without iteration


def as_float32(matrix: Any, name: str) -> Any:
    """Return a matrix as float32 in rows (CSR) or dense, in the machine's byte order; always a new one.

    Raises
    ------
    DataError
        The values are no real numbers, or some are missing or infinite; the message counts them.
    """
    if matrix.dtype.kind not in "biuf":
        what = "complex numbers" if matrix.dtype.kind == "c" else f"values of type {matrix.dtype}"
        raise DataError(f"{name} holds {what}; expression must be real numbers. Convert the matrix first.")
    if sparse.issparse(matrix):
        values = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
        values.sum_duplicates()
    else:
        values = np.array(matrix, dtype=np.float32, order="C")
    numbers = values.data if sparse.issparse(values) else values
    finite = np.isfinite(numbers)
    if not finite.all():
        _refuse_gaps(matrix, numbers, finite, name)
    return values


def _refuse_gaps(matrix: Any, numbers: np.ndarray, finite: np.ndarray, name: str) -> None:
    """Say how many values are missing or infinite, and what to do."""
    n_missing = int(np.isnan(numbers).sum())
    n_infinite = int((~finite).sum()) - n_missing
    if sparse.issparse(matrix):
        where = ""
    else:
        where = (
            f" in {int((~finite).any(axis=1).sum()):,} cells and {int((~finite).any(axis=0).sum()):,} genes"
        )
    raise DataError(
        f"{name} holds {n_missing:,} missing (NaN) and {n_infinite:,} infinite values{where}. Set them to 0 "
        "where nothing was measured, or remove those cells or genes, and open the file again."
    )


def normalise(adata: "AnnData", target_sum: float | None) -> float:
    """Scale every cell of X to the same total (by default the median), and return that total."""
    totals = np.asarray(adata.X.sum(axis=1, dtype=np.float64)).ravel()
    target = float(target_sum or np.median(totals[totals > 0]))
    scale = np.divide(target, totals, out=np.ones_like(totals), where=totals > 0).astype(np.float32)
    if sparse.issparse(adata.X):
        adata.X.data *= np.repeat(scale, np.diff(adata.X.indptr))
    else:
        adata.X *= scale[:, None]
    return target


def logarithm(adata: "AnnData") -> None:
    """Replace X by log(1 + X), and say so where scanpy looks for it."""
    values = adata.X.data if sparse.issparse(adata.X) else adata.X
    np.log1p(values, out=values)
    adata.uns["log1p"] = {}


def variable_genes(adata: "AnnData", n_top: int) -> int:
    """Mark the most variable genes for their level in `var["highly_variable"]`, and return how many.

    References
    ----------
    Satija et al., Spatial reconstruction of single-cell gene expression data, Nature Biotechnology 2015.
    """
    if adata.n_vars <= n_top:
        adata.var["highly_variable"] = True
        return adata.n_vars
    import scanpy as sc

    sc.pp.highly_variable_genes(adata, n_top_genes=n_top, flavor="seurat")
    return int(adata.var["highly_variable"].sum())


def principal_components(adata: "AnnData", n_comps: int, *, seed: int) -> int:
    """Put the principal components of the variable genes into `obsm["X_pca"]`, and return how many.

    The loadings go to `varm["PCs"]`, with zeros for genes that were not used.

    Raises
    ------
    DataError
        No gene varies.
    """
    import scanpy as sc

    used = adata.var["highly_variable"].to_numpy(bool) if "highly_variable" in adata.var else None
    n_used = int(used.sum()) if used is not None else adata.n_vars
    if n_used == 0 or not _varies(adata.X if used is None else adata.X[:, used]):
        raise DataError(
            f"None of the {n_used:,} genes differs between the {adata.n_obs:,} cells, so there is nothing to "
            "describe cells by. Check that X holds the expression values."
        )
    most = min(adata.n_obs, n_used)
    few = n_used <= DENSE_PCA_GENES
    n_comps = max(1, min(n_comps, adata.n_obs - 1, n_used if few else most - 1))
    solver = ("covariance_eigh" if sparse.issparse(adata.X) else "full") if n_comps >= most - 1 else "arpack"
    mask = "highly_variable" if used is not None else None
    sc.pp.pca(adata, n_comps=n_comps, mask_var=mask, svd_solver=solver, random_state=seed)
    adata.obsm["X_pca"] = np.ascontiguousarray(adata.obsm["X_pca"], np.float32)
    return n_comps


def _varies(matrix: Any) -> bool:
    """Whether any column has two different values."""
    if sparse.issparse(matrix):
        return bool(np.any(matrix.max(axis=0).toarray() != matrix.min(axis=0).toarray()))
    return bool(np.any(matrix.max(axis=0) != matrix.min(axis=0)))
