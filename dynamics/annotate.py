"""Write what a model says into an AnnData, under the names that scVelo and CellRank read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from dynamics import growth
from dynamics.agreement import confidence
from dynamics.ensemble import consensus, members_of
from dynamics.errors import Stopped
from dynamics.field import Progress, no_progress
from dynamics.projection import Placement, embedded_velocity
from dynamics.roles import Roles, embeddings
from dynamics.velocity import check_width, evaluate
from dynamics.visibility import SHOWN, visibility

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
    of the genes where the model knows them (`layers`), their length, their agreement with those of the
    neighbouring cells and, of an ensemble, that of its members (`obs`, see `dynamics.ensemble.consensus`),
    how much of each step its arrow on an embedding shows (`obs`, see `dynamics.visibility`), the growth rate
    where the model knows growth (`obs`), and the model's recipe (`uns["driftscope"]`). Names begin with
    "velocity", or are "growth_rate"; where another tool's results have such a name, with "driftscope":
    nothing of the input is changed. Results of an earlier call are replaced. Cells without a time get NaN.

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
    obs = {f"{prefix}_length": _spread(np.linalg.norm(velocity, axis=1), cells, (result.n_obs,))}
    for k, name in enumerate(names):
        _report(progress, 0.2 + 0.5 * k / len(names), f"velocities on {name}")
        if name != snapshots.rep:
            chosen = placement if placement is not None and name == roles.embedding else None
            arrows, shown = _on_embedding(result, model, snapshots, name=name, placement=chosen)
            key = _key(prefix, name)
            obsm[key], obs[f"{key}_visibility"] = arrows, shown
    _report(progress, 0.7, "agreement with neighbours")
    obs |= _agreement(model, snapshots, velocity, prefix=prefix, n_obs=result.n_obs)
    if growth.has_growth(model):
        rate = growth.growth_rate(model, snapshots.times, snapshots.states)
        obs[f"{OURS}_{GROWTH}" if GROWTH in result.obs else GROWTH] = _spread(rate, cells, (result.n_obs,))
    _report(progress, 0.85, "velocities of the genes")
    layers = _gene_layer(result, getattr(model, "basis", None), velocity, cells=cells, prefix=prefix)
    for target, written in ((result.obsm, obsm), (result.obs, obs), (result.layers, layers)):
        for key, values in written.items():
            target[key] = values
    keys = {"obsm": list(obsm), "obs": list(obs), "layers": list(layers)}
    result.uns[OURS] = card(model, snapshots) | {
        "keys": keys,
        "prefix": prefix,
        "notes": _notes(model, layers),
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


def remember(
    adata: AnnData, kind: str, told: Mapping[str, Any], *, model: "VelocityField", snapshots: "Snapshots"
) -> None:
    """Put a result into `uns["driftscope"]` beside those of other kinds; an earlier one of its kind goes."""
    known = {key: value for key, value in told.items() if value is not None}
    adata.uns[OURS] = {**card(model, snapshots), **adata.uns.get(OURS, {}), kind: known}


def spread(values: np.ndarray, snapshots: "Snapshots", n_obs: int) -> np.ndarray:
    """Return values of the cells of the snapshots for all of a data set; NaN for those without a time."""
    found = np.full((n_obs, *values.shape[1:]), np.nan)
    found[snapshots.cells] = values
    return found


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
        or any(f"velocity_{what}" in adata.obs for what in ("length", "confidence", "consensus"))
        or any(f"{_key('velocity', name)}_visibility" in adata.obs for name in names)
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
) -> tuple[np.ndarray, np.ndarray]:
    """Return the velocities on an embedding, (n_obs, e), and their cosine with the steps, (n_obs,)."""
    places = np.asarray(adata.obsm[name], dtype=np.float32)
    if placement is None:
        placement = Placement(snapshots.states, places[snapshots.cells])
    moving = embedded_velocity(model, snapshots, placement)
    shown = visibility(snapshots.states[moving.rows], moving.state_v, moving.v, placement=placement)
    rows = snapshots.cells[moving.rows]
    arrows = _spread(moving.v, rows, (adata.n_obs, placement.n_axes))
    return arrows, _spread(shown.cosine, rows, (adata.n_obs,))


def _agreement(
    model: "VelocityField", snapshots: "Snapshots", velocity: np.ndarray, *, prefix: str, n_obs: int
) -> dict[str, np.ndarray]:
    """Return how far neighbours agree, and the members of an ensemble, as columns of (n_obs,)."""
    columns = {f"{prefix}_confidence": confidence(snapshots.states, velocity)}
    if len(members_of(model)) > 1:
        columns[f"{prefix}_consensus"] = consensus(model, snapshots.states, times=snapshots.times)
    return {key: _spread(values, snapshots.cells, (n_obs,)) for key, values in columns.items()}


def _notes(model: "VelocityField", layers: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return what a reader of the columns must know."""
    n = len(members_of(model))
    agreed = (
        f"|mean| / mean length of the velocities of {n} members: 1 where all agree, about {n**-0.5:.2f} "
        "where they have nothing in common"
    )
    return {
        "genes": "" if layers else "no gene velocities: the model knows no genes, or there are too many",
        "confidence": "mean cosine between the velocity of a cell and those of its nearest cells",
        "consensus": agreed if n > 1 else "not known: no ensemble was trained",
        "visibility": "cosine between the step of a cell and what its arrow on that embedding stands for; "
        f"below {SHOWN:g} the arrow shows less than a quarter of the squared step",
    }


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


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as h5ad can hold them: numbers and text, anything else as text."""
    return {
        str(key): value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in values.items()
    }
