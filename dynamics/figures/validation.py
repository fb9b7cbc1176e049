"""Held-out times, cell types and genes: how much of what could be predicted was."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dynamics.figures.style import AXIS, OKABE_ITO, escaped, named, styled

LINE, COPY, FLOOR = "straight line", "copy of the time before", "noise floor"
SHOWN = (-0.6, 1.25)
"""Ends of the axis of headroom; what lies beyond is drawn at the end, its value is told by hover."""
ROW, HEAD = 24, 90
"""Pixels of one row, and of axis and margins."""
VERDICTS = {
    "better": ("clearly better than a straight line", OKABE_ITO[2], "circle"),
    "no-better": ("no better than a straight line", OKABE_ITO[0], "diamond"),
    "worse": ("worse than copying", OKABE_ITO[3], "x"),
}


def headroom_by_time(
    rows: Sequence[Mapping[str, Any]], line: Mapping[str, float | None], *, unit: str
) -> go.Figure:
    """Draw the headroom of each method at each held-out time, with two standard errors.

    Parameters
    ----------
    rows
        "method", "held_out", "headroom", "headroom_se", as `models.report.to_json` gives them in "times".
    line
        Headroom of the OT midpoint by held-out time; None where there is no motion.
    """
    figure, times = go.Figure(), list(line)
    names = [escaped(time) for time in times]
    known = [(name, line[time]) for name, time in zip(names, times, strict=True) if line[time] is not None]
    figure.add_trace(
        go.Scatter(
            x=[name for name, _ in known],
            y=[_within(value) for _, value in known],
            customdata=[value for _, value in known],
            mode="markers",
            name=LINE,
            marker={"symbol": "line-ew-open", "size": 26, "color": AXIS, "line": {"width": 3}},
            hovertemplate=f"{LINE} %{{customdata:.0%}}<extra></extra>",
        )
    )
    for k, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = [row for row in rows if row["method"] == method and row["headroom"] is not None]
        figure.add_trace(
            go.Scatter(
                x=[escaped(row["held_out"]) for row in mine],
                y=[_within(row["headroom"]) for row in mine],
                error_y={"array": [2 * (row["headroom_se"] or 0) for row in mine], "thickness": 1.5},
                customdata=[row["headroom"] for row in mine],
                mode="markers",
                name=escaped(method),
                marker={"size": 11 if k == 0 else 8, "color": OKABE_ITO[k % len(OKABE_ITO)]},
                hovertemplate=f"{escaped(method)} %{{customdata:.0%}}<extra></extra>",
            )
        )
    styled(figure, x=f"time left out ({escaped(unit)})" if unit else "time left out", height=340)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    _levels(figure, "y")
    figure.update_layout(scattermode="group", hovermode="x unified")
    return figure


def headroom_by_type(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the headroom of one method for each cell type at one held-out time, best first.

    Parameters
    ----------
    rows
        "type", "n_cells", "headroom", "headroom_se", "verdict", "verdict_text".
    """
    told = sorted((row for row in rows if row["headroom"] is not None), key=lambda row: -row["headroom"])
    labels = named([row["type"] for row in told], limit=40)
    figure = go.Figure()
    for verdict, (name, colour, symbol) in VERDICTS.items():
        mine = [row for row in told if row["verdict"] == verdict]
        figure.add_trace(
            go.Scatter(
                x=[_within(row["headroom"]) for row in mine],
                y=[label for label, row in zip(labels, told, strict=True) if row["verdict"] == verdict],
                error_x={"array": [2 * (row["headroom_se"] or 0) for row in mine], "thickness": 1.5},
                mode="markers",
                name=name,
                marker={"size": 10, "color": colour, "symbol": symbol},
                hoverinfo="text",
                hovertext=[
                    f"{escaped(row['verdict_text'])}<br>headroom {row['headroom']:.0%}, "
                    f"{row['n_cells']:,} cells"
                    for row in mine
                ],
                showlegend=bool(mine),
            )
        )
    styled(figure, height=HEAD + ROW * max(len(told), 3))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=labels[::-1])
    _levels(figure, "x")
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return figure


def gene_distances(rows: Sequence[Mapping[str, Any]], *, most: int = 20) -> go.Figure:
    """Draw, for the genes that change most, how far each prediction's values are from the real ones.

    Parameters
    ----------
    rows
        "gene", "model", "copy", "line": W1 over the standard deviation of the gene in the real cells.
    """
    shown = list(rows)[:most]
    names = named([row["gene"] for row in shown], limit=40)
    marks = {
        "copy": (COPY, AXIS, "line-ns-open"),
        "line": (LINE, OKABE_ITO[0], "diamond-open"),
        "model": ("model", OKABE_ITO[3], "circle"),
    }
    figure = go.Figure()
    for key, (name, colour, symbol) in marks.items():
        figure.add_trace(
            go.Scatter(
                x=[row[key] for row in shown],
                y=names,
                mode="markers",
                name=name,
                marker={"size": 10, "color": colour, "symbol": symbol, "line": {"width": 2}},
                hovertemplate=f"{name} %{{x:.2f}}<extra>%{{y}}</extra>",
            )
        )
    styled(
        figure, x="distance to the real values (their standard deviations)", height=HEAD + ROW * len(shown)
    )
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(rangemode="tozero", showgrid=True)
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return figure


def _within(value: float) -> float:
    return min(max(value, SHOWN[0]), SHOWN[1])


def _levels(figure: go.Figure, axis: str) -> None:
    """Mark what copying and the noise floor reach."""
    ticks = {"tickvals": [-0.5, 0, 0.5, 1], "ticktext": ["−50 %", "0 % copy", "50 %", "100 % noise floor"]}
    for level in (0, 1):
        line = {"color": AXIS, "width": 1, "dash": "dash"}
        figure.add_hline(level, line=line) if axis == "y" else figure.add_vline(level, line=line)
    update = figure.update_yaxes if axis == "y" else figure.update_xaxes
    update(range=[SHOWN[0] - 0.05, SHOWN[1] + 0.05], showgrid=True, **ticks)
