"""Couplings: marginals, cost, speed, and that the same seed gives the same pairs."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dynamics.coupling import COUPLINGS, EXACT_ENTRIES, couple
from dynamics.errors import CouplingError, SettingsError

pytestmark = pytest.mark.filterwarnings("error")


def branching(n0: int, n1: int, dim: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One anisotropic cloud, and a later one that split in two and moved on."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.arange(1, dim + 1) ** 0.7
    side = rng.choice([-0.8, 0.8], (n1, 1))
    x0 = rng.standard_normal((n0, dim)) * spread
    return x0, rng.standard_normal((n1, dim)) * spread + (side + 0.5) * spread


def marginals(coupling) -> tuple[np.ndarray, np.ndarray]:
    return tuple(
        np.bincount(rows, coupling.weight, minlength=n)
        for rows, n in zip((coupling.i, coupling.j), coupling.sizes, strict=True)
    )


@pytest.mark.parametrize("name", COUPLINGS)
@settings(deadline=None, max_examples=15)
@given(n0=st.integers(1, 300), n1=st.integers(1, 300), dim=st.integers(1, 20))
def test_every_cell_has_the_same_weight(name, n0, n1, dim):
    coupling = couple(*branching(n0, n1, dim), name=name)
    a, b = marginals(coupling)
    np.testing.assert_allclose(a, 1 / n0, rtol=1e-9)
    np.testing.assert_allclose(b, 1 / n1, rtol=1e-9)
    assert coupling.marginal_error < 1e-9
    assert (coupling.weight > 0).all()


@pytest.mark.parametrize("name", COUPLINGS)
def test_the_same_seed_gives_the_same_pairs(name):
    x0, x1 = branching(700, 900)
    first, second, other = (couple(x0, x1, name=name, seed=seed) for seed in (3, 3, 4))
    for attribute in ("i", "j", "weight"):
        np.testing.assert_array_equal(getattr(first, attribute), getattr(second, attribute))
    assert first.cost == second.cost
    if not first.exact:
        assert first.cost != other.cost


@pytest.mark.parametrize("name", COUPLINGS)
def test_cost_and_diagnostics_say_what_the_pairs_are(name):
    x0, x1 = branching(130, 170)
    coupling = couple(x0, x1, name=name)
    cost = coupling.weight @ ((x0[coupling.i] - x1[coupling.j]) ** 2).sum(axis=1)
    assert coupling.cost == pytest.approx(cost, rel=1e-12)
    assert coupling.to_json()["cells"] == [130, 170]
    assert coupling.reason


@pytest.mark.parametrize("name", COUPLINGS)
def test_draws_follow_the_weights(name):
    coupling = couple(*branching(40, 60), name=name)
    i, j = coupling.sample(200_000, np.random.default_rng(0))
    assert i.dtype == j.dtype == np.int64
    np.testing.assert_allclose(np.bincount(i, minlength=40) / 200_000, 1 / 40, rtol=0.1)
    np.testing.assert_allclose(np.bincount(j, minlength=60) / 200_000, 1 / 60, rtol=0.1)
    pairs = set(zip(coupling.i, coupling.j, strict=True))
    assert set(zip(i[:1000], j[:1000], strict=True)) <= pairs


def test_exact_is_the_cheapest_assignment():
    x0, x1 = branching(200, 200)
    cost = cdist(x0, x1, "sqeuclidean")
    assert couple(x0, x1, name="exact").cost == pytest.approx(
        cost[linear_sum_assignment(cost)].mean(), rel=1e-9
    )


@pytest.mark.parametrize("name", ["exact", "bisection"])
def test_a_shifted_cloud_is_paired_with_itself(name):
    x0 = np.random.default_rng(0).standard_normal((500, 3))
    coupling = couple(x0, x0 + 7.0, name=name)
    assert coupling.cost == pytest.approx(3 * 49.0, rel=1e-3)


@pytest.mark.parametrize(
    ("n0", "n1", "dim", "excess"), [(2000, 2000, 5, 0.03), (1300, 2100, 5, 0.04), (1500, 1500, 2, 0.01)]
)
def test_bisection_costs_little_more_than_exact(n0, n1, dim, excess):
    x0, x1 = branching(n0, n1, dim)
    fast, best = (couple(x0, x1, name=name).cost for name in ("bisection", "exact"))
    assert best * (1 - 1e-9) <= fast <= best * (1 + excess)


def test_bisection_in_high_dimension_pairs_on_leading_components_and_says_so():
    x0, x1 = branching(600, 700, 50)
    fast, best, chance = (couple(x0, x1, name=name) for name in ("bisection", "exact", "independent"))
    assert "15 components" in fast.reason
    assert fast.cost < best.cost + 0.15 * (chance.cost - best.cost)


def test_bisection_is_nearly_linear():
    def seconds(n: int) -> float:
        clouds = branching(n, n)
        began = time.process_time()
        couple(*clouds, name="bisection")
        return time.process_time() - began

    seconds(500)
    assert seconds(4000) < 12 * seconds(1000)


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**10])
@pytest.mark.parametrize("name", COUPLINGS)
def test_pairs_do_not_depend_on_scale(name, scale):
    x0, x1 = branching(300, 350)
    plain, scaled = couple(x0, x1, name=name), couple(scale * x0, scale * x1, name=name)
    np.testing.assert_array_equal(plain.i, scaled.i)
    np.testing.assert_array_equal(plain.j, scaled.j)
    assert scaled.cost == pytest.approx(scale**2 * plain.cost, rel=1e-9)


def test_auto_is_exact_when_small_and_says_why():
    small, large = couple(*branching(50, 60)), couple(*branching(1200, EXACT_ENTRIES // 1200 + 1))
    assert small.exact
    assert not large.exact
    assert large.name == "bisection"
    assert "1,200" in large.reason


@pytest.mark.parametrize("dim", [1, 3])
def test_identical_cells_are_paired_at_no_cost(dim):
    coupling = couple(np.zeros((900, dim)), np.zeros((700, dim)), name="bisection")
    assert coupling.cost == 0
    assert coupling.marginal_error < 1e-9


def test_what_cannot_be_paired_is_refused_in_words():
    x = np.zeros((5, 2))
    with pytest.raises(SettingsError, match="Known: auto, exact"):
        couple(x, x, name="magic")
    with pytest.raises(CouplingError, match=r"\(5, 2\) and \(0, 2\)"):
        couple(x, x[:0])
    with pytest.raises(CouplingError, match="one width"):
        couple(x, x[:, :1])
    with pytest.raises(CouplingError, match="1 of 10 cells have missing"):
        couple(x, np.where(np.arange(10).reshape(5, 2) == 3, np.nan, x))
    with pytest.raises(CouplingError, match=r"needs 24 GB.*bisection"):
        couple(np.zeros((31_623, 1)), np.zeros((31_623, 1)), name="exact")
