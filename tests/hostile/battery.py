"""The project's own battery: files that leak, hang, explode or lie, each made from an honest one.

A case is a way to make one file in a folder, and what must become of it. Nothing here is dangerous to make.
"""

import functools
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

CANARY = "canary-7f3a"
NUMBER = 7.25
"""What fills somebody else's arrays."""
N, G = 40, 30

Change = Callable[[h5py.File, Path], None]
REFUSED, LEFT_OUT, OPENED, EITHER = "refused", "refused or left out", "opened", "refused or opened"


@dataclass(frozen=True)
class Case:
    """One hostile file."""

    family: str
    name: str
    make: Callable[[Path], Path]
    """Writes the file, and what it is after, in a folder; returns the file."""
    ends: str = REFUSED
    """`REFUSED`; `LEFT_OUT`: refused, or opened without the bad part, which is said; `OPENED`: harmless after
    all; `EITHER`: chance decides."""
    words: str = ""
    """A pattern that the refusal must match."""
    in_process: bool = True
    """Whether the check may run in the test's own process; not where the HDF5 library itself may die."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def honest(path: Path) -> Path:
    """Write a small data set like any other."""
    path.write_bytes(_honest())
    return path


def rich(path: Path) -> Path:
    """Write a data set that has every kind of element."""
    path.write_bytes(_rich())
    return path


@functools.cache
def _honest() -> bytes:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"day": np.repeat([0, 1], N // 2)}, index=[f"c{k}" for k in range(N)])
    counts = rng.poisson(0.8, (N, G)).astype(np.float32)
    made = AnnData(sparse.csr_matrix(counts), obs=obs)
    made.obsm["X_pca"] = rng.normal(size=(N, 5)).astype(np.float32)
    made.layers["csc"] = sparse.csc_matrix(counts)
    return _written(made)


@functools.cache
def _rich() -> bytes:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, (N, G)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "day": np.repeat([0, 1], N // 2),
            "type": pd.Categorical(["x", "y"] * (N // 2)),
            "sure": pd.array([1, None] * (N // 2), dtype="Int64"),
        },
        index=[f"c{k}" for k in range(N)],
    )
    var = pd.DataFrame({"length": np.arange(G)}, index=[f"g{k}" for k in range(G)])
    made = AnnData(sparse.csr_matrix(counts), obs=obs, var=var)
    made.raw = made.copy()
    made.obsm["X_pca"] = rng.normal(size=(N, 5)).astype(np.float32)
    made.obsm["X_umap"] = rng.normal(size=(N, 2)).astype(np.float32)
    made.varm["PCs"] = rng.normal(size=(G, 5)).astype(np.float32)
    made.layers["dense"], made.layers["csc"] = counts, sparse.csc_matrix(counts)
    made.obsp["graph"] = sparse.random(N, N, 0.1, format="csr", random_state=0)
    made.uns = {"params": {"x": np.arange(4.0)}, "type_colors": np.array(["#ff0000", "#00ff00"])}
    return _written(made)


def _written(made: AnnData) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5ad"
        made.write_h5ad(path, compression="gzip")
        return path.read_bytes()


def secret(folder: Path) -> None:
    """Write somebody else's files, which must not be read."""
    (folder / "secret.txt").write_text(CANARY * 1000)
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = np.full(N * 5, NUMBER)
        file["table"] = np.full((N, 5), NUMBER)
        file["words"] = np.array([CANARY] * N, dtype=object)
        group = file.create_group("frame")
        group["_index"] = np.array([f"{CANARY}{k}" for k in range(N)], dtype=object)
        group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
        group.attrs["column-order"] = np.array([], dtype=h5py.string_dtype())


def edited(change: Change, *, base: Callable[[Path], Path] = rich) -> Callable[[Path], Path]:
    """A maker that changes an honest file through h5py."""

    def make(folder: Path) -> Path:
        secret(folder)
        path = base(folder / "upload.h5ad")
        with h5py.File(path, "a") as file:
            change(file, folder)
        return path

    return make


def patched(change: Callable[[bytearray], None], *, first: Change | None = None) -> Callable[[Path], Path]:
    """A maker that changes the bytes of an honest file, after `first` has changed it through h5py."""

    def make(folder: Path) -> Path:
        path = edited(first)(folder) if first else rich(folder / "upload.h5ad")
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)
        return path

    return make


def plain(content: bytes | Callable[[], bytes], name: str = "upload.h5ad") -> Callable[[Path], Path]:
    """A maker of a file with this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content() if callable(content) else content)
        return path

    return make


def family(name: str, makers: dict[str, Callable[[Path], Path]], **about: object) -> list[Case]:
    """The cases of one family."""
    return [Case(name, called, make, **about) for called, make in makers.items()]


def replaced(place: str, put: Callable[[h5py.Group, str], object]) -> Change:
    """Put something else at a place, which may be new."""

    def change(file: h5py.File, folder: Path) -> None:
        parent, _, name = place.rpartition("/")
        group = file.require_group(parent or "/")
        if name in group:
            del group[name]
        put(group, name)

    return change


def fifo(folder: Path) -> str:
    """Make a named pipe, which nobody ever writes to."""
    path = folder / "pipe"
    if not path.exists():
        os.mkfifo(path)
    return str(path)


def all_cases() -> list[Case]:
    """Every case of the battery."""
    from tests.hostile import bombs, damage, kinds, lies, links, texts  # they are built on this file

    return [case for part in (links, bombs, kinds, texts, lies, damage) for case in part.cases()]


def named(name: str, cases: Iterable[Case] | None = None) -> Case:
    """The case of that name."""
    return next(case for case in (cases or all_cases()) if name in (case.name, str(case)))
