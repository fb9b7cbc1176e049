"""Figures of a landscape: what lies on the surface, names from files as text, and dashes off the data."""

import numpy as np
import pandas as pd
import pytest

from dynamics.figures.landscape import Line, contours, genes, profile, relief
from dynamics.landscape import landscape
from tests.dynamics.test_landscape import Bowl, Several, cells


@pytest.fixture(scope="module")
def ground():
    shots = cells()
    return landscape(Several(), shots, shots.states)


def way():
    xy = np.column_stack([np.linspace(-1, 1, 9), np.zeros(9)])
    return Line(xy, np.arange(9) < 6)


@pytest.mark.parametrize("draw", [relief, contours])
def test_cells_and_paths_lie_on_the_surface_under_their_names(ground, draw):
    groups = pd.Series(pd.Categorical(np.where(ground.xy[:, 0] > 0, "<b>up</b>", "down")))
    figure = draw(ground, groups=groups, colours={"down": "#123456"}, paths=[way()], ways={"a → b": way()})
    names = [trace.name for trace in figure.data]
    assert {"&lt;b&gt;up&lt;/b&gt;", "down", "predicted paths", "a → b"} <= set(names)
    assert figure.data[names.index("down")].marker.color == "#123456"
    dashes = [trace.line.dash for trace in figure.data if trace.name == "a → b"]
    assert dashes == ["solid", "dot"]
    assert not figure.data[0].showscale
    assert any("80 % range" in text for text in np.ravel(figure.data[0].customdata))


def test_in_space_a_path_has_the_height_of_the_surface(ground):
    figure = relief(ground, ways={"a → b": way()})
    drawn = next(trace for trace in figure.data if trace.name == "a → b")
    lift = np.nanmax(ground.height) - np.nanmin(ground.height)
    known = np.isfinite(drawn.z)
    np.testing.assert_allclose(drawn.z[known], ground.at(way().xy)[known], atol=0.02 * lift)
    assert figure.data[0].showscale  # without cells the surface has the colours


def test_values_colour_cells_and_missing_ones_are_grey(ground):
    values = pd.Series(ground.xy[:, 0].copy())
    values[:5] = np.nan
    figure = contours(ground, groups=values, label="Gene <1>")
    assert figure.data[1].marker.colorbar.title.text == "Gene &lt;1&gt;"
    assert len(figure.data[2].x) == 5


def test_one_looks_uphill():
    shots = cells(n=600)
    tilted = type(shots)(shots.states + np.array([3, 0], np.float32), *_rest(shots))
    ground = landscape(Bowl((1.0, 1.0)), tilted, tilted.states)  # down is towards smaller x
    eye = relief(ground).layout.scene.camera.eye
    assert eye.x < 0
    assert eye.z > 0


def _rest(shots):
    return shots.time_index, shots.axis, shots.cells


def test_profiles_are_dotted_where_nothing_was_measured():
    along = np.linspace(0, 1, 9)
    figure = profile({"a → b": (along, along**2, np.arange(9) < 6)}, y="height")
    assert [trace.line.dash for trace in figure.data] == ["solid", "dot"]
    assert len(genes(along, np.ones((9, 2)), ("A", "B")).data) == 2
