"""A landscape: its surface with cells and paths on it, the same from above, and profiles along a path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dynamics.figures.style import AXIS, DASHES, MISSING, TEXT, colours_for, escaped, styled

if TYPE_CHECKING:
    from dynamics.landscape import Landscape

HEIGHT = 620
LEVELS = 14
"""Lines of equal height."""
LIFT = 0.012
"""How far cells and paths are drawn above the surface, as a share of its height: else they would sink in."""
MUTED = ((0.0, "#5f7f8c"), (0.5, "#a9bcc2"), (1.0, "#e8e3d6"))
FULL = "Viridis"
RELIEF = 0.6
"""Height of the picture over the longer side of the map."""
WAYS = ("#d81b60", "#7c4dff")
"""Colours of the way there and the way back: none that cell types get."""
PATH = "#8a8f93"
EYE, ABOVE, ASIDE = 1.3, 0.7, 0.6
"""Where one looks from at first: how far away and how high, in sides of the picture, and by how many radians
beside the direction in which it goes downhill, so that slopes face the reader."""


@dataclass(frozen=True, eq=False)
class Line:
    """A path on the map.

    Attributes
    ----------
    xy : (T, 2)
    inside : (T,) bool
        Where it is among measured cells; elsewhere it is dashed.
    """

    xy: np.ndarray = field(repr=False)
    inside: np.ndarray = field(repr=False)


def relief(
    found: "Landscape",
    *,
    groups: pd.Series | None = None,
    colours: Mapping[str, str] | None = None,
    label: str = "",
    paths: Sequence[Line] = (),
    ways: Mapping[str, Line] | None = None,
    axes: Sequence[str] = ("UMAP1", "UMAP2"),
) -> go.Figure:
    """Draw a landscape in space, with cells and paths lying on it; cells roll downhill.

    Parameters
    ----------
    groups
        Group or value of each of the landscape's cells; None draws no cells and the surface in full colours.
    colours
        Colour of each group.
    label
        What groups or values are.
    paths
        Predicted paths of cells.
    ways
        Least-action paths, by name.
    """
    figure = go.Figure()
    z = found.height.T
    low, high = float(np.nanmin(z)), float(np.nanmax(z))
    reach = (high - low) or 1.0
    line = {
        "show": True,
        "start": low,
        "end": high,
        "size": reach / LEVELS,
        "color": "rgba(60, 60, 60, 0.35)",
    }
    figure.add_trace(
        go.Surface(
            x=found.x,
            y=found.y,
            z=z,
            customdata=_bands(found),
            colorscale=FULL if groups is None else MUTED,
            contours={"z": line | {"width": 1}},
            colorbar=_bar(),
            showscale=groups is None,
            lighting={"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
            hovertemplate="height %{z:.3g}%{customdata}<extra></extra>",
            name="landscape",
        )
    )
    lift = LIFT * reach

    def raised(xy: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": xy[:, 0], "y": xy[:, 1], "z": found.at(xy) + lift}

    for trace in _cells(found.xy, groups, colours, label):
        where = raised(trace.pop("xy"))
        marker = trace.pop("marker") | {"size": 1.7}
        figure.add_trace(go.Scatter3d(**where, marker=marker, **trace))
    for trace in _lines(paths, ways or {}):
        where = raised(trace.pop("xy"))
        trace["line"] = trace["line"] | {"width": 2 * trace["line"]["width"]}
        figure.add_trace(go.Scatter3d(**where, **trace))
    return _in_space(figure, found, axes)


def contours(
    found: "Landscape",
    *,
    groups: pd.Series | None = None,
    colours: Mapping[str, str] | None = None,
    label: str = "",
    paths: Sequence[Line] = (),
    ways: Mapping[str, Line] | None = None,
    axes: Sequence[str] = ("UMAP1", "UMAP2"),
) -> go.Figure:
    """Draw a landscape from above, as lines of equal height; parameters as for `relief`."""
    figure = go.Figure()
    z = found.height.T
    reach = float(np.nanmax(z) - np.nanmin(z)) or 1.0
    figure.add_trace(
        go.Contour(
            x=found.x,
            y=found.y,
            z=z,
            customdata=_bands(found),
            colorscale=FULL if groups is None else MUTED,
            contours={"start": float(np.nanmin(z)), "end": float(np.nanmax(z)), "size": reach / LEVELS},
            line={"width": 0.6, "color": "rgba(60, 60, 60, 0.45)"},
            colorbar=_bar(),
            showscale=groups is None,
            hovertemplate="height %{z:.3g}%{customdata}<extra></extra>",
            name="landscape",
        )
    )
    for trace in _cells(found.xy, groups, colours, label):
        xy = trace.pop("xy")
        figure.add_trace(go.Scattergl(x=xy[:, 0], y=xy[:, 1], **trace))
    for trace in _lines(paths, ways or {}):
        xy = trace.pop("xy")
        figure.add_trace(go.Scatter(x=xy[:, 0], y=xy[:, 1], **trace))
    styled(figure, x=escaped(axes[0]), y=escaped(axes[1]), height=HEIGHT)
    bare = {"showticklabels": False, "showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(bare | {"constrain": "domain"})
    figure.update_yaxes(bare | {"scaleanchor": "x", "scaleratio": 1, "constrain": "domain"})
    figure.update_layout(hovermode="closest", legend=_legend())
    return figure


def profile(ways: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], *, y: str) -> go.Figure:
    """Draw something along least-action paths, such as the height; dashed where nothing was measured.

    Parameters
    ----------
    ways
        By name: the share of the way, (T,), the value there, (T,), and whether it is among cells, (T,) bool.
    """
    figure = go.Figure()
    for (name, (along, value, inside)), colour in zip(ways.items(), WAYS, strict=False):
        for known, dash in ((inside, "solid"), (~inside, "dot")):
            if not known.any():
                continue
            figure.add_trace(
                go.Scatter(
                    x=along,
                    y=np.where(_touching(known), value, np.nan),
                    mode="lines",
                    name=escaped(name),
                    legendgroup=name,
                    showlegend=dash == "solid" or not inside.any(),
                    line={"color": colour, "dash": dash, "width": 2.2},
                    hovertemplate="%{y:.3g}",
                )
            )
    styled(figure, x="share of the way", y=y)
    figure.update_xaxes(tickformat=".0%")
    figure.update_layout(legend=_legend())
    return figure


def genes(along: np.ndarray, values: np.ndarray, names: Sequence[str]) -> go.Figure:
    """Draw genes along a path.

    Parameters
    ----------
    along : (T,)
        Share of the way.
    values : (T, n_genes)
    """
    figure = go.Figure()
    for k, (name, colour) in enumerate(zip(names, colours_for(names), strict=True)):
        line = {"color": colour, "dash": DASHES[k % len(DASHES)], "width": 2}
        figure.add_trace(
            go.Scatter(x=along, y=values[:, k], mode="lines", name=escaped(name), line=line)
        ).update_traces(hovertemplate="%{y:.3g}")
    styled(figure, x="share of the way", y="expression")
    figure.update_xaxes(tickformat=".0%")
    figure.update_layout(legend=_legend())
    return figure


def _cells(
    xy: np.ndarray, groups: pd.Series | None, colours: Mapping[str, str] | None, label: str
) -> list[dict]:
    """Return one trace for each group of cells, or one for cells coloured by a value."""
    if groups is None:
        return []
    common = {"mode": "markers", "hoverinfo": "text", "text": None}
    if pd.api.types.is_numeric_dtype(groups) and not pd.api.types.is_bool_dtype(groups):
        values = groups.to_numpy(float)
        known = np.isfinite(values)
        top = float(np.quantile(values[known], 0.99)) if known.any() else 1.0
        marker = {
            "size": 3.5,
            "color": values[known],
            "colorscale": FULL,
            "cmax": top,
            "colorbar": _bar(label),
        }
        marker["cmin"] = float(values[known].min()) if known.any() else 0.0
        told = [f"{escaped(label)} {value:.3g}" for value in values[known]]
        rest = _group(xy[~known], MISSING, "missing")
        own = common | {"xy": xy[known], "marker": marker, "text": told, "showlegend": False, "name": ""}
        return [own, *([rest] if (~known).any() else [])]
    coded = pd.Categorical(groups)
    names = [str(name) for name in coded.categories]
    paint = colours_for(names, colours)
    drawn = [(k, xy[coded.codes == k]) for k in range(len(names))]
    found = [_group(part, paint[k], names[k]) for k, part in drawn if len(part)]
    without = xy[coded.codes < 0]
    return [*found, *([_group(without, MISSING, "missing")] if len(without) else [])]


def _group(xy: np.ndarray, colour: str, name: str) -> dict:
    return {
        "xy": xy,
        "mode": "markers",
        "marker": {"size": 3.5, "color": colour, "opacity": 0.85},
        "name": escaped(name),
        "hoverinfo": "name",
    }


def _lines(paths: Sequence[Line], ways: Mapping[str, Line]) -> list[dict]:
    """Return the traces of predicted paths, all in one, and of each least-action path."""
    traces = []
    for inside in (True, False):
        parts = [part for path in paths for part in (_piece(path, inside=inside), np.full((1, 2), np.nan))]
        if parts and np.isfinite(np.concatenate(parts)).any():
            line = {"color": PATH if inside else AXIS, "width": 1.1, "dash": "solid" if inside else "dot"}
            traces.append(
                {"xy": np.concatenate(parts), "mode": "lines", "line": line, "hoverinfo": "skip"}
                | {"name": "predicted paths", "legendgroup": "paths", "showlegend": inside}
            )
    for (name, way), colour in zip(ways.items(), WAYS, strict=False):
        for inside in (True, False):
            xy = _piece(way, inside=inside)
            if not np.isfinite(xy).any():
                continue
            line = {"color": colour, "width": 3.5, "dash": "solid" if inside else "dot"}
            shown = inside or not way.inside.any()
            traces.append(
                {"xy": xy, "mode": "lines", "line": line, "hoverinfo": "name", "name": escaped(name)}
                | {"legendgroup": name, "showlegend": bool(shown)}
            )
    return traces


def _piece(path: Line, *, inside: bool) -> np.ndarray:
    """Return the stretch of a path among measured cells, or away from them; NaN elsewhere."""
    kept = _touching(path.inside if inside else ~path.inside) if not inside else path.inside
    return np.where(kept[:, None], np.asarray(path.xy, float)[:, :2], np.nan)


def _touching(known: np.ndarray) -> np.ndarray:
    """Return what is known and the points next to it, so that stretches meet."""
    return known | np.append(known[1:], False)


def _bands(found: "Landscape") -> np.ndarray:
    """Return the interval of every point of the surface as text, (n_y, n_x)."""
    if found.low is None:
        return np.full(found.height.T.shape, "")
    told = np.full(found.height.shape, "", dtype=object)
    mask = found.mask
    pairs = zip(found.low[mask], found.high[mask], strict=True)
    told[mask] = [f"<br>80 % range {low:.3g} to {high:.3g}" for low, high in pairs]
    return told.T


def _bar(title: str = "height") -> dict:
    return {"title": {"text": escaped(title), "font": {"size": TEXT}}, "thickness": 12, "len": 0.5}


def _legend() -> dict:
    return {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": {"text": ""}}


def _in_space(figure: go.Figure, found: "Landscape", axes: Sequence[str]) -> go.Figure:
    """Name the axes, keep the shape of the map, and leave the camera where the reader has put it."""
    styled(figure, height=HEIGHT)
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "showbackground": False}
    bare |= {"showspikes": False, "linecolor": AXIS}
    names = [*axes[:2], "height"]
    extent = np.array([np.ptp(found.x), np.ptp(found.y)])
    across = extent / extent.max()
    figure.update_layout(
        hovermode="closest",
        legend=_legend(),
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        scene={
            **{
                f"{k}axis": bare | {"title": {"text": escaped(name)}}
                for k, name in zip("xyz", names, strict=True)
            },
            "aspectmode": "manual",
            "aspectratio": {"x": float(across[0]), "y": float(across[1]), "z": RELIEF},
            "camera": _camera(found),
            "uirevision": "kept",
        },
    )
    return figure


def _camera(found: "Landscape") -> dict:
    """Look uphill, a little from the side."""
    x, y = np.meshgrid(found.x, found.y, indexing="ij")
    places = np.column_stack([x[found.mask], y[found.mask]])
    height = found.height[found.mask]
    down = -((height - height.mean()) @ (places - places.mean(axis=0)))
    angle = np.arctan2(down[1], down[0]) + ASIDE
    eye = {"x": EYE * float(np.cos(angle)), "y": EYE * float(np.sin(angle)), "z": ABOVE}
    return {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.1}}
