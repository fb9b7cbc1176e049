"""What users run into with times and cell types."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from dynamics.errors import TimeError
from dynamics.findings import Finding, error, note, warning
from dynamics.roles import Roles
from dynamics.time_column import time_candidates
from dynamics.times import MANY_TIMES, TimeAxis, TimeReading, parse_times, read_labels

FEW_CELLS = 20
SMALL = 50
"""Cells of a time below which details of what is learned there are rough."""
UNEVEN = 10
TABLE = "the table of times"


def read_axis(obs: pd.DataFrame, roles: Roles) -> tuple[TimeAxis | None, np.ndarray, list[Finding]]:
    """The time axis, each cell's place on it, and what was noticed; no axis where there is none to read."""
    nowhere = np.full(len(obs), -1, dtype=np.int32)
    if roles.time_key is None:
        return None, nowhere, [_no_time(obs)]
    column = obs[roles.time_key]
    try:
        axis, index = parse_times(
            column, values=roles.time_values, as_index=roles.time_as == "index", unit=roles.time_unit
        )
        reading = read_labels(column, values=roles.time_values)
    except TimeError as problem:
        message, fix = _split_fix(str(problem))
        return None, nowhere, [error("time-unreadable", message, fix)]
    return (
        axis,
        index,
        [*_axis_findings(obs, roles, axis), *_label_findings(reading, roles.time_values, index)],
    )


def group_findings(roles: Roles) -> Iterator[Finding]:
    """Findings on cell types."""
    if roles.cell_type_key is None:
        yield note(
            "no-cell-types",
            "No column names the cell types, so cells can be coloured by time and genes only.",
            'If there is one, choose it as cell type under "What the columns mean".',
        )


def _no_time(obs: pd.DataFrame) -> Finding:
    others = [candidate.name for candidate in time_candidates(obs)][:3]
    hint = f" Perhaps {', '.join(others)}?" if others else ""
    return warning(
        "no-time",
        "No column says at what time each cell was taken, so there is no motion between times to learn.",
        f'If there is such a column, choose it under "What the columns mean".{hint} Without one you can '
        "still prepare the data and explore the map, cell types and genes.",
    )


def _axis_findings(obs: pd.DataFrame, roles: Roles, axis: TimeAxis) -> Iterator[Finding]:
    n_times = len(axis.labels)
    if n_times == 1:
        yield warning(
            "one-time",
            f"All cells have the same time ({axis.name(0)}), so there is no motion between times to learn.",
            "Choose another time column if there is one, or add the cells of other times to the file. With "
            "one time you can still prepare the data and explore the map, cell types and genes.",
        )
    if n_times == 2:
        yield note(
            "two-times",
            "There are two times. A model can be trained, but no time can be held out to test it.",
            "Add a third time if you can; until then trust the path between the two times less.",
        )
    yield from _size_findings(axis)
    if n_times > MANY_TIMES:
        yield _too_many(obs, roles, n_times)
    yield from _unit_findings(axis, roles)


def _size_findings(axis: TimeAxis) -> Iterator[Finding]:
    """Findings on times with few cells, and on numbers that differ much."""
    cells = np.asarray(axis.n_cells)
    sizes = [f"{axis.name(k)} ({count:,} cells)" for k, count in enumerate(cells)]
    few = [size for size, count in zip(sizes, cells, strict=True) if count < FEW_CELLS]
    small = [size for size, count in zip(sizes, cells, strict=True) if FEW_CELLS <= count < SMALL]
    if few:
        yield warning(
            "few-cells-at-time",
            f"Fewer than {FEW_CELLS} cells were taken at {_listed(few)}: too few to say where the cells of "
            "that time are, so motion to and from there is little more than chance.",
            f"Leave such a time out by clearing its value in {TABLE}, or give it the value of its "
            "neighbour to merge the two.",
        )
    if small and len(cells) > 1 and cells.sum() >= SMALL:  # fewer in all are told as few cells
        yield warning(
            "small-time",
            f"Fewer than {SMALL} cells were taken at {_listed(small)}: rare cell types may be missing there.",
            "Trust main directions more than branches and details there; add cells if you can.",
        )
    if len(cells) > 1 and not few and cells.max() > UNEVEN * cells.min():
        yield note(
            "uneven-times",
            f"Cell numbers differ much between times: {axis.name(int(cells.argmin()))} has {cells.min():,}, "
            f"{axis.name(int(cells.argmax()))} has {cells.max():,}.",
            "Nothing needs to be done: each time counts the same. Details at the small one are rough.",
        )


def _too_many(obs: pd.DataFrame, roles: Roles, n_times: int) -> Finding:
    coarser = [
        candidate.name
        for candidate in time_candidates(obs)
        if candidate.name != roles.time_key and len(candidate.reading.labels) <= MANY_TIMES
    ]
    choice = f'Choose "{coarser[0]}" instead' if coarser else "Choose a column of sampling times or time bins"
    return warning(
        "continuous-time",
        f'"{roles.time_key}" has {n_times:,} different times, as an estimated or continuous time has.',
        f'{choice} under "What the columns mean"; snapshots need many cells at each time.',
    )


def _unit_findings(axis: TimeAxis, roles: Roles) -> Iterator[Finding]:
    if roles.time_as == "index" or axis.unit not in ("", "stage") or len(axis.labels) < 2:
        return
    if np.array_equal(axis.values, axis.values[0] + np.arange(len(axis.values))):
        yield note(
            "time-is-order",
            f"The times {axis.values[0]:g} to {axis.values[-1]:g} may be an order, not real times.",
            f"If you know the real times, enter them in {TABLE} with their unit; speeds then mean something.",
        )
    elif axis.unit == "":
        yield note(
            "time-unit", "The unit of the times is not known.", f"Enter it next to {TABLE} (hours, days, …)."
        )


def _label_findings(
    reading: TimeReading, values: Mapping[str, float], index: np.ndarray
) -> Iterator[Finding]:
    known = [label for label, value in zip(reading.labels, reading.values, strict=True) if np.isfinite(value)]
    if known != sorted(known) and not all(_is_plain(label) for label in known):
        yield note(
            "time-order",
            f"The times were put in this order: {' → '.join(known[:12])}{' → …' if len(known) > 12 else ''}. "
            f"By the alphabet it would be {', '.join(sorted(known)[:4])}, ….",
            f"If the order is wrong, change the values in {TABLE}.",
        )
    for text in reading.notes:
        yield note(
            "time-reading", f"Times: {text}.", f"If that is not what you mean, change the values in {TABLE}."
        )
    missing = int((index < 0).sum())
    unread = [f'"{label}"' for label in reading.unreadable if label not in values]
    if missing:
        why = f" ({_listed(unread)} cannot be read as a time)" if unread else ""
        yield warning(
            "cells-without-time",
            f"{missing:,} of {len(index):,} cells have no time{why}; they are shown but not used.",
            f"Give the label a value in {TABLE} if those cells belong to a time.",
        )


def _is_plain(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _split_fix(text: str) -> tuple[str, str]:
    """A message and its last sentence, which says what to do."""
    head, dot, tail = text.rpartition(". ")
    return (head + dot.strip(), tail) if dot else (text, "Choose another time column.")


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
