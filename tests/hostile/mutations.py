"""One small change after another to an honest file, as programs with faults make them."""

from collections.abc import Callable

import h5py
import numpy as np
from scipy import sparse

from tests.hostile.honest import (
    CELLS,
    COUNTS,
    GENES,
    UMAP,
    G,
    N,
    array,
    categories,
    gaps,
    mark,
    matrix,
    modern,
    order,
    table,
)

KINDS = ["i1", "u1", ">i4", "f2", "f4", "f8", "i8", "S3", "bool", "c8"]


def rich(file: h5py.File) -> None:
    """A file with one of everything."""
    obs = modern(file)
    categories(obs, "type", (np.arange(N) % 3).astype("i1"), ["a", "b", "c"])
    gaps(obs, "gaps", np.arange(N), np.arange(N) % 2 == 0, "nullable-integer")
    array(obs, "text", np.array([f"w{k}" for k in range(N)]))
    order(obs, ["day", "type", "gaps", "text"])
    matrix(file["layers"], "counts", sparse.csc_matrix(COUNTS))
    array(file["layers"], "dense", COUNTS)
    array(file["obsm"], "X_umap", UMAP)
    table(file["obsm"], "frame", CELLS, {"a": np.arange(N)})
    raw = mark(file.create_group("raw"), "raw", "0.1.0")
    matrix(raw, "X", sparse.csr_matrix(COUNTS))
    table(raw, "var", GENES)
    array(file["varm"], "PCs", np.ones((G, 3)))
    matrix(file["obsp"], "graph", sparse.identity(N, format="csr"))
    array(file["uns"], "list", np.arange(3))
    table(file["uns"], "frame", ["a", "b"], {"x": np.arange(2)})


def places(file: h5py.File) -> list[str]:
    """Every element by name."""
    found: list[str] = []
    file.visit(found.append)
    return found


def drop(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Leave the element out."""
    del file[at]


def unmark(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Forget one attribute."""
    names = list(file[at].attrs)
    if names:
        del file[at].attrs[names[rng.integers(len(names))]]


def mismark(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Say that it is something else."""
    kinds = ["dataframe", "csr_matrix", "csc_matrix", "categorical", "dict", "null", "array", "nonsense", 3]
    file[at].attrs["encoding-type"] = kinds[rng.integers(len(kinds))]


def recast(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Store the values as another kind of number."""
    if isinstance(file[at], h5py.Dataset) and file[at].shape is not None:
        values, about = file[at][()], dict(file[at].attrs)
        kind = KINDS[rng.integers(len(KINDS))]
        if getattr(values, "dtype", np.dtype(object)).kind in "biuf":
            del file[at]
            file[at] = values.astype(kind)
            file[at].attrs.update(about)


def reshape(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Give it another shape, or cut it."""
    if isinstance(file[at], h5py.Dataset) and file[at].shape:
        values, about = file[at][()], dict(file[at].attrs)
        shapes = [values[:-1], values[None], values[..., None], values.ravel(), values.T, values[:0]]
        chosen = shapes[rng.integers(len(shapes))]
        del file[at]
        file.create_dataset(at, data=chosen, dtype=h5py.string_dtype() if values.dtype == object else None)
        file[at].attrs.update(about)


def replace(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Put another element in its place."""
    others = [other for other in places(file) if not other.startswith(at) and not at.startswith(other)]
    if others:
        chosen = others[rng.integers(len(others))]
        del file[at]
        file.copy(chosen, at)


def empty(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Put nothing in its place."""
    del file[at]
    choice = rng.integers(3)
    if choice == 0:
        file[at] = h5py.Empty("f4")
    elif choice == 1:
        file.create_group(at)
    else:
        file[at] = np.dtype("f8")


def spoil(file: h5py.File, at: str, rng: np.random.Generator) -> None:
    """Change one number."""
    element = file[at]
    if isinstance(element, h5py.Dataset) and element.size and element.dtype.kind in "iuf" and element.shape:
        values = element[()].ravel()
        values[rng.integers(values.size)] = [0, 100, 7][rng.integers(3)]
        element[...] = values.reshape(element.shape)


CHANGES: tuple[Callable, ...] = (drop, unmark, mismark, recast, reshape, replace, empty, spoil)


def change(file: h5py.File, seed: int) -> list[str]:
    """Make up to three changes; returns what was done."""
    rng = np.random.default_rng(seed)
    done = []
    for _ in range(rng.integers(1, 4)):
        known = places(file)
        if known:
            at, make = known[rng.integers(len(known))], CHANGES[rng.integers(len(CHANGES))]
            make(file, at, rng)
            done.append(f"{make.__name__} {at}")
    return done
