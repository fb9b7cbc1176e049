"""Write h5ad files whole or not at all, laid out so that one gene is read quickly."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata._io.specs.registry import IORegistryError
from anndata.io import write_elem
from scipy import sparse

from dynamics.disk import whole_file
from dynamics.elements import READ_ERRORS

COMPRESSION = "lzf"
CHUNK_BYTES = 1024**2
PLAIN = {"string", "integer", "floating", "boolean", "empty"}
"""Kinds of category names that h5ad can hold as they are."""


def write_h5ad(adata: AnnData, path: str | Path) -> None:
    """Write a data set whole or not at all, laid out so that one gene is read quickly.

    Parameters
    ----------
    path
        Written under a temporary name in the same folder, brought to disk, then renamed. Sparse matrices are
        written gene by gene (CSC), dense ones in blocks of few genes; `varp` and entries of `uns` that h5ad
        cannot hold are left out.
    """
    with whole_file(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        with warnings.catch_warnings():
            # A column name with a slash is the user's own; anndata announces that it will refuse it one day.
            warnings.filterwarnings("ignore", message=".*forward slash.*", category=FutureWarning)
            _write(file, adata)


def _write(file: h5py.File, adata: AnnData) -> None:
    if adata.X is not None:
        _write_matrix(file, "X", adata.X)
    if adata.raw is not None:
        raw = file.create_group("raw")
        raw.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
        _write_matrix(raw, "X", adata.raw.X)
        write_elem(raw, "var", _writable(adata.raw.var))
        write_elem(raw, "varm", {})
    layers = _group(file, "layers")
    for name, matrix in adata.layers.items():
        _write_matrix(layers, name, matrix)
    write_elem(file, "obs", _writable(adata.obs), dataset_kwargs={"compression": COMPRESSION})
    write_elem(file, "var", _writable(adata.var), dataset_kwargs={"compression": COMPRESSION})
    for name in ("obsm", "varm", "obsp"):
        group = _group(file, name)
        for key, values in getattr(adata, name).items():
            kept = _writable(values) if isinstance(values, pd.DataFrame) else values
            write_elem(group, key, kept, dataset_kwargs={"compression": COMPRESSION})
    _group(file, "varp")
    _write_uns(_group(file, "uns"), adata.uns)


def _group(file: h5py.File, name: str) -> h5py.Group:
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    return group


def _write_matrix(group: h5py.Group, name: str, matrix: Any) -> None:
    """One matrix with cells in rows: CSC where sparse, blocks of few columns where dense."""
    if sparse.issparse(matrix):
        columns = matrix.tocsc()
        columns.sort_indices()
        write_elem(group, name, columns, dataset_kwargs={"compression": COMPRESSION})
        return
    values = np.asarray(matrix)
    settings: dict[str, Any] = {}
    if values.size:
        rows = min(len(values), max(1, CHUNK_BYTES // (8 * values.itemsize)))
        settings = {"chunks": (rows, min(8, values.shape[1])), "compression": COMPRESSION}
    write_elem(group, name, values, dataset_kwargs=settings)


def _writable(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with columns that h5ad can hold: text as categories, mixed values as text."""
    columns = {str(name): _writable_column(column) for name, column in frame.items()}
    return pd.DataFrame(columns, index=frame.index.astype(str).astype(object))


def _writable_column(column: pd.Series) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = column.cat.categories
        known = levels.inferred_type in PLAIN and not isinstance(levels.dtype, pd.StringDtype)
        return (column if known else column.cat.rename_categories([str(level) for level in levels])).array
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype) or column.dtype.kind in "mM":
        as_text = column.astype(object).where(column.isna(), column.astype(str))
        unique = as_text.is_unique and not column.isna().any()
        return as_text.to_numpy(dtype=object) if unique else pd.Categorical(as_text)
    return column.array


def _write_uns(group: h5py.Group, entries: Mapping[str, Any]) -> None:
    """Entries one by one, so that one that h5ad cannot hold costs only itself."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            _write_uns(_group(group, str(name)), value)
            continue
        try:
            _write_entry(group, str(name), value)
        except (*READ_ERRORS, IORegistryError, NotImplementedError):
            group.pop(str(name), None)


def _write_entry(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype == object and pd.isna(value).any():
        place = group.create_group(name)
        place.attrs.update({"encoding-type": "nullable-string-array", "encoding-version": "0.1.0"})
        gaps = pd.isna(value)
        write_elem(place, "values", np.where(gaps, "", value))
        write_elem(place, "mask", gaps)
        return
    write_elem(group, name, _writable(value) if isinstance(value, pd.DataFrame) else value)
