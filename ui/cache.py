"""What is shared between tabs and page runs: files as read, and results of work over a second.

Everything is keyed by content: a file by the digest of its bytes, an array by all of its bytes (Streamlit's
own cache hashes a sample of a large array). So people who opened the same file share one copy, and all that
was worked out from it. What comes out is read-only.
"""

import dataclasses
import hashlib
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from scipy import sparse

from dynamics import read
from dynamics import snapshots as grouping
from dynamics.errors import DataError
from dynamics.roles import Roles
from dynamics.snapshots import Snapshots
from jobs import digests
from jobs.workspace import Dataset, ModelEntry
from ui import memory

if TYPE_CHECKING:
    from anndata import AnnData

    from models.cell_model import CellModel

GIGABYTE = 10**9
BUDGET = float(os.environ.get("DRIFTSCOPE_CACHE_GB") or 2) * GIGABYTE
FREE = 0.12 * GIGABYTE
PER_DATA_SET = 8
"""Results may take `FREE` and so many times the tables of the data sets that are open, within the budget."""

KNOWN_PARTS = 4096
"""Bytes from which an array inside of a result is known by its name."""

SCALARS = (str, bytes, int, float, complex, bool, type(None), np.generic)


class Shelf:
    """Results by key, the least recently used leaving first when they take more than their room.

    The room grows with the data sets that are on the shelf, up to the budget.
    """

    def __init__(self, budget: float, *, free: float = FREE) -> None:
        self.budget, self.free = budget, free
        self.used = 0
        self._tables = 0
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def room(self) -> float:
        """Bytes that all results together may take."""
        return min(self.budget, self.free + PER_DATA_SET * self._tables)

    def get(self, key: str) -> tuple[Any, bool]:
        """Return (value, True), or (None, False) where the key is unknown."""
        with self._lock:
            if key not in self._kept:
                return None, False
            self._kept.move_to_end(key)
            return self._kept[key][0], True

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """Hold while the value of a key is made, so that of many tabs that ask for it one makes it."""
        with self._lock:
            own = self._making.setdefault(key, threading.Lock())
        try:
            with own:
                yield
        finally:
            with self._lock:
                self._making.pop(key, None)

    def put(self, key: str, value: Any) -> None:
        """Keep a value; it always stays until the next one, however large."""
        size = n_bytes(value)
        with self._lock:
            if key in self._kept:
                self._drop(key)
            self._kept[key] = (value, size)
            self.used += size
            self._tables += size if _is_table(value) else 0
            while self.used > self.room and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.used = self._tables = 0

    def _drop(self, key: str) -> None:
        value, size = self._kept.pop(key)
        self.used -= size
        self._tables -= size if _is_table(value) else 0


_shelf = Shelf(BUDGET)
_keys: dict[int, tuple[weakref.ref, str]] = {}


def cached(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return `function(*args, **kwargs)`, from the shelf where the same was asked before.

    Arguments may be plain values, paths (keyed by size and time of change), arrays, tables, frozen
    dataclasses of those, and anything that came out of this module. The result is shared between tabs: its
    arrays are made read-only. Errors are not kept.
    """
    key = _digest("call", function, args, kwargs)
    value, known = _shelf.get(key)
    if known:
        return value
    with st.spinner("Working …", show_time=True), _shelf.making(key):
        value, known = _shelf.get(key)
        if not known:
            value = freeze(function(*args, **kwargs))
            _know(value, key)
            _shelf.put(key, value)
            memory.give_back()
    return value


def adata(dataset: Dataset) -> "AnnData":
    """Return the cells of a data set without the matrices: obs, var, obsm, uns."""
    return cached(read.read_cells, dataset.file)


def snapshots(dataset: Dataset, *, dims: int | None = None) -> Snapshots:
    """Return the states of a data set grouped by time, as its roles say."""
    return cached(grouping.from_anndata, adata(dataset), Roles.from_json(dataset.roles), dims=dims)


def gene_values(dataset: Dataset, gene: str, *, layer: str | None = None) -> np.ndarray:
    """Return one gene's value in every cell, (n_cells,) float32."""
    return cached(read.gene_values, dataset.file, gene, layer=layer)


def colour_values(dataset: Dataset, name: str) -> pd.Series:
    """Return what cells are coloured by, one value a cell: a column of obs, else a gene.

    Raises
    ------
    DataError
        There is neither a column nor a gene of that name.
    """
    cells = adata(dataset)
    column = name.removesuffix(" (gene)")
    if column == name and name in cells.obs:
        return cached(_column, cells, name)
    gene = cached(_gene, cells, column)
    if gene is None:
        raise DataError(f"There is no column and no gene called {column!r} in this data set.")
    return cached(_series, gene_values(dataset, gene), cells, column)


def groups(dataset: Dataset, name: str, rows: np.ndarray | None = None) -> pd.Series:
    """Return a column of obs as categories: of all cells, or of some."""
    return cached(_categories, adata(dataset), name, rows)


def model(entry: ModelEntry, dataset: Dataset | None = None) -> "CellModel":
    """Return a trained model; with a data set, after checking that the model fits it.

    Raises
    ------
    ModelError
        The file is not a model, or the model does not fit the data set; the message says why.
    """
    from models import checkpoint  # not at the top: it loads torch, and most pages open without

    found = cached(checkpoint.load, entry.path)
    if dataset is not None:
        fitted(entry, dataset)
    return found


def fitted(entry: ModelEntry, dataset: Dataset) -> Snapshots:
    """Return the states of a data set in a model's own coordinates.

    The matrix is only read where the data set is not the one that the model was trained on.

    Raises
    ------
    ModelError
        The model does not fit the data set; the message says why.
    """
    found, roles = model(entry), Roles.from_json(dataset.roles)
    own = cached(_training_states, found, adata(dataset), roles)
    if own is not None and own.fingerprint == found.fingerprint:
        return own
    return cached(_checked_states, found, dataset.file, roles)


def _training_states(model: "CellModel", cells: "AnnData", roles: Roles) -> Snapshots | None:
    """Return the states that the model speaks of, where the data set has an array of that name and width."""
    states = cells.obsm.get(model.rep)
    if states is None or states.shape[1] < model.dim:
        return None
    return grouping.from_anndata(cells, replace(roles, rep=model.rep), dims=model.dim)


def _checked_states(model: "CellModel", path: Path, roles: Roles) -> Snapshots:
    from models import fitting

    return fitting.check_fit(model, read.read_h5ad(path), roles)


def _column(cells: "AnnData", name: str) -> pd.Series:
    return cells.obs[name]


def _gene(cells: "AnnData", name: str) -> str | None:
    return read.find_gene(cells.var, name)


def _series(values: np.ndarray, cells: "AnnData", name: str) -> pd.Series:
    return pd.Series(values, index=cells.obs_names, name=name, copy=False)


def _categories(cells: "AnnData", name: str, rows: np.ndarray | None) -> pd.Series:
    found = cells.obs[name].astype("category")
    return found if rows is None else found.iloc[rows]


def n_bytes(value: Any) -> int:
    """Return about how much memory a value takes."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return int(np.sum(value.memory_usage(deep=False)))
    if _is_table(value):
        return int(value.__sizeof__())
    if type(value).__module__.startswith("plotly."):
        return len(value.to_json())
    return 256 + sum(n_bytes(part) for part in _parts(value) or _inside(value))


def freeze(value: Any) -> Any:
    """Make all arrays in a value read-only and return it."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif _is_table(value):
        for part in (*value.obsm.values(), *value.layers.values(), value.X, value.obs, value.var):
            freeze(part)
    elif not isinstance(value, str | pd.Index):
        for part in _columns(value) or _parts(value):
            freeze(part)
    return value


def _columns(value: Any) -> list[Any]:
    """Return the arrays that a table or a column of one lies in; but for objects, which pandas must own."""
    if isinstance(value, pd.DataFrame):
        return [part for k in range(value.shape[1]) for part in _columns(value.iloc[:, k])]
    found, array = [], getattr(value.array, "_ndarray", None) if isinstance(value, pd.Series) else None
    while isinstance(array, np.ndarray) and not array.dtype.hasobject:
        found, array = [*found, array], array.base
    return found


def fingerprint(value: Any) -> str:
    """Return a name for a value's content: equal for equal content, different for any difference."""
    known = _keys.get(id(value))
    if known is not None and known[0]() is value:
        return known[1]
    if isinstance(value, SCALARS):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, Path):
        return _file_key(value)
    if isinstance(value, np.ndarray):
        return _digest(str(value.dtype), *value.shape, *_array_bytes(value))
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return _digest(type(value).__name__, pd.util.hash_pandas_object(value).to_numpy(), *_names(value))
    if isinstance(value, Mapping):
        return _digest("map", *(part for item in value.items() for part in item))
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _fingerprint_of_object(value)


def _fingerprint_of_object(value: Any) -> str:
    own = getattr(value, "fingerprint", None)
    if isinstance(own, str) and not _is_model(value):
        return f"{type(value).__name__}:{own}"
    if dataclasses.is_dataclass(value):
        return _digest(type(value).__name__, *_parts(value))
    if isinstance(value, Sequence | set | frozenset):
        parts = value if isinstance(value, Sequence) else sorted(value)
        return _digest(type(value).__name__, *parts)
    if sparse.issparse(value):
        rows = value.tocsr()
        return _digest("sparse", rows.shape, rows.data, rows.indices, rows.indptr)
    raise TypeError(
        f"cached() cannot name the content of a {type(value).__name__}; pass what it was made from"
    )


def _is_model(value: Any) -> bool:
    return hasattr(value, "seed")  # a model's own fingerprint is that of its data, which two models may share


def _names(value: Any) -> tuple[Any, ...]:
    if isinstance(value, pd.DataFrame):
        return tuple(map(str, value.columns))
    return (str(value.name),)


def _array_bytes(value: np.ndarray) -> tuple[Any, ...]:
    if value.dtype.hasobject:
        return tuple(map(repr, value.ravel().tolist()))
    return (np.ascontiguousarray(value).tobytes(),)


def _file_key(path: Path) -> str:
    if not path.exists():
        return f"path:{path}"
    digest = digests.of(path)
    if digest is not None:
        return f"content:{digest}"
    about = path.stat()
    return f"file:{path}:{about.st_size}:{about.st_mtime_ns}:{about.st_ino}"


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else fingerprint(part).encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _know(value: Any, key: str) -> None:
    """Remember the key of a result and of what is large in it, so that passing them on costs no hashing."""
    _remember(value, key)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if _is_large(part):
                _remember(part, f"{key}.{field.name}")


def _is_large(part: Any) -> bool:
    if isinstance(part, np.ndarray):
        return part.nbytes >= KNOWN_PARTS and part.base is None
    return dataclasses.is_dataclass(part) and not isinstance(getattr(part, "fingerprint", None), str)


def _remember(value: Any, key: str) -> None:
    place = id(value)
    if place in _keys and _keys[place][0]() is value:
        return
    try:
        known = weakref.ref(value, lambda gone: _forget(place, gone))
    except TypeError:  # tuples, numbers and text cannot be watched; they are named by their content
        return
    _keys[place] = (known, key)


def _forget(place: int, gone: weakref.ref) -> None:
    if place in _keys and _keys[place][0] is gone:  # the place may have gone to another value by now
        del _keys[place]


def _is_table(value: Any) -> bool:
    return type(value).__name__ == "AnnData"


def _inside(value: Any) -> list[Any]:
    """Return the arrays, and what holds arrays, of an object that is no dataclass."""
    found = value.__dict__.values() if hasattr(value, "__dict__") and not isinstance(value, type) else ()
    return [part for part in found if isinstance(part, np.ndarray) or hasattr(part, "__dict__")]


def _parts(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if sparse.issparse(value):
        return [getattr(value, name) for name in ("data", "indices", "indptr") if hasattr(value, name)]
    return []
