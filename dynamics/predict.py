"""Predict cells at chosen times and write them as an AnnData: states, places on the map, and genes."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics import growth
from dynamics.annotate import OURS, VALUES, card
from dynamics.errors import DataError
from dynamics.field import Progress, no_progress
from dynamics.following import measured_span
from dynamics.integrate import integrate
from dynamics.projection import Placement
from dynamics.roles import Roles
from dynamics.stochastic import simulate as walk
from dynamics.trajectories import Trajectories, beyond, nearest_type

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots


def simulate(
    adata: AnnData,
    model: "VelocityField",
    snapshots: "Snapshots",
    *,
    roles: Roles,
    placement: Placement | None = None,
    from_time: float | None = None,
    times: Sequence[float] | None = None,
    rows: np.ndarray | None = None,
    method: str = "rk4",
    extrapolate: bool = False,
    stochastic: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> AnnData:
    """Return predicted cells at several times: their states, places on the embedding, and genes.

    Parameters
    ----------
    placement
        Placement on `roles.embedding`; without it predicted cells get no place, and all count as inside.
    from_time
        Measured time from which cells start; by default the first, or that of most of the chosen `rows`.
    times
        Times to predict, before or after `from_time`; by default the measured times after it.
    rows : (m,)
        Rows of `adata` that may start; by default all. Those measured at `from_time` do.
    extrapolate
        Predict beyond the measured times of the model too, where nothing measured supports it.
    stochastic
        Draw one possible path of each cell, with the noise of the model, from `seed`.

    Returns
    -------
    One row per cell and time, with in `obs` the time, the cell that it comes from, whether it is among
    measured cells (`inside`), whether its time is beyond the measured ones (`extrapolated`), the type that it
    resembles, and, where the model knows growth, the number of cells that it stands for (`weight`, 1 at the
    start); in X the genes, on the scale of the model's basis, or no
    genes when it has none. Cells that could not be followed are left out; `uns["driftscope"]` counts them.

    Raises
    ------
    DataError
        No cell was measured at `from_time`, none of them is chosen, no time is left to predict, or a time
        lies beyond the measured ones without `extrapolate`.
    IntegrationError, ModelError
        The cells cannot be followed; or chance is asked of a model that has no noise.
    """
    weighted = growth.follow if growth.has_growth(model) else integrate
    follow = partial(walk, seed=seed) if stochastic else partial(weighted, method=method)
    chosen = np.ones(snapshots.n_cells, bool) if rows is None else np.isin(snapshots.cells, rows)
    begin = _begin(snapshots, from_time, chosen)
    start = _start(snapshots, begin, chosen)
    wanted = _wanted(snapshots, begin, times)
    measured = measured_span(model) or (float(snapshots.axis.values[0]), float(snapshots.axis.values[-1]))
    if not extrapolate:
        _refuse_beyond(np.append(wanted, begin), measured, snapshots.unit)
    before, after = wanted[wanted < begin][::-1], wanted[wanted > begin]
    parts = [
        follow(
            model,
            snapshots.states[start],
            np.append(begin, passed),
            support=placement,
            unit=snapshots.unit,
            progress=progress,
        )
        for passed in ([before, after] if len(before) and len(after) else [before if len(before) else after])
    ]
    moments = [(part, k) for part in parts for k in _kept(part, wanted, first=part is parts[0])]
    moments.sort(key=lambda moment: moment[0].times[moment[1]])
    result = _gathered(model, moments, snapshots, start=start, adata=adata, roles=roles)
    result.obs.insert(3, "extrapolated", beyond(result.obs["time"].to_numpy(), measured))
    result.uns[OURS] = card(model, snapshots) | {
        "from_time": begin,
        "n_start": len(start),
        "n_failed": int(sum(part.n_failed for part in parts)),
        "n_extrapolated": int(result.obs["extrapolated"].sum()),
        "solver": parts[0].method,
        "message": " ".join(part.message for part in parts if part.message),
    }
    return result


def _begin(snapshots: "Snapshots", from_time: float | None, chosen: np.ndarray) -> float:
    """Return the time of the start: the one given, or that of most of the chosen cells."""
    values = snapshots.axis.values
    if from_time is not None:
        return float(from_time)
    if chosen.all():
        return float(values[0])
    return float(values[np.argmax(np.bincount(snapshots.time_index[chosen], minlength=len(values)))])


def _start(snapshots: "Snapshots", begin: float, chosen: np.ndarray) -> np.ndarray:
    """Return which cells of the snapshots start at a measured time."""
    values = snapshots.axis.values
    here = np.isclose(snapshots.times, begin, rtol=1e-6, atol=1e-6 * float(values[-1] - values[0]))
    if not here.any():
        known = ", ".join(f"{value:g}" for value in values[:12])
        raise DataError(f"No cell was measured at time {begin:g}. Start from a measured time: {known}.")
    if not (here & chosen).any():
        raise DataError(
            f"None of the {here.sum():,} cells measured at time {begin:g} is among those that are to start. "
            "Choose another time or other cells."
        )
    return np.flatnonzero(here & chosen)


def _wanted(snapshots: "Snapshots", begin: float, times: Sequence[float] | None) -> np.ndarray:
    """Return the times to predict, rising."""
    if times is None:
        wanted = snapshots.axis.values[snapshots.axis.values > begin]
    else:
        wanted = np.unique(np.asarray(times, dtype=np.float64))
    if not len(wanted) or not np.isfinite(wanted).all():
        raise DataError(
            f"There is no time to predict: cells start at {begin:g}, and the last measured time is "
            f"{snapshots.axis.values[-1]:g}. Name the times as numbers."
        )
    return wanted


def _refuse_beyond(times: np.ndarray, measured: tuple[float, float], unit: str) -> None:
    outside = np.unique(times[beyond(times, measured)])
    if len(outside):
        span = f"{measured[0]:g} to {measured[1]:g} {'' if unit == 'index' else unit}".strip()
        raise DataError(
            f"Time {', '.join(f'{time:g}' for time in outside[:6])} lies beyond the times that the model was "
            f"trained on, {span}: nothing measured supports a prediction there. Choose times between, or ask "
            "for it with --extrapolate (in Python: extrapolate=True)."
        )


def _kept(part: Trajectories, wanted: np.ndarray, *, first: bool) -> list[int]:
    """Return which times of a part are wanted; the start, which all parts share, from the first one only."""
    later = list(range(1, len(part.times)))
    return [0, *later] if first and part.times[0] in wanted else later


def _gathered(
    model: "VelocityField",
    moments: list[tuple[Trajectories, int]],
    snapshots: "Snapshots",
    *,
    start: np.ndarray,
    adata: AnnData,
    roles: Roles,
) -> AnnData:
    """Return the predicted cells of all moments (trajectories and position in time), one below the other."""
    states = np.concatenate([part.states[k] for part, k in moments])
    kept = np.isfinite(states).all(axis=1)
    origin = adata.obs_names.to_numpy()[snapshots.cells[start]]
    obs = pd.DataFrame(
        {
            "time": np.repeat([part.times[k] for part, k in moments], len(start)),
            "origin": np.tile(origin, len(moments)),
            "inside": np.concatenate([part.inside[k] for part, k in moments]),
        }
    )
    if moments[0][0].weights is not None:
        obs["weight"] = np.concatenate([part.weights[k] for part, k in moments])
    if roles.cell_type_key is not None:
        obs["nearest_type"] = _types(moments, snapshots, adata.obs[roles.cell_type_key])
    obs.index = [f"{name}@{time:g}" for name, time in zip(obs["origin"], obs["time"], strict=True)]
    basis = getattr(model, "basis", None)
    genes = _gene_values(basis, states[kept])
    result = AnnData(
        X=genes,
        obs=obs[kept],
        var=None if genes is None else pd.DataFrame({"r2": basis.r2}, index=list(basis.genes)),
        obsm={snapshots.rep: states[kept]},
    )
    if all(part.xy is not None for part, _ in moments):
        places = np.concatenate([part.xy[k] for part, k in moments])
        result.obsm[roles.embedding or "X_embedding"] = places[kept]
    return result


def _types(
    moments: list[tuple[Trajectories, int]], snapshots: "Snapshots", labels: pd.Series
) -> pd.Categorical:
    kinds = pd.Categorical(labels.iloc[snapshots.cells])
    names = [str(name) for name in kinds.categories]
    codes = []
    for part, k in moments:
        at = slice(k, k + 1)
        one = Trajectories(part.times[at], part.states[at], part.inside[at], part.failed)
        codes.append(nearest_type(one, snapshots, (tuple(names), np.asarray(kinds.codes)))[0])
    return pd.Categorical.from_codes(np.concatenate(codes), categories=names)


def _gene_values(basis: "StateBasis | None", states: np.ndarray) -> np.ndarray | None:
    """Return the genes of predicted states; None without a basis, or where they would be too many."""
    if basis is None or len(states) * len(basis.genes) > VALUES:
        return None
    return basis.to_genes(states)
