"""Fates: cells in the polygon of fates, mass between types over time, fates by type, and reliability."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import AXIS, MISSING, OKABE_ITO, colours_for, escaped, faded, named, styled

if TYPE_CHECKING:
    from dynamics.fate_tables import TypeFlows

MOST_CELLS = 6_000
"""Cells drawn in the circle; of more, some at random."""

MOST_TYPES = 12
"""Types drawn in flows over time; the smallest others are put together."""

THIN = 0.004
"""Flows of a smaller share of an interval's mass are not drawn."""

OTHERS = "other types"
BAR, HEAD = 34, 150


def corners(n: int) -> np.ndarray:
    """Return the corners of the polygon of fates, (n, 2): on the unit circle, the first at the top."""
    angle = np.pi / 2 + 2 * np.pi * np.arange(n) / n + (np.pi / 2 if n == 2 else 0)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def circle(
    probabilities: np.ndarray,
    names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    order: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    height: int = 480,
) -> go.Figure:
    """Draw cells between the corners of a polygon, each at the mean of the corners weighted by its fates.

    Parameters
    ----------
    probabilities : (n, n_fates)
        Rows with NaN are left out. With two fates cells lie on a line; they are then spread across it.
    groups : (n,)
        Group of each cell, for its colour.
    order
        Groups to draw, in this order.
    colours
        Colour of each group.

    References
    ----------
    Velten et al., Human haematopoietic stem cell lineage commitment is a continuous process, Nature Cell
    Biology 2017 (circular projection).
    """
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    if len(rows) > MOST_CELLS:
        rows = np.sort(rng.choice(rows, MOST_CELLS, replace=False))
    at = corners(len(names))
    xy = probabilities[rows] @ at
    if len(names) == 2:
        xy[:, 1] += rng.uniform(-0.25, 0.25, len(xy))
    labels = (
        np.repeat("", len(rows)) if groups is None else np.asarray(groups, dtype=object)[rows].astype(str)
    )
    shown = list(order) if groups is not None else [""]
    figure = go.Figure()
    edge = np.vstack([at, at[:1]])
    figure.add_trace(
        go.Scatter(
            x=edge[:, 0], y=edge[:, 1], mode="lines", line={"color": AXIS}, hoverinfo="skip", showlegend=False
        )
    )
    paint = colours_for(shown, colours) if groups is not None else [OKABE_ITO[0]]
    for name, colour in zip(shown, paint, strict=True):
        mine = labels == name
        if mine.any():
            figure.add_trace(_cells(xy[mine], probabilities[rows[mine]], names, name=name, colour=colour))
    _corner_names(figure, at, names)
    styled(figure, height=height)
    figure.update_xaxes(visible=False, range=[-1.45, 1.45])
    reach = [float(at[:, 1].min()) - 0.3, float(at[:, 1].max()) + 0.3]
    if len(names) == 2:
        reach = [-0.7, 0.7]
    figure.update_yaxes(visible=False, range=reach, scaleanchor="x", constrain="domain")
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 0, "yanchor": "top"})
    return figure


def _cells(
    xy: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, name: str, colour: str
) -> go.Scattergl:
    told = "<br>".join(f"{escaped(fate)} %{{customdata[{k}]:.0%}}" for k, fate in enumerate(names))
    return go.Scattergl(
        x=xy[:, 0],
        y=xy[:, 1],
        mode="markers",
        marker={"size": 4, "color": colour, "opacity": 0.6},
        name=escaped(name),
        showlegend=bool(name),
        customdata=np.round(probabilities, 3),
        hovertemplate=f"{told}<extra>{escaped(name)}</extra>",
    )


def _corner_names(figure: go.Figure, at: np.ndarray, names: Sequence[str]) -> None:
    for (x, y), name in zip(at, names, strict=True):
        side = "left" if x > 0.3 else "right" if x < -0.3 else "center"
        over = "bottom" if y > 0.3 else "top" if y < -0.3 else "middle"
        flat = len(names) == 2
        figure.add_annotation(
            x=1.04 * x,
            y=1.04 * y + (0.34 if flat else 0),
            text=escaped(name, limit=22),
            showarrow=False,
            xanchor="center" if flat else side,
            yanchor="bottom" if flat else over,
        )


def over_time(
    flows: "TypeFlows", *, colours: Mapping[str, str] | None = None, height: int = 440
) -> go.Figure:
    """Draw the mass that goes from type to type over every interval, as a Sankey diagram."""
    names, mass, bands = _largest(flows)
    paint = colours_for(names, colours)
    n = len(names)
    node, link = {"label": [], "color": [], "x": [], "y": [], "hover": []}, {key: [] for key in LINK}
    place: dict[tuple[int, int], int] = {}
    for k, time in enumerate(flows.times):
        size = mass[k].sum(axis=1) if k < len(mass) else mass[-1].sum(axis=0)
        arriving = mass[k - 1].sum(axis=0) if k else size
        height_of, top = np.maximum(size, arriving), 0.0
        for c in np.flatnonzero(height_of > THIN):
            place[k, c] = len(node["label"])
            middle = top + height_of[c] / 2
            top += height_of[c]
            node["label"].append(escaped(names[c], limit=22) if k in (0, len(flows.times) - 1) else "")
            node["color"].append(paint[c])
            node["x"].append(0.001 + 0.998 * k / (len(flows.times) - 1))
            node["y"].append(float(np.clip(middle / max(height_of.sum(), 1e-9), 0.001, 0.999)))
            node["hover"].append(f"{escaped(names[c])}, {escaped(time)}")
    for k, a, b in np.argwhere(mass > THIN):
        if (k, a) in place and (k + 1, b) in place:
            told = "" if bands is None else f" ({bands[0][k, a, b]:.1%} to {bands[1][k, a, b]:.1%})"
            values = (place[k, a], place[k + 1, b], mass[k, a, b], faded(paint[a], 0.35))
            words = f"{escaped(names[a])} → {escaped(names[b])}: {mass[k, a, b]:.1%}{told}"
            for key, value in zip(LINK, (*values, words), strict=True):
                link[key].append(value)
    return _sankey(flows.times, node, link, height=max(height, 60 + 26 * n))


LINK = ("source", "target", "value", "color", "customdata")


def _sankey(times: Sequence[str], node: dict, link: dict, *, height: int) -> go.Figure:
    hover = node.pop("hover")
    figure = go.Figure(
        go.Sankey(
            arrangement="fixed",
            node={**node, "customdata": hover, "pad": 10, "thickness": 14, "line": {"width": 0}}
            | {"hovertemplate": "%{customdata}<extra></extra>"},
            link={**link, "hovertemplate": "%{customdata}<extra></extra>"},
        )
    )
    styled(figure, height=height)
    for k, time in enumerate(times):
        figure.add_annotation(
            x=k / (len(times) - 1),
            y=1.02,
            xref="paper",
            yref="paper",
            text=escaped(time),
            showarrow=False,
            xanchor="left" if k == 0 else "right" if k == len(times) - 1 else "center",
            yanchor="bottom",
        )
    figure.update_layout(margin={"t": 34}, hovermode="closest")
    return figure


def _largest(
    flows: "TypeFlows",
) -> tuple[list[str], np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Return names, mass and interval of the largest types, the others as one (then without interval)."""
    n = len(flows.names)
    if n <= MOST_TYPES:
        bands = None if flows.low is None else (flows.low, flows.high)
        return list(flows.names), flows.mass, bands
    size = flows.mass.sum(axis=(0, 1)) + flows.mass.sum(axis=(0, 2))
    kept = np.sort(np.argsort(-size, kind="stable")[: MOST_TYPES - 1])
    into = np.zeros((n, MOST_TYPES))
    into[:, -1] = 1
    into[kept] = np.eye(MOST_TYPES)[: len(kept)]
    return [*(flows.names[k] for k in kept), OTHERS], into.T @ flows.mass @ into, None


def by_type(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray | None]],
    names: Sequence[str],
    *,
    colours: Mapping[str, str] | None = None,
) -> go.Figure:
    """Draw the mean fates of groups of cells as stacked bars; with growth above, without it below.

    Parameters
    ----------
    rows : (group, fates with growth, fates without or None)
        From the top.
    """
    figure = go.Figure()
    labels = [
        label
        for name, _, plain in rows
        for label in ([escaped(name, limit=26)] if plain is None else _both(name))
    ]
    values = [part for _, grown, plain in rows for part in ([grown] if plain is None else [grown, plain])]
    table = np.array(values, dtype=float).reshape(len(labels), len(names))
    for f, (name, colour) in enumerate(zip(names, colours_for(list(names), colours), strict=True)):
        figure.add_trace(
            go.Bar(
                y=list(range(len(labels))),
                x=table[:, f],
                orientation="h",
                name=escaped(name),
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{escaped(name)} %{{x:.0%}}<extra></extra>",
            )
        )
    styled(figure, x="share of descendants", height=HEAD + BAR * max(len(labels), 2))
    figure.update_layout(barmode="stack", hovermode="closest", bargap=0.3)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"})
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, autorange="reversed", showgrid=False
    )
    return figure


def _both(name: str) -> list[str]:
    return [f"{escaped(name, limit=26)}, growth", "without"]


def reliability(predicted: np.ndarray, real: np.ndarray, counts: np.ndarray) -> go.Figure:
    """Draw how often what was predicted came true, against how likely it was said to be.

    Parameters
    ----------
    predicted, real, counts : (n_bins,)
        Mean prediction, mean truth and number of cells of each bin.
    """
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": AXIS, "dash": "dot"}, hoverinfo="skip")
    )
    size = 6 + 14 * np.sqrt(counts / max(counts.max(), 1))
    figure.add_trace(
        go.Scatter(
            x=predicted,
            y=real,
            mode="lines+markers",
            marker={"size": size, "color": OKABE_ITO[0]},
            line={"color": faded(OKABE_ITO[0], 0.5)},
            customdata=counts,
            hovertemplate="said %{x:.0%}, was %{y:.0%} (%{customdata:,} cells)<extra></extra>",
        )
    )
    styled(figure, x="predicted probability", y="share that came true", height=340)
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(range=[0, 1], tickformat=".0%", showgrid=True)
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def clone_scores(
    values: Mapping[str, np.ndarray], names: Sequence[str], *, measure: str, chance: float | None = None
) -> go.Figure:
    """Draw a score of each fate by the model, beside the ceiling of the clones and chance."""
    figure = go.Figure()
    paint = {"model": OKABE_ITO[0], "ceiling": OKABE_ITO[2], "chance": MISSING}
    for kind, scores in values.items():
        figure.add_trace(
            go.Bar(
                x=named(names, limit=22),
                y=scores,
                name=kind,
                marker={"color": paint[kind]},
                hovertemplate=f"{kind} %{{y:.2f}}<extra></extra>",
            )
        )
    styled(figure, y=measure, height=300)
    figure.update_xaxes(type="category")
    figure.update_layout(barmode="group", hovermode="closest")
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"})
    if chance is not None:
        figure.add_hline(y=chance, line={"color": AXIS, "dash": "dot"})
    return figure
