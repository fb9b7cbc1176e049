"""Single elements of an h5ad file, in every layout since anndata 0.6: texts, arrays and matrices."""

from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from dynamics.errors import FileError
from dynamics.findings import Finding, note, quoted

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
"""What h5py, numpy and pandas raise on an element that is not known or that contradicts itself."""

MATRIX_FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
PARTS = {"data", "indices", "indptr"}
WRITE_AGAIN = "Write the file again from the original data."


def text(value: Any) -> str:
    """An HDF5 string, bytes or str, as str; what is not UTF-8 is taken as Western European."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return value.decode("cp1252")
        except UnicodeDecodeError:
            return value.decode("latin-1")


def texts(values: np.ndarray, name: str, notes: list[Finding]) -> np.ndarray:
    """An array of HDF5 strings as an array of str, whatever their alphabet was stored as."""
    flat = list(np.asarray(values, dtype=object).ravel())
    if np.asarray(values).dtype.kind == "S":  # a text of fixed length ends at its first NUL
        flat = [value.split(b"\0", 1)[0] for value in flat]
    try:
        found = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in flat]
    except UnicodeDecodeError:
        found = [text(value) for value in flat]
        notes.append(
            note(
                "text-encoding",
                f"{quoted(name)} holds texts that are not UTF-8; they were read as Western European letters.",
                "Look at names with accents; if they are wrong, save the file again from Python.",
            )
        )
    made = np.empty(len(found), dtype=object)
    made[:] = found
    return made.reshape(np.shape(values))


def raw_attribute(element: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute as it is stored; None where there is none or nobody knows its kind."""
    try:
        return element.attrs.get(name)
    except READ_ERRORS:
        return None


def attribute(element: h5py.Group | h5py.Dataset, *names: str) -> Any:
    """The first of these attributes that is there; R writes single values as arrays of one. Else None."""
    for name in names:
        value = raw_attribute(element, name)
        if value is not None and not isinstance(value, h5py.Empty):
            if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.names is None:
                value = value.ravel()[0]
            return text(value) if isinstance(value, str | bytes) else value
    return None


def encoding(element: h5py.Group | h5py.Dataset) -> str:
    """What an element says that it is; empty where it does not say."""
    for name in ("encoding-type", "h5sparse_format"):
        said = attribute(element, name)
        if isinstance(said, str) and said:
            return said
    return ""


def place(element: h5py.Group | h5py.Dataset) -> str:
    """Where an element lies in the file, as `jobs.precheck` names it; names need not be UTF-8."""
    name = element.name or "/"
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def damage(name: str, damaged: Mapping[str, str]) -> tuple[str, str] | None:
    """The element at or below a place that must not be read, and why; None where all is sound."""
    for at, why in damaged.items():
        if at == name or at.startswith(f"{name.rstrip('/')}/"):
            return at, why
    return None


def is_null(element: Any) -> bool:
    """Whether an element stands for "nothing", as anndata writes None."""
    return isinstance(element, h5py.Dataset) and (element.shape is None or encoding(element) == "null")


def element_at(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The group or array of that name; None where there is none or it stands for nothing."""
    found = group.get(name)
    return found if isinstance(found, h5py.Group | h5py.Dataset) and not is_null(found) else None


def sparse_format(group: h5py.Group | h5py.Dataset) -> str | None:
    """ "csr" or "csc" where the group holds a sparse matrix, else None."""
    if not isinstance(group, h5py.Group) or not set(group) >= PARTS:
        return None
    said = encoding(group)[:3]
    return said if said in MATRIX_FORMATS else None


def matrix_shape(element: h5py.Group | h5py.Dataset) -> tuple[int, ...]:
    """Rows and columns of a dense or sparse matrix, without reading it; empty where it does not say."""
    if isinstance(element, h5py.Dataset):
        return element.shape or ()
    for name in ("shape", "h5sparse_shape"):
        shape = raw_attribute(element, name)
        if isinstance(shape, np.ndarray) and shape.dtype.kind in "iuf" and np.isfinite(shape).all():
            return tuple(int(n) for n in shape.ravel())
    return ()


def unusual(array: h5py.Dataset) -> str:
    """What is unusual about the type of an array that numpy has no counterpart for, and what to do."""
    try:
        np.dtype(array.dtype)
        return ""
    except TypeError:
        kind = array.id.get_type()
        is_whole = isinstance(kind, h5py.h5t.TypeIntegerID)
        what = f"{'whole numbers' if is_whole else 'values'} of {8 * kind.get_size()} bits"
        return (
            f"holds {what}, an unusual type that cannot be read here. Save it with numbers of 32 or 64 bits "
            "in the program that made the file."
        )


def native(values: Any) -> Any:
    """The same values in this machine's byte order and a width that scipy and torch know."""
    if isinstance(values, np.ndarray | np.generic) and values.dtype.names is None:
        if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
            return values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
        if values.dtype.kind == "c" and values.dtype.itemsize not in (8, 16):
            return values.astype(np.complex128)
        if values.dtype.byteorder not in "=|" and values.dtype.kind in "iufcb":
            return values.astype(values.dtype.newbyteorder("="))
    return values


def read_matrix(
    element: h5py.Group | h5py.Dataset,
    notes: list[Finding],
    *,
    kind: str | None = None,
    shape: tuple[int, ...] | None = None,
) -> np.ndarray | sparse.spmatrix:
    """Read a dense or sparse matrix; a vector becomes one column.

    Parameters
    ----------
    kind, shape
        "csr" or "csc", and rows and columns, of a sparse matrix that does not say so itself.

    Raises
    ------
    FileError
        It holds no numbers, or the parts of a sparse matrix contradict each other.
    """
    if isinstance(element, h5py.Dataset):
        if wrong := unusual(element):
            raise FileError(f"{quoted(place(element))} {wrong}")
        values = native(element[()])
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biufc":
            raise FileError(f"{quoted(place(element))} does not hold numbers. {WRITE_AGAIN}")
        return values[:, None] if values.ndim == 1 else values
    kind = kind or sparse_format(element)
    if kind is None:
        found = encoding(element) or "a group"
        raise FileError(
            f"{quoted(place(element))} is stored as {quoted(found)}, which is not a matrix that can be read. "
            "In Python, make it a scipy CSR matrix or a NumPy array and save the file again."
        )
    return _sparse(element, kind, shape or matrix_shape(element), notes)


def _sparse(
    group: h5py.Group, kind: str, shape: tuple[int, ...], notes: list[Finding]
) -> sparse.csr_matrix | sparse.csc_matrix:
    """A sparse matrix whose every position was looked at, in order and each position once."""
    data, indices, starts = (native(group[part][()]) for part in ("data", "indices", "indptr"))
    problem = _contradiction(data, indices, starts, kind=kind, shape=shape)
    if problem:
        raise FileError(f"The sparse matrix {quoted(place(group))} {problem}. {WRITE_AGAIN}")
    width = np.int32 if max(len(data), *shape) < np.iinfo(np.int32).max else np.int64
    parts = (data, indices.astype(width, copy=False), starts.astype(width, copy=False))
    matrix = MATRIX_FORMATS[kind](parts, shape=shape)
    matrix.sort_indices()
    if not matrix.has_canonical_format:
        matrix = _summed(matrix, place(group), notes)
    return matrix


def _contradiction(data: Any, indices: Any, starts: Any, *, kind: str, shape: tuple[int, ...]) -> str | None:
    """What is wrong with the parts of a sparse matrix; scipy itself would read beyond them."""
    if len(shape) != 2 or min(shape) < 0:
        return "does not say how many rows and columns it has"
    if any(np.ndim(part) != 1 for part in (data, indices, starts)):
        return "has a part that is not a plain list"
    if data.dtype.kind not in "biufc" or indices.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        return "has parts that do not hold numbers"
    major, minor = shape if kind == "csr" else shape[::-1]
    if len(starts) != major + 1 or starts[0] != 0 or len(data) != len(indices) or starts[-1] != len(data):
        return "has parts that do not fit its shape"
    if np.any(starts[1:] < starts[:-1]):
        return "has starts that fall"
    if len(indices) and (indices.min() < 0 or indices.max() >= minor):
        return "points outside its shape"
    return None


def _summed(matrix: Any, name: str, notes: list[Finding]) -> Any:
    """The matrix with entries of the same place added up, as the format means them."""
    before = matrix.nnz
    if matrix.dtype.kind in "iu" and matrix.dtype.itemsize < 8:
        matrix = matrix.astype(np.int64)
    matrix.sum_duplicates()
    notes.append(
        note(
            "summed-duplicates",
            f"{quoted(name)} lists {before - matrix.nnz:,} values for places that have one already; values "
            "of the same place were added up, as the format means it.",
            "Nothing needs to be done if the file was made that way on purpose.",
        )
    )
    return matrix


def levels_of(dtype: np.dtype) -> dict[int, str] | None:
    """The names that an enumerated type gives to its numbers, None for other types."""
    names = h5py.check_enum_dtype(dtype)
    return {int(number): str(name) for name, number in names.items()} if names else None


def listed(names: Iterable[str], most: int = 5) -> str:
    """A few names in quotes."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(quoted(name) for name in names[:most]) + more
