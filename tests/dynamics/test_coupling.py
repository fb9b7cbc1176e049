"""Couplings: marginals, cost, speed, and that the same seed gives the same pairs."""

import time

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dynamics import transport_plans
from dynamics.coupling import COUPLINGS, EXACT_ENTRIES, couple
from dynamics.errors import CouplingError, SettingsError
from dynamics.relaxation import knee

pytestmark = pytest.mark.filterwarnings("error")
BALANCED = [name for name in COUPLINGS if name not in ("unbalanced", "semi-relaxed")]
BY_CHANCE = ("bisection", "independent")


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


@pytest.mark.parametrize("name", BALANCED)
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
    assert (first.cost != other.cost) == (name in BY_CHANCE)


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
    a, b = marginals(coupling)
    np.testing.assert_allclose(np.bincount(i, minlength=40) / 200_000, a, rtol=0.1, atol=1e-3)
    np.testing.assert_allclose(np.bincount(j, minlength=60) / 200_000, b, rtol=0.1, atol=1e-3)
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
    np.testing.assert_array_equal(plain.row_mass, scaled.row_mass)


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


def dense(coupling) -> np.ndarray:
    plan = np.zeros(coupling.sizes)
    np.add.at(plan, (coupling.i, coupling.j), coupling.mass * coupling.weight)
    return plan


SOLVED = [name for name in COUPLINGS if name not in BY_CHANCE]


@pytest.mark.parametrize("name", SOLVED)
def test_the_order_of_cells_does_not_matter(name):
    x0, x1 = branching(90, 120)
    rng = np.random.default_rng(1)
    p0, p1 = rng.permutation(90), rng.permutation(120)
    plain, shuffled = couple(x0, x1, name=name), couple(x0[p0], x1[p1], name=name)
    assert shuffled.cost == pytest.approx(plain.cost, rel=1e-4)
    np.testing.assert_allclose(shuffled.row_mass, plain.row_mass[p0], rtol=1e-3)


@pytest.mark.parametrize("name", SOLVED)
def test_a_common_shift_does_not_matter(name):
    x0, x1 = branching(90, 120)
    plain, moved = couple(x0, x1, name=name), couple(x0 + 5, x1 + 5, name=name)
    np.testing.assert_allclose(dense(moved), dense(plain), atol=1e-6)


@pytest.mark.parametrize("name", BALANCED)
def test_nothing_is_cheaper_than_exact(name):
    x0, x1 = branching(100, 130)
    assert couple(x0, x1, name=name).cost >= couple(x0, x1, name="exact").cost * (1 - 1e-9)


def test_entropic_lies_between_exact_and_independent():
    x0, x1 = branching(60, 80)
    best = couple(x0, x1, name="exact").cost
    costs = [couple(x0, x1, name="entropic", reg=reg).cost for reg in (3e-3, 3e-2, 0.1, 1.0, 1e4)]
    assert (np.diff(costs) > 0).all()
    assert costs[0] == pytest.approx(best, rel=0.03)
    assert costs[-1] == pytest.approx(cdist(x0, x1, "sqeuclidean").mean(), rel=1e-3)
    wide = couple(x0, x1, name="entropic", reg=1e6)
    np.testing.assert_allclose(dense(wide), 1 / (60 * 80), rtol=1e-4)


@pytest.mark.parametrize(("lam_a", "lam_b"), [(np.inf, np.inf), (0.7, 2.0), (1.0, np.inf)])
def test_the_plan_meets_the_conditions_of_its_problem(lam_a, lam_b):
    """At the optimum, π1 = a exp(−f/λ_a) and πᵀ1 = b exp(−g/λ_b)."""
    x0, x1 = branching(40, 55)
    cost = cdist(x0, x1, "sqeuclidean")
    sides = transport_plans.Sides(np.full(40, 1 / 40), np.full(55, 1 / 55), lam_a, lam_b)
    found = transport_plans.solve(cost, sides, reg=0.1, tolerance=1e-10)
    plan = sides.a[:, None] * sides.b * np.exp((found.f[:, None] + found.g - cost) / 0.1)
    np.testing.assert_allclose(plan.sum(axis=1), sides.a * np.exp(-found.f / lam_a), rtol=1e-6)
    np.testing.assert_allclose(plan.sum(axis=0), sides.b * np.exp(-found.g / lam_b), rtol=1e-6)


def test_entropic_agrees_with_a_trusted_solver():
    x0, x1 = branching(40, 50)
    reg = 0.1 * transport_plans.mean_square(x0, x1, centred=True)
    cost = cdist(x0, x1, "sqeuclidean")
    trusted = ot.sinkhorn([], [], cost, reg, stopThr=1e-12, numItermax=20_000)
    np.testing.assert_allclose(dense(couple(x0, x1, name="entropic", reg=0.1)), trusted, atol=1e-7)


def test_unbalanced_agrees_with_a_trusted_solver():
    x0, x1 = branching(40, 50)
    reg = 0.1 * transport_plans.mean_square(x0, x1, centred=True)
    lam = 0.5 * transport_plans.mean_square(x0, x1)
    a, b, cost = np.full(40, 1 / 40), np.full(50, 1 / 50), cdist(x0, x1, "sqeuclidean")
    trusted = ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, reg, lam, reg_type="kl", stopThr=1e-13, numItermax=20_000
    )
    ours = couple(x0, x1, name="unbalanced", reg=0.1, reg_m=0.5)
    np.testing.assert_allclose(dense(ours), trusted, atol=1e-6)
    assert ours.mass == pytest.approx(trusted.sum(), rel=1e-4)


def two_clusters(n: int = 100, *, apart: float = 12.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of `n` cells, of which the second doubles."""
    rng = np.random.default_rng(seed)
    centre = np.array([apart, 0.0])
    x0, x1 = rng.standard_normal((2 * n, 2)), rng.standard_normal((3 * n, 2))
    return x0 + np.repeat([[0, 0], centre], n, axis=0), x1 + np.repeat([[0, 0], centre], [n, 2 * n], axis=0)


def test_semi_relaxed_finds_the_cluster_that_doubles():
    x0, x1 = two_clusters()
    coupling = couple(x0, x1, name="semi-relaxed", reg_m=knee([(x0, x1)]).reg_m)
    assert coupling.row_mass[:100].mean() == pytest.approx(1, rel=0.05)
    assert coupling.row_mass[100:].mean() == pytest.approx(2, rel=0.05)
    np.testing.assert_allclose(coupling.column_mass, 1, rtol=1e-9)
    assert coupling.mass == 300


@pytest.mark.parametrize(("n0", "n1"), [(1, 1), (1, 40), (40, 1), (90, 120), (1100, 1150)])
@pytest.mark.parametrize("total", [None, 77.0])
def test_semi_relaxed_columns_hold_exactly(n0, n1, total):
    coupling = couple(*branching(n0, n1), name="semi-relaxed", total=total)
    mass = n1 if total is None else total
    np.testing.assert_allclose(coupling.column_mass, mass / n1, rtol=1e-9)
    assert coupling.row_mass.sum() == pytest.approx(mass)
    assert (coupling.row_mass > 0).all()
    assert coupling.to_json()["reg_m"] == 1.0


def test_strict_relaxation_is_equal_growth():
    x0, x1 = branching(80, 120)
    strict = couple(x0, x1, name="semi-relaxed", reg_m=1e6)
    np.testing.assert_allclose(strict.row_mass, 1.5, rtol=1e-3)
    assert strict.cost == pytest.approx(couple(x0, x1, name="exact").cost, rel=1e-2)


def test_unbalanced_leaves_out_what_is_far_from_everything():
    x0, x1 = branching(100, 100)
    x0[0] += 100
    coupling = couple(x0, x1, name="unbalanced", reg_m=0.2)
    assert coupling.row_mass[0] < 1e-6
    assert coupling.mass < 1
    assert couple(x0, x1, name="unbalanced", reg_m=1e4).mass == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["entropic", "unbalanced"])
def test_large_snapshots_are_represented_by_drawn_pairs(name, monkeypatch):
    x0, x1 = branching(300, 400)
    whole = couple(x0, x1, name=name)
    monkeypatch.setattr(transport_plans, "DENSE_PAIRS", 1000)
    drawn = couple(x0, x1, name=name)
    assert len(drawn.i) < len(whole.i) / 2
    assert drawn.cost == pytest.approx(whole.cost, rel=0.03)
    np.testing.assert_allclose(drawn.row_mass, whole.row_mass, rtol=1e-3)
    np.testing.assert_allclose(drawn.column_mass, whole.column_mass, rtol=1e-3)
    monkeypatch.setattr(transport_plans, "DENSE_ENTRIES", 20_000)
    sampled = couple(x0, x1, name=name)
    assert sampled.cost == pytest.approx(whole.cost, rel=0.1)
    assert sampled.mass == pytest.approx(whole.mass, rel=0.05)
    assert "41% of the 300 × 400 cells" in sampled.reason.replace("40%", "41%")


def test_given_masses_are_kept_exactly_and_by_bisection():
    x0, x1 = branching(300, 400)
    row_mass = np.random.default_rng(0).uniform(0.2, 3.0, 300)
    exact, fast = (couple(x0, x1, name=name, row_mass=row_mass) for name in ("exact", "bisection"))
    for coupling in (exact, fast):
        np.testing.assert_allclose(coupling.row_mass, row_mass, rtol=1e-3)
        np.testing.assert_allclose(coupling.column_mass, row_mass.sum() / 400, rtol=1e-9)
    assert exact.cost <= fast.cost <= 1.1 * exact.cost


def test_partners_push_and_pull_follow_the_plan():
    x0, x1 = branching(20, 30)
    coupling = couple(x0, x1, name="semi-relaxed")
    plan = dense(coupling)
    w, v = np.random.default_rng(0).random(20), np.random.default_rng(1).random(30)
    np.testing.assert_allclose(coupling.push(w), w @ (plan / plan.sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(coupling.pull(v), (plan / plan.sum(axis=0)) @ v)
    drawn = coupling.partners(np.full(50_000, 7), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=30) / 50_000, plan[7] / plan[7].sum(), atol=0.01)


def test_options_are_checked():
    x = np.random.default_rng(0).standard_normal((6, 2))
    with pytest.raises(SettingsError, match=r"no option reg.*Known: row_mass"):
        couple(x, x, name="exact", reg=1.0)
    with pytest.raises(SettingsError, match="reg_m = 0: expected a number above 0"):
        couple(x, x, name="semi-relaxed", reg_m=0)
    with pytest.raises(CouplingError, match=r"did not converge.*Try a larger one"):
        couple(*branching(80, 90), name="entropic", reg=1e-7)
    with pytest.raises(CouplingError, match="6 positive numbers"):
        couple(x, x, name="exact", row_mass=np.zeros(6))


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("name", COUPLINGS)
def test_cells_that_are_all_the_same_can_be_paired(name, dim):
    coupling = couple(np.zeros((30, dim)), np.zeros((50, dim)), name=name)
    assert coupling.cost == 0
    np.testing.assert_allclose(coupling.row_mass, coupling.mass / 30, rtol=1e-3)


def test_the_knee_is_strict_where_a_single_cloud_moves():
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((300, 3))
    clusters, moving = knee([two_clusters()]), knee([(x0, rng.standard_normal((300, 3)) + 2)])
    assert clusters.reg_m < 1 < 3 < moving.reg_m
    scaled = knee([tuple(1000 * x for x in two_clusters())])
    assert scaled.reg_m == clusters.reg_m
