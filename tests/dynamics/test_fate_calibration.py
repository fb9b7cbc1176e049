"""Reliability of probabilities, and figures of fates."""

import numpy as np
import pytest

from dynamics.fate_calibration import reliability_table
from dynamics.fate_tables import TypeFlows
from dynamics.figures import fates as figures


def test_outcomes_drawn_from_the_probabilities_are_calibrated(rng):
    p = rng.random(40_000)
    found = reliability_table(p, rng.random(40_000) < p)
    assert found.error < 0.02
    np.testing.assert_allclose(found.predicted, found.real, atol=0.03)
    assert found.counts.sum() == 40_000


def test_the_error_of_a_constant_is_how_far_it_is_off():
    found = reliability_table(np.array([0.9, 0.9, 0.9, np.nan]), np.array([1, 0, 0, 1]))
    assert found.error == pytest.approx(0.9 - 1 / 3)
    assert list(found.counts) == [3]


def test_certain_cells_lie_in_the_corners():
    at = figures.corners(4)
    figure = figures.circle(
        np.vstack([np.eye(4), np.full((1, 4), 0.25), np.full((1, 4), np.nan)]), list("abcd")
    )
    cells = figure.data[1]
    np.testing.assert_allclose(np.column_stack([cells.x, cells.y])[:4], at, atol=1e-12)
    np.testing.assert_allclose([cells.x[4], cells.y[4]], 0, atol=1e-12)
    assert len(cells.x) == 5
    assert np.ptp(figures.corners(2)[:, 0]) == pytest.approx(2)


def test_flows_keep_their_mass_and_names_are_text():
    mass = np.array([[[0.5, 0.1], [0.0, 0.4]], [[0.3, 0.3], [0.0, 0.4]]])
    flows = TypeFlows(("d0", "d1", "d2"), ("<b>a", "c"), np.full((3, 2), 0.5), mass, mass, mass)
    sankey = figures.over_time(flows).data[0]
    assert sum(sankey.link.value) == pytest.approx(2)
    assert len(sankey.node.label) == 6
    assert sankey.node.label[0] == "&lt;b&gt;a"
    assert "(10.0% to 10.0%)" in sankey.link.customdata[1]


def test_many_types_become_others():
    mass = np.eye(20)[None] / 20
    flows = TypeFlows(("d0", "d1"), tuple(map(str, range(20))), np.full((2, 20), 0.05), mass)
    sankey = figures.over_time(flows).data[0]
    assert sum(sankey.link.value) == pytest.approx(1)
    assert figures.OTHERS in sankey.node.label


def test_bars_stand_with_growth_above_without():
    figure = figures.by_type([("x", np.array([0.7, 0.3]), np.array([0.5, 0.5]))], ["a", "b"])
    assert list(figure.data[0].x) == [0.7, 0.5]
    assert list(figure.layout.yaxis.ticktext) == ["x, growth", "without"]
    scores = {"model": np.array([0.8]), "ceiling": np.array([0.9]), "chance": np.array([0.5])}
    assert len(figures.clone_scores(scores, ["a"], measure="AUROC", chance=0.5).data) == 3
    assert figures.reliability(*(np.array([0.1, 0.9]) for _ in range(3))).data[1].x[0] == 0.1
