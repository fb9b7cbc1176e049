"""The tables of an h5ad file column by column, as every program since anndata 0.6 wrote them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import pandas as pd

from dynamics.column_values import Column, categorical, named_values, r_gaps, read_column, read_values, yes
from dynamics.elements import (
    READ_ERRORS,
    attribute,
    damage,
    encoding,
    levels_of,
    listed,
    native,
    place,
    raw_attribute,
    text,
    texts,
)
from dynamics.errors import FileError
from dynamics.findings import Finding, note, quoted, warning

INDEX_NAMES = (
    "_index",
    "index",
    "rownames",
    "row_names",
    "obs_names",
    "var_names",
    "barcodes",
    "features",
    "cell_id",
    "CellID",
    "Gene",
)
OLD_CATEGORIES = "__categories"
MOST_NUMBERED = 5_000_000
"""Rows without names that are given numbers."""


def read_frame(
    element: h5py.Group | h5py.Dataset,
    categories: Mapping[str, Sequence[str]],
    notes: list[Finding],
    *,
    n_rows: int | None = None,
    damaged: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read a table of any layout; columns that cannot be used are left out and noted.

    Parameters
    ----------
    categories
        Category names by column, which files of anndata 0.6 keep in `uns`.
    n_rows
        How many rows there must be, where the table itself has no names for them.
    damaged
        Elements that must not be read, each with the reason.

    Raises
    ------
    FileError
        The names of the rows cannot be read.
    """
    damaged = damaged or {}
    table = quoted(place(element).strip("/"))
    if isinstance(element, h5py.Dataset):
        whole(place(element), damaged)
        return _of_records(element, table, categories, notes)
    parts = _parts(element)
    key = _index_key(element, parts)
    index = _index(element, parts, key, notes, n_rows=n_rows, damaged=damaged)
    columns: dict[str, Any] = {}
    for name, path in _order(element, list(parts), key, table=table, notes=notes).items():
        try:
            columns[name] = _fitted(_column(element, path, parts[path], notes, damaged), len(index))
        except READ_ERRORS as problem:
            why = str(problem) if isinstance(problem, Column) else "it is stored in an unknown way"
            notes.append(_left_out(name, table, why))
    return pd.DataFrame(columns, index=index)


def _left_out(name: str, table: str, why: str) -> Finding:
    return warning(
        "unreadable-column",
        f"Column {quoted(name)} of {table} was left out: {why}.",
        "If you need it, mend the column in the program that made the file and save it again.",
    )


def _sound(name: str, damaged: Mapping[str, str]) -> None:
    found = damage(name, damaged)
    if found:
        raise Column(f"it is damaged ({found[1]})")


def whole(name: str, damaged: Mapping[str, str]) -> None:
    """Raise FileError where an element that cannot be done without is damaged."""
    found = damage(name, damaged)
    if found:
        raise FileError(
            f"{quoted(found[0])} is damaged: {found[1]}. Copy or download the file again, or write it again "
            "from the original data."
        )


def _index_key(group: h5py.Group, parts: Mapping[str, Any]) -> str | None:
    """Where the names of the rows are; None where there are none."""
    said = attribute(group, "_index")
    named = [_path(said)] if isinstance(said, str) else []
    return next((key for key in (*named, *INDEX_NAMES) if key in parts), None)


def _path(name: str) -> str:
    """Where HDF5 puts what has this name."""
    return re.sub("/+", "/", name).strip("/")


def _index(
    group: h5py.Group,
    parts: Mapping[str, Any],
    key: str | None,
    notes: list[Finding],
    *,
    n_rows: int | None,
    damaged: Mapping[str, str],
) -> pd.Index:
    if key is None:
        return numbered(place(group).strip("/"), notes, n_rows)
    whole(place(parts[key]), damaged)
    try:
        values = _fitted(_column(group, key, parts[key], notes, damaged), None)
    except READ_ERRORS as problem:
        raise FileError(
            f"The names of the rows of {quoted(place(group))} cannot be read. Open the file in Python and "
            "save it again: adata.write_h5ad(path)."
        ) from problem
    names = pd.Series(values).astype(object)
    if names.isna().any():
        notes.append(
            warning(
                "missing-names",
                f"{int(names.isna().sum()):,} rows of {quoted(place(group))} have no name; they are called "
                '"unnamed".',
                "Give every cell and gene a name and save the file again.",
            )
        )
        names = names.where(names.notna(), "unnamed")
    return pd.Index([text(name) for name in names], dtype=object, name=None if key == "_index" else key)


def numbered(name: str, notes: list[Finding], n_rows: int | None) -> pd.Index:
    """Numbers in place of names, for a table that has none."""
    if n_rows is None:
        raise FileError(
            f"The table {quoted(name)} has no names for its rows. Open the file in Python and save it "
            "again: adata.write_h5ad(path)."
        )
    if n_rows > MOST_NUMBERED:
        raise FileError(
            f"X claims {n_rows:,} rows or columns for which the table {quoted(name)} has no names, more than "
            f"the {MOST_NUMBERED:,} that are numbered here. Add the table with its names and save the file "
            "again: adata.write_h5ad(path)."
        )
    notes.append(
        warning(
            "no-names",
            f"The table {quoted(name)} has no names for its rows; they are numbered from 0.",
            "To see your own names, save the file again from Python with names in obs_names and var_names.",
        )
    )
    return pd.Index([str(k) for k in range(n_rows)], dtype=object)


def _order(
    group: h5py.Group, parts: list[str], key: str | None, *, table: str, notes: list[Finding]
) -> dict[str, str]:
    """Where each column lies: the columns as the table lists them, then those that it does not list."""
    said = raw_attribute(group, "column-order")
    said = raw_attribute(group, "column_order") if said is None else said
    said = () if said is None or isinstance(said, h5py.Empty) else np.atleast_1d(np.asarray(said, object))
    order = {text(name): _path(text(name)) for name in said}
    order = {name: path for name, path in order.items() if path != key}
    known = [part for part in parts if part != key]
    there = set(known)
    gone = [name for name, path in order.items() if path not in there]
    if gone:
        notes.append(
            warning(
                "missing-column",
                f"{table} lists columns that are not in the file: {listed(gone)}.",
                "If you need them, write the file again from the program that made it.",
            )
        )
    order = {name: path for name, path in order.items() if path in there}
    listed_too = set(order.values())
    others = [path for path in known if path not in listed_too]
    if others and order:
        notes.append(
            note("unlisted-column", f"{table} holds columns that it does not list: {listed(others)}.")
        )
    return order | {path: path for path in others}


def _parts(group: h5py.Group, prefix: str = "") -> dict[str, h5py.Group | h5py.Dataset]:
    """The columns by name; a slash in a name made a group of it."""
    parts: dict[str, Any] = {}
    for raw, child in group.items():
        name = f"{prefix}{text(raw)}"
        if name == OLD_CATEGORIES or isinstance(child, h5py.Datatype):
            continue
        is_plain = isinstance(child, h5py.Group) and not encoding(child)
        if is_plain and not {"codes", "categories"} <= set(child) and not {"values", "mask"} <= set(child):
            parts |= _parts(child, f"{name}/")
        else:
            parts[name] = child
    return parts


def _fitted(values: Any, n_rows: int | None) -> Any:
    """A column as one list of the right length, or what is wrong with it."""
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise Column(f"it has {values.ndim} dimensions instead of one")
        if values.dtype.kind == "c" or values.dtype.names is not None:
            raise Column(
                "a table cannot hold " + ("complex numbers" if values.dtype.kind == "c" else "records")
            )
    if n_rows is not None and len(values) != n_rows:
        raise Column(f"it has {len(values):,} rows where {n_rows:,} are needed")
    return values


def _column(
    group: h5py.Group, name: str, element: Any, notes: list[Finding], damaged: Mapping[str, str]
) -> Any:
    """One column; its categories may lie beside its codes, or in a group of the table (anndata 0.7)."""
    _sound(place(element), damaged)
    levels = _old_levels(group, name, element) if isinstance(element, h5py.Dataset) else None
    if levels is None:
        return read_column(element, notes)
    _sound(place(levels), damaged)
    ordered = yes(attribute(levels, "ordered"))
    return categorical(element[()], read_values(levels, notes), ordered=ordered, name=name, notes=notes)


def _old_levels(group: h5py.Group, name: str, element: h5py.Dataset) -> h5py.Dataset | None:
    """The category names of a column as anndata 0.7 kept them, or None."""
    is_old = group.id.links.exists(OLD_CATEGORIES.encode())
    old = group.get(OLD_CATEGORIES) if is_old else None
    if isinstance(old, h5py.Group) and name in old:
        return old[name]
    referred = raw_attribute(element, "categories")
    return group[referred] if isinstance(referred, h5py.Reference) and referred else None


def _of_records(
    element: h5py.Dataset, table: str, categories: Mapping[str, Sequence[str]], notes: list[Finding]
) -> pd.DataFrame:
    """The compound table of anndata 0.6: first field is the index, categories are codes into `uns`."""
    records = np.atleast_1d(element[()])
    fields = records.dtype.names
    if not fields:
        raise FileError(f"{table} is not a table. Open the file in Python and save it again.")
    key = "index" if "index" in fields else fields[0]
    columns = {}
    for name in fields:
        if name == key:
            continue
        try:
            columns[name] = _fitted(_field(records, name, categories, notes), len(records))
        except READ_ERRORS as problem:
            why = str(problem) if isinstance(problem, Column) else "it is stored in an unknown way"
            notes.append(_left_out(name, table, why))
    names = texts(records[key], f"{place(element)}/{key}", notes)
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


def _field(
    records: np.ndarray, name: str, categories: Mapping[str, Sequence[str]], notes: list[Finding]
) -> Any:
    values = native(np.ascontiguousarray(records[name]))
    names = levels_of(records.dtype[name])
    if name in categories and values.dtype.kind in "iu":
        return categorical(values, categories[name], ordered=False, name=name, notes=notes)
    if names is not None:
        return named_values(values, names)
    if values.dtype.kind in "SO" and values.ndim == 1:
        return pd.Categorical(texts(values, name, notes))
    return r_gaps(values, name, notes)
