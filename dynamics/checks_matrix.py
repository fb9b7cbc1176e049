"""What users run into with expression values, maps and state representations."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics.checks_copies import SMALL_PANEL, copies, copy_findings, has_few_steps, row_marks
from dynamics.column_values import R_MISSING
from dynamics.findings import Finding, error, note, warning
from dynamics.roles import Roles, array
from dynamics.tables import SYMBOL_COLUMNS

if TYPE_CHECKING:
    from anndata import AnnData

FEW_CELLS = 50
FEW_GENES = 20
"""With fewer genes than this a cell without any expression is nothing strange."""
ROWS = 4096
ROUNDING = 1e-4
"""Differences of states, relative to their spread, that may come from rounding."""
ENSEMBL = re.compile(r"(ENS[A-Z]{0,6}G\d{6,}|WBGene\d{6,}|FBgn\d{6,})(\.\d+)?")
EXCEL_DATE = re.compile(r"\d{1,2}-(Mar|Sep|Dec|Oct)|(Mar|Sep|Dec)-\d{1,2}", re.IGNORECASE)
PREPARE = "Press Prepare on the Data page"


def cell_findings(adata: "AnnData") -> Iterator[Finding]:
    """Findings on the number of cells and on names."""
    if adata.n_obs < 3:
        yield error(
            "no-cells", f"The file has {adata.n_obs} cells.", "Open a file with the cells of all times."
        )
    elif adata.n_obs < FEW_CELLS:
        yield warning(
            "few-cells",
            f"There are only {adata.n_obs} cells in all.",
            "Results will show little more than chance; add cells if you can.",
        )
    for what, names in (("cell", adata.obs_names), ("gene", adata.var_names)):
        if not names.is_unique:
            yield warning(
                f"duplicate-{what}-names",
                f"{int(names.duplicated().sum()):,} {what} names occur more than once.",
                "Make them unique before opening the file: adata.obs_names_make_unique() for cells, "
                "adata.var_names_make_unique() for genes.",
            )
    yield from _gene_name_findings(adata)


def _gene_name_findings(adata: "AnnData") -> Iterator[Finding]:
    names = [str(name) for name in adata.var_names]
    if not names:
        yield note(
            "no-genes",
            "The file has no genes, only states of cells. Training, flow and trajectories work all the way; "
            "colouring by genes and predicting expression do not.",
            "To see genes, open a file that has the expression matrix too.",
        )
        return
    if len(names) == 1:
        yield warning(
            "one-gene",
            f'The file has one gene only ("{names[0]}"), which cannot tell cell states apart.',
            "Open a file with the expression of many genes, or with components in obsm (such as X_pca).",
        )
    ensembl = sum(ENSEMBL.fullmatch(name) is not None for name in names)
    if ensembl > 0.5 * len(names) and not any(column in adata.var for column in SYMBOL_COLUMNS):
        yield note(
            "ensembl-ids",
            f'Genes are named by identifiers such as "{names[0]}", without symbols.',
            'Search genes by identifier, or add a column "gene_symbols" to var before opening the file.',
        )
    dates = [name for name in names if EXCEL_DATE.fullmatch(name)]
    if dates:
        yield note(
            "excel-genes",
            f'{len(dates)} gene names look like dates, such as "{dates[0]}": a spreadsheet changed them.',
            "Take the names from the original file; MARCH1 and SEPT2, for instance, became dates.",
        )


def matrix_findings(adata: "AnnData", values: str, reason: str, *, index: np.ndarray) -> Iterator[Finding]:
    """Findings on the expression values; nothing where the matrix is not there.

    Parameters
    ----------
    index : (n_obs,)
        Position of each cell's time; -1 where it has none.
    """
    matrix = adata.X
    if matrix is None and adata.n_vars:
        yield warning(
            "no-values",
            f"The file names {adata.n_vars:,} genes but holds no expression values (it has no X, raw or "
            "layer that can be read). Training, flow and trajectories work on states of cells (obsm) alone.",
            "To see genes, open a file with the values in X.",
        )
    if matrix is None or 0 in matrix.shape:
        return
    if matrix.dtype.kind not in "iuf":
        yield error("not-expression", reason, "Save the file with numbers in X, or with counts in a layer.")
        return
    yield from _value_findings(adata, values, reason)
    yield from _r_findings(matrix)
    bad, empty, marks = _scan(matrix)
    if bad:
        yield error(
            "x-not-finite",
            f"{bad:,} values of the expression matrix (X) are missing or infinite.",
            "Choose another matrix as counts if there is one, or replace those values before opening the "
            "file (in Python: adata.X = numpy.nan_to_num(adata.X)).",
        )
    if empty and matrix.shape[1] >= FEW_GENES:
        yield warning(
            "empty-cells",
            f"{empty:,} cells have no counts at all.",
            f"{PREPARE}: quality control leaves them out.",
        )
    known = marks != 0
    found = copies(marks[known], index[known])
    tied = (
        matrix.shape[1] < SMALL_PANEL and found.repeated > 0 and (found.is_tied or has_few_steps(matrix[:]))
    )
    yield from copy_findings(found, code="cells", what="expression", tied=tied)


def _r_findings(matrix: Any) -> Iterator[Finding]:
    """Whole numbers that mean "missing" where they come from R."""
    values = matrix.data if sparse.issparse(matrix) else matrix
    if values.dtype.kind != "i" or values.dtype.itemsize < 4 or not values.size or values.min() > R_MISSING:
        return
    gaps = int((values == R_MISSING).sum())
    if gaps:
        yield error(
            "x-r-missing",
            f"{gaps:,} values of the expression matrix (X) are {R_MISSING:,}, which is how R writes a "
            "missing whole number.",
            "Replace the missing values in R before saving the file (x[is.na(x)] <- 0), or choose another "
            "matrix as counts.",
        )


def _value_findings(adata: "AnnData", values: str, reason: str) -> Iterator[Finding]:
    if values == "scaled":
        instead = "the raw values kept in the file" if adata.raw is not None else "a layer with counts"
        yield warning(
            "x-scaled",
            f"The values are z-scores. {reason} They cannot be normalised again.",
            f"Choose {instead} as counts if there is one; if not, go on: existing components are reused.",
        )
    elif values == "normalised":
        yield note("x-not-logged", reason, f"{PREPARE}: the logarithm is taken there.")
    elif values == "other" and adata.n_vars >= 200:
        yield note("x-other", reason, "They are used as they are: neither normalised nor logged.")


def _scan(matrix: Any) -> tuple[int, int, np.ndarray]:
    """Values that are not finite, cells whose values are all zero, and a mark for each cell.

    Marks are those of `row_marks`; 0 for a cell whose values are all zero or cannot be compared.
    """
    marks = np.zeros(matrix.shape[0], dtype=np.uint64)
    bad = empty = 0
    for start in range(0, matrix.shape[0], ROWS):
        block = matrix[start : start + ROWS]
        entries = block.data if sparse.issparse(block) else block
        wrong = int(np.size(entries) - np.isfinite(entries).sum())
        bad += wrong
        if wrong:
            continue
        marks[start : start + ROWS] = row_marks(block)
        empty += int((np.asarray(abs(block).sum(axis=1)).ravel() == 0).sum())
    return bad, empty, marks


def map_findings(
    adata: "AnnData", roles: Roles, *, index: np.ndarray, has_values: bool = True
) -> Iterator[Finding]:
    """Findings on the map and on the state representation.

    Parameters
    ----------
    index
        As in `matrix_findings`.
    has_values
        Whether there is an expression matrix, be it read or not.
    """
    if roles.embedding is None:
        yield warning(
            "no-embedding",
            "The file has no map (such as a UMAP) to draw the cells on.",
            f"{PREPARE}: it computes a UMAP.",
        )
    if roles.rep is None:
        yield _no_rep(has_values=has_values)
    elif roles.rep == roles.embedding or array(adata, roles.rep).shape[1] < 3:
        yield note(
            "rep-is-map",
            f'Dynamics are learned on "{roles.rep}", a map of {array(adata, roles.rep).shape[1]} dimensions. '
            "Maps distort distances, so speeds are rough.",
            "Better: a file that also has principal components (X_pca) or the expression matrix.",
        )
    for key in dict.fromkeys((roles.rep, roles.embedding)):
        if key is not None:
            yield from _array_findings(key, array(adata, key), is_rep=key == roles.rep)
    if roles.rep is not None:
        yield from _state_findings(array(adata, roles.rep), index, few_genes=adata.n_vars < SMALL_PANEL)


def _no_rep(*, has_values: bool) -> Finding:
    if has_values:
        fix = f"{PREPARE}: it computes principal components from the expression values."
        return warning("no-rep", "The file has no state representation (such as X_pca).", fix)
    return error(
        "nothing-to-learn",
        "The file has neither an expression matrix nor a state representation.",
        "Open a file with expression values, or with components in obsm (such as X_pca).",
    )


def _array_findings(key: str, values: np.ndarray, *, is_rep: bool) -> Iterator[Finding]:
    wrong = ~np.isfinite(values)
    if wrong.any():
        rows = int(wrong.any(axis=1).sum())
        make = error if is_rep else warning
        yield make(
            "array-not-finite",
            f'{rows:,} cells have missing or infinite values in "{key}".',
            f'Choose another one under "What the columns mean", or compute it again: {PREPARE[0].lower()}'
            f"{PREPARE[1:]}.",
        )
        values = values[~wrong.any(axis=1)]
    if len(values) > 1 and np.any(values.max(axis=0) == values.min(axis=0)):
        flat = int((values.max(axis=0) == values.min(axis=0)).sum())
        whole = (
            "is the same for all cells"
            if flat == values.shape[1]
            else f"is constant in {flat} of its dimensions"
        )
        yield warning(
            "array-constant",
            f'"{key}" {whole}.',
            f'Choose another one under "What the columns mean", or compute it again: {PREPARE[0].lower()}'
            f"{PREPARE[1:]}.",
        )


def _state_findings(states: np.ndarray, index: np.ndarray, *, few_genes: bool) -> Iterator[Finding]:
    """Findings on cells with the same state; states of many genes agree only where cells were copied."""
    whole = np.isfinite(states).all(axis=1)
    if whole.sum() <= 100 or states.shape[1] < 2:
        return
    spread = states[whole].std(axis=0, dtype=np.float64)
    marks = row_marks(np.rint(states[whole] / np.where(spread > 0, ROUNDING * spread, 1)))
    found = copies(marks, index[whole])
    tied = few_genes and found.repeated > 0 and (found.is_tied or has_few_steps(states[whole]))
    yield from copy_findings(found, code="states", what="state", tied=tied)
