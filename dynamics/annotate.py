"""Write what a model says into an AnnData, under the names that scVelo and CellRank read."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics import growth
from dynamics.agreement import confidence
from dynamics.errors import DataError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.integrate import integrate
from dynamics.projection import Placement, embedded_velocity
from dynamics.roles import Roles, embeddings
from dynamics.stochastic import simulate as walk
from dynamics.trajectories import Trajectories, nearest_type
from dynamics.velocity import check_width, evaluate

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

OURS = "driftscope"
"""Key in `uns`, and prefix of the results where another tool's velocities are already there."""

GROWTH = "growth_rate"
VALUES = 250_000_000
"""Largest number of values in a matrix of cells and genes that is written."""


def annotate(
    adata: AnnData,
    model: "VelocityField",
    snapshots: "Snapshots",
    roles: Roles,
    *,
    placement: Placement | None = None,
    progress: Progress = no_progress,
) -> AnnData:
    """Return a copy of a data set with the velocity of each cell at its own time.

    Written are the velocities in the representation and on every embedding with two or three axes (`obsm`),
    of the genes where the model knows them (`layers`), their length and their agreement with those of the
    neighbouring cells (`obs`), the growth rate where the model knows growth (`obs`), and the model's recipe
    (`uns["driftscope"]`). Names begin with "velocity", or are "growth_rate"; where another tool's results
    have such a name, with "driftscope": nothing of the input is changed. Results of an earlier call are
    replaced. Cells without a time get NaN.

    Parameters
    ----------
    placement
        Placement on `roles.embedding`, if it is already there.

    Raises
    ------
    ModelError
        The model has another width than the snapshots.
    Stopped
        `progress` returned False.
    """
    check_width(model, snapshots.states)
    result = _without_ours(adata)
    cells = snapshots.cells
    names = _embedding_names(result, roles)
    prefix = _prefix(result, [snapshots.rep, *names])
    _report(progress, 0.0, "velocities of the states")
    velocity = evaluate(model, snapshots.times, snapshots.states)
    width = result.obsm[snapshots.rep].shape[1] if snapshots.rep in result.obsm else snapshots.dim
    obsm = {_key(prefix, snapshots.rep): _spread(velocity, cells, (result.n_obs, width))}
    for k, name in enumerate(names):
        _report(progress, 0.2 + 0.5 * k / len(names), f"velocities on {name}")
        if name != snapshots.rep:
            chosen = placement if placement is not None and name == roles.embedding else None
            obsm[_key(prefix, name)] = _on_embedding(result, model, snapshots, name=name, placement=chosen)
    _report(progress, 0.7, "agreement with neighbours")
    obs = {
        f"{prefix}_length": _spread(np.linalg.norm(velocity, axis=1), cells, (result.n_obs,)),
        f"{prefix}_confidence": _spread(confidence(snapshots.states, velocity), cells, (result.n_obs,)),
    }
    if growth.has_growth(model):
        rate = growth.growth_rate(model, snapshots.times, snapshots.states)
        key = f"{OURS}_{GROWTH}" if GROWTH in result.obs else GROWTH
        obs[key] = _spread(rate, cells, (result.n_obs,))
    _report(progress, 0.85, "velocities of the genes")
    layers = _gene_layer(result, getattr(model, "basis", None), velocity, cells=cells, prefix=prefix)
    for target, written in ((result.obsm, obsm), (result.obs, obs), (result.layers, layers)):
        for key, values in written.items():
            target[key] = values
    written = {"obsm": list(obsm), "obs": list(obs), "layers": list(layers)}
    notes = {"genes": "" if layers else "no gene velocities: the model knows no genes, or there are too many"}
    result.uns[OURS] = card(model, snapshots) | {"keys": written, "prefix": prefix, "notes": notes}
    return result


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
    stochastic
        Draw one possible path of each cell, with the noise of the model, from `seed`.

    Returns
    -------
    One row per cell and time, with in `obs` the time, the cell that it comes from, whether it is among
    measured cells, the type that it resembles, and, where the model knows growth, the number of cells that
    it stands for (`weight`, 1 at the start); in X the genes, on the scale of the model's basis, or no
    genes when it has none. Cells that could not be followed are left out; `uns["driftscope"]` counts them.

    Raises
    ------
    DataError
        No cell was measured at `from_time`, none of them is chosen, or no time is left to predict.
    IntegrationError, ModelError
        The cells cannot be followed; or chance is asked of a model that has no noise.
    """
    weighted = growth.follow if growth.has_growth(model) else integrate
    follow = partial(walk, seed=seed) if stochastic else partial(weighted, method=method)
    chosen = np.ones(snapshots.n_cells, bool) if rows is None else np.isin(snapshots.cells, rows)
    begin = _begin(snapshots, from_time, chosen)
    start = _start(snapshots, begin, chosen)
    wanted = _wanted(snapshots, begin, times)
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
    result.uns[OURS] = card(model, snapshots) | {
        "from_time": begin,
        "n_start": len(start),
        "n_failed": int(sum(part.n_failed for part in parts)),
        "solver": parts[0].method,
        "message": " ".join(part.message for part in parts if part.message),
    }
    return result


def card(model: "VelocityField", snapshots: "Snapshots") -> dict[str, Any]:
    """Return the recipe of a model as h5ad can hold it: method, settings, seed, versions, fingerprints."""
    summary = getattr(model, "summary", None) or {}
    values = {
        "model": getattr(model, "name", None),
        "method": getattr(model, "method", type(model).__name__),
        "settings": _storable(getattr(model, "settings", None) or {}),
        "seed": getattr(model, "seed", None),
        "versions": _storable(summary.get("versions", {})),
        "trained_on": getattr(model, "fingerprint", None),
        "data_fingerprint": snapshots.fingerprint,
        "rep": snapshots.rep,
        "dims": snapshots.dim,
        "time_unit": snapshots.unit,
        "times": snapshots.axis.values.copy(),
    }
    return {key: value for key, value in values.items() if value is not None}


def _report(progress: Progress, fraction: float, message: str) -> None:
    if not progress(fraction, message):
        raise Stopped


def _without_ours(adata: AnnData) -> AnnData:
    """Return a copy without the results of an earlier call."""
    result = adata.copy()
    before = result.uns.pop(OURS, {})
    keys = before.get("keys", {}) if isinstance(before, Mapping) else {}
    for where in ("obsm", "obs", "layers"):
        for key in map(str, keys.get(where, ())):
            if key.startswith(("velocity", OURS, GROWTH)) and key in getattr(result, where):
                del getattr(result, where)[key]
    return result


def _embedding_names(adata: AnnData, roles: Roles) -> list[str]:
    names = embeddings(adata)
    if roles.embedding is not None and roles.embedding not in names:
        names.insert(0, roles.embedding)
    return names


def _key(prefix: str, name: str) -> str:
    """Return "velocity_umap" for "X_umap"."""
    return f"{prefix}_{name.removeprefix('X_')}"


def _prefix(adata: AnnData, names: Sequence[str]) -> str:
    """Return "velocity", or "driftscope" where another tool has written under that name."""
    taken = (
        any(_key("velocity", name) in adata.obsm for name in names)
        or "velocity" in adata.layers
        or "velocity_params" in adata.uns
        or any(key in adata.obs for key in ("velocity_length", "velocity_confidence"))
    )
    return OURS if taken else "velocity"


def _spread(values: np.ndarray, cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values of the cells with a time among all cells, NaN for the others and 0 in further columns."""
    spread = np.full(shape, np.nan, dtype=np.float32)
    spread[cells] = 0
    if len(shape) == 1:
        spread[cells] = values
    else:
        spread[cells, : values.shape[1]] = values
    return spread


def _on_embedding(
    adata: AnnData,
    model: "VelocityField",
    snapshots: "Snapshots",
    *,
    name: str,
    placement: Placement | None,
) -> np.ndarray:
    places = np.asarray(adata.obsm[name], dtype=np.float32)
    if placement is None:
        placement = Placement(snapshots.states, places[snapshots.cells])
    moving = embedded_velocity(model, snapshots, placement)
    return _spread(moving.v, snapshots.cells[moving.rows], (adata.n_obs, placement.n_axes))


def _gene_layer(
    adata: AnnData,
    basis: "StateBasis | None",
    velocity: np.ndarray,
    *,
    cells: np.ndarray,
    prefix: str,
) -> dict[str, np.ndarray]:
    """Return the layer of gene velocities: NaN for genes that the model does not know."""
    if basis is None or not adata.n_vars or adata.n_obs * adata.n_vars > VALUES:
        return {}
    place = {gene: k for k, gene in enumerate(basis.genes)}
    columns = np.array([place.get(gene, -1) for gene in adata.var_names])
    known = np.flatnonzero(columns >= 0)
    if not len(known):
        return {}
    layer = np.full(adata.shape, np.nan, dtype=np.float32)
    genes = [basis.genes[k] for k in columns[known]]
    layer[np.ix_(cells, known)] = basis.velocity_to_genes(velocity, genes)
    return {prefix: layer}


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


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as h5ad can hold them: numbers and text, anything else as text."""
    return {
        str(key): value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in values.items()
    }
