"""Perturbations: change of fates beside random genes, the dose curve, and the ranking of a screen."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import AXIS, OKABE_ITO, banded, colours_for, escaped, faded, named, styled

if TYPE_CHECKING:
    from dynamics.perturb import Effect
    from dynamics.perturb_null import Null
    from dynamics.screen import Screen

GREY = "#8a8a8a"
MOST_BARS = 25
BAR, HEAD = 22, 90
UP, DOWN = OKABE_ITO[0], OKABE_ITO[3]


def change(found: "Effect", random: "Null | None", *, colours: Mapping[str, str] | None = None) -> go.Figure:
    """Draw the change of each fate with its interval, and grey the range of 8 of 10 random genes."""
    names = named(found.names)
    paint = [
        (colours or {}).get(name, other)
        for name, other in zip(found.names, colours_for(found.names), strict=True)
    ]
    figure = styled(go.Figure(), x="change of probability", height=HEAD + max(54 * len(names), 200))
    if random is not None:
        figure.add_bar(
            y=names,
            x=random.high - random.low,
            base=random.low,
            orientation="h",
            width=0.75,
            marker={"color": faded(GREY, 0.3)},
            name="8 of 10 random genes",
            hovertemplate="%{base:+.1%} to %{x:+.1%}<extra>random genes</extra>",
        )
    figure.add_scatter(
        y=names,
        x=found.change,
        mode="markers",
        marker={"color": paint, "size": 11, "line": {"color": AXIS, "width": 1}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": found.high - found.change,
            "arrayminus": found.change - found.low,
            "color": GREY,
            "thickness": 2,
        },
        customdata=np.column_stack([found.before, found.after]),
        hovertemplate="%{x:+.1%} (%{customdata[0]:.1%} → %{customdata[1]:.1%})<extra>%{y}</extra>",
        name="change, 80 % interval",
    )
    figure.add_vline(x=0, line={"color": AXIS, "width": 1})
    figure.update_xaxes(tickformat="+.0%")
    figure.update_yaxes(type="category")
    figure.update_layout(hovermode="closest", barmode="overlay", margin_t=48)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return figure


def before_after(found: "Effect", *, colours: Mapping[str, str] | None = None) -> go.Figure:
    """Draw where cells end without and with: fates where they are known, else cell types."""
    names, values = found.names, (found.before, found.after)
    if not names:
        names, values = found.types, (found.types_before, found.types_after)
    figure = styled(go.Figure(), y="share", height=HEAD + 200)
    for k, (name, colour) in enumerate(zip(names, colours_for(names, colours), strict=True)):
        shares = [values[0][k], values[1][k]]
        figure.add_bar(
            x=["without", "with"],
            y=shares,
            name=escaped(name),
            marker={"color": colour},
            hovertemplate="%{y:.1%}",
        )
    figure.update_layout(barmode="stack", bargap=0.45)
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    return figure


def dose_curve(
    doses: Sequence[float], effects: "Sequence[Effect]", *, colours: Mapping[str, str] | None = None
) -> go.Figure:
    """Draw the change of each fate over the dose, with the interval as a band; hollow where off the data."""
    names = effects[0].names
    figure = styled(go.Figure(), x="dose", y="change of probability", height=HEAD + 200)
    for k, (name, colour) in enumerate(zip(names, colours_for(names, colours), strict=True)):
        low, middle, high = (
            np.array([getattr(one, part)[k] for one in effects]) for part in ("low", "change", "high")
        )
        band, line = banded(
            np.asarray(doses), (low, middle, high), name=name, group=name, line={"color": colour}
        )
        symbols = ["circle-open" if one.refused else "circle" for one in effects]
        line.update(mode="lines+markers", marker={"symbol": symbols, "size": 9})
        line.hovertemplate = "%{y:+.1%} (%{customdata[0]:+.1%} to %{customdata[1]:+.1%})"
        figure.add_traces([band, line])
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat="+.0%")
    return figure


def ranking(found: "Screen", *, most: int = MOST_BARS) -> go.Figure:
    """Draw the genes with the largest effects, with standard errors; pale where they do not stand out."""
    rows = found.order[:most][::-1]
    figure = styled(go.Figure(), x=f"change of {escaped(found.fate)}", height=HEAD + BAR * max(len(rows), 4))
    colours = [faded(UP if found.effect[k] > 0 else DOWN, 1.0 if found.called[k] else 0.35) for k in rows]
    figure.add_bar(
        y=named([found.genes[k] for k in rows], limit=26),
        x=found.effect[rows],
        orientation="h",
        marker={"color": colours},
        error_x={"type": "data", "array": found.error[rows], "color": GREY, "thickness": 1},
        customdata=np.column_stack([found.q[rows], found.off[rows]]),
        hovertemplate="%{x:+.1%}, q %{customdata[0]:.2g}, off data %{customdata[1]:.0%}<extra>%{y}</extra>",
    )
    figure.update_xaxes(tickformat="+.0%")
    figure.update_yaxes(type="category")
    figure.update_layout(hovermode="closest", showlegend=False)
    return figure
