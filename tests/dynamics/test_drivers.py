"""Driver genes: planted ones, nulls, and what time alone must not do."""

import numpy as np
import pytest
from scipy import sparse, stats

from dynamics.driver_contrasts import ALL, drivers_of, share_between
from dynamics.drivers import drivers, false_discovery_rate, ranked, table
from dynamics.errors import DataError, SettingsError


def course(rng, *, n=600, n_genes=60, effect=0.0):
    """Return expression, fates (n, 2) and times; the first gene goes with the first fate."""
    times = np.repeat([0.0, 1.0, 2.0], n // 3)
    p = rng.beta(1, 1, n)
    values = rng.poisson(np.exp(rng.normal(-0.5, 1, n_genes)), (n, n_genes)).astype(float)
    values[:, 0] += effect * p
    return values, np.column_stack([p, 1 - p]), times


def told(values, fates, times, **kwargs):
    names = [f"g{k}" for k in range(values.shape[1])]
    return drivers(values, fates, times, genes=names, fates=("a", "b"), **kwargs)


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_a_planted_driver_is_first_and_the_other_fate_has_it_last(rng, method):
    found = told(*course(rng, effect=3.0), method=method)
    assert found.top("a", 1) == [0]
    assert found.called[0, 0]
    assert found.null_p[0, 0] < 0.01
    np.testing.assert_allclose(found.effect[1], -found.effect[0], atol=1e-9)
    assert (found.low <= found.effect).all()
    assert (found.effect <= found.high).all()


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_at_one_time_it_is_the_plain_correlation(rng, method):
    values, fates, times = course(rng, effect=1.0)
    found = told(values, fates, 0 * times, method=method, draws=0)
    plain = stats.spearmanr if method == "spearman" else stats.pearsonr
    for k in (0, 7):
        r, p = plain(values[:, k], fates[:, 0])
        assert found.effect[0, k] == pytest.approx(r, abs=1e-6)
        assert found.p[0, k] == pytest.approx(p, rel=0.02, abs=1e-9)
    assert np.isnan(found.null_p).all()


def test_genes_that_only_change_with_time_are_no_drivers(rng):
    times = np.repeat([0.0, 1.0, 2.0], 400)
    p = np.clip(0.2 + 0.3 * times + rng.uniform(-0.1, 0.1, 1200), 0, 1)
    values = 5 * times[:, None] + rng.normal(size=(1200, 200))
    found = told(values, np.column_stack([p, 1 - p]), times, method="pearson")
    naive = np.corrcoef(values[:, 0], p)[0, 1]
    assert naive > 0.9
    assert np.abs(found.effect).max() < 0.15
    assert (found.q < 0.05).mean() < 0.02
    assert stats.kstest(found.null_p[0], "uniform").pvalue > 0.001


def test_null_genes_have_uniform_p_values_and_the_discovery_rate_is_controlled(rng):
    values, fates, times = course(rng, n=300, n_genes=500)
    values[:, :25] += 4 * fates[:, :1]
    found = told(values, fates, times)
    null = slice(25, None)
    assert stats.kstest(found.p[0, null], "uniform").pvalue > 0.01
    assert stats.kstest(found.null_p[0, null], "uniform").pvalue > 0.01
    hits = found.q[0] < 0.05
    assert hits[:25].all()
    assert hits[null].sum() / hits.sum() < 0.15


def test_intervals_hold_the_correlation(rng):
    inside = []
    for _ in range(120):
        x = rng.normal(size=(200, 1))
        y = 0.5 * x[:, 0] + np.sqrt(0.75) * rng.normal(size=200)
        found = told(x, np.column_stack([y, -y]), np.zeros(200), method="pearson", draws=0)
        inside.append(found.low[0, 0] <= 0.5 <= found.high[0, 0])
    assert np.mean(inside) == pytest.approx(0.8, abs=0.1)


def test_members_that_disagree_widen_the_interval(rng):
    values, fates, times = course(rng, effect=3.0)
    other = rng.permuted(fates[:, 0])
    members = np.stack([fates, fates, np.column_stack([other, 1 - other])])
    alone, wide = told(values, fates, times), told(values, fates, times, by_member=members)
    assert wide.n_members == 3
    assert (wide.high - wide.low)[0, 0] > 2 * (alone.high - alone.low)[0, 0]
    np.testing.assert_array_equal(alone.effect, wide.effect)


def test_sparse_and_dense_the_order_of_cells_and_scale_give_the_same(rng):
    values, fates, times = course(rng, effect=2.0)
    plain, order = told(values, fates, times), rng.permutation(len(times))
    for one in (
        told(sparse.csr_matrix(values), fates, times),
        told(values[order], fates[order], times[order]),
        told(np.expm1(3 * values), fates, times),
    ):
        np.testing.assert_allclose(one.effect, plain.effect, atol=1e-6)
    again = told(values, fates, times)
    np.testing.assert_array_equal(again.null_p, plain.null_p)


def test_ranks_that_are_there_already_are_used(rng):
    values, fates, times = course(rng, effect=2.0)
    plain = told(values, fates, times)
    np.testing.assert_array_equal(told(values, fates, times, ranks=ranked(values)).effect, plain.effect)


def test_ranks_of_a_sparse_matrix_are_mid_ranks_less_that_of_zero(rng):
    values = np.round(rng.normal(size=(50, 3)) * (rng.random((50, 3)) < 0.4), 1)
    full = stats.rankdata(values, axis=0) / 50
    zero = np.array([full[values[:, k] == 0, k][0] for k in range(3)])
    np.testing.assert_allclose(ranked(sparse.csr_matrix(values)).toarray(), full - zero, atol=1e-6)
    np.testing.assert_allclose(ranked(values), full, atol=1e-6)


def test_constant_genes_and_fates_and_cells_without_fate_are_handled(rng):
    values, fates, times = course(rng, effect=3.0)
    values[:, 3] = 2.0
    fates = np.column_stack([fates[:, 0], np.full(len(times), 0.5)])
    fates[:40] = np.nan
    found = told(values, fates, times)
    assert found.n_cells == 560
    assert np.isnan(found.effect[0, 3])
    assert np.isnan(found.effect[1]).all()
    assert len(found.top("b", 5)) == 0
    assert not found.called[1].any()
    assert "g3" not in list(table(found, "a")["gene"])


def test_undecided_cells_can_be_taken_alone(rng):
    values, fates, times = course(rng)
    sure = fates.max(axis=1) >= 0.8
    values[sure, 0] += 10 * fates[sure, 0]
    assert told(values, fates, times).called[0, 0]
    found = told(values, fates, times, undecided=True)
    assert found.n_cells == (~sure).sum()
    assert not found.called[0, 0]
    with pytest.raises(DataError, match="still undecided"):
        told(values, np.round(fates), times, undecided=True)


def test_discovery_rates_are_those_of_benjamini_and_hochberg():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(false_discovery_rate(p), [0.02, np.nan, 0.04, 0.04, 0.02])
    rng = np.random.default_rng(1)
    p = rng.uniform(size=100) ** 3
    np.testing.assert_allclose(false_discovery_rate(p), stats.false_discovery_control(p))


def test_what_does_not_fit_is_told(rng):
    values, fates, times = course(rng)
    with pytest.raises(SettingsError, match="kendall"):
        told(values, fates, times, method="kendall")
    with pytest.raises(DataError, match="a row for each cell"):
        told(values[:-1], fates, times)


def branches(rng, *, n=900):
    """Return expression, fates (n, 3) and times: first a or the rest, then b or c, each by one gene.

    Gene 0 goes with a, gene 1 with b and c alike, gene 2 with b and gene 3 with c; the others with none.
    """
    first, second = rng.beta(0.6, 0.6, (2, n))
    fates = np.column_stack([first, (1 - first) * second, (1 - first) * (1 - second)])
    values = rng.normal(size=(n, 30))
    values[:, 0] += 4 * first
    values[:, 1] += 9 * (1 - first)
    values[:, 2] += 1.5 * (1 - first) * second
    values[:, 3] += 1.5 * (1 - first) * (1 - second)
    return values, fates, np.repeat([0.0, 1.0, 2.0], n // 3)


def of(values, fates, times, fate, **kwargs):
    names = [f"g{k}" for k in range(values.shape[1])]
    return drivers_of(values, fates, times, fate=fate, genes=names, fates=("a", "b", "c"), **kwargs)


def test_against_each_other_fate_the_gene_of_the_branch_gives_way_to_that_of_the_fate(rng):
    values, fates, times = branches(rng)
    assert of(values, fates, times, "b", against=ALL).top("b", 1) == [1]
    found = of(values, fates, times, "b")
    assert found.fates == ("b",)
    assert list(found.top("b", 1)) == [2]
    assert not found.called[0, 1]
    assert of(values, fates, times, "c").top("c", 1) == [3]
    assert of(values, fates, times, "a").top("a", 1) == [0]
    pair = of(values, fates, times, "b", against="c")
    assert pair.top("b", 1) == [2]
    assert pair.effect[0, 3] < -0.1
    assert (np.abs(found.effect) <= np.abs(pair.effect) + 1e-12).all()
    assert (found.p >= pair.p - 1e-12).all()


def test_against_all_others_it_is_the_plain_answer_and_members_count(rng):
    values, fates, times = branches(rng)
    members = np.stack([fates, np.roll(fates, 1, axis=0), fates])
    plain = of(values, fates, times, "b", against=ALL, by_member=members)
    names = [f"g{k}" for k in range(30)]
    whole = drivers(values, fates, times, genes=names, fates=("a", "b", "c"), by_member=members)
    for name in ("effect", "low", "q", "null_p"):
        np.testing.assert_array_equal(getattr(plain, name)[0], getattr(whole, name)[1])
    each, alone = (of(values, fates, times, "b", by_member=one) for one in (members, None))
    assert each.n_members == 3
    assert (each.high - each.low)[0, 2] > 1.5 * (alone.high - alone.low)[0, 2]


def test_fates_without_cells_between_them_are_left_out_or_told(rng):
    values, fates, times = branches(rng)
    fates = np.column_stack([fates[:, 0], 1 - fates[:, 0], np.zeros(len(times))])
    np.testing.assert_array_equal(share_between(np.array([[0.2, 0.2, 0.6]]), 0, 1), [[np.nan] * 2])
    np.testing.assert_allclose(share_between(np.array([[0.6, 0.2, 0.2]]), 0, 1), [[0.75, 0.25]])
    with pytest.raises(DataError, match="no fate called 'z'"):
        of(values, fates, times, "z")
    with pytest.raises(DataError, match="a or b: Only"):
        of(values, np.round(fates), times, "a", undecided=True)
