"""Figures: what they show, names as text, and no torch to draw them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from test_flow import disc, turning

from dynamics.figures import comparison, embedding, training, trends
from dynamics.figures.style import OKABE_ITO, colours_for, escaped, faded
from dynamics.flow import flow_on_grid
from dynamics.streamlines import streamlines
from dynamics.times import TimeAxis
from dynamics.trajectories import Composition, GeneTrends, Trajectories

HOSTILE = '<img src=x onerror="alert(1)">%{y}<a href="https://x.example">b</a> &'


def shown(figure: go.Figure) -> str:
    """Everything in a figure that Plotly draws as text."""
    return json.dumps(figure.to_plotly_json(), default=lambda value: np.asarray(value).tolist())


def smallest_text(figure: go.Figure) -> float:
    sizes = [figure.layout.font.size]
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        sizes += [axis.tickfont.size or 99, axis.title.font.size or 99]
    return min(sizes)


@pytest.fixture
def shares():
    share = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [np.nan] * 3])
    return Composition(np.array([0.0, 1.0, 2.0]), ("HSC", HOSTILE, "never"), share, np.array([9, 4, 0]))


def test_composition_stacks_the_types_that_occur(shares):
    figure = trends.composition(shares, colours={"HSC": "#123456"}, unit="day")
    assert [trace.name for trace in figure.data] == ["HSC", escaped(HOSTILE)]
    np.testing.assert_array_equal(figure.data[0].x, [0, 1])
    np.testing.assert_allclose(figure.data[0].y, [1, 0.5])
    assert figure.data[0].line.color == "#123456"
    assert figure.layout.xaxis.title.text == "time (day)"
    assert smallest_text(figure) >= 12


def test_paths_back_in_time_are_drawn_from_left_to_right(shares):
    back = Composition(
        shares.times[::-1].copy(), shares.names, shares.share[::-1].copy(), shares.n_inside[::-1]
    )
    figure = trends.composition(back)
    assert (np.diff(figure.data[0].x) > 0).all()


def test_no_cells_are_said():
    empty = Composition(np.array([0.0]), ("a",), np.full((1, 1), np.nan), np.zeros(1, int))
    assert "No predicted cell" in shown(trends.composition(empty))
    none = np.full((1, 1), np.nan)
    assert "No predicted cell" in shown(
        trends.gene_trends(GeneTrends(np.zeros(1), ("a",), *[none] * 3, np.ones(1)))
    )


def test_gene_trends_have_a_band_and_thin_lines_for_little_known_genes():
    mean = np.array([[1.0, 2], [2, 3], [np.nan, np.nan]])
    along = GeneTrends(np.arange(3.0), (HOSTILE, "Spi1"), mean, mean - 1, mean + 1, np.array([0.5, 0.01]))
    figure = trends.gene_trends(along, unit="h")
    band, line, _, poor = figure.data
    np.testing.assert_allclose(band.y, [2, 3, 1, 0])
    np.testing.assert_allclose(line.y, [1, 2])
    assert line.line.width > poor.line.width
    assert line.line.dash != poor.line.dash
    assert line.name == escaped(HOSTILE)


@pytest.mark.parametrize(
    ("measured", "spans"),
    [(None, []), ((0.0, 2.0), []), ((0.0, 1.5), [(1.5, 2.0)]), ((0.5, 1.5), [(0.0, 0.5), (1.5, 2.0)])],
)
def test_times_beyond_the_measured_ones_are_shaded_and_named(shares, measured, spans):
    mean = np.ones((3, 1))
    along = GeneTrends(np.arange(3.0), ("Spi1",), mean, mean, mean, np.ones(1))
    for figure in (
        trends.composition(shares, measured=measured),
        trends.gene_trends(along, measured=measured),
    ):
        assert [(one.x0, one.x1) for one in figure.layout.shapes if one.type == "rect"] == spans
        assert shown(figure).count("extrapolated") == len(spans)


def test_loss_shows_the_curve_and_its_mean():
    history = [{"step": k, "loss": 1 / (k + 1)} for k in range(500)] + [{"step": 500, "loss": float("nan")}]
    figure = training.loss(history, reference=1.0)
    raw, mean = figure.data
    assert len(raw.x) == 500
    assert mean.y[-1] == pytest.approx(1 / 490, rel=0.1)
    assert figure.layout.yaxis.type == "log"
    np.testing.assert_allclose(training.loss([3.0, 2.0, 1.0]).data[0].y, [3, 2, 1])
    assert len(training.loss([1.0] * 100_000).data[0].x) <= 2 * training.MOST_POINTS
    assert len(training.loss([]).data) == 0


def test_times_stand_at_their_real_distances():
    axis = TimeAxis((f"E{HOSTILE}", "E8", "E12"), np.array([7.0, 8.0, 12.0]), "day", (100, 5, 300))
    bars = training.times(axis).data[0]
    np.testing.assert_array_equal(bars.x, [7, 8, 12])
    assert bars.marker.pattern.shape == ("", "/", "")
    assert "<img" not in shown(training.times(axis))


def test_names_from_files_are_shown_as_text(shares):
    groups = pd.Series(pd.Categorical([HOSTILE, "b"] * 500))
    figures = [
        trends.composition(shares),
        embedding.cells(disc(1000), colour=groups, axes=(HOSTILE, HOSTILE)),
        embedding.cells(disc(1000), colour=np.arange(1000.0), label=HOSTILE),
    ]
    for figure in figures:
        assert "&lt;img" in shown(figure)
        assert "<img" not in shown(figure)
        assert not any("%{y}<" in (trace.hovertemplate or "") for trace in figure.data)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_the_map_has_streams_and_paths(n_axes):
    xy = disc(5000)
    xy = np.concatenate([xy, 0.3 * xy[:, :1]], axis=1)[:, :n_axes]
    v = np.concatenate([turning(xy), np.zeros((5000, 1))], axis=1)[:, :n_axes]
    figure = embedding.cells(xy, colour=pd.Series(np.where(xy[:, 0] > 0, "right", "left")), faint=True)
    n_cells = len(figure.data)
    embedding.add_streamlines(figure, streamlines(flow_on_grid(xy, v)))
    assert len(figure.data) > n_cells
    path = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 3, n_axes))
    inside = np.ones((5, 3), bool)
    inside[3:, 1] = False
    path[4:, 2] = np.nan
    paths = Trajectories(
        np.arange(5.0), path, inside, np.array([False, False, True]), xy=path.astype(np.float32)
    )
    embedding.add_trajectories(figure, paths)
    solid, dashed, ends = figure.data[-3:]
    assert dashed.line.dash == "dot"
    assert np.isfinite(np.array(dashed.x, float)).sum() == 3
    assert np.isfinite(np.array(solid.x, float)).sum() == 5 + 3 + 4
    assert len(ends.x) == 3
    assert figure.to_html(include_plotlyjs=False)


def test_streams_keep_every_piece_of_every_line():
    xy = disc(5000)
    lines = streamlines(flow_on_grid(xy, turning(xy)))
    figure = embedding.add_streamlines(go.Figure(), lines)
    pieces = [trace for trace in figure.data if trace.mode == "lines"]
    drawn = {tuple(p) for trace in pieces for p in zip(trace.x, trace.y, strict=True) if np.isfinite(p[0])}
    assert drawn == {tuple(point) for point in np.concatenate(lines.lines)}


def test_the_highest_values_are_drawn_on_top_and_missing_ones_in_grey():
    values = np.array([3.0, np.nan, 1.0, 2.0])
    missing, known = embedding.cells(disc(4), colour=values).data
    np.testing.assert_array_equal(known.marker.color, [1, 2, 3])
    assert missing.marker.color == "#bdbdbd"
    assert len(embedding.cells(disc(4), colour=pd.Series([True, False, None, True])).data) == 3
    assert len(embedding.cells(disc(4)).data) == 1


def test_colours_are_the_files_or_safe_ones():
    assert colours_for(["a", "b"], {"b": "#ff0000"}) == [OKABE_ITO[0], "#ff0000"]
    assert len(set(colours_for([str(k) for k in range(28)]))) == 28
    assert len(colours_for([str(k) for k in range(99)])) == 99
    assert faded("#ff0000", 0.5) == "rgba(255, 0, 0, 0.5)"
    assert faded("#f00", 0.5) == "rgba(255, 0, 0, 0.5)"
    assert faded("red", 0.5) == "red"


def test_figures_are_drawn_without_torch():
    code = (
        "import sys; from dynamics.figures import comparison, embedding, training, trends; "
        "from dynamics import flow, streamlines, trajectories, basis; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_angles_are_drawn_by_group_with_names_as_text():
    groups = np.repeat(["a", HOSTILE], 50)
    angle = np.concatenate([np.linspace(0, 20, 50), np.full(50, 80.0)])
    angle[0] = np.nan
    figure = comparison.angles(angle, groups, order=[HOSTILE, "a"], colours={"a": "#123456"})
    first, second = figure.data
    assert first.median == (80.0,)
    assert second.median[0] == pytest.approx(np.median(angle[1:50]))
    assert second.marker.color == "#123456"
    assert tuple(figure.layout.xaxis.range) == (0, 90)
    assert "<img" not in shown(figure)
    assert smallest_text(figure) >= 12
    assert (
        len(comparison.angles(np.ones(60), np.arange(60) // 2, order=[str(k) for k in range(30)]).data) == 20
    )
