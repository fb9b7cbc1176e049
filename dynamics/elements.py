"""Single elements of an h5ad file, in every layout since anndata 0.6: arrays, matrices and tables."""

import warnings
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import OldFormatWarning
from anndata._io.specs.registry import IORegistryError
from anndata.io import read_elem as read_known
from scipy import sparse

from dynamics.errors import FileError

READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    AssertionError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What anndata, h5py and pandas raise on an element that they do not know or that contradicts itself."""

MATRIX_FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


def text(value: Any) -> str:
    """An HDF5 string, bytes or str, as str."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def sparse_format(group: h5py.Group) -> str | None:
    """ "csr" or "csc" where the group holds a sparse matrix, else None."""
    named = text(group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", "")))[:3]
    return named if named in MATRIX_FORMATS and {"data", "indices", "indptr"} <= set(group) else None


def matrix_shape(element: h5py.Group | h5py.Dataset) -> tuple[int, ...]:
    """Rows and columns of a dense or sparse matrix, without reading it."""
    if isinstance(element, h5py.Dataset):
        return element.shape
    shape = element.attrs.get("shape", element.attrs.get("h5sparse_shape", ()))
    return tuple(int(n) for n in shape)


def native(values: Any) -> Any:
    """The same values in this machine's byte order and a width that scipy and torch know."""
    if isinstance(values, np.ndarray) and values.dtype.names is None:
        if values.dtype == np.float16:
            return values.astype(np.float32)
        if values.dtype.byteorder not in "=|" and values.dtype.kind in "iufcb":
            return values.astype(values.dtype.newbyteorder("="))
    return values


def read_matrix(element: h5py.Group | h5py.Dataset) -> np.ndarray | sparse.spmatrix:
    """Read a dense or sparse matrix; a vector becomes one column."""
    if isinstance(element, h5py.Dataset):
        values = native(element[()])
        return values[:, None] if values.ndim == 1 else values
    kind = sparse_format(element)
    if kind is None:
        found = text(element.attrs.get("encoding-type", "an unknown element"))
        raise FileError(f"{element.name} is stored as {found}, which is not a matrix that can be read.")
    parts = tuple(native(element[part][()]) for part in ("data", "indices", "indptr"))
    return MATRIX_FORMATS[kind](parts, shape=matrix_shape(element))


def read_elem(element: h5py.Group | h5py.Dataset) -> Any:
    """Read with anndata, which knows older layouts but warns of each of their elements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        return read_known(element)


def read_any(element: h5py.Group | h5py.Dataset) -> Any:
    """Read any element that anndata knows."""
    if isinstance(element, h5py.Group) and sparse_format(element) is not None:
        return read_matrix(element)
    return native(read_elem(element))


def read_frame(
    element: h5py.Group | h5py.Dataset, categories: Mapping[str, list[str]]
) -> tuple[pd.DataFrame, list[str]]:
    """Read `obs` or `var` of any layout.

    Parameters
    ----------
    categories
        Category names by column, which files of anndata 0.6 keep in `uns`.

    Returns
    -------
    The table, and the names of columns that had to be left out because they cannot be read.

    Raises
    ------
    FileError
        The table has no index, or its columns differ in length.
    """
    if isinstance(element, h5py.Dataset):
        return _frame_of_records(element[()], categories), []
    skipped: list[str] = []
    try:
        known = text(element.attrs.get("encoding-type", "")) == "dataframe"
        frame = read_elem(element) if known else _frame_of_group(element)
    except (*READ_ERRORS, IORegistryError) as error:
        frame, skipped = _frame_by_columns(element, error)
    return _plain(frame), skipped


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Native byte order, and an index of plain strings."""
    swapped = {
        name: native(column.to_numpy())
        for name, column in frame.items()
        if isinstance(column.dtype, np.dtype)
    }
    names = [text(name) for name in frame.index.to_numpy(dtype=object)]
    columns = {name: swapped.get(name, frame[name].array) for name in frame.columns}
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object, name=frame.index.name))


def _frame_of_records(records: np.ndarray, categories: Mapping[str, list[str]]) -> pd.DataFrame:
    """The compound table of anndata 0.6: first field is the index, categories are codes into `uns`."""
    index_name = "index" if "index" in records.dtype.names else records.dtype.names[0]
    columns = {}
    for name in records.dtype.names:
        values = native(records[name])
        if name == index_name or values.ndim > 1:
            continue
        if name in categories and values.dtype.kind in "iu":
            columns[name] = pd.Categorical.from_codes(values, categories[name])
        elif values.dtype.kind in "SO":
            columns[name] = pd.Categorical([text(value) for value in values])
        else:
            columns[name] = values
    return pd.DataFrame(columns, index=pd.Index([text(name) for name in records[index_name]], dtype=object))


def _index_key(group: h5py.Group) -> str:
    for key in (text(group.attrs.get("_index", "")), "_index", "index", "barcodes", "features"):
        if key and key in group:
            return key
    raise FileError(
        f"The table {group.name} has no names for its rows. Open the file in Python and save it again: "
        "adata.write_h5ad(path)."
    )


def _frame_of_group(group: h5py.Group) -> pd.DataFrame:
    """A table without encoding attributes, as some converters from R write it."""
    key = _index_key(group)
    columns = {}
    for name in [text(n) for n in group.attrs.get("column_order", sorted(group))]:
        if name in group and name not in (key, "__categories"):
            columns[name] = _column(group[name], group)
    return pd.DataFrame(columns, index=pd.Index(_column(group[key]), dtype=object))


def _column(element: h5py.Group | h5py.Dataset, table: h5py.Group | None = None) -> Any:
    """One column; its categories may lie beside its codes, or in a group of the table (anndata 0.7)."""
    name = element.name.rpartition("/")[2]
    old = table.get("__categories", {}) if table is not None else {}
    if isinstance(element, h5py.Dataset) and name in old:
        return _categorical(element, old[name], old[name].attrs)
    if isinstance(element, h5py.Group) and {"codes", "categories"} <= set(element):
        return _categorical(element["codes"], element["categories"], element.attrs)
    values = read_any(element)
    if isinstance(values, np.ndarray) and values.dtype.kind in "SO":
        return np.array([text(value) for value in values], dtype=object)
    return values


def _categorical(codes: h5py.Dataset, levels: h5py.Dataset, about: Mapping[str, Any]) -> pd.Categorical:
    names = levels[()]
    names = [text(level) for level in names] if names.dtype.kind in "SO" else native(names)
    return pd.Categorical.from_codes(native(codes[()]), names, ordered=bool(about.get("ordered", False)))


def _frame_by_columns(group: h5py.Group, error: Exception) -> tuple[pd.DataFrame, list[str]]:
    """Read a table column by column when it cannot be read at once, leaving out what makes no sense."""
    key = _index_key(group)
    index = pd.Index(_column(group[key]), dtype=object)
    columns, skipped = {}, []
    for name in group:
        if name in (key, "__categories"):
            continue
        try:
            values = _column(group[name], group)
        except (*READ_ERRORS, IORegistryError):
            values = ()
        if len(values) == len(index):
            columns[name] = values
        else:
            skipped.append(name)
    if not columns:
        raise FileError(
            f"No column of the table {group.name} can be read: its parts contradict each other. "
            "Write the file again from the program that made it."
        ) from error
    return pd.DataFrame(columns, index=index), skipped
