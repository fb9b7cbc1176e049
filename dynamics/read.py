"""Open and write h5ad files: whole, without the matrix, or one gene at a time."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata._io.specs.registry import IORegistryError
from scipy import sparse

from dynamics.elements import READ_ERRORS, matrix_shape, native, read_any, read_matrix, sparse_format, text
from dynamics.errors import DataError, FileError
from dynamics.findings import Finding, note, warning
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

UNS_LIMIT = 64 * 1024**2
"""Bytes of one `uns` entry above which it is left out."""
BLOCK = 4_000_000
"""Matrix entries read at a time while looking for one gene."""


def read_h5ad(path: str | Path, *, layers: Sequence[str] | None = None) -> AnnData:
    """Read a whole data set into memory.

    Parameters
    ----------
    path
        An h5ad file that is clean (written by `write_h5ad`) or has passed `jobs.precheck.check`.
    layers
        Read these layers only, and no `obsp`; by default everything.

    Returns
    -------
    X and layers as CSR or dense, `raw` where there is one (and in place of X where X is missing), `obs`,
    `var`, `obsm`, `varm`, `obsp` and the readable part of `uns`. Values, order and columns are those of the
    file; repeated names are made unique, which is noted under `uns["driftscope"]["read_notes"]`.

    Raises
    ------
    FileError
        The file has no cells' table, or its matrix does not fit its tables.
    """
    with opened(path) as file:
        notes: list[Finding] = []
        adata = _tables(file, notes)
        matrix, var, raw = _expression(file, adata.n_obs, notes)
        adata = AnnData(X=matrix, obs=adata.obs, var=var, uns=adata.uns, obsm=dict(adata.obsm), raw=raw)
        for name, values in _matching(file, "layers", (adata.n_obs, adata.n_vars), notes, only=layers):
            adata.layers[name] = _by_rows(values)
        for name, values in _matching(file, "varm", (adata.n_vars,), notes):
            adata.varm[name] = values
        pairs = None if layers is None else ()
        for name, values in _matching(file, "obsp", (adata.n_obs, adata.n_obs), notes, only=pairs):
            adata.obsp[name] = values
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
        return noted(_tables(file, notes), notes)


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


def _tables(file: h5py.File, notes: list[Finding]) -> AnnData:
    """Everything but the matrices."""
    obs = table(file, "obs", "cell", notes)
    var = table(file, "var", "gene", notes) if "var" in file else None
    if var is None or ("X" not in file and not len(var)):
        var = raw_table(file, notes) if raw_matrix(file) else var
    adata = AnnData(obs=obs, var=pd.DataFrame(index=pd.Index([], dtype=object)) if var is None else var)
    for name, values in _matching(file, "obsm", (len(obs),), notes):
        is_table = isinstance(values, pd.DataFrame)
        adata.obsm[name] = values.set_axis(obs.index, axis=0) if is_table else values
    for name, values in _unstructured(file, notes):
        adata.uns[name] = values
    return adata


def _expression(
    file: h5py.File, n_obs: int, notes: list[Finding]
) -> tuple[Any, pd.DataFrame, AnnData | None]:
    """X, its genes, and `raw` as a data set of its own."""
    var = table(file, "var", "gene", []) if "var" in file else pd.DataFrame(index=pd.Index([], dtype=object))
    raw = raw_matrix(file)
    raw_var = raw_table(file, []) if raw else None
    raw_x = _fitting(raw[0], (n_obs, len(raw_var)), "raw") if raw else None
    if "X" in file and text(file["X"].attrs.get("encoding-type", "")) != "null":
        if 0 in matrix_shape(file["X"]) and not len(var):
            return None, var, None
        x = _fitting(file["X"], (n_obs, len(var)), "X")
        return x, var, AnnData(X=raw_x, var=raw_var) if raw else None
    if raw_x is None:
        return None, var, None
    notes.append(note("raw-only", "The file has no X; the matrix kept in raw is used in its place."))
    return raw_x, raw_var, None


def _fitting(element: h5py.Group | h5py.Dataset, shape: tuple[int, int], name: str) -> Any:
    found = matrix_shape(element)
    if tuple(found) != shape and not (len(found) == 1 and shape == (found[0], 1)):
        size = " × ".join(f"{n:,}" for n in found)
        raise FileError(
            f"{name} has {size} values, but the tables list {shape[0]:,} cells and {shape[1]:,} genes. "
            "Write the file again from the program that made it."
        )
    try:
        return _by_rows(read_matrix(element))
    except READ_ERRORS as error:
        raise FileError(f"{name} cannot be read: the file is damaged or was cut short.") from error


def _by_rows(matrix: Any) -> Any:
    return matrix.tocsr() if sparse.issparse(matrix) else matrix


def _matching(
    file: h5py.File,
    group: str,
    shape: tuple[int, ...],
    notes: list[Finding],
    *,
    only: Sequence[str] | None = None,
) -> Iterator[tuple[str, Any]]:
    """The arrays of a group whose first dimensions are `shape`; the others are noted and left out."""
    for name, values in _elements(file, group, notes, only=only):
        found = getattr(values, "shape", None)
        if isinstance(values, np.ndarray) and values.ndim == 1 and len(shape) == 1 and found == shape:
            values = values[:, None]
        if found is None or tuple(found[: len(shape)]) != shape:
            rows = f"{found[0]:,}" if found else "no"
            notes.append(
                warning(
                    f"{group}-shape",
                    f'{group}["{name}"] has {rows} rows where {shape[0]:,} were expected; it was left out.',
                    "Compute it again on the same cells and genes, and save the file.",
                )
            )
        elif isinstance(values, np.ndarray) and values.dtype.kind not in "biufc":
            notes.append(note("not-numbers", f'{group}["{name}"] does not hold numbers; it was left out.'))
        else:
            yield name, values


def _elements(
    file: h5py.File, group: str, notes: list[Finding], *, only: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Every readable element of a group; in files of anndata 0.6 the group is one table."""
    source = file.get(group)
    if isinstance(source, h5py.Dataset):
        records = source[()] if source.shape is not None else np.empty(0)
        for name in _wanted(records.dtype.names or (), only):
            yield name, native(np.ascontiguousarray(records[name]))
        return
    for name in _wanted(source if source is not None else (), only):
        try:
            yield name, read_any(source[name])
        except (*READ_ERRORS, IORegistryError, RecursionError):
            notes.append(note("unreadable-element", f'{group}["{name}"] cannot be read and was left out.'))


def _wanted(names: Iterable[str], only: Sequence[str] | None) -> Iterator[str]:
    return (name for name in names if only is None or name in only)


def _unstructured(file: h5py.File, notes: list[Finding]) -> Iterator[tuple[str, Any]]:
    """The entries of `uns` that are readable and not huge."""
    source = file.get("uns")
    if not isinstance(source, h5py.Group):
        return
    is_old = isinstance(file["obs"], h5py.Dataset)
    for name in source:
        if is_old and name.removesuffix("_categories") in old_categories(file):
            continue
        if _size(source[name]) > UNS_LIMIT:
            notes.append(note("large-uns", f'uns["{name}"] is larger than 64 MB and was left out.'))
            continue
        try:
            yield name, read_any(source[name])
        except (*READ_ERRORS, IORegistryError, RecursionError):
            notes.append(note("unknown-uns", f'uns["{name}"] is of an unknown kind and was left out.'))


def _size(element: h5py.Group | h5py.Dataset) -> int:
    if isinstance(element, h5py.Dataset):
        return element.size * element.dtype.itemsize if element.shape is not None else 0
    return sum(_size(child) for child in element.values())


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
