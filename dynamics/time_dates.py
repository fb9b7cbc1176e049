"""What only a whole column of time labels can tell: whether they are dates, and what its marks mean."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_DIGITS = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")
_PARTED = re.compile(r"(?i)(?:e|d|day)[ _]?\d+_(\d+)")
_PARTS_OF_A_DAY = {"0", "00", "5", "50", "25", "75"}
_DECIMAL = re.compile(r"(?<![\d,])0,\d|\d,\d{1,2}(?!\d)|\d,\d{4,}")


def days_from_first(labels: Sequence[str]) -> np.ndarray | None:
    """Days since the earliest of some dates ("2021-03-04", "20210304"); None where not all are dates."""
    if not labels:
        return None
    if all(_ISO.fullmatch(label) for label in labels):
        how = "ISO8601"
    elif all(_DIGITS.fullmatch(label) for label in labels):
        how = "%Y%m%d"
    else:
        return None
    dates = pd.to_datetime(pd.Index(labels), format=how, errors="coerce", utc=True)
    if dates.isna().any():
        return None
    return ((dates - dates.min()) / pd.Timedelta(days=1)).to_numpy(np.float64)


def one_kind_of_comma(labels: Sequence[str], notes: list[str]) -> list[str]:
    """The labels with points for commas where any of them shows that the comma is a decimal one."""
    if any(_DECIMAL.search(label) for label in labels):
        return [re.sub(r"(?<=\d),(?=\d)", ".", label) for label in labels]
    if any(_THOUSANDS.fullmatch(label.strip()) for label in labels):
        notes.append("commas were taken as marks of thousands")
    return list(labels)


def points_for_underscores(labels: Sequence[str], notes: list[str]) -> list[str]:
    """The labels with a point in "E8_5", where parts of a day follow the underscore in all of them."""
    ends = {match[1] for label in labels if (match := _PARTED.fullmatch(label.strip()))}
    if not ends & (_PARTS_OF_A_DAY - {"0", "00"}) or not ends <= _PARTS_OF_A_DAY:
        return list(labels)
    notes.append("the underscore between two numbers was taken as a decimal point")
    return [
        re.sub(r"(?<=\d)_(?=\d)", ".", label) if _PARTED.fullmatch(label.strip()) else label
        for label in labels
    ]
