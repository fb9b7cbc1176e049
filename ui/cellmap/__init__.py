"""The cell map: every cell of a data set on its embedding, coloured, with flow and predicted paths over it.

One component serves all pages. Cells are drawn by Plotly.js in the browser from binary arrays, so that a
million of them change colour in about a second and zoom and selection stay where they are.

Examples
--------
```python
event = cell_map(
    "flow",
    xy=embedding,
    colour=categories(obs["cell_type"], colours=uns.get("cell_type_colors")),
    layers=Layers(streamlines=streams, particles=FlowField(g.x, g.y, g.u, g.v, g.mask)),
    selection="lasso",
    alt="UMAP of 6,000 cells coloured by cell type, with streamlines of the model “demo”",
    axes=("UMAP1", "UMAP2"),
    faint=True,
)
if event:
    start = states[event.rows]
```
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import streamlit as st

from dynamics.errors import DataError
from ui.cellmap import buffers
from ui.cellmap.buffers import reference, routes
from ui.cellmap.colour import Categories, Colour, Levels, categories, ordered
from ui.cellmap.layers import Arrows, FlowField, Layers, Paths, Streams
from ui.cellmap.selection import MapEvent, inside_polygon, read_event

__all__ = [
    "Arrows",
    "Categories",
    "Colour",
    "FlowField",
    "Layers",
    "Levels",
    "MapEvent",
    "Paths",
    "Streams",
    "categories",
    "cell_map",
    "inside_polygon",
    "ordered",
    "routes",
    "selected",
]

NO_LAYERS = Layers()
BOOT = (Path(__file__).parent / "boot.js").read_text(encoding="utf-8")
_component = st.components.v2.component("driftscope.cellmap", js=BOOT, isolate_styles=False)


def cell_map(
    key: str,
    *,
    xy: np.ndarray,
    colour: Colour,
    alt: str,
    layers: Layers = NO_LAYERS,
    selection: str | None = None,
    highlight: np.ndarray | None = None,
    hover: Mapping[str, Colour] | None = None,
    axes: tuple[str, ...] = ("UMAP1", "UMAP2", "UMAP3"),
    height: int = 640,
    point_size: float | None = None,
    faint: bool = False,
    filename: str = "cell-map",
    renderer: str = "auto",
    on_select: Callable[[], None] | None = None,
) -> MapEvent | None:
    """Draw the cells and return what the user has chosen on the map.

    Parameters
    ----------
    key
        Name of this map within the page; the same key keeps zoom, selection and camera when the
        rest changes.
    xy : (n, 2) or (n, 3)
        Places of the cells; those with NaN are left out. In 3-D at most 100,000 cells are drawn,
        and the map says so.
    colour
        `Categories` or `Levels` with one entry per cell; see `categories(column)` and `ordered(column)`.
    alt
        What the map shows, for screen readers.
    layers
        What is drawn over the cells.
    selection
        "lasso" lets the user choose cells by lasso, by box, or by clicking groups in the legend.
    highlight : (n,) bool
        Cells shown in colour while the others are grey, as long as the user has chosen none on the map.
    hover
        Further columns shown for the cell under the pointer, by title; fetched when first needed.
    axes
        Names of the axes.
    height
        Height of the plot in pixels; the bar of tools and the time slider come on top.
    point_size
        Diameter in pixels; by default it follows from the number of cells. The user can change it.
    faint
        Draw the cells at opacity 0.3, so that what lies over them stands out.
    filename
        Name of saved figures, without ending.
    renderer
        "webgl", "raster" (painted by the processor), or "auto": WebGL unless the browser has none, or has it
        only in software while there are more than 30,000 cells.
    on_select
        Called before the rerun that a new selection starts.

    Returns
    -------
    What is chosen now, or None. It stays through changes of colour and layers, until the user clears it.

    Raises
    ------
    DataError
        Coordinates, colours or layers do not belong together; the message has both sizes.
    """
    places = np.asarray(xy, dtype=np.float32)
    _check(places, colour, highlight)
    space = reference(places, "f4")
    data = {
        "code": buffers.code_version(),
        "plotly": buffers.plotly_version(),
        "prefix": "/" + str(st.get_option("server.baseUrlPath") or "").strip("/"),
        "n": len(places),
        "dims": places.shape[1],
        "xy": space,
        "colour": colour_message(colour),
        "hover": [colour_message(column, title=title) for title, column in (hover or {}).items()],
        "layers": layers.message(places.shape[1]),
        "selection": selection,
        "highlight": None if highlight is None else reference(highlight, "u1"),
        "selected": _message(key),
        "axes": list(axes[: places.shape[1]]),
        "height": int(height),
        "pointSize": point_size,
        "faint": bool(faint),
        "alt": alt,
        "filename": filename,
        "renderer": renderer,
    }
    result = _component(
        key=key, data=data, on_selection_change=on_select or _nothing, on_missing_change=_nothing
    )
    return read_event(result.selection, space)


def selected(key: str, xy: np.ndarray) -> MapEvent | None:
    """Return what is chosen on a map, for what stands above the map or goes into it.

    Parameters
    ----------
    key, xy
        As given to `cell_map`.
    """
    return read_event(_message(key), reference(np.asarray(xy, dtype=np.float32), "f4"))


def colour_message(colour: Colour, *, title: str = "") -> dict[str, object]:
    """What the browser is told of a colouring."""
    if isinstance(colour, Categories):
        return {
            "kind": "categories",
            "label": title or colour.label,
            "codes": reference(colour.clean, "u2" if colour.clean.itemsize == 2 else "u1"),
            "names": list(colour.names),
            "colours": list(colour.colours or ()),
        }
    low, high = colour.ends
    return {
        "kind": "levels",
        "label": title or colour.label,
        "codes": reference(colour.levels, "u1"),
        "values": reference(colour.values, "f4"),
        "colours": list(colour.colours()),
        "low": low,
        "high": high,
        "unit": colour.unit,
    }


def _check(places: np.ndarray, colour: Colour, highlight: np.ndarray | None) -> None:
    if places.ndim != 2 or places.shape[1] not in (2, 3):
        raise DataError(f"A map needs coordinates of shape (n, 2) or (n, 3), found {places.shape}.")
    for what, array in (("colours", colour), ("highlighted cells", highlight)):
        if array is not None and len(array) != len(places):
            raise DataError(f"The map has {len(places):,} cells, but there are {len(array):,} {what}.")


def _message(key: str) -> object:
    """Return what the browser last said of the selection."""
    state = st.session_state.get(key)
    return state.get("selection") if isinstance(state, Mapping) else None


def _nothing() -> None:
    """Streamlit wants a callback for every kind of message."""
