"""Times of the cells: read from whatever the time column holds, in order, in one unit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dynamics.errors import TimeError
from dynamics.time_dates import days_from_first, one_kind_of_comma, points_for_underscores
from dynamics.time_labels import TimeLabel, clean, days_in, is_missing, parse_label, unit_of

LATEST, NEAREST = 1e15, 1e-12
"""Bounds of times and of the gaps between them, in whatever unit they are."""
MAX_TIMES = 200
"""More distinct values than this are a continuous quantity, not times at which cells were taken."""
MANY_TIMES = 60
BIRTH = 19.5
"""Days post conception at which P0 is placed where embryonic and postnatal days are mixed (mouse)."""

KNOWN_ORDERS = (
    ("early", "mid", "late"),
    ("early", "middle", "late"),
    ("early", "intermediate", "late"),
    ("baseline", "early", "late"),
    ("before", "during", "after"),
    ("oocyte", "zygote", *(f"{n}-cell" for n in (1, 2, 4, 8, 16, 32)), "morula", "blastocyst"),
    ("egg", "embryo", "larva", "pupa", "adult"),
    ("embryonic", "fetal", "neonatal", "juvenile", "adult", "aged"),
    ("young", "adult", "old"),
)


@dataclass(frozen=True)
class TimeAxis:
    """The times at which cells were taken, in order."""

    labels: tuple[str, ...]
    """As in the file, ordered by value."""
    values: np.ndarray
    """(n_times,) float64, strictly increasing, in `unit`."""
    unit: str
    """"h", "day", "dpi", ...; empty when unknown; "index" when times were replaced by their order."""
    n_cells: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, k: int) -> str:
        """How time `k` is called in captions: "day 3", "E8.5", "12 h"."""
        label = self.labels[k]
        if not _is_number(label):
            return label
        if self.unit == "index":
            return f"time {label}"
        return named(label, self.unit)


@dataclass(frozen=True)
class TimeReading:
    """What every label of a time column was read as, before cells are grouped."""

    labels: tuple[str, ...]
    """Every distinct label of the column, by value; unreadable ones last."""
    values: np.ndarray
    """(n_labels,) float64 in `unit`; NaN where a label could not be read."""
    n_cells: tuple[int, ...]
    unit: str
    codes: np.ndarray
    """(n_cells,) index of each cell's label, -1 where the cell has none."""
    notes: tuple[str, ...] = ()

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The labels that could not be read as times."""
        return tuple(label for label, value in zip(self.labels, self.values, strict=True) if np.isnan(value))


def named(label: str, unit: str) -> str:
    """A number with its unit, as one says it: "day 3", "12 h", "time 4" where the unit is unknown."""
    if unit in ("day", "week", "stage", "Carnegie stage", "HH stage", "Theiler stage", "NF stage"):
        return f"{unit} {label}"
    return f"{label} {unit}" if unit else f"time {label}"


def parse_times(
    column: pd.Series,
    *,
    values: Mapping[str, float] | None = None,
    as_index: bool = False,
    unit: str | None = None,
) -> tuple[TimeAxis, np.ndarray]:
    """Group cells by time.

    Parameters
    ----------
    column : (n_cells,)
        A column of `obs`: numbers, or labels such as "E8.5", "day 3", "12h", "390-450", "> 650".
    values
        The user's own label → value, in the axis' unit; NaN or None leaves the label out.
    as_index
        Use 0, 1, 2, ... in place of the real times.
    unit
        The user's own unit, which replaces the one that was read.

    Returns
    -------
    The axis, and for every cell its index on the axis, (n_cells,) int32, -1 where it has no readable time.

    Raises
    ------
    TimeError
        No label can be read as a time, the column is continuous, or `values` names an unknown label.
    """
    reading = read_labels(column, values=values)
    known = np.isfinite(reading.values)
    if not known.any():
        raise TimeError(_cannot_read(column, reading))
    order, position = np.unique(reading.values[known], return_inverse=True)
    if len(order) > MAX_TIMES:
        raise TimeError(_continuous(column, len(order)))
    _check_measure(order)
    to_axis = np.full(len(reading.labels) + 1, -1, dtype=np.int32)
    to_axis[np.flatnonzero(known)] = position
    index = to_axis[reading.codes]
    labels = tuple(
        _joined(np.asarray(reading.labels, dtype=object)[known][position == k]) for k in range(len(order))
    )
    n_cells = tuple(int(n) for n in np.bincount(index[index >= 0], minlength=len(order)))
    axis_values = np.arange(len(order), dtype=np.float64) if as_index else order.astype(np.float64)
    axis_values.flags.writeable = False
    axis_unit = "index" if as_index else (reading.unit if unit is None else unit)
    return TimeAxis(labels, axis_values, axis_unit, n_cells), index


def _check_measure(order: np.ndarray) -> None:
    """Refuse times, rising, between which nothing can be reckoned."""
    if np.abs(order).max() > LATEST or (len(order) > 1 and np.diff(order).min() < NEAREST):
        raise TimeError(
            f"The times go from {order[0]:.3g} to {order[-1]:.3g}: beyond {LATEST:.0e}, or nearer to each "
            f"other than {NEAREST:.0e}, they cannot be reckoned with. Give them in another unit."
        )


def read_labels(column: pd.Series, *, values: Mapping[str, float] | None = None) -> TimeReading:
    """Read every distinct label of a column, keeping those that make no sense (for the editable table).

    Raises
    ------
    TimeError
        The column holds far more values than there can be sampling times, or `values` names an unknown label.
    """
    labels, codes, ordered = _distinct(column)
    numbers, unit, notes = _values_of(labels, ordered=ordered, column=column)
    numbers = _override(labels, numbers, values or {})
    n_cells = np.bincount(codes[codes >= 0], minlength=len(labels))
    order = np.argsort(np.where(np.isnan(numbers), np.inf, numbers), kind="stable")
    rank = np.append(np.empty_like(order), -1)
    rank[order] = np.arange(len(order))
    return TimeReading(
        labels=tuple(labels[k] for k in order),
        values=numbers[order],
        n_cells=tuple(int(n_cells[k]) for k in order),
        unit=unit,
        codes=rank[codes],
        notes=tuple(notes),
    )


def unit_hint(name: object) -> str:
    """The unit that a column's name speaks of: "day" for "day_range", "min" for "embryo.time", else empty."""
    words = [word for word in re.split(r"[^a-z]+", _split_camel(str(name)).lower()) if word]
    if "embryo" in words and "time" in words:
        return "min"
    for word in words:
        if len(word) > 1 or (word in "hd" and len(words) > 1):
            unit = unit_of(word)
            if unit is not None and word != "st":
                return unit
    return ""


def _split_camel(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _distinct(column: pd.Series) -> tuple[list[str], np.ndarray, bool]:
    """Labels in use as text, the label of each cell (-1 for none), and whether the file orders them."""
    ordered = isinstance(column.dtype, pd.CategoricalDtype)
    if ordered:
        codes, raw = column.cat.codes.to_numpy().astype(np.int64), column.cat.categories
        ordered = bool(column.cat.ordered)
    else:
        codes, raw = pd.factorize(column, use_na_sentinel=True)
    used = np.unique(codes[codes >= 0])
    numeric = pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw)
    if len(used) > MAX_TIMES and (numeric or len(used) > 10 * MAX_TIMES):
        raise TimeError(_continuous(column, len(used)))
    texts = _as_text(pd.Index(raw)[used])
    kept = {text: k for k, text in enumerate(dict.fromkeys(t for t in texts if not is_missing(t)))}
    to_label = np.full(len(raw) + 1, -1, dtype=np.int64)
    to_label[used] = [kept.get(text, -1) for text in texts]
    return list(kept), to_label[codes], ordered


def _as_text(values: pd.Index) -> list[str]:
    if pd.api.types.is_datetime64_any_dtype(values):
        return [stamp.isoformat() for stamp in values]
    if pd.api.types.is_timedelta64_dtype(values):
        return [f"{span.total_seconds() / 3600:.10g} h" for span in values]
    digits = 7 if values.dtype == np.float32 else 12
    return [f"{v:.{digits}g}" if isinstance(v, float | np.floating) else str(v) for v in values]


def _values_of(labels: list[str], *, ordered: bool, column: pd.Series) -> tuple[np.ndarray, str, list[str]]:
    """The value of each label, their unit, and notes for the user."""
    days = days_from_first(labels)
    if days is not None:
        return days, "day", ["dates were counted in days from the first one"]
    notes: list[str] = []
    plain = points_for_underscores(one_kind_of_comma(labels, notes), notes)
    parsed = [None if label in ("True", "False") else parse_label(label) for label in plain]
    parsed = _consistent(parsed, notes)
    n_read = sum(label is not None for label in parsed)
    if n_read == 0 or (ordered and n_read < len(labels)):
        return _by_order(labels, ordered=ordered)
    numbers, unit, more = _in_one_unit(labels, parsed, name=column.name)
    return numbers, unit, notes + more


def _consistent(parsed: list[TimeLabel | None], notes: list[str]) -> list[TimeLabel | None]:
    """Drop labels whose leading word differs from the others', and settle what a dash means."""
    words = {label.word for label in parsed if label is not None and label.word and not label.unit}
    if words and (len(words) > 1 or None in parsed):
        parsed = [None if label is None or (label.word and not label.unit) else label for label in parsed]
    read = [label for label in parsed if label is not None]
    if all(label.dashed for label in read):
        if len(read) > 1:
            notes.append(
                "the dash before the numbers was taken as a mark between word and number, not as a minus"
            )
        return parsed
    return [
        replace(label, low=-label.low, high=-label.low) if label is not None and label.dashed else label
        for label in parsed
    ]


def _by_order(labels: list[str], *, ordered: bool) -> tuple[np.ndarray, str, list[str]]:
    """Positions 0, 1, 2, ... where the file or common usage orders the labels, else NaN."""
    if ordered:
        note = "the labels are not times; the order of the categories in the file was used"
        return np.arange(len(labels), dtype=np.float64), "stage", [note]
    words = [re.sub(r"[\s-]", "", clean(label)) for label in labels]
    for order in KNOWN_ORDERS:
        known = [word.replace("-", "") for word in order]
        if len(words) > 1 and all(word in known for word in words):
            note = "the labels are not times; they were put in their usual order"
            ranks = np.argsort(np.argsort([known.index(word) for word in words]))
            return ranks.astype(np.float64), "stage", [note]
    return np.full(len(labels), np.nan), "", []


def _in_one_unit(
    labels: list[str], parsed: Sequence[TimeLabel | None], *, name: object
) -> tuple[np.ndarray, str, list[str]]:
    """Values in the unit that most labels use."""
    notes: list[str] = []
    short = _short_m({label.unit for label in parsed if label}, str(name).lower())
    units = [short if label and label.unit == "m" else label.unit if label else "" for label in parsed]
    written = [u for u, label in zip(units, parsed, strict=True) if label]
    unit, factors = _common_unit(written, unit_hint(name), notes)
    numbers = np.full(len(labels), np.nan)
    for k, label in enumerate(parsed):
        if label is not None and factors.get(units[k]) is not None:
            numbers[k] = label.middle * factors[units[k]]
    _place_births(parsed, numbers, unit, notes)
    _close_open_ends(labels, parsed, numbers, notes)
    inside = [labels[k] for k, label in enumerate(parsed) if label is not None and label.inside]
    if inside:
        notes.append(f'the time was taken from inside longer labels such as "{inside[0]}"')
    return np.round(numbers, 9), unit, notes


def _short_m(units: set[str], name: str) -> str:
    """What "m" stands for: minutes beside hours, months beside days or in an age, else nobody knows."""
    if units & {"s", "min", "h"}:
        return "min"
    is_long = units & {"day", "week", "month", "year"} or re.search(r"age|month|old", name)
    return "month" if is_long else "min" if re.search(r"min", name) else ""


def _common_unit(units: list[str], hint: str, notes: list[str]) -> tuple[str, dict[str, float | None]]:
    """The unit to use, and by what each label's own unit is multiplied; None where it cannot be compared."""
    written = [unit for unit in units if unit]
    if not written:
        return hint, {"": 1.0}
    distinct = sorted(set(written), key=lambda u: (-written.count(u), days_in(u) or np.inf))
    unit = distinct[0]
    base = days_in(unit)
    factors: dict[str, float | None] = {"": 1.0, unit: 1.0}
    for other in distinct[1:]:
        days = days_in(other)
        stages = unit.endswith("stage") and other.endswith("stage")
        factors[other] = days / base if days and base else 1.0 if stages else None
    if len(distinct) > 1:
        notes.append(f"labels in {', '.join(distinct)} were put on one axis in {unit}")
    elif len(written) < len(units):
        notes.append(f"labels without a unit were taken as {unit}")
    return unit, factors


def _place_births(
    parsed: Sequence[TimeLabel | None], numbers: np.ndarray, unit: str, notes: list[str]
) -> None:
    """Put postnatal days after embryonic ones where both occur (changes `numbers`, which is ours)."""
    is_p = np.array([label is not None and label.family == "P" for label in parsed])
    is_e = np.array([label is not None and label.family == "E" for label in parsed])
    if not (is_p.any() and is_e.any()):
        return
    birth = max(BIRTH, float(np.ceil(numbers[is_e].max()) + 0.5) if numbers[is_e].max() >= BIRTH else BIRTH)
    numbers[is_p] += birth * (days_in("day") or 1.0) / (days_in(unit) or 1.0)
    notes.append(
        f"P0 was placed at {birth:g} days post conception (mouse), so that postnatal days follow E days"
    )


def _close_open_ends(
    labels: list[str], parsed: Sequence[TimeLabel | None], numbers: np.ndarray, notes: list[str]
) -> None:
    """Put "> 650" half a typical bin beyond 650 (changes `numbers`, which is ours)."""
    ends = [
        k for k, label in enumerate(parsed) if label is not None and label.open and np.isfinite(numbers[k])
    ]
    if not ends:
        return
    widths = [label.high - label.low for label in parsed if label is not None and label.high > label.low]
    closed = np.sort([n for k, n in enumerate(numbers) if k not in ends and np.isfinite(n)])
    if not widths and len(closed) > 1:
        widths = np.diff(closed)
    half = float(np.median(widths)) / 2 if len(widths) else 0.5
    for k in ends:
        numbers[k] += half if parsed[k].open == ">" else -half
        notes.append(f'"{labels[k]}" has no end and was placed at {numbers[k]:g}, half a usual bin beyond')


def _override(labels: list[str], numbers: np.ndarray, values: Mapping[str, float]) -> np.ndarray:
    unknown = [label for label in values if label not in labels]
    if unknown:
        raise TimeError(
            f'A time was given for "{unknown[0]}", but the time column holds {_listed(labels)}. '
            "Use the labels exactly as they stand in the file."
        )
    given = [values.get(label, number) for label, number in zip(labels, numbers, strict=True)]
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)


def _cannot_read(column: pd.Series, reading: TimeReading) -> str:
    if not reading.labels:
        return f'Column "{column.name}" is empty: no cell has a time. Choose another time column.'
    fix = "Choose another time column, or give each label a number in the table of times."
    if set(reading.labels) <= {"True", "False"}:
        return f'Column "{column.name}" holds only yes/no values, which are not times. {fix}'
    return (
        f'Column "{column.name}" holds {_listed(reading.labels)}, which cannot be read as times; expected '
        f'numbers or labels such as "day 3", "E8.5", "12h". {fix}'
    )


def _continuous(column: pd.Series, n_values: int) -> str:
    return (
        f'Column "{column.name}" holds {n_values:,} different values, more than the {MAX_TIMES} '
        "sampling times that can be told apart. It looks like a continuous quantity (such as a pseudotime). "
        "Choose a column with the time points at which cells were taken, or one that is binned."
    )


def _is_number(label: str) -> bool:
    return re.fullmatch(r"[-+]?\d+([.,]\d+)?(e[-+]?\d+)?", label) is not None


def _joined(labels: Sequence[str]) -> str:
    """One name for labels that mean the same time."""
    if len({clean(label).replace(" ", "") for label in labels}) == 1:
        return labels[0]
    return " + ".join(labels[:3]) + (" + …" if len(labels) > 3 else "")


def _listed(labels: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(f'"{label}"' for label in labels[:most])
    return shown + (f" and {len(labels) - most} more" if len(labels) > most else "")
