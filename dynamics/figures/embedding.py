"""The map of the cells as one figure to keep: cells, and over them streamlines or trajectories."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dynamics.figures.style import MISSING, TEXT, colours_for, escaped, styled

if TYPE_CHECKING:
    from dynamics.streamlines import Streamlines
    from dynamics.trajectories import Trajectories

MOST_3D = 100_000
INK = "#1d2a30"
WIDTHS = (0.7, 1.2, 1.8, 2.5)
"""Widths of streamlines in pixels, from the slowest quarter to the fastest."""
FADES = (0.25, 0.6, 1.0)
"""Opacity of streamlines, from little agreement to full."""
AREA = 120_000
"""Sum of the areas of all cells in square pixels, as scanpy has it."""


def cells(
    xy: np.ndarray,
    *,
    colour: pd.Series | np.ndarray | None = None,
    colours: Mapping[str, str] | None = None,
    label: str = "",
    axes: Sequence[str] = ("UMAP1", "UMAP2", "UMAP3"),
    faint: bool = False,
) -> go.Figure:
    """Draw cells on an embedding of two or three axes.

    Parameters
    ----------
    xy : (n, e)
    colour : (n,)
        Groups (categorical or text) or numbers; numbers are drawn in viridis, the highest on top, up to their
        99th percentile.
    colours
        Colour of each group, as in the file; missing ones get a colour-blind-safe one.
    label
        What the colour shows.
    faint
        Draw the cells pale, to see lines over them.
    """
    xy = np.asarray(xy, dtype=float)
    figure = go.Figure()
    opacity = 0.3 if faint else 0.9
    values = (
        None if colour is None else pd.Series(np.asarray(colour) if not hasattr(colour, "dtype") else colour)
    )
    if values is None:
        _add_cells(figure, xy, color=MISSING, opacity=opacity, name="cells")
    elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        _add_values(figure, xy, values.to_numpy(dtype=float), label=label, opacity=opacity)
    else:
        _add_groups(figure, xy, values, colours=colours, opacity=opacity)
    return _framed(figure, xy.shape[1], axes)


def add_streamlines(figure: go.Figure, streams: "Streamlines", *, ink: str = INK) -> go.Figure:
    """Add streamlines: wider where faster, fainter where neighbouring cells disagree, with arrowheads."""
    if not streams.n_lines:
        return figure
    speed, agreement = np.concatenate(streams.speed), np.concatenate(streams.agreement)
    edges = np.quantile(speed, [0.25, 0.5, 0.75])
    pieces: dict[tuple[int, int], list[np.ndarray]] = {}
    for line, fast, agrees in zip(streams.lines, streams.speed, streams.agreement, strict=True):
        key = np.searchsorted(edges, fast) * len(FADES) + np.searchsorted([0.4, 0.75], agrees)
        for start, stop in _runs(key):
            piece = line[start : stop + 1]
            pieces.setdefault(divmod(int(key[start]), len(FADES)), []).append(piece)
    for (width, fade), some in sorted(pieces.items()):
        _add_lines(figure, some, line={"color": ink, "width": WIDTHS[width]}, opacity=FADES[fade])
    if streams.lines[0].shape[1] == 2:
        x, y, dx, dy = streams.arrows.T
        marker = {"symbol": "arrow", "size": 9, "color": ink, "angle": np.degrees(np.arctan2(dx, dy))}
        marker["opacity"] = 0.3 + 0.7 * float(np.mean(agreement))
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", showlegend=False)
        )
    return figure


def add_trajectories(figure: go.Figure, paths: "Trajectories", *, ink: str = INK) -> go.Figure:
    """Add predicted paths: dashed from where they have left the measured cells, with a dot at each end."""
    if paths.xy is None:
        raise ValueError("these trajectories have no places on an embedding")
    inside, outside, ends = [], [], []
    for k in range(paths.n_cells):
        path = paths.xy[np.isfinite(paths.xy[:, k]).all(axis=1), k]
        n_inside = min(int(paths.inside[:, k].sum()), len(path))
        inside.append(path[:n_inside])
        outside.append(path[max(n_inside - 1, 0) :])
        ends.append(path[-1:])
    _add_lines(figure, [p for p in inside if len(p) > 1], line={"color": ink, "width": 1.2}, opacity=0.7)
    dashed = {"color": ink, "width": 1.2, "dash": "dot"}
    _add_lines(figure, [p for p in outside if len(p) > 1], line=dashed, opacity=0.5)
    _trace(figure, np.concatenate(ends), mode="markers", marker={"color": ink, "size": 4})
    return figure


def _framed(figure: go.Figure, n_axes: int, axes: Sequence[str]) -> go.Figure:
    """Leave ticks and grid away, name the axes, and keep the aspect."""
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "showline": False}
    styled(figure, x=escaped(axes[0]), y=escaped(axes[1]), height=650)
    figure.update_layout(hovermode=False, width=800, paper_bgcolor="white", plot_bgcolor="white")
    figure.update_layout(font={"color": INK, "size": TEXT}, legend={"title": {"text": ""}})
    if n_axes == 3:
        names = [{"title": {"text": escaped(name)}} | bare for name in axes]
        for axis in names:
            axis.pop("ticks"), axis.pop("showline")
        figure.update_layout(
            scene={"xaxis": names[0], "yaxis": names[1], "zaxis": names[2], "aspectmode": "data"}
        )
        return figure
    figure.update_xaxes(bare)
    figure.update_yaxes(bare | {"scaleanchor": "x", "scaleratio": 1})
    return figure


def _add_values(figure: go.Figure, xy: np.ndarray, values: np.ndarray, *, label: str, opacity: float) -> None:
    known = np.isfinite(values)
    if (~known).any():
        _add_cells(figure, xy[~known], color=MISSING, opacity=opacity, name="missing")
    if not known.any():
        return
    order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]
    low, high = float(values[known].min()), float(np.quantile(values[known], 0.99))
    scale = {"colorscale": "Viridis", "cmin": low, "cmax": high if high > low else low + 1}
    bar = {"title": {"text": escaped(label), "font": {"size": TEXT}}, "thickness": 12, "len": 0.5}
    _add_cells(figure, xy[order], color=values[order], opacity=opacity, name=label, **scale, colorbar=bar)
    figure.data[-1].showlegend = False


def _add_groups(
    figure: go.Figure,
    xy: np.ndarray,
    values: pd.Series,
    *,
    colours: Mapping[str, str] | None,
    opacity: float,
) -> None:
    groups = pd.Categorical(values)
    names = [str(name) for name in groups.categories]
    size = _size(len(xy))
    if (groups.codes < 0).any():
        _add_cells(figure, xy[groups.codes < 0], color=MISSING, opacity=opacity, name="missing", size=size)
    for k, one in enumerate(colours_for(names, colours)):
        rows = groups.codes == k
        if rows.any():
            _add_cells(figure, xy[rows], color=one, opacity=opacity, name=names[k], size=size)


def _add_cells(
    figure: go.Figure,
    xy: np.ndarray,
    *,
    color: str | np.ndarray,
    opacity: float,
    name: str,
    size: float | None = None,
    **marker: object,
) -> None:
    if xy.shape[1] == 3 and len(xy) > MOST_3D:
        some = np.sort(np.random.default_rng(0).choice(len(xy), MOST_3D, replace=False))
        xy, color = xy[some], color if isinstance(color, str) else color[some]
    size = _size(len(xy)) if size is None else size
    marker |= {"color": color, "size": size, "opacity": opacity, "line": {"width": 0}}
    _trace(figure, xy, mode="markers", marker=marker, name=escaped(name), showlegend=True, gl=True)


def _size(n_cells: int) -> float:
    """Return the diameter of a cell in pixels."""
    return float(np.clip(np.sqrt(AREA / max(n_cells, 1)) / 2, 1.5, 9))


def _runs(key: np.ndarray) -> list[tuple[int, int]]:
    """Return start and stop of stretches of equal keys."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1, [len(key)]])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _add_lines(
    figure: go.Figure, lines: Sequence[np.ndarray], *, line: Mapping[str, object], opacity: float
) -> None:
    """Add many lines as one trace, with gaps between them."""
    if not lines:
        return
    gap = np.full((1, lines[0].shape[1]), np.nan)
    points = np.concatenate([part for one in lines for part in (one, gap)])
    _trace(figure, points, mode="lines", line=dict(line), opacity=opacity, connectgaps=False)


def _trace(figure: go.Figure, points: np.ndarray, *, gl: bool = False, **style: object) -> None:
    style = {"hoverinfo": "skip", "showlegend": False} | style
    if points.shape[1] == 3:
        if "marker" in style:
            style["marker"] = {**style["marker"], "size": max(1.0, style["marker"]["size"] / 2)}
        figure.add_trace(go.Scatter3d(x=points[:, 0], y=points[:, 1], z=points[:, 2], **style))
        return
    kind = go.Scattergl if gl else go.Scatter
    figure.add_trace(kind(x=points[:, 0], y=points[:, 1], **style))
