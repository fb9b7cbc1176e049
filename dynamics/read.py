"""Open and write h5ad files: whole, without the matrix, or one gene at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from dynamics.elements import matrix_shape, native, sparse_format
from dynamics.entries import elements, left_aside, unstructured, unwritten
from dynamics.errors import DataError
from dynamics.expressed import expression, genes
from dynamics.findings import Finding, note, quoted, warning
from dynamics.tables import (
    ID_COLUMNS,
    SYMBOL_COLUMNS,
    noted,
    old_categories,
    opened,
    raw_matrix,
    raw_table,
    read_notes,
    table,
    with_unique_names,
)
from dynamics.write import write_h5ad

__all__ = [
    "find_gene",
    "gene_values",
    "matrix_names",
    "read_cells",
    "read_h5ad",
    "read_notes",
    "write_h5ad",
]

BLOCK = 4_000_000
"""Matrix entries read at a time while looking for one gene."""


def read_h5ad(
    path: str | Path, *, damaged: Mapping[str, str] | None = None, layers: Sequence[str] | None = None
) -> AnnData:
    """Read a whole data set into memory.

    Parameters
    ----------
    path
        An h5ad file that is clean (written by `write_h5ad`) or has passed `jobs.precheck.check`.
    damaged
        Elements to leave out, each with what is wrong with it, as `jobs.precheck.check` returns them.
    layers
        Read these layers only, and no `obsp`; by default everything.

    Returns
    -------
    X and layers as CSR or dense, `raw` where there is one, `obs`, `var`, `obsm`, `varm`, `obsp` and the
    readable part of `uns`. Where X is missing, `raw` or a layer stands in its place. Values, order and
    columns are those of the file; repeated names are made unique. Whatever differs from what the file says
    is noted under `uns["driftscope"]["read_notes"]`.

    Raises
    ------
    FileError
        The file has no cells' table, its matrix does not fit its tables, or one of these is damaged.
    """
    damaged = damaged or {}
    with opened(path) as file:
        notes = unwritten(file, damaged)
        adata = _tables(file, notes, damaged)
        found = expression(file, adata, notes, damaged, layers=layers)
        uns, obsm = adata.uns, dict(adata.obsm)
        adata = AnnData(X=found.matrix, obs=adata.obs, var=found.var, obsm=obsm, raw=found.raw)
        adata.uns.update(uns)  # on the way in, anndata would move parts of it elsewhere
        for name, values in found.layers.items():
            adata.layers[name] = values
        for name, values in _matching(file, "varm", adata.var_names, notes, damaged):
            adata.varm[name] = values
        pairs = _matching(file, "obsp", adata.obs_names, notes, damaged) if layers is None else ()
        for name, values in pairs:
            adata.obsp[name] = values
        notes += left_aside(file)
    return noted(adata, notes)


def read_cells(path: str | Path) -> AnnData:
    """Read a data set without its matrix: `obs`, `var`, `obsm` and `uns`; quick, for pages.

    Raises
    ------
    FileError
        The file has no cells' table.
    """
    with opened(path) as file:
        notes: list[Finding] = []
        return noted(_tables(file, notes, {}), notes)


def matrix_names(path: str | Path) -> list[str]:
    """The matrices of a file that hold one value per cell and gene: "X", "raw" and the layers."""
    with opened(path) as file:
        names = ["X"] if "X" in file else []
        names += ["raw"] if "raw/X" in file or "raw.X" in file else []
        return names + sorted(file.get("layers", {}))


def gene_values(path: str | Path, gene: str, *, layer: str | None = None) -> np.ndarray:
    """Read one gene of all cells, (n_cells,) float32, without reading the rest of the matrix.

    Parameters
    ----------
    gene
        A name in `var`, or what `find_gene` understands.
    layer
        A layer's name, "raw" or "X"; by default X, or `raw` where X is missing or lacks the gene.

    Raises
    ------
    DataError
        The gene or the layer is not in the data set.
    """
    with opened(path) as file:
        for matrix, var in _places(file, layer):
            name = find_gene(var, gene)
            if name is not None:
                values = _one_column(matrix, int(np.flatnonzero(var.index == name)[0]))
                return np.ascontiguousarray(values, dtype=np.float32)
    where = f'layer "{layer}"' if layer else "this data set"
    raise DataError(f'There is no gene "{gene}" in {where}. Look for it in the list of genes.')


def find_gene(var: pd.DataFrame, name: str) -> str | None:
    """The index name of a gene given by name, symbol or identifier, whatever its case; None where unknown."""
    if name in var.index:
        return name
    wanted = name.strip().lower()
    tables = [var.index.to_series()]
    tables += [var[column] for column in (*SYMBOL_COLUMNS, *ID_COLUMNS) if column in var.columns]
    for names in tables:
        hits = np.flatnonzero(names.astype(str).str.lower().to_numpy() == wanted)
        if len(hits):
            return str(var.index[hits[0]])
    return None


def _tables(file: h5py.File, notes: list[Finding], damaged: Mapping[str, str]) -> AnnData:
    """Everything but the matrices."""
    obs = table(file, "obs", "cell", notes, damaged=damaged)
    adata = AnnData(obs=obs, var=genes(file, notes, damaged))
    for name, values in _matching(file, "obsm", obs.index, notes, damaged):
        adata.obsm[name] = values
    old = {f"{name}_categories" for name in old_categories(file, damaged)}
    for name, values in unstructured(file, notes, damaged, old=old):
        adata.uns[name] = values
    return adata


def _matching(
    file: h5py.File, group: str, names: pd.Index, notes: list[Finding], damaged: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """The arrays of a group with a row for each name; the others are noted and left out."""
    n_rows, both = len(names), group.endswith("p")
    for name, values in elements(file, group, notes, damaged):
        found = getattr(values, "shape", None)
        if isinstance(values, np.ndarray) and found == (n_rows,) and not both:
            values, found = values[:, None], (n_rows, 1)
        if not found or found[: 1 + both] != (n_rows,) * (1 + both):
            shown = " × ".join(f"{n:,}" for n in found[: 1 + both]) if found else "no"
            what = f"is {shown} where {n_rows:,} × {n_rows:,} was expected"
            what = what if both else f"has {shown} rows where {n_rows:,} were expected"
            notes.append(
                warning(
                    f"{group}-shape",
                    f"{group}[{quoted(name)}] {what}; it was left out.",
                    "Compute it again on the same cells and genes, and save the file.",
                )
            )
        elif isinstance(values, np.ndarray) and values.dtype.kind not in "biufc":
            notes.append(
                note("not-numbers", f"{group}[{quoted(name)}] does not hold numbers; it was left out.")
            )
        elif isinstance(values, np.ndarray | pd.DataFrame) or sparse.issparse(values):
            if getattr(getattr(values, "dtype", None), "kind", "") == "c":
                message = f"{group}[{quoted(name)}] holds complex numbers: it is kept but not used."
                notes.append(note("complex-numbers", message))
            yield name, _aligned(values, names, f"{group}[{quoted(name)}]", notes)
        else:
            message = f"{group}[{quoted(name)}] holds categories or gaps, not numbers alone; it was left out."
            notes.append(note("not-numbers", message))


def _aligned(values: Any, names: pd.Index, name: str, notes: list[Finding]) -> Any:
    """A table in the order of the cells; other arrays as they are."""
    if not isinstance(values, pd.DataFrame):
        return values
    values = with_unique_names(values, "row", [])
    if set(values.index) == set(names) and not values.index.equals(names):
        notes.append(
            note("reordered-table", f"{name} lists its rows in another order; they were put in order.")
        )
        return values.loc[names]
    if not values.index.equals(names):
        message = f"{name} names its rows otherwise than the file does; they were taken in their order."
        notes.append(note("table-names", message))
    return values.set_axis(names, axis=0)


def _places(file: h5py.File, layer: str | None) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The matrices in which to look for a gene, each with its table of genes."""
    raw = raw_matrix(file)
    if layer not in (None, "X", "raw"):
        if f"layers/{layer}" not in file:
            known = ", ".join(["X", *file.get("layers", {})])
            raise DataError(f'There is no layer "{layer}" in this data set. It has {known}.')
        yield file["layers"][layer], table(file, "var", "gene", [])
    if layer in (None, "X") and "X" in file:
        yield file["X"], table(file, "var", "gene", [])
    if raw and (layer in (None, "raw") or "X" not in file):
        yield raw[0], raw_table(file, [])


def _one_column(matrix: h5py.Group | h5py.Dataset, j: int) -> np.ndarray:
    """Column `j` as a dense vector, reading as little as the layout allows."""
    if isinstance(matrix, h5py.Dataset):
        return native(matrix[:, j] if matrix.ndim == 2 else matrix[()])
    n_cells = matrix_shape(matrix)[0]
    column = np.zeros(n_cells, dtype=np.float32)
    indptr = matrix["indptr"]
    if sparse_format(matrix) == "csc":
        start, stop = int(indptr[j]), int(indptr[j + 1])
        np.add.at(column, matrix["indices"][start:stop], matrix["data"][start:stop])
        return column
    bounds = indptr[()]
    for start in range(0, matrix["indices"].shape[0], BLOCK):
        hits = start + np.flatnonzero(matrix["indices"][start : start + BLOCK] == j)
        if len(hits):
            values = matrix["data"][start : start + BLOCK][hits - start]
            np.add.at(column, np.searchsorted(bounds, hits, side="right") - 1, values)
    return column
