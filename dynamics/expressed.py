"""Which matrix of a file is the expression matrix, and whether it fits the tables of cells and genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from dynamics.columns import numbered, whole
from dynamics.elements import (
    PARTS,
    READ_ERRORS,
    element_at,
    encoding,
    matrix_shape,
    place,
    read_matrix,
    sparse_format,
)
from dynamics.entries import damaged_finding, is_damaged, members
from dynamics.errors import FileError
from dynamics.findings import Finding, note, quoted, warning
from dynamics.tables import raw_matrix, raw_table, table

STAND_INS = (
    "counts",
    "raw_counts",
    "count",
    "umi",
    "spliced",
    "data",
    "lognorm",
    "logcounts",
    "log1p",
    "normalized",
)
"""Layers that may stand in for a missing X, the best first; others follow by name."""


@dataclass(frozen=True)
class Expression:
    """The matrices of a data set and the genes that they are about."""

    matrix: Any
    """X, (n_cells, n_genes), or None."""
    var: pd.DataFrame
    raw: AnnData | None = None
    layers: Mapping[str, Any] = field(default_factory=dict)


def genes(file: h5py.File, notes: list[Finding], damaged: Mapping[str, str]) -> pd.DataFrame:
    """The table of genes: `var`, that of `raw` where it is missing, or numbers where nothing names them."""
    has_x = element_at(file, "X") is not None
    var = table(file, "var", "gene", notes, damaged=damaged) if element_at(file, "var") is not None else None
    if var is not None and (has_x or len(var)):
        return var
    if not has_x and raw_matrix(file):
        return raw_table(file, notes, damaged=damaged)
    shape = matrix_shape(file["X"]) if has_x else ()
    if var is None and len(shape) == 2 and shape[1]:
        return pd.DataFrame(index=numbered("var", notes, shape[1]))
    return pd.DataFrame(index=pd.Index([], dtype=object)) if var is None else var


def expression(
    file: h5py.File,
    tables: AnnData,
    notes: list[Finding],
    damaged: Mapping[str, str],
    *,
    layers: Sequence[str] | None = None,
) -> Expression:
    """X with its genes, layers, and `raw` as a data set of its own; where X is missing, what stands in.

    Parameters
    ----------
    tables
        Cells and genes as they were read.
    layers
        Names of those to read; by default all.

    Raises
    ------
    FileError
        X, or what must stand in for it, is damaged or does not fit the tables.
    """
    n_obs, var = tables.n_obs, tables.var
    has_x = element_at(file, "X") is not None
    if has_x and not (0 in matrix_shape(file["X"]) and not len(var)):
        whole("/X", damaged)
        x = fitting(file["X"], (n_obs, len(var)), "X", notes)
        raw = _raw(file, n_obs, notes, damaged)
        return Expression(x, var, raw, _layers(file, (n_obs, len(var)), notes, damaged, only=layers))
    if not has_x and raw_matrix(file):
        for name in ("/raw/X", "/raw.X", "/raw/var", "/raw.var"):
            whole(name, damaged)
        var = raw_table(file, [], damaged=damaged)
        x = fitting(raw_matrix(file)[0], (n_obs, len(var)), "raw", notes)
        notes.append(note("raw-only", "The file has no X; the matrix kept in raw is used in its place."))
        return Expression(x, var, None, _layers(file, x.shape, notes, damaged, only=layers))
    known = _layers(file, (n_obs, len(var)), notes, damaged) if len(var) else {}
    if not known:
        return Expression(None, var)
    best = min(known, key=lambda name: (_rank(name), name))
    notes.append(
        warning(
            "layer-only",
            f"The file has no X; its layer {quoted(best)} is used in its place.",
            "To use another one, save the file with it as X, in Python: adata.X = adata.layers[name].",
        )
    )
    return Expression(known[best], var, None, known)


def _rank(layer: str) -> int:
    return STAND_INS.index(layer.lower()) if layer.lower() in STAND_INS else len(STAND_INS)


def _raw(file: h5py.File, n_obs: int, notes: list[Finding], damaged: Mapping[str, str]) -> AnnData | None:
    """`raw`, left out with a warning where it is damaged or does not fit."""
    if not raw_matrix(file):
        return None
    reason = next((why for name in ("/raw", "/raw.X", "/raw.var") if (why := is_damaged(name, damaged))), "")
    if reason:
        notes.append(damaged_finding("raw", reason))
        return None
    try:
        var = raw_table(file, notes, damaged=damaged)
        return AnnData(X=fitting(raw_matrix(file)[0], (n_obs, len(var)), "raw", notes), var=var)
    except FileError as problem:
        what, _, fix = str(problem).rpartition(". ")
        notes.append(warning("raw-left-out", f"raw was left out: {what}.", fix))
        return None


def _layers(
    file: h5py.File,
    shape: tuple[int, int],
    notes: list[Finding],
    damaged: Mapping[str, str],
    *,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The layers that can be read and have the shape of X; the others are noted and left out."""
    group = file.get("layers")
    found = {}
    for name, element in members(group) if isinstance(group, h5py.Group) else ():
        if only is not None and name not in only:
            continue
        at = f"layers[{quoted(name)}]"
        reason = is_damaged(place(element), damaged)
        if reason:
            notes.append(damaged_finding(at, reason))
            continue
        try:
            found[name] = fitting(element, shape, at, notes)
        except FileError as problem:
            what, _, fix = str(problem).rpartition(". ")
            notes.append(warning("layers-shape", f"{at} was left out: {what}.", fix))
    return found


def fitting(
    element: h5py.Group | h5py.Dataset, shape: tuple[int, int], name: str, notes: list[Finding]
) -> Any:
    """A matrix of the given shape by rows, turned where it lies on its side.

    Raises
    ------
    FileError
        It has another shape, holds no numbers, or contradicts itself.
    """
    kind, found = _layout(element, shape, name, notes)
    if kind is None and isinstance(element, h5py.Group):
        read_matrix(element, notes)  # says what is wrong with it
    is_vector = len(found) == 1 and 1 in shape and found[0] == prod(shape)
    is_turned = found == shape[::-1] and found != shape
    if found != shape and not is_vector and not is_turned:
        size = " × ".join(f"{n:,}" for n in found) or "no"
        raise FileError(
            f"{name} has {size} values, but the tables list {shape[0]:,} cells and {shape[1]:,} genes. "
            "Write the file again from the program that made it."
        )
    try:
        matrix = read_matrix(element, notes, kind=kind, shape=found)
    except READ_ERRORS as error:
        raise FileError(
            f"{name} cannot be read: the file is damaged or was cut short. Copy or download it again."
        ) from error
    if is_turned and not is_vector:
        notes.append(
            warning(
                "turned-matrix",
                f"{name} is stored with genes in rows ({found[0]:,} × {found[1]:,}); it was turned to "
                "fit the tables of cells and genes.",
                "Nothing needs to be done; to save it the usual way round, transpose it in the program that "
                "made it.",
            )
        )
        matrix = matrix.T
    return matrix.tocsr() if sparse.issparse(matrix) else np.ascontiguousarray(matrix.reshape(shape))


def _layout(
    element: h5py.Group | h5py.Dataset, shape: tuple[int, int], name: str, notes: list[Finding]
) -> tuple[str | None, tuple[int, ...]]:
    """Format and shape of a matrix; of a sparse one that does not say, what alone fits the tables."""
    kind, found = sparse_format(element), matrix_shape(element)
    if isinstance(element, h5py.Dataset) or not set(element) >= PARTS or (kind and found):
        return kind, found
    if kind is None and encoding(element):
        return kind, found
    starts = element["indptr"].shape[0] - 1 if isinstance(element["indptr"], h5py.Dataset) else -1
    found = found or shape
    fits = [format for format, n in (("csr", found[0]), ("csc", found[1])) if n == starts]
    if kind is None and len(fits) != 1:
        raise FileError(
            f"{name} is a sparse matrix that does not say whether it is stored by rows or by columns, and "
            "its size does not tell. Save the file again from Python."
        )
    kind = kind or fits[0]
    notes.append(
        note(
            "unmarked-matrix",
            f"{name} does not say in full how it is stored; its size tells that it is a sparse matrix by "
            f"{'rows' if kind == 'csr' else 'columns'}.",
        )
    )
    return kind, found
