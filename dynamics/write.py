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
from h5py import h5a, h5d, h5g, h5p, h5s, h5t, h5z
from pandas.arrays import NumpyExtensionArray
from scipy import sparse

from dynamics.disk import whole_file
from dynamics.elements import READ_ERRORS

COMPRESSION = "lzf"
CHUNK_BYTES = 1024**2
_TEXT, _ONE = h5t.py_create(h5py.string_dtype(), logical=True), h5s.create(h5s.SCALAR)
_UTF8 = h5p.create(h5p.LINK_CREATE)
_UTF8.set_char_encoding(h5t.CSET_UTF8)
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
    _write_table(file, "obs", adata.obs)
    _write_table(file, "var", adata.var)
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


def _write_table(file: h5py.File, name: str, frame: pd.DataFrame) -> None:
    """A table; its plain columns directly, for anndata takes milliseconds for each."""
    columns = _writable_columns(frame)
    plain = {key for key, values in columns.items() if _is_plain(key, values)}
    others = {key: values for key, values in columns.items() if key not in plain}
    index = frame.index.astype(str).astype(object)
    settings = {"compression": COMPRESSION}
    write_elem(file, name, pd.DataFrame(others, index=index), dataset_kwargs=settings)
    if not plain:
        return
    table = file[name]
    for key, values in columns.items():
        if key in plain:
            _write_plain(table.id, key, values)
    table.attrs["column-order"] = list(columns)


def _is_plain(name: str, values: Any) -> bool:
    """Whether a column is a list of numbers or of categories that are texts, under a name of its own."""
    if {"/", "\0"} & set(name) or name in ("", ".", "_index") or not len(values):
        return False
    if isinstance(values, pd.Categorical):
        return len(values.categories) > 0 and values.categories.inferred_type == "string"
    return isinstance(values, NumpyExtensionArray | np.ndarray) and values.dtype.kind in "biuf"


def _write_plain(group: h5g.GroupID, name: str, values: Any) -> None:
    """One column in the form in which anndata writes it."""
    if not isinstance(values, pd.Categorical):
        _write_list(group, name, np.asarray(values))
        return
    place = h5g.create(group, name.encode(), lcpl=_UTF8)
    _mark(place, "categorical")
    ordered = np.array(bool(values.ordered))
    h5a.create(place, b"ordered", h5t.py_create(ordered.dtype, logical=True), _ONE).write(ordered)
    _write_list(place, "codes", values.codes)
    _write_list(place, "categories", values.categories.to_numpy(dtype=object))


def _write_list(group: h5g.GroupID, name: str, values: np.ndarray) -> None:
    """Numbers or texts, compressed as all others are."""
    is_text = values.dtype == object
    kind = _TEXT if is_text else h5t.py_create(values.dtype, logical=True)
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_obj_track_times(False)  # the same data give the same bytes
    layout.set_chunk((min(len(values), CHUNK_BYTES // kind.get_size()),))
    layout.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)
    made = h5d.create(group, name.encode(), kind, h5s.create_simple(values.shape), layout, _UTF8)
    made.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))
    _mark(made, "string-array" if is_text else "array")


def _mark(element: h5g.GroupID | h5d.DatasetID, kind: str) -> None:
    """Say what an element is."""
    for name, value in ((b"encoding-type", kind), (b"encoding-version", "0.2.0")):
        h5a.create(element, name, _TEXT, _ONE).write(np.array(value, dtype=object))


def _writable(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with columns that h5ad can hold."""
    return pd.DataFrame(_writable_columns(frame), index=frame.index.astype(str).astype(object))


def _writable_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns that h5ad can hold: text as categories, mixed values as text."""
    return {str(name): _writable_column(column) for name, column in frame.items()}


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
    if isinstance(value, np.ndarray) and value.ndim == 1 and _is_plain(name, value):
        _write_list(group.id, name, value)
        return
    write_elem(group, name, _writable(value) if isinstance(value, pd.DataFrame) else value)
