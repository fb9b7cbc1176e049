"""What predicted cells become, and their genes, over time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import AXIS, DASHES, banded, colours_for, escaped, faded, styled, time_title
from dynamics.trajectories import beyond

if TYPE_CHECKING:
    from dynamics.trajectories import Composition, GeneTrends

VISIBLE = 0.002
"""Types that never have a larger share are not drawn."""

BEYOND = "rgba(127, 127, 127, 0.22)"
"""Colour of times beyond the measured ones."""

KNOWN = 0.1
"""Genes of which the states hold a smaller share of the variance are drawn thin."""


def composition(
    shares: "Composition",
    *,
    colours: Mapping[str, str] | None = None,
    unit: str = "",
    measured: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the share of each cell type over time as stacked areas.

    Parameters
    ----------
    colours
        Colour of each type by name; those that are missing get one of a colour-blind-safe palette.
    unit
        Of the times.
    measured
        First and last measured time, where known: what lies beyond is marked as extrapolated.
    """
    drawn = np.flatnonzero(shares.n_inside > 0)
    drawn = drawn[np.argsort(shares.times[drawn])]
    figure = go.Figure()
    for k, colour in enumerate(colours_for(shares.names, colours)):
        share = shares.share[drawn, k]
        if not len(share) or share.max() < VISIBLE:
            continue
        figure.add_trace(
            go.Scatter(
                x=shares.times[drawn],
                y=share,
                name=escaped(shares.names[k]),
                stackgroup="types",
                mode="lines",
                line={"width": 0.8, "color": colour},
                fillcolor=faded(colour, 0.75),
                hovertemplate="%{y:.0%}",
            )
        )
    styled(figure, x=time_title(unit), y="share of predicted cells")
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    figure.update_layout(showlegend=True, legend_traceorder="reversed")
    _mark_beyond(figure, shares.times, measured)
    if not len(drawn):
        _say(figure, "No predicted cell is among measured cells.")
    return figure


def gene_trends(
    along: "GeneTrends", *, unit: str = "", measured: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the mean of each gene over the predicted cells, and the band that holds the middle 80 % of them.

    Genes are told apart by colour and by the dashes of their line; those of which the states know little are
    drawn thin. Times beyond the measured ones are marked as extrapolated.
    """
    drawn = np.flatnonzero(np.isfinite(along.mean).all(axis=1))
    drawn = drawn[np.argsort(along.times[drawn])]
    time = along.times[drawn]
    figure = go.Figure()
    for k, colour in enumerate(colours_for(along.genes)):
        low, mean, high = (values[drawn, k] for values in (along.low, along.mean, along.high))
        line = {"color": colour, "width": 2.5 if along.r2[k] >= KNOWN else 1.2, "dash": _dash(k)}
        traces = banded(time, (low, mean, high), name=along.genes[k], group=f"gene{k}", line=line)
        figure.add_traces(traces)
    styled(figure, x=time_title(unit), y="expression (log scale)")
    figure.update_layout(showlegend=True)
    _mark_beyond(figure, along.times, measured)
    if not len(drawn):
        _say(figure, "No predicted cell is among measured cells.")
    return figure


def _mark_beyond(figure: go.Figure, times: np.ndarray, measured: tuple[float, float] | None) -> None:
    """Shade the times before the first and after the last measured one."""
    if measured is None or not beyond(times, measured).any():
        return
    spans = [(float(times.min()), measured[0]), (measured[1], float(times.max()))]
    for low, high in spans:
        if high > low:
            figure.add_vrect(low, high, fillcolor=BEYOND, line_width=0)
            edge = measured[0] if high == measured[0] else measured[1]
            figure.add_vline(edge, line={"dash": "dash", "width": 1.5, "color": AXIS})
            figure.add_annotation(
                text="extrapolated", x=(low + high) / 2, y=1, yref="paper", yanchor="bottom", showarrow=False
            )


def _dash(k: int) -> str:
    return DASHES[k % len(DASHES)]


def _say(figure: go.Figure, text: str) -> None:
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
