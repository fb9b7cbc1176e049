"""Which cells were chosen on the map."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ui import identity
from ui.cellmap import buffers

MAX_CORNERS = 2_000
MAX_NAME = 200
CODES = 2**16


@dataclass(frozen=True)
class MapEvent:
    """What was chosen on the map; it stays until the user clears it or another embedding is drawn.

    Parameters
    ----------
    kind
        "lasso", "box" or "categories".
    rows : (n_selected,) int64
        Rows of `xy` that were chosen, ascending, read-only.
    polygon : (m, 2) float
        Outline in data coordinates; None for categories.
    column, names
        For categories: the label of the colouring that was on, and the names that were picked.
    """

    kind: str
    rows: np.ndarray
    polygon: np.ndarray | None = None
    column: str = ""
    names: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many cells were chosen."""
        return len(self.rows)


def inside_polygon(xy: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points lie inside a polygon, by counting how often a ray from the point crosses its outline.

    Parameters
    ----------
    xy : (n, 2)
        Points; those with NaN are outside.
    polygon : (m, 2)
        Corners; the last is joined to the first. Parts covered twice count as outside (even–odd rule).

    Returns
    -------
    (n,) bool
    """
    points, corners = np.asarray(xy, dtype=np.float64), np.asarray(polygon, dtype=np.float64)
    inside = np.zeros(len(points), dtype=bool)
    if len(corners) < 3:
        return inside
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(np.all((points[:, :2] >= low) & (points[:, :2] <= high), axis=1))
    x, y = points[near, 0], points[near, 1]
    order = np.argsort(y, kind="stable")  # an edge then touches one run of points
    x, y = x[order], y[order]
    odd = np.zeros(len(near), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        start, stop = np.searchsorted(y, sorted((y0, y1)))
        crossing = x0 + (y[start:stop] - y0) * ((x1 - x0) / (y1 - y0)) if stop > start else x[start:stop]
        odd[start:stop] ^= x[start:stop] < crossing
    inside[near[order[odd]]] = True
    return inside


def read_event(value: object, space: Mapping[str, object]) -> MapEvent | None:
    """Turn what the browser sent into chosen cells; None for nothing, for another embedding, or for nonsense.

    Parameters
    ----------
    value
        The message; it comes from the browser and is not trusted.
    space
        Reference of the coordinates that are drawn now.
    """
    if not isinstance(value, Mapping) or value.get("space") != space["id"]:
        return None
    try:
        if value.get("kind") == "categories":
            return _categories_event(value, space)
        return _polygon_event(value, str(space["id"]))
    except LookupError:  # the array was dropped from the store: choose again
        return None


def _polygon_event(value: Mapping[str, object], space: str) -> MapEvent | None:
    polygon = _polygon(value.get("polygon"))
    if value.get("kind") not in ("lasso", "box") or polygon is None:
        return None
    return MapEvent(str(value["kind"]), _rows_inside(space, polygon, identity.browser()), np.array(polygon))


def _polygon(value: object) -> tuple[tuple[float, float], ...] | None:
    if not isinstance(value, list) or not 3 <= len(value) <= MAX_CORNERS:
        return None
    try:
        corners = tuple((float(x), float(y)) for x, y in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return corners if all(math.isfinite(part) for corner in corners for part in corner) else None


def _categories_event(value: Mapping[str, object], space: Mapping[str, object]) -> MapEvent | None:
    picked, kind, name = value.get("codes"), value.get("type"), value.get("array")
    known = isinstance(picked, list) and all(isinstance(code, int) and 0 <= code < CODES for code in picked)
    if not known or kind not in ("u1", "u2") or not isinstance(name, str):
        return None
    n_cells = len(_stored(name, str(kind)))
    if space["length"] not in (2 * n_cells, 3 * n_cells):
        return None
    names = value.get("names")
    texts = tuple(str(text)[:MAX_NAME] for text in names) if isinstance(names, list) else ()
    rows = _rows_of(name, str(kind), tuple(sorted(picked)), identity.browser())
    return MapEvent("categories", rows, column=str(value.get("column", ""))[:MAX_NAME], names=texts)


@functools.lru_cache(maxsize=32)
def _rows_inside(space: str, polygon: tuple[tuple[float, float], ...], _browser: str) -> np.ndarray:
    return _frozen(inside_polygon(_stored(space, "f4").reshape(-1, 2), np.array(polygon)))


@functools.lru_cache(maxsize=32)
def _rows_of(name: str, kind: str, picked: tuple[int, ...], _browser: str) -> np.ndarray:
    return _frozen(np.isin(_stored(name, kind), picked))


def _stored(name: str, kind: str) -> np.ndarray:
    flat = buffers.array(name, kind)
    if flat is None:
        raise LookupError(name)
    return flat


def _frozen(mask: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(mask)
    rows.setflags(write=False)
    return rows
