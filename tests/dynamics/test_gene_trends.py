"""Trends of genes over time against known ones."""

import numpy as np
import pytest
from scipy import sparse

from dynamics.errors import DataError
from dynamics.gene_trends import FEWEST, peaks, smoother, trends


def many_times(rng, *, n_times=41, per_time=60, noise=0.3):
    """Return cells at many times whose one gene follows a sine and whose other a line."""
    times = np.repeat(np.linspace(0, 10, n_times), per_time)
    truth = np.column_stack([np.sin(0.6 * times), 0.3 * times])
    return truth + noise * rng.normal(size=truth.shape), times


def test_a_sine_and_a_line_are_recovered(rng):
    values, times = many_times(rng)
    found = trends(values, times)
    error = found.mean[0] - np.column_stack([np.sin(0.6 * found.times), 0.3 * found.times])
    assert np.abs(error[:, 1]).max() < 0.1
    assert np.abs(error[:, 0]).max() < 0.15
    assert found.drawn == ("all cells",)


def test_few_times_are_joined_by_straight_lines(rng):
    times = np.repeat([0.0, 1.0, 4.0], 40)
    values = rng.normal(size=(120, 3))
    found = trends(values, times, at=np.array([0.0, 0.5, 1.0, 3.0, 4.0]))
    means = np.array([values[times == t].mean(axis=0) for t in (0.0, 1.0, 4.0)])
    expected = [means[0], means[:2].mean(axis=0), means[1], means[1] / 3 + 2 * means[2] / 3, means[2]]
    np.testing.assert_allclose(found.mean[0], expected, atol=1e-12)
    np.testing.assert_allclose(found.at[0], means, atol=1e-12)


@pytest.mark.parametrize("n_times", [3, 30])
def test_lines_stay_lines_whatever_the_gaps_and_the_weights(n_times, rng):
    times = np.sort(rng.uniform(0, 5, n_times))
    at = np.linspace(times[0], times[-1], 50)
    through = smoother(times, rng.uniform(1, 9, n_times), at)
    np.testing.assert_allclose(through.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(through @ (2 - 3 * times), 2 - 3 * at, atol=1e-8)


def test_weights_select_a_branch_and_unknown_fates_count_for_nothing(rng):
    times = np.repeat([0.0, 1.0, 2.0], 200)
    left = rng.random(600) < 0.5
    values = np.where(left, times, -times)[:, None] + 0.01 * rng.normal(size=(600, 1))
    weights = np.column_stack([left, ~left]).astype(float)
    weights[:20] = np.nan
    values[:20] = 1e6
    found = trends(values, times, weights, fates=("left", "right"), at=np.array([2.0]))
    np.testing.assert_allclose(found.mean[:, 0, 0], [2, -2], atol=0.01)


def test_bands_hold_the_mean_as_often_as_they_say(rng):
    times, inside = np.repeat([0.0, 1.0, 2.0], 60), []
    weights = rng.uniform(0, 1, (180, 1))
    for _ in range(60):
        values = times[:, None] + rng.exponential(1.0, (180, 20)) - 1
        found = trends(values, times, weights, fates=("one",), at=np.array([0.5, 1.0, 2.0]))
        truth = np.array([0.5, 1.0, 2.0])[:, None]
        inside.append((found.low[0] <= truth) & (truth <= found.high[0]))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)


def test_members_that_differ_widen_the_band_and_a_new_member_falls_inside(rng):
    times, n = np.repeat([0.0, 1.0], 2000), 4000
    up = np.tile([True, False], n // 2)
    values = up[:, None].astype(float)
    hits = []
    for _ in range(200):
        share = rng.normal(0.5, 0.05, 6)
        members = np.stack([np.where(up, p, 1 - p)[:, None] for p in share])
        found = trends(values, times, members[:5].mean(axis=0), fates=("f",), by_member=members[:5], at=[0.0])
        hits.append(found.low[0, 0, 0] <= share[5] <= found.high[0, 0, 0])
    assert found.n_members == 5
    assert np.mean(hits) == pytest.approx(0.8, abs=0.1)


def test_too_few_cells_are_said_and_not_drawn(rng):
    times = np.repeat([0.0, 1.0], 100)
    weights = np.zeros((200, 2))
    weights[:, 0] = 1
    weights[:5, 1] = weights[-5:, 1] = 1
    found = trends(rng.normal(size=(200, 2)), times, weights, fates=("many", "few*"))
    assert found.drawn == ("many",)
    assert np.isnan(found.mean[1]).all()
    assert "few* (10 effective cells" in found.message
    assert found.effective[1].sum() < FEWEST
    with pytest.raises(DataError, match="no trends on the way to few"):
        peaks(found, "few*")


def test_a_time_without_cells_of_a_fate_is_not_extrapolated_to(rng):
    times = np.repeat([0.0, 1.0, 2.0], 50)
    weights = (times > 0).astype(float)[:, None]
    found = trends(rng.normal(size=(150, 1)), times, weights, fates=("late",))
    assert np.isnan(found.mean[0, found.times < 1]).all()
    assert np.isfinite(found.mean[0, found.times >= 1]).all()
    assert np.isnan(found.at[0, 0]).all()


def test_sparse_and_dense_and_the_order_of_cells_give_the_same(rng):
    values = rng.poisson(0.5, (300, 4)).astype(np.float32)
    times, weights = np.repeat([0.0, 1.0, 2.5], 100), rng.uniform(0, 1, (300, 2))
    order, names = rng.permutation(300), ("a", "b")
    dense = trends(values, times, weights, fates=names)
    for one in (
        trends(sparse.csr_matrix(values), times, weights, fates=names),
        trends(values[order], times[order], weights[order], fates=names),
        trends(values, times, 7 * weights, fates=names),
    ):
        np.testing.assert_allclose(one.mean, dense.mean, atol=1e-6)
        np.testing.assert_allclose(one.high, dense.high, atol=1e-6)


def test_genes_are_ordered_by_their_peak():
    times = np.repeat(np.arange(9.0), 30)
    middle = np.array([6.0, 0.0, 3.0, 8.0])
    values = 2 * np.exp(-((times[:, None] - middle) ** 2) / 4)
    values = np.column_stack([values, np.ones(len(times))])
    found = peaks(trends(values, times), "all cells")
    assert list(found.order) == [1, 2, 0, 3]
    np.testing.assert_allclose(found.peak, [0, 3, 6, 8], atol=0.3)
    assert found.scaled.min() == 0
    assert found.scaled.max() == 1
    assert len(peaks(trends(values, times), "all cells", most=2).order) == 2


def test_shapes_that_do_not_fit_are_told(rng):
    with pytest.raises(DataError, match="a row for each cell"):
        trends(rng.normal(size=(5, 2)), np.zeros(4))
