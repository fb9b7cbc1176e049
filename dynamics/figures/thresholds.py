"""Quality control as a picture: how counts, genes and mitochondrial share spread, and the limits."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dynamics.quality import QualityMetrics, Thresholds

BARS = 60
KEPT, LOST, LIMIT = "#4c8fa3", "#c9ced1", "#d1622b"


def histograms(found: QualityMetrics, limits: Thresholds, *, kept: np.ndarray) -> go.Figure:
    """Draw one histogram for each measure of quality, its limits as lines, and the removed cells in grey.

    Parameters
    ----------
    kept : (n_cells,) bool
        Cells that pass all limits together.
    """
    panels = [
        ("Counts per cell", found.total, (limits.min_counts, limits.max_counts), True),
        ("Genes per cell", found.n_genes, (limits.min_genes, None), True),
    ]
    if found.mitochondrial is not None:
        panels.append(
            ("Mitochondrial counts (%)", found.mitochondrial, (None, limits.max_mitochondrial), False)
        )
    figure = make_subplots(cols=len(panels), horizontal_spacing=0.06)
    for column, (title, values, ends, is_log) in enumerate(panels, start=1):
        _panel(figure, column, np.asarray(values, float), kept=kept, is_log=is_log)
        figure.update_xaxes(title_text=title, type="log" if is_log else "linear", col=column, showgrid=False)
        if is_log:
            ticks = _ticks(values[values > 0])
            figure.update_xaxes(tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks], col=column)
        for end in ends:
            if end:
                figure.add_vline(x=end, line={"color": LIMIT, "width": 1.5, "dash": "dash"}, col=column)
    figure.update_yaxes(title_text="cells", col=1)
    figure.update_layout(
        barmode="stack", bargap=0, height=240, margin={"l": 50, "r": 10, "t": 10, "b": 45}, showlegend=False
    )
    return figure


def _ticks(values: np.ndarray, *, most: int = 6) -> list[int]:
    """Round numbers (1, 2, 5, 10, …) within the values, few enough to be read."""
    if not len(values):
        return []
    low, high = float(values.min()), float(values.max())
    ticks = [step * 10**power for power in range(8) for step in (1, 2, 5) if low <= step * 10**power <= high]
    return ticks[:: max(1, -(-len(ticks) // most))]


def _panel(figure: go.Figure, column: int, values: np.ndarray, *, kept: np.ndarray, is_log: bool) -> None:
    """Add the bars of one measure, removed cells on top; empty cells have no place on a log axis."""
    seen = values > 0 if is_log else np.isfinite(values)
    if not seen.any():
        return
    low, high = values[seen].min(), values[seen].max()
    high = high if high > low else low + 1
    edges = np.geomspace(low, high, BARS + 1) if is_log else np.linspace(low, high, BARS + 1)
    middle = np.sqrt(edges[1:] * edges[:-1]) if is_log else (edges[1:] + edges[:-1]) / 2
    for mask, colour, word in ((kept, KEPT, "kept"), (~kept, LOST, "removed")):
        n_cells, _ = np.histogram(values[seen & mask], edges)
        hover = "%{y:,} cells " + word + " at %{x:.3s}<extra></extra>"
        bars = go.Bar(x=middle, y=n_cells, width=np.diff(edges), marker_color=colour, hovertemplate=hover)
        bars.marker.line.width = 0
        figure.add_trace(bars, row=1, col=column)
