"""Two models beside each other."""

import numpy as np
import plotly.graph_objects as go

from dynamics.figures.style import OKABE_ITO, colours_for, escaped, named, styled

MOST_GROUPS = 20
ENDS = (30, 60, 90, 180)
"""Ends of the axis, in degrees."""
ROW, HEAD = 26, 90
"""Pixels of one group, and of axis and margins."""


def angles(
    angle: np.ndarray, groups: np.ndarray, *, order: list[str], colours: dict[str, str] | None = None
) -> go.Figure:
    """Draw how far two models point apart in each group of cells: median, quartiles, and the middle 90 %.

    Parameters
    ----------
    angle : (n,)
        Degrees; NaN is left out.
    groups : (n,)
        Group of each cell.
    order
        Groups to draw, from the top; at most 20 are drawn.
    colours
        Colour of each group, as on the map.
    """
    shown = order[:MOST_GROUPS]
    names, told = np.asarray(groups).astype(str), np.isfinite(angle)
    figure, farthest = go.Figure(), 0.0
    paint = colours_for(shown, colours) if colours else [OKABE_ITO[0]] * len(shown)
    for name, told_as, colour in zip(shown, named(shown, limit=40), paint, strict=True):
        values = angle[told & (names == name)]
        low, first, middle, third, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
        farthest = max(farthest, high)
        figure.add_trace(
            go.Box(
                y=[told_as],
                lowerfence=[low],
                q1=[first],
                median=[middle],
                q3=[third],
                upperfence=[high],
                orientation="h",
                marker={"color": colour},
                line={"width": 1.5},
                name=escaped(name),
                hoverinfo="text",
                hovertext=f"{escaped(name)}: median {middle:.0f}°, middle half {first:.0f}° to {third:.0f}°",
            )
        )
    styled(figure, x="angle (degrees)", height=HEAD + ROW * max(len(shown), 2))
    end = next((end for end in ENDS if farthest <= end), ENDS[-1])
    figure.update_xaxes(range=[0, end], dtick=end / 6 if end < 180 else 45, ticksuffix="°", showgrid=True)
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(showlegend=False, hovermode="closest")
    return figure
