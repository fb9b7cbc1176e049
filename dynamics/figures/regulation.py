"""Candidate regulation: network, matrix, strength against correlation, and eigenvalues."""

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dynamics.figures.style import AXIS, OKABE_ITO, TEXT, escaped, named, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamics.regulation import Regulation

UP, DOWN = OKABE_ITO[0], OKABE_ITO[3]
SCALE = ((0.0, DOWN), (0.5, "rgba(150, 150, 150, 0.06)"), (1.0, UP))
ROUNDS = 250
MOST_NAMED = 60
NETWORK_HEIGHT, MATRIX_HEIGHT = 560, 480
GAP = 0.045
"""Room left between an edge's end and the middle of its gene, in a picture of width 2."""


def network(found: "Regulation", edges: "Sequence[dict]", *, title: str = "score") -> go.Figure:
    """Draw candidate edges: activators blue and solid with an arrow, repressors orange and dashed.

    Parameters
    ----------
    edges
        Rows of `dynamics.regulators.edges`; widths follow their column `title`.
    """
    names = sorted({row[end] for row in edges for end in ("regulator", "target")})
    figure = styled(go.Figure(), height=NETWORK_HEIGHT)
    if not names:
        figure.add_annotation(
            text="No edge to draw.", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
        return _bare(figure)
    place = dict(zip(names, _layout(names, edges), strict=True))
    largest = max(abs(row[title]) for row in edges) or 1.0
    words = ("candidate activator", "candidate repressor")
    words = words if title == "score" else (f"positive {title}", f"negative {title}")
    for sign, colour, dash, name in ((1, UP, "solid", words[0]), (-1, DOWN, "dash", words[1])):
        rows = [row for row in edges if row[title] * sign > 0]
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="lines", name=name, line={"color": colour, "dash": dash})
        )
        for row in rows:
            width = 0.7 + 2.6 * abs(row[title]) / largest
            _edge(
                figure,
                place[row["regulator"]],
                place[row["target"]],
                width=width,
                colour=colour,
                dash=dash,
                headed=title == "score",
            )
    _hovers(figure, edges, place, title)
    _genes(
        figure, names, place, set(found.regulators) if len(found.regulators) < len(found.targets) else set()
    )
    return _bare(figure)


def matrix(found: "Regulation", table: np.ndarray, *, most: int = 40, label: str = "score") -> go.Figure:
    """Draw a table of regulators (rows) by targets (columns) as colours, the busiest of each.

    Parameters
    ----------
    table : (n_regulators, n_targets)
        Such as the score or the correlation.
    """
    size = np.abs(np.nan_to_num(found.score))
    rows = np.sort(np.argsort(-size.max(axis=1), kind="stable")[:most])
    columns = np.sort(np.argsort(-size.max(axis=0), kind="stable")[:most])
    shown = np.asarray(table, float)[np.ix_(rows, columns)]
    top = float(np.nanquantile(np.abs(shown), 0.99)) if np.isfinite(shown).any() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            x=named([found.targets[k] for k in columns], limit=26),
            y=named([found.regulators[k] for k in rows], limit=26),
            colorscale=[list(part) for part in SCALE],
            zmin=-(top or 1.0),
            zmax=top or 1.0,
            colorbar={"title": {"text": label}, "thickness": 12, "len": 0.8},
            hovertemplate=f"%{{y}} on %{{x}}: {label} %{{z:.3f}}<extra></extra>",
        )
    )
    styled(figure, x="target", y="candidate regulator", height=MATRIX_HEIGHT)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(tickangle=-60, tickfont={"size": 10}, showline=False, type="category")
    figure.update_yaxes(
        autorange="reversed", tickfont={"size": 10}, showgrid=False, showline=False, type="category"
    )
    return figure


def against_correlation(found: "Regulation") -> go.Figure:
    """Draw the score of every edge against the correlation of the two genes."""
    regulator, target = np.nonzero(found.others & np.isfinite(found.score))
    strongest = np.argsort(-found.strength[regulator, target], kind="stable")[:5_000]
    regulator, target = regulator[strongest], target[strongest]
    score, plain = found.score[regulator, target], found.correlation[regulator, target]
    beyond = np.abs(score) > found.chance
    figure = go.Figure()
    for which, colour, symbol, name in (
        (~beyond, "#949494", "circle-open", "within chance"),
        (beyond, UP, "circle", "beyond chance"),
    ):
        text = [
            f"{escaped(found.regulators[r])} → {escaped(found.targets[t])}"
            for r, t in zip(regulator[which], target[which], strict=True)
        ]
        figure.add_trace(
            go.Scattergl(
                x=plain[which],
                y=score[which],
                mode="markers",
                name=name,
                marker={"size": 6, "color": colour, "symbol": symbol, "opacity": 0.7},
                text=text,
                hovertemplate="%{text}<br>correlation %{x:.2f}, score %{y:.3f}<extra></extra>",
            )
        )
    styled(figure, x="correlation", y="score of the model", height=380)
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.08})
    return figure


def eigenvalues(fastest: np.ndarray, turning: np.ndarray, *, unit: str = "") -> go.Figure:
    """Draw at measured cells how fast neighbours part (right) or draw together, and how fast they turn.

    Parameters
    ----------
    fastest, turning : (n,)
        Largest real and imaginary part of the eigenvalues of the Jacobian at each cell.
    """
    per = f" per {escaped(unit)}" if unit and unit != "index" else " per unit of time"
    figure = go.Figure(
        go.Scattergl(
            x=fastest,
            y=turning,
            mode="markers",
            marker={"size": 4, "color": UP, "opacity": 0.35},
            hovertemplate="grows %{x:.2f}, turns %{y:.2f}<extra></extra>",
        )
    )
    styled(figure, x=f"fastest growing direction{per}", y=f"turning (radians{per})", height=340)
    figure.add_vline(0, line={"dash": "dash", "width": 1.5, "color": AXIS})
    figure.update_layout(hovermode="closest", showlegend=False)
    return figure


def _layout(names: list[str], edges: "Sequence[dict]") -> np.ndarray:
    """Place genes by springs along edges and repulsion between all, (n, 2) in [−1, 1]; always the same.

    References
    ----------
    Fruchterman and Reingold, Graph drawing by force-directed placement, Softw. Pract. Exp. 1991.
    """
    n, index = len(names), {name: k for k, name in enumerate(names)}
    pairs = np.array([[index[row["regulator"]], index[row["target"]]] for row in edges])
    _, part = connected_components(coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n)), directed=False)
    angle = 2 * np.pi * np.argsort(np.argsort(part, kind="stable"), kind="stable") / n
    xy = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    near = 2.4 / np.sqrt(n)
    for step in np.linspace(0.15, 0.005, ROUNDS):
        gap = xy[:, None] - xy[None]
        distance = np.maximum(np.linalg.norm(gap, axis=2, keepdims=True), 1e-3)
        push = (gap * (near / distance) ** 2).sum(axis=1) - 3.0 * xy
        pull = xy[pairs[:, 1]] - xy[pairs[:, 0]]
        pull = pull * np.linalg.norm(pull, axis=1, keepdims=True) / near
        np.add.at(push, pairs[:, 0], pull)
        np.add.at(push, pairs[:, 1], -pull)
        length = np.maximum(np.linalg.norm(push, axis=1, keepdims=True), 1e-9)
        xy = xy + push / length * np.minimum(length, step)
    xy = xy - (xy.max(axis=0) + xy.min(axis=0)) / 2
    return xy / np.maximum(np.abs(xy).max(axis=0), 1e-9)


def _edge(
    figure: go.Figure,
    start: np.ndarray,
    end: np.ndarray,
    *,
    width: float,
    colour: str,
    dash: str,
    headed: bool,
) -> None:
    """Draw one edge with a head: an arrow for an activator, a bar-like square head for a repressor."""
    way = end - start
    length = max(float(np.linalg.norm(way)), 1e-9)
    first, last = start + way * GAP / length, end - way * min(GAP / length, 0.4)
    figure.add_trace(
        go.Scatter(
            x=[first[0], last[0]],
            y=[first[1], last[1]],
            mode="lines+markers",
            line={"color": colour, "width": width, "dash": dash},
            marker={
                "symbol": "arrow" if dash == "solid" else "line-ew-open",
                "angleref": "previous",
                "size": [0, 7 + 1.2 * width],
                "angle": 0 if dash == "solid" else 90,
                "color": colour,
                "opacity": [0, float(headed)],
                "line": {"width": 2, "color": colour},
            },
            opacity=0.85,
            hoverinfo="skip",
            showlegend=False,
        )
    )


def _hovers(figure: go.Figure, edges: "Sequence[dict]", place: dict, title: str) -> None:
    """Put what is told of each edge under the pointer, a third of the way from its target."""
    middles = np.array([place[row["regulator"]] / 3 + 2 * place[row["target"]] / 3 for row in edges])
    figure.add_trace(
        go.Scatter(
            x=middles[:, 0],
            y=middles[:, 1],
            mode="markers",
            marker={"size": 14, "color": "rgba(0, 0, 0, 0)"},
            text=[_told(row, title) for row in edges],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )


def _told(row: dict, title: str) -> str:
    name = f"{escaped(row['regulator'])} → {escaped(row['target'])}"
    said = [f"<b>{name}</b>", escaped(row["call"]) if title == "score" else "", f"score {row['score']:.3f}"]
    if row["score_low"] is not None:
        said.append(f"between members {row['score_low']:.3f} to {row['score_high']:.3f}")
        said.append(f"{row['members_agree']:.0%} of the members give this sign")
    said.append(f"correlation {row['correlation']:.2f}")
    said += [f"Jacobian {row['jacobian']:.3g}"] if row["jacobian"] is not None else []
    said += [f"in the prior network: {escaped(row['prior'])}"] if row["prior"] else []
    return "<br>".join(part for part in said if part)


def _genes(figure: go.Figure, names: list[str], place: dict, factors: set[str]) -> None:
    xy = np.array([place[name] for name in names])
    figure.add_trace(
        go.Scatter(
            x=xy[:, 0],
            y=xy[:, 1],
            mode="markers+text" if len(names) <= MOST_NAMED else "markers",
            marker={
                "size": 13,
                "color": ["#E69F00" if name in factors else "#949494" for name in names],
                "line": {"width": 1, "color": AXIS},
            },
            text=[escaped(name, limit=26) for name in names],
            textposition="top center",
            textfont={"size": TEXT - 1},
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )


def _bare(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(visible=False, range=[-1.15, 1.15])
    figure.update_yaxes(visible=False, range=[-1.12, 1.18])
    figure.update_layout(hovermode="closest", legend={"orientation": "h", "y": 1.04}, dragmode="pan")
    return figure
