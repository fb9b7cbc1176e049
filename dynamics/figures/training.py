"""How a model learned, and from how many cells at each time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import OKABE_ITO, escaped, faded, styled, time_title

if TYPE_CHECKING:
    from dynamics.times import TimeAxis

SMOOTHED = 0.04
"""Width of the running mean over the loss, as a share of all steps."""

MOST_POINTS = 2_000


def loss(
    history: Sequence[Mapping[str, float]] | Sequence[float], *, reference: float | None = None
) -> go.Figure:
    """Draw the loss over the training steps, each step faint and their running mean on top.

    Parameters
    ----------
    history
        Mappings with "loss" and perhaps "step", or the losses themselves.
    reference
        Loss of the mean prediction: a model that has learned something is below it.
    """
    steps, values = _curve(history)
    figure = go.Figure()
    if len(values):
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=values,
                mode="lines",
                line={"color": faded(OKABE_ITO[0], 0.3), "width": 1},
                hoverinfo="skip",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=_running_mean(values),
                mode="lines",
                line={"color": OKABE_ITO[0], "width": 2.5},
                hovertemplate="loss %{y:.4g}<extra></extra>",
            )
        )
    if reference is not None:
        figure.add_hline(
            y=reference,
            line={"color": OKABE_ITO[3], "width": 1.2, "dash": "dash"},
            annotation={"text": "predicting the mean", "font": {"size": 12}},
        )
    styled(figure, x="step", y="loss", height=260)
    figure.update_layout(showlegend=False)
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        figure.update_yaxes(type="log")
    return figure


def times(axis: "TimeAxis", *, too_few: int = 20) -> go.Figure:
    """Draw how many cells were measured at each time, at their real distances.

    Times with fewer than `too_few` cells are hatched as well as coloured.
    """
    values, counts = np.asarray(axis.values, float), np.asarray(axis.n_cells)
    few = counts < too_few
    gap = float(np.diff(values).min()) if len(values) > 1 else 1.0
    span = float(values[-1] - values[0]) if len(values) > 1 else 1.0
    figure = go.Figure(
        go.Bar(
            x=values,
            y=counts,
            width=max(0.7 * gap, 0.012 * span),
            marker={
                "color": [OKABE_ITO[3] if is_few else OKABE_ITO[0] for is_few in few],
                "pattern": {"shape": ["/" if is_few else "" for is_few in few]},
            },
            customdata=[[escaped(axis.name(k))] for k in range(len(values))],
            hovertemplate="%{customdata[0]}: %{y:,} cells<extra></extra>",
        )
    )
    styled(figure, x=time_title(axis.unit), y="cells", height=220)
    figure.update_layout(showlegend=False, hovermode="closest")
    if len(values) <= 12:
        figure.update_xaxes(tickvals=values, ticktext=[escaped(label) for label in axis.labels])
    return figure


def _curve(history: Sequence[Mapping[str, float]] | Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and finite losses, at most 2,000 of them."""
    points = [
        (point.get("step") or k, point["loss"]) if isinstance(point, Mapping) else (k, point)
        for k, point in enumerate(history)
        if not isinstance(point, Mapping) or point.get("loss") is not None
    ]
    curve = np.array(points, dtype=float).reshape(-1, 2)
    curve = curve[np.isfinite(curve).all(axis=1)]
    curve = curve[:: max(1, len(curve) // MOST_POINTS)]
    return curve[:, 0], curve[:, 1]


def _running_mean(values: np.ndarray) -> np.ndarray:
    width = max(1, round(SMOOTHED * len(values)))
    window = np.ones(2 * width + 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
