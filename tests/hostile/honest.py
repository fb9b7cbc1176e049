"""Files that are odd but honest, with what must come out of them: written from the format's specification.

Each case writes one file with plain h5py and returns the truth: matrix, names, columns, arrays, and the codes
of what has to be said about it. The cases themselves stand in the other `honest_*` files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

N, G = 60, 24
UTF8 = h5py.string_dtype()
DAYS = np.repeat([2, 10, 3], N // 3)
CELLS = [f"cell{k}" for k in range(N)]
GENES = [f"Gene{k}" for k in range(G)]
COUNTS = np.random.default_rng(0).poisson(0.9, (N, G)).astype(np.float32)
"""The matrix of all cases that are not about the matrix."""
UMAP = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
PCA = np.random.default_rng(2).normal(size=(N, 6)).astype(np.float32)


@dataclass(frozen=True)
class Truth:
    """What a file holds, whatever the way in which it was written."""

    x: Any = field(default_factory=lambda: COUNTS)
    cells: list[str] = field(default_factory=lambda: list(CELLS))
    genes: list[str] = field(default_factory=lambda: list(GENES))
    obs: Mapping[str, list] = field(default_factory=dict)
    """Values by column as text or numbers; None where a value is missing."""
    ordered: Mapping[str, list] = field(default_factory=dict)
    """Categories of columns in their order."""
    var: Mapping[str, list] = field(default_factory=dict)
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    obsm: Mapping[str, np.ndarray] = field(default_factory=dict)
    raw: np.ndarray | None = None
    uns: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Columns of obs, and elements such as "obsm/X_umap", that must not come out."""
    said: tuple[str, ...] = ()
    """Codes of all that must be said when reading."""
    found: tuple[str, ...] = ()
    """Codes of what the report must say beside that."""
    times: tuple[str, ...] | None = None
    """Labels of the times in their order."""


Case = Callable[[h5py.File], Truth]
CASES: dict[str, Case] = {}
HOW: dict[str, dict[str, Any]] = {}


def case(name: str, **how: Any) -> Callable[[Case], Case]:
    """Enter a case into the catalogue; `how` is how its file is made."""

    def enter(make: Case) -> Case:
        assert name not in CASES, name
        CASES[name] = make
        HOW[name] = how
        return make

    return enter


def write(name: str, path: Path) -> Truth:
    """Write the file of that case."""
    with h5py.File(path, "w", **HOW[name]) as file:
        return CASES[name](file)


# The parts of a file as anndata 0.8 and later write them


def mark(element: h5py.Group | h5py.Dataset, kind: str, version: str = "0.2.0") -> Any:
    """Say what an element is."""
    element.attrs["encoding-type"], element.attrs["encoding-version"] = kind, version
    return element


def array(group: h5py.Group, name: str, values: Any, **how: Any) -> h5py.Dataset:
    """A dense array, of numbers or texts."""
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        return mark(group.create_dataset(name, data=values.astype(object), dtype=UTF8, **how), "string-array")
    return mark(group.create_dataset(name, data=values, **how), "array")


def matrix(group: h5py.Group, name: str, made: sparse.spmatrix, **kinds: Any) -> h5py.Group:
    """A sparse matrix; `kinds` are types of its parts."""
    place = mark(group.create_group(name), f"{made.format}_matrix", "0.1.0")
    place.attrs["shape"] = np.array(made.shape)
    for part in ("data", "indices", "indptr"):
        values = getattr(made, part)
        array(place, part, values.astype(kinds.get(part, values.dtype)))
    return place


def categories(group: h5py.Group, name: str, codes: Any, levels: Any, *, ordered: Any = False) -> h5py.Group:
    """A categorical column."""
    place = mark(group.create_group(name), "categorical")
    place.attrs["ordered"] = ordered
    array(place, "codes", np.asarray(codes))
    array(place, "categories", levels)
    return place


def gaps(group: h5py.Group, name: str, values: Any, mask: Any, kind: str) -> h5py.Group:
    """A column with missing values."""
    place = mark(group.create_group(name), kind, "0.1.0")
    array(place, "values", values)
    array(place, "mask", mask)
    return place


def table(group: h5py.Group, name: str, index: Any, columns: Mapping[str, Any] | None = None) -> h5py.Group:
    """A table of plain columns."""
    place = mark(group.create_group(name), "dataframe")
    place.attrs["_index"] = "_index"
    array(place, "_index", index)
    columns = columns or {}
    for column, values in columns.items():
        array(place, column, values)
    order(place, list(columns))
    return place


def order(place: h5py.Group, names: list[str]) -> None:
    """List the columns of a table; anndata writes an empty list as numbers."""
    listed = np.array(names, dtype=object)
    place.attrs.create("column-order", listed if names else np.array([]), dtype=UTF8 if names else None)


def folder(file: h5py.Group, name: str) -> h5py.Group:
    """A group of elements."""
    return mark(file.create_group(name), "dict", "0.1.0")


def root(file: h5py.File) -> None:
    """Say that the file is an h5ad."""
    mark(file, "anndata", "0.1.0")
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        folder(file, name)


def modern(file: h5py.File, *, x: Any = None, has_x: bool = True) -> h5py.Group:
    """A whole file as anndata 0.8 to 0.13 write it; returns `obs`."""
    root(file)
    if has_x and x is None:
        matrix(file, "X", sparse.csr_matrix(COUNTS))
    elif has_x:
        array(file, "X", x)
    table(file, "var", GENES)
    return table(file, "obs", CELLS, {"day": DAYS})


def days() -> dict[str, list]:
    """The column that all cases share."""
    return {"day": DAYS.tolist()}


DAY_ORDER = ("2", "3", "10")
