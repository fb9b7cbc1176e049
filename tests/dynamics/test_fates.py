"""Fate probabilities, against flows and chains whose fates have a closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from dynamics import absorption, ancestry, fate_tables, fates, terminal
from dynamics.errors import DataError
from dynamics.snapshots import from_arrays
from dynamics.transitions import Transitions, transitions
from tests.dynamics.fields import Function

SIDES = Function(2, lambda t, x: torch.stack([torch.sign(x[:, 0]), torch.zeros(len(x))], dim=1))
"""Cells go left or right, away from the plane x = 0."""


def course(rng, *, n=300, middle=0.3):
    """Cells around x = 0 that go to either side: at time t they are at x + sign(x) t."""
    start = np.column_stack([rng.uniform(-1, 1, n), rng.normal(size=n) * 0.3])
    start[np.abs(start[:, 0]) < middle, 0] += middle * np.sign(start[np.abs(start[:, 0]) < middle, 0])
    side = np.sign(start[:, :1]) * [1.0, 0.0]
    return from_arrays(np.concatenate([start + k * side for k in range(3)]), np.repeat([0.0, 1, 2], n))


def sides(snapshots):
    """The two sides at the last time as terminal states."""
    codes = np.where(snapshots.time_index == 2, (snapshots.states[:, 0] > 0).astype(int), -1)
    return terminal.from_codes(codes, ["left", "right"], source="types")


def walk_of(n, p, *, begin=None):
    """A random walk on a line between two absorbing ends, as the chain inside one last time."""
    within = np.zeros((n, n))
    for k in range(1, n - 1):
        within[k, k + 1], within[k, k - 1] = p, 1 - p
    within[0, 0] = within[-1, -1] = 1
    begin = np.full((1, n), 1 / n) if begin is None else begin
    return Transitions(
        rows=(np.arange(len(begin)), np.arange(len(begin), len(begin) + n)),
        around=(sparse.identity(len(begin), format="csr"), sparse.identity(n, format="csr")),
        landed=(sparse.csr_matrix(begin),),
        within=sparse.csr_matrix(within),
        weights=None,
        off=(np.zeros(len(begin)),),
        n_cells=n + len(begin),
    )


def ends_of(n_cells, n):
    codes = np.full(n_cells, -1)
    codes[n_cells - n], codes[-1] = 0, 1
    return terminal.from_codes(codes, ["ruin", "win"], source="types")


def fork(weights=None, share=0.5):
    """One cell that becomes one of two, each of them a terminal state."""
    return Transitions(
        rows=(np.array([0]), np.array([1, 2])),
        around=(sparse.identity(1, format="csr"), sparse.identity(2, format="csr")),
        landed=(sparse.csr_matrix([[share, 1 - share]]),),
        within=sparse.identity(2, format="csr"),
        weights=weights,
        off=(np.zeros(1),),
        n_cells=3,
        growth="none" if weights is None else "model",
    )


FORK = terminal.from_codes(np.array([-1, 0, 1]), ["a", "b"], source="hand")


@pytest.mark.parametrize("p", [0.5, 0.6])
def test_a_random_walk_ends_as_in_the_gamblers_ruin(p):
    n = 60
    found = absorption.absorbed(walk_of(n, p), ends_of(n + 1, n))
    k = np.arange(n)
    expected = k / (n - 1) if p == 0.5 else (1 - ((1 - p) / p) ** k) / (1 - ((1 - p) / p) ** (n - 1))
    np.testing.assert_allclose(found.probabilities[1:, 1], expected, atol=1e-6)
    assert found.probabilities[0, 1] == pytest.approx(expected.mean(), abs=1e-6)


def test_the_iterative_solution_is_the_direct_one(monkeypatch):
    direct = absorption.absorbed(walk_of(80, 0.55), ends_of(81, 80))
    monkeypatch.setattr(absorption, "DIRECT", 0)
    iterative = absorption.absorbed(walk_of(80, 0.55), ends_of(81, 80))
    np.testing.assert_allclose(iterative.probabilities, direct.probabilities, atol=1e-5)


def test_a_plane_separates_the_fates(rng):
    snapshots = course(rng)
    found = fates.fate_probabilities(snapshots, SIDES, sides(snapshots))
    right = snapshots.states[:, 0] > 0
    assert (found.most_likely == right).all()
    assert found.probabilities.max(axis=1).mean() > 0.97
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert found.low is None
    assert "one training only" in found.message


def test_a_symmetric_fork_is_even():
    np.testing.assert_allclose(absorption.absorbed(fork(), FORK).probabilities[0], [0.5, 0.5])


def test_a_branch_that_doubles_counts_twice():
    """Two branches over two intervals; the cells of one double on the second: 2 to 1."""
    chain = Transitions(
        rows=(np.array([0]), np.array([1, 2]), np.array([3, 4])),
        around=tuple(sparse.identity(n, format="csr") for n in (1, 2, 2)),
        landed=(sparse.csr_matrix([[0.5, 0.5]]), sparse.identity(2, format="csr")),
        within=sparse.identity(2, format="csr"),
        weights=(np.array([1.0]), np.array([2.0, 1.0])),
        off=(np.zeros(1), np.zeros(2)),
        n_cells=5,
        growth="model",
    )
    states = terminal.from_codes(np.array([-1, -1, -1, 0, 1]), ["fast", "slow"], source="hand")
    with_growth = absorption.absorbed(chain, states).probabilities[0]
    np.testing.assert_allclose(with_growth, [2 / 3, 1 / 3])
    plain = absorption.absorbed(chain, states, growth=False).probabilities[0]
    np.testing.assert_allclose(plain, [0.5, 0.5])
    found = fates.Fates(("fast", "slow"), *_filled(with_growth, plain), growth="model")
    assert found.disagreement[0] == pytest.approx(1 / 6)
    assert fates.growth_warning(found) == ""
    np.testing.assert_allclose(ancestry.descendants(chain, [0], at=2).weights, [2 / 3, 1 / 3])
    flows = fate_tables.flows_by_type(
        chain, from_arrays(np.eye(5), [0, 1, 1, 2, 2]), ["s", "f", "o", "f", "o"]
    )
    np.testing.assert_allclose(flows.mass[1][0, 0] / flows.mass[1][1, 1], 2)


def _filled(with_growth, plain):
    one = np.ones(1)
    return with_growth[None], None, None, plain[None], one, 0 * one


def test_growth_warns_where_it_decides():
    plain = np.tile([0.5, 0.5], (40, 1))
    with_growth = plain.copy()
    with_growth[:20] = [0.9, 0.1]
    ones = np.ones(40)
    found = fates.Fates(("a", "b"), with_growth, None, None, plain, ones, 0 * ones, growth="genes")
    text = fates.growth_warning(found, np.repeat(["old", "new"], 20))
    assert "20 of 40 cells (50%)" in text
    assert "old (100%)" in text
    assert "new" not in text


def test_cells_without_a_way_to_a_state_have_no_fates():
    chain = walk_of(10, 0.5)
    cut = chain.within.tolil()
    cut[5, :] = 0
    cut[5, 5] = 1
    chain = replace(chain, within=sparse.csr_matrix(cut))
    codes = np.full(11, -1)
    codes[1], codes[2] = 0, 1
    found = absorption.absorbed(chain, terminal.from_codes(codes, ["a", "b"], source="hand"))
    assert np.isnan(found.probabilities[6:]).all()
    assert (found.reached[6:] == 0).all()
    assert np.isfinite(found.probabilities[0]).all()
    assert 0 < found.reached[0] < 1


def test_one_state_is_too_few(rng):
    snapshots = course(rng, n=20)
    one = terminal.from_codes(np.where(snapshots.time_index == 2, 0, -1), ["all"], source="types")
    with pytest.raises(DataError, match=r"at least two.*“all”"):
        fates.fate_probabilities(snapshots, SIDES, one)


def test_states_away_from_the_last_time_are_refused(rng):
    snapshots = course(rng, n=20)
    codes = np.where(snapshots.time_index == 0, (snapshots.states[:, 0] > 0).astype(int), -1)
    with pytest.raises(DataError, match="No cell of the last time"):
        fates.fate_probabilities(snapshots, SIDES, terminal.from_codes(codes, ["a", "b"], source="hand"))


class Well:
    """dx = −x(x² − 1)/ε dt + g dW on a line: two wells at ±1, with the score of nothing in particular."""

    dim, is_stochastic, sigma = 1, True, 0.4

    def __call__(self, t, x):
        return x - x**3

    def noise(self, t):
        return np.array([self.sigma], np.float32)

    def drifts(self, t, x):
        return x - x**3, torch.zeros_like(x)


def test_draws_of_a_double_well_follow_its_committor():
    """Cells between ±1 end in the right well by ∫ exp(2V/σ²), V = x⁴/4 − x²/2."""
    x = np.repeat(np.linspace(-0.9, 0.9, 13), 60)
    last = np.concatenate([np.full(200, -1.0), np.full(200, 1.0)])
    last = last + np.random.default_rng(1).normal(size=400) * 0.25
    snapshots = from_arrays(np.concatenate([x, last])[:, None], np.repeat([0.0, 4.0], [len(x), 400]))
    codes = np.where(snapshots.time_index == 1, (snapshots.states[:, 0] > 0).astype(int), -1)
    states = terminal.from_codes(codes, ["left", "right"], source="hand")
    found = fates.fate_probabilities(snapshots, Well(), states, draws=10)
    grid = np.linspace(-1, 1, 2001)
    scale = np.exp(2 * (grid**4 / 4 - grid**2 / 2) / Well.sigma**2)
    committor = np.interp(x, grid, np.cumsum(scale) / scale.sum())
    told = found.probabilities[: len(x), 1]
    assert np.abs(told - committor).mean() < 0.05
    assert found.method == "draws"
    assert found.n_draws == 10
    inside = (found.low[: len(x), 1] <= committor) & (committor <= found.high[: len(x), 1])
    assert inside.mean() > 0.7
    again = fates.fate_probabilities(snapshots, Well(), states, draws=10)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


def test_the_interval_of_members_is_students():
    by_member = np.array([[0.4], [0.5], [0.6]])
    low, high = fates.interval(by_member)
    half = 1.885618 * 0.1 * np.sqrt(4 / 3)
    np.testing.assert_allclose([low[0], high[0]], [0.5 - half, 0.5 + half], atol=1e-5)
    assert fates.interval(by_member[:1]) == (None, None)


def test_the_interval_of_draws_is_not_empty_where_all_agree():
    low, high = fates.interval(np.array([[1.0, 0.0]]), n_draws=10)
    assert high[0] == 1
    assert 0.7 < low[0] < 1
    assert low[1] == 0


def test_certainty_is_one_less_the_scaled_entropy():
    p = np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    found = fates.Fates(("a", "b", "c"), p, None, None, None, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(found.certainty, [1, 0, 1 - np.log(2) / np.log(3)], atol=1e-12)


def test_ancestors_come_from_their_side(rng):
    snapshots = course(rng)
    chain = transitions(SIDES, snapshots)
    right = np.flatnonzero((snapshots.time_index == 2) & (snapshots.states[:, 0] > 0))
    kin = ancestry.ancestors(chain, right, at=0)
    assert kin.weights.sum() == pytest.approx(1)
    assert kin.weights[snapshots.states[kin.rows, 0] > 0].sum() > 0.97
    assert kin.low is None
    forward = ancestry.descendants(chain, kin.rows[snapshots.states[kin.rows, 0] < 0], at=2)
    assert forward.weights[snapshots.states[forward.rows, 0] < 0].sum() > 0.97


def test_ancestors_follow_bayes():
    chain = fork(share=0.25)
    chain = replace(
        chain,
        rows=(np.array([0, 1]), np.array([2, 3])),
        around=(sparse.identity(2, format="csr"),) * 2,
        landed=(sparse.csr_matrix([[0.25, 0.75], [0.5, 0.5]]),),
        off=(np.zeros(2),),
        n_cells=4,
        weights=(np.array([2.0, 1.0]),),
    )
    np.testing.assert_allclose(ancestry.ancestors(chain, [2], at=0).weights, [0.5, 0.5])
    plain = ancestry.ancestors([chain, chain], [2], at=0, growth=False)
    np.testing.assert_allclose(plain.weights, [1 / 3, 2 / 3])
    np.testing.assert_allclose(plain.low, plain.weights)


def test_ancestors_at_a_later_time_are_refused(rng):
    snapshots = course(rng, n=20)
    chain = transitions(SIDES, snapshots)
    with pytest.raises(DataError, match="earlier time"):
        ancestry.ancestors(chain, snapshots.rows(1), at=1)
    with pytest.raises(DataError, match="later time"):
        ancestry.descendants(chain, snapshots.rows(1), at=0)
    with pytest.raises(DataError, match="2 times"):
        ancestry.ancestors(chain, np.array([0, 30]), at=0)
    with pytest.raises(DataError, match="No cell"):
        ancestry.ancestors(chain, np.array([], int), at=0)


def test_flows_and_table_by_type(rng):
    snapshots = course(rng)
    chain = transitions(SIDES, snapshots)
    labels = np.where(snapshots.states[:, 0] > 0, "R", "L")
    flows = fate_tables.flows_by_type([chain, chain], snapshots, labels)
    np.testing.assert_allclose(flows.mass.sum(axis=(1, 2)), 1)
    assert flows.mass[:, 0, 1].max() < 0.02
    assert flows.names == ("L", "R")
    found = fates.fate_probabilities(snapshots, SIDES, sides(snapshots))
    table = fate_tables.table_by_type(found, snapshots, labels)
    assert list(table.columns) == ["time", "type", "cells", "without_fate", "left", "right"]
    assert table.query("type == 'R'")["right"].min() > 0.95
    everyone = fate_tables.table_by_type(found, snapshots)
    assert list(everyone["type"]) == ["all cells"] * 3


def test_intervals_are_widened_about_the_mean_and_stay_shares():
    by_member = np.array([[[0.4, 0.6]], [[0.5, 0.5]], [[0.6, 0.4]]])
    low, high = fates.interval(by_member)
    found = fates.Fates(
        names=("a", "b"),
        probabilities=by_member.mean(axis=0),
        low=low,
        high=high,
        without_growth=None,
        reached=np.ones(1),
        unsupported=np.zeros(1),
        by_member=by_member,
    )
    wide = found.widened(1.5)
    expected = fates.interval(by_member, widened=1.5)
    np.testing.assert_allclose([wide.low, wide.high], expected)
    assert wide.widening == 1.5
    np.testing.assert_array_equal(found.widened(100.0).low, [[0.0, 0.0]])
