"""Genes: trends on the way to fates, heat map by peak, driver genes, and phase portraits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import (
    AXIS,
    MISSING,
    OKABE_ITO,
    TEXT,
    banded,
    colours_for,
    escaped,
    faded,
    styled,
    time_title,
)
from dynamics.printable import printable

if TYPE_CHECKING:
    import pandas as pd

    from dynamics.gene_trends import Peaks, Trends
    from dynamics.phase import Portrait

MOST_CELLS = 6_000
ROW, HEAD = 15, 110
NAMED = 6
"""Genes that are named among all, half of them for and half against the fate."""

SCALE = "Viridis"
QUIET = "rgba(127, 127, 127, 0.55)"


def trend(
    along: "Trends",
    k: int,
    *,
    name: str,
    colours: Mapping[str, str] | None = None,
    unit: str = "",
    label: str = "expression (log scale)",
) -> go.Figure:
    """Draw one gene over time on the way to each fate: line, band, and points where cells were measured."""
    figure = go.Figure()
    paint = dict(zip(along.fates, colours_for(list(along.fates), colours), strict=True))
    for fate in along.drawn:
        f = along.fates.index(fate)
        known = np.isfinite(along.mean[f, :, k])
        time, low, mean, high = (
            values[known]
            for values in (along.times, along.low[f, :, k], along.mean[f, :, k], along.high[f, :, k])
        )
        colour = paint[fate]
        line = {"color": colour, "width": 2.2}
        figure.add_traces(
            banded(time, (low, mean, high), name=printable(fate, limit=22), group=fate, line=line)
        )
        figure.add_trace(
            go.Scatter(
                x=along.measured,
                y=along.at[f, :, k],
                mode="markers",
                marker={"size": 6, "color": colour},
                legendgroup=fate,
                showlegend=False,
                hoverinfo="skip",
            )
        )
    styled(figure, x=time_title(unit), y=label, height=290)
    title = {
        "text": f"<b>{escaped(name, limit=40)}</b>",
        "x": 0,
        "xanchor": "left",
        "font": {"size": TEXT + 1},
    }
    figure.update_layout(title=title, margin={"t": 62, "l": 8, "r": 8, "b": 8})
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, showlegend=True)
    return figure


def heat(
    found: "Peaks", times: np.ndarray, names: Sequence[str], *, measured: np.ndarray, unit: str = ""
) -> go.Figure:
    """Draw genes over time, each scaled from its lowest to its highest, the earliest peak at the top.

    Parameters
    ----------
    names
        Of the genes of `found.order`, in its order.
    """
    labels = [escaped(name, limit=18) for name in names]
    known = np.isfinite(found.scaled).all(axis=0)
    told = np.column_stack([found.peak, found.change])
    figure = go.Figure(
        go.Heatmap(
            z=found.scaled[:, known],
            x=times[known],
            y=np.arange(len(labels)),
            customdata=np.repeat(told[:, None], int(known.sum()), axis=1),
            text=np.repeat(np.array([escaped(name) for name in names])[:, None], int(known.sum()), axis=1),
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            colorbar={"title": {"text": "scaled"}, "thickness": 10, "len": 0.6, "tickvals": [0, 1]}
            | {"ticktext": ["lowest", "highest"]},
            hovertemplate="<b>%{text}</b> at %{x:.3g}: %{z:.0%} of its range<br>peak at "
            "%{customdata[0]:.3g}, range %{customdata[1]:.2f}<extra></extra>",
        )
    )
    styled(figure, x=time_title(unit), height=HEAD + ROW * max(len(labels), 4))
    figure.update_yaxes(
        tickvals=np.arange(len(labels)), ticktext=labels, autorange="reversed", showgrid=False
    )
    figure.update_yaxes(tickfont={"size": TEXT - 3})
    inside = measured[(measured >= times[known].min()) & (measured <= times[known].max())]
    figure.update_xaxes(range=[float(times[known].min()), float(times[known].max())])
    for time in inside[1:-1] if len(inside) <= 40 else ():
        figure.add_vline(float(time), line={"color": "rgba(255, 255, 255, 0.6)", "width": 1, "dash": "dot"})
    figure.update_layout(hovermode="closest")
    return figure


def effects(rows: "pd.DataFrame", *, colour: str = OKABE_ITO[0]) -> go.Figure:
    """Draw the effect of genes with its interval, from the top; hollow where it does not hold up."""
    labels = [escaped(name, limit=18) for name in rows["gene"]]
    error = {
        "type": "data",
        "array": rows["high"] - rows["effect"],
        "arrayminus": rows["effect"] - rows["low"],
    }
    error |= {"color": faded(colour, 0.7), "thickness": 1.6, "width": 0}
    fill = [colour if held else "rgba(0, 0, 0, 0)" for held in rows["holds_up"]]
    figure = go.Figure(
        go.Scatter(
            x=rows["effect"],
            y=np.arange(len(labels)),
            error_x=error,
            mode="markers",
            marker={"size": 9, "color": fill, "line": {"color": colour, "width": 1.6}},
            customdata=_told(rows),
            hovertemplate=HOVER,
        )
    )
    styled(figure, x="effect (correlation within times)", height=HEAD + 22 * max(len(labels), 4))
    figure.update_yaxes(tickvals=np.arange(len(labels)), ticktext=labels, autorange="reversed")
    figure.update_xaxes(showgrid=True)
    figure.add_vline(0, line={"color": AXIS, "dash": "dot"})
    figure.update_layout(hovermode="closest", showlegend=False)
    return figure


def overview(rows: "pd.DataFrame", *, colour: str = OKABE_ITO[0]) -> go.Figure:
    """Draw the effect of all genes against their mean expression; grey where they do not hold up."""
    effect = rows["effect"].to_numpy(float)
    held = rows["holds_up"].to_numpy(bool)
    label = np.array([""] * len(rows), dtype=object)
    order = np.argsort(-effect, kind="stable")
    ends = np.unique(np.concatenate([order[: NAMED // 2], order[-NAMED // 2 :]]))
    label[ends] = [escaped(name, limit=14) for name in rows["gene"].to_numpy()[ends]]
    side = np.where(np.arange(len(rows)) % 2 == 0, "middle right", "middle left")
    figure = go.Figure()
    for mine, paint, name in ((~held, MISSING, "does not hold up"), (held, colour, "holds up")):
        if mine.any():
            figure.add_trace(
                go.Scatter(
                    x=rows["mean_expression"][mine],
                    y=effect[mine],
                    mode="markers+text",
                    text=label[mine],
                    textposition=side[mine],
                    textfont={"size": TEXT - 3},
                    marker={"size": 6, "color": paint, "opacity": 0.75},
                    name=name,
                    customdata=_told(rows[mine]),
                    hovertemplate=HOVER.replace("%{x:.2f}", "%{y:.2f}"),
                )
            )
    styled(figure, x="mean expression (log scale)", y="effect", height=HEAD + 22 * 15)
    figure.add_hline(0, line={"color": AXIS, "dash": "dot"})
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"})
    return figure


HOVER = (
    "<b>%{customdata[0]}</b><br>effect %{x:.2f} (%{customdata[1]:.2f} to %{customdata[2]:.2f})<br>"
    "q %{customdata[3]:.2g}, matched null p %{customdata[4]:.2g}<extra></extra>"
)


def portrait(
    found: "Portrait",
    *,
    name: str,
    groups: np.ndarray | None = None,
    order: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
) -> go.Figure:
    """Draw unspliced against spliced molecules of one gene, with the line of no change.

    Parameters
    ----------
    groups : (n,)
        Group of each cell, for its colour.
    order
        Groups to draw, in this order.
    """
    n = len(found.spliced)
    rows = np.arange(n)
    if n > MOST_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(n, MOST_CELLS, replace=False))
    labels = (
        np.repeat("", len(rows)) if groups is None else np.asarray(groups, dtype=object)[rows].astype(str)
    )
    shown = [""] if groups is None else list(order)
    figure = go.Figure()
    paint = [OKABE_ITO[0]] if groups is None else colours_for(shown, colours)
    for group, colour in zip(shown, paint, strict=True):
        mine = rows[labels == group]
        if len(mine):
            figure.add_trace(
                go.Scattergl(
                    x=found.spliced[mine],
                    y=found.unspliced[mine],
                    mode="markers",
                    marker={"size": 4, "color": colour, "opacity": 0.6},
                    name=escaped(group, limit=22),
                    showlegend=bool(group),
                    hovertemplate=f"spliced %{{x:.2f}}, unspliced %{{y:.2f}}<extra>{escaped(group)}</extra>",
                )
            )
    if np.isfinite(found.gamma):
        top = float(found.spliced.max())
        line = {"color": QUIET, "width": 2.5, "dash": "dash"}
        told = f"no change: γ = {found.gamma:.3g}"
        ends = {"x": [0, top], "y": [0, found.gamma * top], "mode": "lines", "line": line, "name": told}
        figure.add_trace(go.Scatter(**ends, hoverinfo="skip"))
    styled(figure, x=f"spliced {escaped(name)}", y=f"unspliced {escaped(name)}", height=420)
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"})
    figure.update_layout(showlegend=True)
    return figure


def _told(rows: "pd.DataFrame") -> np.ndarray:
    names = [escaped(name) for name in rows["gene"]]
    columns = [rows[name].to_numpy(float) for name in ("low", "high", "q", "matched_null_p")]
    return np.array([*zip(names, *columns, strict=True)], dtype=object).reshape(len(rows), 5)
