"""The values of one column of a table: numbers, texts, categories, and gaps as each program writes them."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd

from dynamics.elements import attribute, encoding, levels_of, native, place, texts
from dynamics.findings import Finding, note, quoted, warning

R_MISSING = np.iinfo(np.int32).min
"""How R stores a missing whole number or factor level."""


class Column(ValueError):
    """A column that cannot be used; the text says why."""


def read_column(element: h5py.Group | h5py.Dataset, notes: list[Finding]) -> Any:
    """The values of one column: numbers, texts, categories, or any of them with gaps.

    Raises
    ------
    Column
        What is stored cannot be a column; the text says why.
    """
    if isinstance(element, h5py.Dataset):
        return read_values(element, notes)
    parts = set(element)
    if {"codes", "categories"} <= parts:
        levels = read_column(element["categories"], notes)
        ordered = yes(attribute(element, "ordered"))
        return categorical(element["codes"][()], levels, ordered=ordered, name=place(element), notes=notes)
    if {"values", "mask"} <= parts:
        return _with_gaps(read_values(element["values"], notes), read_values(element["mask"], []))
    raise Column(f"it is stored as {quoted(encoding(element) or 'a group')}, which is not a column")


def read_values(element: h5py.Dataset, notes: list[Finding]) -> Any:
    """What an array holds: numbers in this machine's order, texts as str, yes and no as such.

    Raises
    ------
    Column
        It holds nothing, or lists of different lengths.
    """
    if element.shape is None:
        raise Column("it holds nothing")
    values = element[()]
    if element.shape == ():  # R writes a single value without a dimension
        values = np.array([values], dtype=object if isinstance(values, bytes | str) else None)
    names = levels_of(element.dtype)
    if names is not None:
        return named_values(values, names)
    if h5py.check_vlen_dtype(element.dtype) not in (None, str, bytes):
        raise Column("it holds lists instead of single values")
    if values.dtype.kind in "SOU":
        return texts(values, place(element), notes)
    if values.dtype.kind not in "biufc" and values.dtype.names is None:
        raise Column("it holds neither numbers nor texts")
    return r_gaps(native(values), place(element), notes)


def r_gaps(values: np.ndarray, name: str, notes: list[Finding]) -> Any:
    """Whole numbers among which the one that means "missing" in R occurs, with gaps in its place."""
    if values.dtype != np.int32 or values.ndim != 1 or not np.any(values == R_MISSING):
        return values
    gaps = values == R_MISSING
    notes.append(
        note(
            "r-missing",
            f"{int(gaps.sum()):,} values of {quoted(name)} are {R_MISSING:,}, which is how R writes a "
            "missing whole number; they are taken as missing.",
        )
    )
    return pd.arrays.IntegerArray(np.where(gaps, 1, values).astype(np.int32), gaps)


def named_values(values: np.ndarray, names: Mapping[int, str]) -> Any:
    """The values of an enumerated type; R's TRUE, FALSE and NA become yes, no and missing."""
    upper = {number: name.upper() for number, name in names.items()}
    if set(upper.values()) <= {"TRUE", "FALSE", "NA"}:
        gaps = ~np.isin(values, [n for n, name in upper.items() if name != "NA"])
        yes = np.isin(values, [n for n, name in upper.items() if name == "TRUE"])
        return pd.arrays.BooleanArray(yes, gaps) if gaps.any() else yes
    numbers = sorted(names)
    codes = np.searchsorted(numbers, values)
    codes = np.where(np.isin(values, numbers), codes, -1)
    return pd.Categorical.from_codes(codes, [names[number] for number in numbers])


def _with_gaps(values: Any, mask: Any) -> Any:
    """Values, some of which are missing: where `mask` says yes, or 1."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise Column("it does not say by yes and no which of its values are missing")
    mask = mask.astype(bool)
    if mask.shape != np.shape(values):
        raise Column(f"it has {np.size(values):,} values but says for {mask.size:,} whether they are missing")
    if not isinstance(values, np.ndarray):
        return pd.Series(values).mask(mask).array
    if values.dtype.kind == "b":
        return pd.arrays.BooleanArray(values, mask)
    if values.dtype.kind in "iu":
        return pd.arrays.IntegerArray(values, mask)
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values)
    return np.where(mask, None, values)


def yes(value: Any) -> bool:
    """Whether an attribute says yes, be it a number, a truth value or the word."""
    return (
        value.lower() in ("true", "yes", "1")
        if isinstance(value, str)
        else value is not None and bool(value == 1)
    )


def categorical(
    codes: np.ndarray, levels: Any, *, ordered: bool, name: str, notes: list[Finding]
) -> pd.Categorical:
    """Categories from codes into a list of names; codes that mean "missing" are what each program uses.

    Raises
    ------
    Column
        A code points to a category that is not there.
    """
    levels = pd.Series(levels)
    n_levels = len(levels)
    codes, missing = _codes(native(np.atleast_1d(codes)), n_levels)
    outside = ~missing & ((codes < 0) | (codes >= n_levels))
    if outside.any():
        raise Column(
            f"{int(outside.sum()):,} of its values point to category {codes[outside][0]:,}, but there are "
            f"{n_levels:,} categories"
        )
    codes = np.where(missing, -1, codes)
    positions, names = pd.factorize(levels, use_na_sentinel=True)  # equal names become one, gaps -1
    if len(names) < n_levels:
        notes.append(
            warning(
                "duplicate-categories",
                f"{quoted(name)} lists {n_levels:,} categories, of which {n_levels - len(names):,} are "
                "repeated or empty; equal ones were joined.",
                "If they were meant to differ, rename them in the program that made the file.",
            )
        )
        codes = np.append(positions, -1)[codes]
    return pd.Categorical.from_codes(codes, pd.Index(names), ordered=ordered)


def _codes(codes: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes as whole numbers, and where they mean "missing": -1, R's own number, or the largest there is."""
    if codes.dtype.kind not in "biuf" or codes.ndim != 1:
        raise Column("the codes of its categories are not a list of whole numbers")
    if codes.dtype.kind == "f":
        missing = ~np.isfinite(codes)
        whole = np.where(missing, -1, codes)
        if np.any(whole != np.round(whole)):
            raise Column("the codes of its categories are not whole numbers")
        return whole.astype(np.int64), missing | (whole == -1)
    if codes.dtype.kind == "u":
        missing = (codes == np.iinfo(codes.dtype).max) & (codes >= n_levels)
    else:
        missing = (codes == -1) | (codes == R_MISSING)
    return np.where(missing, 0, codes).astype(np.int64), missing
