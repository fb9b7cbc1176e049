"""Files whose parts contradict each other: sparse matrices, tables, encodings."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.battery import (
    CANARY,
    EITHER,
    LEFT_OUT,
    Case,
    Change,
    G,
    N,
    edited,
    family,
)

MATRICES = ("X", "layers/csc", "raw/X", "obsp/graph", "obsm/sparse", "varm/sparse", "uns/params/sparse")
BORDER = 4_000_000
"""The check looks at so many entries together."""


def _shape(file: h5py.File, matrix: str) -> tuple[int, int]:
    """Rows and columns, the direction in which the starts run first."""
    shape = tuple(int(n) for n in file[matrix].attrs["shape"])
    return shape if file[matrix].attrs["encoding-type"] == "csr_matrix" else shape[::-1]


def part(name: str, change: Callable[..., np.ndarray]) -> Callable[[str], Change]:
    """Change one part of a sparse matrix; `change` gets its values and the smaller dimension."""

    def of(matrix: str) -> Change:
        def apply(file: h5py.File, folder: Path) -> None:
            values = change(file[f"{matrix}/{name}"][()], _shape(file, matrix)[1])
            del file[f"{matrix}/{name}"]
            file[f"{matrix}/{name}"] = values

        return with_sparse(matrix, apply)

    return of


def with_sparse(matrix: str, change: Change) -> Change:
    """The change, after a sparse matrix was put where the data set has none yet."""

    def apply(file: h5py.File, folder: Path) -> None:
        if matrix.endswith("sparse"):
            file.copy("obsp/graph", matrix)
        change(file, folder)

    return apply


def put(position: int, value: float | None = None, *, past: int | None = None) -> Callable[..., np.ndarray]:
    """Change one value: to `value`, or to `past` the smaller dimension."""

    def change(values: np.ndarray, minor: int) -> np.ndarray:
        values = values.astype("i8")
        values[position] = minor + past if value is None else value
        return values

    return change


def attribute(name: str, value: object) -> Callable[[str], Change]:
    """Change what a matrix says of itself; the value may depend on what it said before."""

    def of(matrix: str) -> Change:
        def apply(file: h5py.File, folder: Path) -> None:
            attributes = file[matrix].attrs
            attributes[name] = value(attributes) if callable(value) else value

        return with_sparse(matrix, apply)

    return of


def without(name: str) -> Callable[[str], Change]:
    """A matrix that lacks a part."""
    return lambda matrix: with_sparse(matrix, lambda file, folder: file[matrix].pop(name))


def half(name: str) -> Callable[[str], Change]:
    """A part of which only one block was written, as by a program that ended on the way."""

    def of(matrix: str) -> Change:
        def apply(file: h5py.File, folder: Path) -> None:
            values = file[f"{matrix}/{name}"][()]
            del file[f"{matrix}/{name}"]
            made = file[matrix].create_dataset(name, values.shape, values.dtype, chunks=(8,))
            there = slice(-8, None) if name == "indptr" else slice(0, 8)
            made[there] = values[there]

        return with_sparse(matrix, apply)

    return of


def _other_format(attributes: h5py.AttributeManager) -> str:
    return "csc_matrix" if attributes["encoding-type"] == "csr_matrix" else "csr_matrix"


def _wider(attributes: h5py.AttributeManager) -> np.ndarray:
    return attributes["shape"] + 1


def disguised(matrix: str) -> Change:
    """A matrix that says what it is in the old way only, under an empty new name."""

    def apply(file: h5py.File, folder: Path) -> None:
        part("indices", put(5, 10**9))(matrix)(file, folder)
        attributes = file[matrix].attrs
        attributes["h5sparse_format"] = attributes["encoding-type"][:3]
        attributes["h5sparse_shape"] = attributes["shape"]
        attributes["encoding-type"] = attributes["encoding-version"] = ""

    return apply


def _starts_past_a_border(values: np.ndarray, minor: int) -> np.ndarray:
    """Starts that fall exactly between two stretches of the check."""
    return np.concatenate([np.zeros(BORDER, "i8"), values[::-1][: len(values) - 1], values[-1:]])


SPARSE: dict[str, Callable[[str], Change]] = {
    "index far outside": part("indices", put(5, 2_000_000_000)),
    "index just outside": part("indices", put(5, past=0)),
    "last index outside": part("indices", put(-1, past=0)),
    "first index outside": part("indices", put(0, past=3)),
    "negative index": part("indices", put(5, -1)),
    "index of 2^62": part("indices", put(5, 2**62)),
    "index of 2^63": part("indices", lambda v, m: np.where(np.arange(len(v)) == 5, 2**63, v.astype("u8"))),
    "indices of 8 bits, one negative": part("indices", lambda v, m: np.minimum(v, 9).astype("i1") - 1),
    "fractional indices": part("indices", lambda v, m: v.astype(float)),
    "indices that are true or false": part("indices", lambda v, m: v > 3),
    "indices that are not numbers": part("indices", lambda v, m: np.array([b"1"] * len(v))),
    "start not at 0": part("indptr", put(0, 1)),
    "negative start": part("indptr", put(3, -5)),
    "falling starts": part("indptr", put(3, 10_000)),
    "all starts at the end": part("indptr", lambda v, m: np.full_like(v, v[-1])),
    "starts that fall at a border": part("indptr", _starts_past_a_border),
    "start of 2^63": part("indptr", lambda v, m: np.where(np.arange(len(v)) == 3, 2**63, v.astype("u8"))),
    "fractional starts": part("indptr", lambda v, m: v.astype(float)),
    "end too far": part("indptr", put(-1, 10_000_000)),
    "end too early": part("indptr", put(-1, 3)),
    "too few starts": part("indptr", lambda v, m: v[:-1]),
    "too many starts": part("indptr", lambda v, m: np.append(v, v[-1])),
    "no starts at all": part("indptr", lambda v, m: v[:0]),
    "fewer values than indices": part("data", lambda v, m: v[:-2]),
    "more values than indices": part("data", lambda v, m: np.append(v, v[:3])),
    "fewer indices than values": part("indices", lambda v, m: v[:-2]),
    "indices in a table": part("indices", lambda v, m: v[: len(v) // 2 * 2].reshape(2, -1)),
    "one index": part("indices", lambda v, m: v[0]),
    "texts as values": part("data", lambda v, m: np.array([b"x"] * len(v))),
    "records as values": part("data", lambda v, m: np.zeros(len(v), [("a", "f4"), ("b", "f4")])),
    "values in a table": part("data", lambda v, m: np.stack([v, v], axis=1)),
    "indptr written in part": half("indptr"),
    "indices written in part": half("indices"),
    "data written in part": half("data"),
    "no indptr": without("indptr"),
    "no indices": without("indices"),
    "no data": without("data"),
    "narrower shape": attribute("shape", lambda a: a["shape"] - 5),
    "wider shape": attribute("shape", _wider),
    "negative shape": attribute("shape", lambda a: -a["shape"]),
    "shape of one": attribute("shape", [N]),
    "shape of three": attribute("shape", [N, G, 1]),
    "enormous shape": attribute("shape", [2**40, 2**40]),
    "shape of 2^63": attribute("shape", np.array([2**63, 2**63], dtype="u8")),
    "fractional shape": attribute("shape", lambda a: a["shape"] + 0.5),
    "shape in words": attribute("shape", "40 30"),
    "rows called columns": attribute("encoding-type", _other_format),
    "two shapes": attribute("h5sparse_shape", _wider),
    "two formats": attribute("h5sparse_format", lambda a: _other_format(a)[:3]),
    "index outside, in the old way": lambda matrix: disguised(matrix),
}
MAIN = ("X", "layers/csc", "raw/X")
EVERYWHERE = (
    "index far outside",
    "negative index",
    "falling starts",
    "end too far",
    "fewer values than indices",
    "no indptr",
    "enormous shape",
    "two formats",
    "index outside, in the old way",
)
"""The lies told of every matrix."""
LONG = ("starts that fall at a border",)

# tables and encodings


def write(place: str, values: object, **attributes: object) -> Change:
    """Put an array in place of another, with these attributes."""

    def change(file: h5py.File, folder: Path) -> None:
        about = {}
        if place in file:
            about = dict(file[place].attrs)
            del file[place]
        file[place] = values(file) if callable(values) else values
        file[place].attrs.update(about | attributes)

    return change


def say(place: str, **attributes: object) -> Change:
    """Change attributes; `_` stands for "-" in their names."""
    return lambda file, folder: file[place].attrs.update(
        {name.replace("_", "-") if name != "_index" else name: value for name, value in attributes.items()}
    )


def _awkward(file: h5py.File, folder: Path) -> None:
    group = file["obsm"].create_group("x")
    form: dict = {"class": "NumpyArray", "primitive": "int64", "form_key": "node0"}
    for k in range(900):
        form = {"class": "ListOffsetArray", "offsets": "i64", "content": form, "form_key": f"node{k}"}
    group.attrs["form"] = "[" * 20_000 if folder.name == "never" else json.dumps(form)[:60_000]
    group.attrs.update({"encoding-type": "awkward-array", "encoding-version": "0.1.0", "length": 2**62})


def _nested_data_set(file: h5py.File, folder: Path) -> None:
    group = file["uns"].create_group("inner")
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name in ("X", "obs", "var"):
        file.copy(name, group)
    group["X"].attrs["shape"] = [N, 3]


COLUMNS: dict[str, Change] = {
    "codes beyond the categories": write("obs/type/codes", np.full(N, 99, "i1")),
    "codes below -1": write("obs/type/codes", np.full(N, -7, "i1")),
    "fractional codes": write("obs/type/codes", np.full(N, 0.5)),
    "fewer codes": write("obs/type/codes", np.zeros(3, "i1")),
    "codes of 64 bits": write("obs/type/codes", np.full(N, 2**63, "u8")),
    "repeated categories": write("obs/type/categories", np.array([b"x", b"x"])),
    "categories in a table": write("obs/type/categories", np.zeros((2, 2))),
    "fewer marks": write("obs/sure/mask", np.zeros(3, bool)),
    "marks that are numbers": write("obs/sure/mask", np.full(N, 7)),
    "a shorter column": write("obs/day", np.zeros(3)),
    "a longer column": write("obs/day", np.zeros(N + 1)),
    "a column of tables": write("obs/day", np.zeros((N, 2, 2))),
    "a column without a shape": write("obs/day", h5py.Empty("f8")),
    "a column of one": write("obs/day", 5.0),
    "a column that is not there": say("obs", column_order=np.array([b"no", b"such"])),
    "a column that leads elsewhere": say("obs", column_order=np.array([b"../uns/params/x", b"/etc/passwd"])),
    "columns in a number": say("obs", column_order=7),
    "names that lead elsewhere": say("obs", _index="../uns/params/x"),
    "names that are not there": say("obs", _index="no"),
    "names in a number": say("obs", _index=7),
    "an order that is a word": say("obs/type", ordered="perhaps"),
    "an order that is a list": say("obs/type", ordered=[1, 0, 1]),
    "names that are a table": write("obs/_index", np.zeros((N, 2))),
    "shorter names": write("obs/_index", np.array([b"a"] * 3)),
    "numbers as names": write("obs/_index", np.zeros(N)),
}
KINDS: dict[str, Change] = {
    "a table that is a matrix": say("obs", encoding_type="csr_matrix"),
    "a matrix that is a table": say("X", encoding_type="dataframe"),
    "a matrix that is a dict": say("X", encoding_type="dict"),
    "a dict that is a matrix": say("uns", encoding_type="csr_matrix"),
    "a dict that is a table": say("uns/params", encoding_type="dataframe"),
    "a dict that is a data set": say("uns/params", encoding_type="anndata"),
    "a dict that is raw": say("uns/params", encoding_type="raw"),
    "categories of a table": say("obs", encoding_type="categorical"),
    "an unknown kind": say("uns/params", encoding_type="evil", encoding_version="9"),
    "an unknown version": say("X", encoding_version="9.9.9"),
    "a kind in a number": say("X", encoding_type=5),
    "a kind in a list": say("X", encoding_type=["csr_matrix", "csc_matrix"]),
    "no kind": say("X", encoding_type=""),
    "an array that is a text": say("uns/params/x", encoding_type="string"),
    "an array that is null": say("obsm/X_pca", encoding_type="null"),
    "numbers that are a text array": say("obsm/X_pca", encoding_type="string-array"),
    "a nested array of JSON": _awkward,
    "a data set within": _nested_data_set,
    "X in three dimensions": write("X", np.zeros((N, G, 2))),
    "X of texts": write("X", np.array([[b"x"] * G] * N)),
    "X of records": write("X", np.zeros((N, G), [("a", "f4")])),
    "X of one number": write("X", 5.0),
    "X without a shape": write("X", h5py.Empty("f4")),
    "X in one row": write("X", np.zeros(N * G)),
    "X of complex numbers": write("X", np.ones((N, G), "c8")),
    "X of 128 bits": write("X", np.ones((N, G), "f16")),
    "more genes than X": write("var/_index", np.array([f"g{k}" for k in range(G + 5)], dtype=object)),
    "fewer genes than raw": write("raw/var/_index", np.array([b"g"] * 3)),
    "a layer of other cells": write("layers/dense", np.zeros((N + 1, G))),
    "a graph of other cells": write("obsp/graph", np.zeros((N, 3))),
    "X of other cells": write("X", np.zeros((N + 1, G), "f4")),
    "an embedding of other cells": write("obsm/X_pca", np.zeros((N + 1, 5))),
    "an embedding of none": write("obsm/X_pca", 5.0),
    "old categories without codes": write("uns/day_categories", np.array([CANARY[:3].encode()] * 2)),
    "old categories in a table": write("uns/day_categories", np.zeros((2, 2))),
}


def cases() -> list[Case]:
    """Every file whose parts contradict each other."""
    lies = {
        f"{name}, in {matrix}": edited(lie(matrix))
        for matrix in MATRICES
        for name, lie in SPARSE.items()
        if matrix == "X" or name in EVERYWHERE or (matrix in MAIN and name not in LONG)
    }
    needless = {name: change for name, change in lies.items() if "in uns/" in name}
    needed = {name: change for name, change in lies.items() if name not in needless}
    return [
        *family("sparse lies", needed, words="[Ss]parse matrix|damaged"),
        *family("sparse lies in uns", needless, ends=LEFT_OUT),
        *family("columns that lie", {n: edited(c) for n, c in COLUMNS.items()}, ends=EITHER),
        *family("kinds that lie", {n: edited(c) for n, c in KINDS.items()}, ends=EITHER),
    ]
