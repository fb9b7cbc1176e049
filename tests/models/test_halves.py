"""Random halves of the cells, and their quick pairing."""

import numpy as np
import pytest

from dynamics.coupling import couple
from models import halves
from models.objectives.base import Problem


def problem(rng, *counts, dim=2):
    states = tuple(rng.standard_normal((n, dim)).astype(np.float32) for n in counts)
    prior = tuple(one[:, 0].astype(float) for one in states)
    return Problem(states, np.arange(float(len(counts))), seed=3, prior_growth=prior)


def test_a_half_holds_no_cell_twice_and_keeps_what_belongs_to_it(rng):
    whole = problem(rng, 1, 2, 7, 100)
    half = halves.halved(whole, seed=5)
    assert [len(states) for states in half.states] == [1, 1, 4, 50]
    for states, growth, all_states in zip(half.states, half.prior_growth, whole.states, strict=True):
        assert len(np.unique(states, axis=0)) == len(states)
        assert {tuple(row) for row in states} <= {tuple(row) for row in all_states}
        np.testing.assert_array_equal(growth, states[:, 0].astype(float))
    assert half.seed == 5
    assert half.halved
    assert not whole.halved


def test_halves_vary_as_the_data_do(rng):
    """The mean over a half differs from that over all cells by the variance σ²/n."""
    whole = problem(rng, 400, 2)
    means = [halves.halved(whole, seed=seed).states[0].mean(axis=0) for seed in range(600)]
    off = np.square(np.array(means) - whole.states[0].mean(axis=0)).mean(axis=0)
    np.testing.assert_allclose(off * 400, whole.states[0].var(axis=0), rtol=0.2)


def test_members_have_seeds_of_their_own():
    seeds = {halves.member_seed(seed, member) for seed in range(5) for member in range(32)}
    assert len(seeds) == 5 * 32
    assert halves.member_seed(7, 0) == 7
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    "counts", [(1, 1), (1, 9), (30, 30), (299, 120), (301, 77), (500, 900), (1000, 1000)]
)
def test_every_cell_is_paired_evenly(rng, counts):
    x0, x1 = (rng.standard_normal((n, 3)).astype(np.float32) for n in counts)
    found = halves.paired(x0, x1, seed=0)
    assert found.weight.sum() == pytest.approx(1.0)
    for mass in (found.row_mass, found.column_mass):
        copies = mass * len(found.i)
        np.testing.assert_allclose(copies, np.rint(copies), atol=1e-6)
        assert copies.min() >= 1
        assert copies.max() - copies.min() <= 1 + 1e-6


@pytest.mark.parametrize(("n", "most"), [(250, 1.0 + 1e-9), (700, 1.2)])
def test_the_quick_pairing_comes_near_the_cheapest(rng, n, most):
    x0, x1 = rng.standard_normal((n, 3)), rng.standard_normal((n, 3)) + np.eye(3)[0]
    exact, quick = couple(x0, x1, name="exact"), halves.paired(x0, x1, seed=0)
    assert exact.cost * (1 - 1e-9) <= quick.cost <= most * exact.cost


def test_the_same_seed_gives_the_same_pairs(rng):
    x0, x1 = rng.standard_normal((400, 2)), rng.standard_normal((330, 2))
    first, again, other = (halves.paired(x0, x1, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.j, again.j)
    assert not np.array_equal(first.j, other.j)
