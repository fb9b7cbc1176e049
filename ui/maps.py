"""The open data set on its map: places, colours, and the way from states to the map."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynamics.times import parse_times
from ui import cache, state
from ui.cellmap import Colour, Levels, categories, ordered

if TYPE_CHECKING:
    from dynamics.projection import Placement
    from dynamics.snapshots import Snapshots

HEIGHT = 560  # pixels; the map and its controls fit a laptop screen
MOST_GROUPS = 300  # a column of numbers with more different values is drawn as values


def places(work: state.Workspace) -> np.ndarray:
    """Return the place of every cell on the map, (n_cells, 2 or 3) float32."""
    return cache.cached(_places, work.adata, work.roles.embedding)


def axes(work: state.Workspace) -> tuple[str, ...]:
    """Return the names of the map's axes: UMAP1, UMAP2."""
    name = work.roles.embedding.removeprefix("X_")
    short = name.upper() if len(name) <= 6 else name.replace("_", " ")
    return tuple(f"{short}{k + 1}" for k in range(places(work).shape[1]))


def colour(work: state.Workspace, name: str) -> Colour:
    """Return how cells are coloured by a column or a gene: the file's own colours where it has them."""
    values = cache.colour_values(work.dataset, name)
    if name == work.roles.time_key and work.report["roles"].get("times"):
        return cache.cached(_by_time, values, dict(work.roles.time_values))
    groups = name in (work.roles.cell_type_key, work.roles.condition_key, work.roles.batch_key)
    own = work.adata.uns.get(f"{name}_colors")
    own = None if own is None else tuple(str(part) for part in np.asarray(own).ravel())
    return cache.cached(_colour, values, own, groups=groups)


def hover(work: state.Workspace, *, besides: str) -> dict[str, Colour]:
    """Return what is told of the cell under the pointer, besides what it is coloured by."""
    roles = work.roles
    names = [roles.cell_type_key, roles.time_key, roles.condition_key]
    return {name: colour(work, name) for name in dict.fromkeys(names) if name and name != besides}


def placement(work: state.Workspace) -> "Placement":
    """Return the way from the model's states to the map."""
    return cache.cached(_placement, work.snapshots, places(work))


def _placement(shots: "Snapshots", places: np.ndarray) -> "Placement":
    # not at the top: it loads torch
    from dynamics.projection import Placement

    return Placement(shots.states, places[shots.cells])


def _places(adata, key: str) -> np.ndarray:
    return np.array(np.asarray(adata.obsm[key])[:, :3], dtype=np.float32, order="C")


def _by_time(values: pd.Series, given: dict[str, float]) -> Colour:
    """Colour cells by time, from first to last; where there are very many times, by value."""
    axis, index = parse_times(values, values=given)
    if len(axis) > MOST_GROUPS:
        known = np.where(index < 0, np.nan, axis.values[index])
        return Levels(known, label=str(values.name), unit=axis.unit)
    names = [axis.name(k) for k in range(len(axis))]
    return ordered(pd.Series(pd.Categorical.from_codes(index, names), name=values.name))


def _colour(values: pd.Series, own: tuple[str, ...] | None, *, groups: bool) -> Colour:
    """Colour cells by a column or gene; numbers are values, unless their role is to name groups."""
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and not groups:
        return Levels(values.to_numpy(dtype=np.float32, na_value=np.nan), label=str(values.name))
    return categories(values, colours=own)
