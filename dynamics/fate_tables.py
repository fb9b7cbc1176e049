"""Fates by cell type: a table by starting type, and the flow of mass from type to type over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynamics.errors import DataError
from dynamics.fates import Fates, interval
from dynamics.proposals import mass_between, one_hot
from dynamics.trajectories import coded

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots
    from dynamics.transitions import Transitions

ALL = "all cells"
"""Name of the one type where no cell types are known."""


@dataclass(frozen=True, eq=False)
class TypeFlows:
    """How mass moves between cell types from time to time.

    Attributes
    ----------
    times : (n_times,)
        Names of the times.
    names
        Cell types, in the order of the labels' categories.
    share : (n_times, n_types)
        Share of each type among the measured cells of each time that have one.
    mass : (n_times − 1, n_types, n_types)
        Share of all mass of an interval that goes from one type to another; each interval sums to one.
    low, high : as `mass`, or None
        Nominal 80 % interval from the members; None where there is one.
    """

    times: tuple[str, ...]
    names: tuple[str, ...]
    share: np.ndarray = field(repr=False)
    mass: np.ndarray = field(repr=False)
    low: np.ndarray | None = field(default=None, repr=False)
    high: np.ndarray | None = field(default=None, repr=False)


def flows_by_type(
    chains: "Transitions | Sequence[Transitions]",
    snapshots: "Snapshots",
    labels: np.ndarray | None,
    *,
    growth: bool = True,
) -> TypeFlows:
    """Return the mass that goes from each cell type to each other over every interval.

    Parameters
    ----------
    chains
        One chain, or that of each member.
    labels : (n,) categorical or text, or None
        Cell types; without them all cells are of one.
    growth
        Whether a cell counts as often as it multiplies over the interval, where growth is known.
    """
    members = tuple(chains) if isinstance(chains, Sequence) else (chains,)
    names, codes = _types(labels, snapshots.n_cells)
    rows = members[0].rows
    found = np.stack([_flows(chain, codes, len(names), growth=growth) for chain in members])
    counts = np.stack([np.bincount(codes[mine][codes[mine] >= 0], minlength=len(names)) for mine in rows])
    low, high = interval(found)
    return TypeFlows(
        times=tuple(snapshots.axis.name(int(snapshots.time_index[mine[0]])) for mine in rows),
        names=names,
        share=counts / np.maximum(counts.sum(axis=1, keepdims=True), 1),
        mass=found.mean(axis=0),
        low=low,
        high=high,
    )


def table_by_type(fates: Fates, snapshots: "Snapshots", labels: np.ndarray | None = None) -> pd.DataFrame:
    """Return the mean fates of each cell type at each time, one row for each.

    Columns: "time", "type", "cells" (with fates), "without_fate" (cells that reach no terminal state); for
    every fate its mean, with " low" and " high" where there are intervals (from the means that the members
    give; where there is one member, of which the draws are averaged out, there is none), and
    " without growth" where growth is known.
    """
    names, codes = _types(labels, snapshots.n_cells)
    rows = []
    for k in range(snapshots.n_times):
        for code, name in enumerate(names):
            mine = np.flatnonzero((snapshots.time_index == k) & (codes == code))
            if len(mine):
                rows.append(
                    {"time": snapshots.axis.name(k), "type": name, **_means(fates, mine)},
                )
    return pd.DataFrame(rows)


def _means(fates: Fates, mine: np.ndarray) -> dict[str, float]:
    known = mine[fates.known[mine]]
    row: dict[str, float] = {"cells": len(known), "without_fate": len(mine) - len(known)}
    bands = None, None
    if fates.by_member is not None and len(known):
        means = fates.by_member[:, known].mean(axis=1, dtype=np.float64)
        bands = interval(means, widened=fates.widening)
    for f, name in enumerate(fates.names):
        row[name] = float(fates.probabilities[known, f].mean()) if len(known) else float("nan")
        if fates.by_member is not None:
            for word, band in zip(("low", "high"), bands, strict=True):
                row[f"{name} {word}"] = float("nan") if band is None else float(band[f])
        if fates.without_growth is not None:
            plain = fates.without_growth[known, f]
            row[f"{name} without growth"] = float(plain.mean()) if len(known) else float("nan")
    return row


def _flows(chain: "Transitions", codes: np.ndarray, n_types: int, *, growth: bool) -> np.ndarray:
    found = []
    for k in range(chain.n_times - 1):
        told = chain.pull(k, one_hot(codes[chain.rows[k + 1]], n_types))
        if growth and chain.weights is not None:
            told = told * chain.weights[k][:, None]
        mass = mass_between(told, codes[chain.rows[k]], n_types)
        found.append(mass / mass.sum() if mass.sum() > 0 else mass)
    return np.stack(found)


def _types(labels: np.ndarray | None, n_cells: int) -> tuple[tuple[str, ...], np.ndarray]:
    if labels is None:
        return (ALL,), np.zeros(n_cells, np.int64)
    names, codes = coded(labels, n_cells)
    if not (codes >= 0).any():
        raise DataError("No cell has a cell type here. Choose another column as cell type on the Data page.")
    return names, codes
