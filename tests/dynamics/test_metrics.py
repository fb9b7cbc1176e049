"""Distances between clouds: closed forms, invariances, refusals."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from dynamics.errors import DataError
from dynamics.metrics import median_distance, mmd, w1, w2


@pytest.fixture
def clouds(rng):
    return rng.standard_normal((60, 3)), rng.standard_normal((45, 3)) + 0.5


@pytest.mark.parametrize("distance", [w1, w2])
def test_a_shifted_cloud_is_as_far_as_the_shift(clouds, distance):
    shift = np.array([3.0, -4.0, 12.0])
    assert distance(clouds[0], clouds[0] + shift) == pytest.approx(13.0)


@pytest.mark.parametrize("distance", [w1, w2, mmd])
def test_distances_are_symmetric_and_vanish_between_equal_clouds(clouds, distance):
    x, y = clouds
    assert distance(x, y) == pytest.approx(distance(y, x))
    assert distance(x, x[::-1]) == pytest.approx(0.0, abs=1e-7)
    assert distance(x, y) > 0.1


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_distances_follow_the_unit(clouds, scale):
    x, y = clouds
    assert w1(scale * x, scale * y) == pytest.approx(scale * w1(x, y))
    assert w2(scale * x, scale * y) == pytest.approx(scale * w2(x, y))
    assert mmd(scale * x, scale * y) == pytest.approx(mmd(x, y))


def test_w1_on_a_line_is_the_area_between_the_distributions(rng):
    x, y = rng.standard_normal(70), 2 * rng.standard_normal(50)
    a, b = rng.random(70), rng.random(50)
    expected = wasserstein_distance(x, y, a, b)
    assert w1(x[:, None], y[:, None], a=a, b=b) == pytest.approx(expected)


def test_w2_between_two_gaussian_clouds_is_that_of_bures(rng):
    """Scaling a cloud by a positive diagonal matrix is its own optimal map."""
    x, factors = rng.standard_normal((200, 2)), np.array([2.0, 0.5])
    expected = np.sqrt((((factors - 1) * x) ** 2).sum(axis=1).mean())
    assert w2(x, factors * x) == pytest.approx(expected)


@pytest.mark.parametrize("distance", [w1, w2, mmd])
def test_a_weight_of_two_is_the_cell_twice(clouds, distance):
    x, y = clouds
    a = np.ones(len(x))
    a[:10] = 2
    twice = np.concatenate([x, x[:10]])
    fixed = {"bandwidth": 1.0} if distance is mmd else {}
    assert distance(x, y, a=a, **fixed) == pytest.approx(distance(twice, y, **fixed))


def test_mmd_is_the_sum_over_all_pairs(clouds):
    x, y = (cloud[:4] for cloud in clouds)
    h = median_distance(x, y)

    def mean(u, v):
        return np.mean([[np.exp(-((p - q) ** 2).sum() / (2 * h**2)) for q in v] for p in u])

    assert mmd(x, y) == pytest.approx(np.sqrt(mean(x, x) + mean(y, y) - 2 * mean(x, y)))


def test_single_and_identical_cells_can_be_compared():
    one, other = np.zeros((1, 2)), np.full((5, 2), 3.0)
    assert w1(one, other) == pytest.approx(np.sqrt(18))
    assert mmd(one, one) == 0
    assert mmd(np.zeros((9, 2)), other[:1]) > 0.5
    assert mmd(np.zeros((9, 2)), other[:1], bandwidth=1e-3) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("x", "y", "weights", "found"),
    [
        (np.zeros((0, 2)), np.zeros((3, 2)), {}, "of shapes"),
        (np.zeros((3, 2)), np.zeros((3, 1)), {}, "one width"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), {}, "missing or infinite"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"a": np.ones(2)}, "weights of 3 cells"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"b": -np.ones(3)}, "at least 0"),
        (np.zeros((40_000, 1)), np.zeros((40_000, 1)), {}, "need 13 GB"),
    ],
)
def test_what_cannot_be_compared_is_refused(x, y, weights, found):
    with pytest.raises(DataError, match=found):
        w1(x, y, **weights)
