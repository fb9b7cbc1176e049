"""Quality control: what each cell's counts look like, and which cells stand apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

MITOCHONDRIAL = re.compile(r"^mt[-:.]", re.IGNORECASE)
SYMBOL_COLUMNS = ("gene_symbols", "gene_symbol", "feature_name", "gene_name", "gene_short_name", "symbol")
DEVIATIONS = 5.0  # median absolute deviations within which a cell is like the others
LEAST_FOLD = 3.0  # a cell within this factor of the median is never out of line
MITOCHONDRIAL_DEVIATIONS = 4.0
MITOCHONDRIAL_ROOM = 5.0  # percent points above the median that are always allowed
MIN_CELLS_PER_GENE = 3
BLOCK_ENTRIES = 20_000_000  # entries of a dense matrix looked at together


@dataclass(frozen=True)
class QualityMetrics:
    """What the counts of every cell and gene add up to.

    Parameters
    ----------
    total : (n_cells,)
        Sum over genes.
    n_genes : (n_cells,)
        Genes with a value above zero.
    mitochondrial : (n_cells,) or None
        Percent of the total that is mitochondrial; None where no gene is named as such.
    n_mitochondrial
        Genes counted as mitochondrial.
    cells_per_gene : (n_genes,)
        Cells with a value above zero.
    source
        The matrix that was read: "X" or the name of a layer.
    """

    total: np.ndarray
    n_genes: np.ndarray
    mitochondrial: np.ndarray | None
    n_mitochondrial: int
    cells_per_gene: np.ndarray
    source: str

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.total)


@dataclass(frozen=True)
class Thresholds:
    """What a cell or gene must have to be kept; None sets no limit."""

    min_counts: float | None = None
    max_counts: float | None = None
    min_genes: int | None = None
    max_mitochondrial: float | None = None
    """Percent."""
    min_cells: int = MIN_CELLS_PER_GENE


def metrics(adata: "AnnData", *, layer: str | None = None) -> QualityMetrics:
    """Add up the counts of every cell and gene.

    Parameters
    ----------
    layer
        Layer to read; by default `layers["counts"]` where there is one, else `X`.

    Raises
    ------
    DataError
        There is no expression matrix, or it holds missing, infinite or negative values.
    """
    source = layer or ("counts" if "counts" in adata.layers else "X")
    matrix = adata.X if source == "X" else adata.layers[source]
    if matrix is None or adata.n_vars == 0:
        raise DataError(
            "Quality control needs an expression matrix, and this data set has none: skip the step."
        )
    is_mito = mitochondrial_genes(adata)
    total, n_genes, mito = (np.zeros(adata.n_obs) for _ in range(3))
    cells_per_gene = np.zeros(adata.n_vars, np.int64)
    for rows, part in _blocks(matrix):
        _check_counts(part, source)
        present = part > 0
        total[rows] = _sum(part, axis=1)
        n_genes[rows] = _sum(present, axis=1)
        mito[rows] = _sum(part[:, is_mito], axis=1)
        cells_per_gene += _sum(present, axis=0).astype(np.int64)
    percent = 100 * np.divide(mito, total, out=np.zeros_like(mito), where=total > 0)
    n_mito = int(is_mito.sum())
    return QualityMetrics(
        total, n_genes.astype(np.int64), percent if n_mito else None, n_mito, cells_per_gene, source
    )


def suggest(found: QualityMetrics) -> Thresholds:
    """Propose thresholds that keep all cells within 5 median absolute deviations of the median.

    Counts and genes are compared as logarithms, and anything within a factor of 3 of the median is kept; the
    limits are rounded outwards. Mitochondrial percent is limited to 4 deviations, and never to less than 5
    points above the median.

    References
    ----------
    Heumos et al., Best practices for single-cell analysis across modalities, Nature Reviews Genetics 2023.
    """
    alive = found.total > 0
    if alive.sum() < 10:
        return Thresholds(min_counts=1, min_cells=1)
    room = np.log(LEAST_FOLD)
    low, high = _limits(np.log1p(found.total[alive]), DEVIATIONS, room)
    fewest, _ = _limits(np.log1p(found.n_genes[alive]), DEVIATIONS, room)
    return Thresholds(
        min_counts=max(1.0, _round_down(np.expm1(low))),
        max_counts=_round_up(np.expm1(high)),
        min_genes=max(1, int(_round_down(np.expm1(fewest)))),
        max_mitochondrial=_mitochondrial_limit(found, alive),
        min_cells=min(MIN_CELLS_PER_GENE, max(1, found.n_cells // 100)),
    )


def kept_cells(found: QualityMetrics, limits: Thresholds) -> np.ndarray:
    """Tell which cells pass, (n_cells,) bool; cells without any count never do."""
    keep = found.total > 0
    if limits.min_counts is not None:
        keep &= found.total >= limits.min_counts
    if limits.max_counts is not None:
        keep &= found.total <= limits.max_counts
    if limits.min_genes is not None:
        keep &= found.n_genes >= limits.min_genes
    if limits.max_mitochondrial is not None and found.mitochondrial is not None:
        keep &= found.mitochondrial <= limits.max_mitochondrial
    return keep


def kept_genes(found: QualityMetrics, limits: Thresholds) -> np.ndarray:
    """Tell which genes were seen in enough cells, (n_genes,) bool."""
    return found.cells_per_gene >= limits.min_cells


def mitochondrial_genes(adata: "AnnData") -> np.ndarray:
    """Tell which genes are named as mitochondrial (mt-, MT-), by index or symbol column, (n_genes,) bool."""
    names: Sequence[Any] = adata.var_names
    columns = [column for column in SYMBOL_COLUMNS if column in adata.var]
    hits = np.array([bool(MITOCHONDRIAL.match(str(name))) for name in names], dtype=bool)
    for column in columns:
        hits |= np.array([bool(MITOCHONDRIAL.match(str(name))) for name in adata.var[column]], dtype=bool)
    return hits


def _blocks(matrix: Any) -> Any:
    """Rows of a matrix with their values, a bounded number of dense entries at a time."""
    if sparse.issparse(matrix):
        yield slice(None), sparse.csr_matrix(matrix)
        return
    size = max(1, BLOCK_ENTRIES // max(1, matrix.shape[1]))
    for start in range(0, matrix.shape[0], size):
        rows = slice(start, start + size)
        yield rows, np.asarray(matrix[rows])


def _sum(part: Any, *, axis: int) -> np.ndarray:
    """Sum as a flat float64 array, whatever the kind of matrix and its precision."""
    return np.asarray(part.sum(axis=axis, dtype=np.float64)).ravel()


def _check_counts(part: Any, source: str) -> None:
    """Refuse values that cannot be counted."""
    values = part.data if sparse.issparse(part) else part
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise DataError(
            f"{source} holds {n_bad:,} missing or infinite values. Replace them (by 0 where nothing was "
            "counted), or remove the cells or genes that have them."
        )
    if values.size and values.min() < 0:
        raise DataError(
            f"{source} holds negative values (down to {values.min():.3g}), so it cannot be counts. Choose "
            "the layer with the counts, or skip quality control."
        )


def _limits(values: np.ndarray, deviations: float, room: float) -> tuple[float, float]:
    """Median minus and plus so many median absolute deviations, or `room` where that is more."""
    middle = np.median(values)
    width = max(deviations * np.median(np.abs(values - middle)), room)
    return float(middle - width), float(middle + width)


def _mitochondrial_limit(found: QualityMetrics, alive: np.ndarray) -> float | None:
    if found.mitochondrial is None:
        return None
    percent = found.mitochondrial[alive]
    _, high = _limits(percent, MITOCHONDRIAL_DEVIATIONS, MITOCHONDRIAL_ROOM)
    return float(min(100.0, np.ceil(high)))


def _round_down(value: float) -> float:
    """Two significant figures, towards zero."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.floor(value / unit) * unit)


def _round_up(value: float) -> float:
    """Two significant figures, away from zero."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit) * unit)
