"""Figures of candidate regulation: what is drawn, and names from files as plain text."""

import numpy as np
import pytest

from dynamics import regulators
from dynamics.figures import regulation as figures
from dynamics.regulation import Regulation


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    names = ("<b>A", "B", "C", "D")
    tables = {
        name: rng.normal(size=(4, 4)).astype(np.float32)
        for name in ("score", "low", "high", "agree", "effect", "correlation", "partial")
    }
    for table in tables.values():
        np.fill_diagonal(table, np.nan)
    return Regulation(
        names, names, **tables, prior=np.zeros((4, 4), np.int8), chance=0.5, n_cells=50, n_members=2
    )


def test_each_edge_is_drawn_in_the_way_of_its_sign(found):
    rows = regulators.edges(found)
    drawn = figures.network(found, rows)
    lines = [one for one in drawn.data if one.mode == "lines+markers"]
    assert len(lines) == len(rows) == 12
    for line, row in zip(lines, [r for s in (1, -1) for r in rows if r["score"] * s > 0], strict=True):
        assert (line.line.dash, line.line.color) == (
            ("solid", figures.UP) if row["score"] > 0 else ("dash", figures.DOWN)
        )
    widths = [line.line.width for line in lines]
    assert max(widths) == widths[0] or max(widths) == widths[sum(r["score"] > 0 for r in rows)]


def test_names_are_text_and_the_picture_is_always_the_same(found):
    rows = regulators.edges(found)
    drawn = figures.network(found, rows)
    text = drawn.to_json()
    assert "<b>A →" not in text
    assert "\\u003cb\\u003eA" not in text.replace("\\u003cb\\u003e\\u0026lt;", "")
    assert text == figures.network(found, rows).to_json()


def test_matrix_scatter_and_eigenvalues_are_drawn(found):
    assert figures.matrix(found, found.score).data[0].z.shape == (4, 4)
    scatter = figures.against_correlation(found)
    assert sum(len(one.x) for one in scatter.data) == 12
    assert len(figures.eigenvalues(np.zeros(5), np.ones(5), unit="day").data[0].x) == 5
    assert figures.network(found, []).layout.annotations[0].text == "No edge to draw."
