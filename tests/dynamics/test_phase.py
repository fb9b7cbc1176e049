"""Phase portraits: the steady line of a gene that is known."""

import numpy as np
import pytest
from scipy import sparse

from dynamics.errors import DataError
from dynamics.phase import around, normalised, portrait


def switched(rng, *, gamma=0.4, n=2000):
    """Return spliced and unspliced of a gene that is switched on and off (closed form, splicing rate 1)."""
    half = n // 2
    s, u = np.empty(n), np.empty(n)
    t = rng.uniform(0, 40, half)
    u_on = 1 - np.exp(-t)
    s_on = (1 - np.exp(-gamma * t)) / gamma + (np.exp(-gamma * t) - np.exp(-t)) / (gamma - 1)
    u_off = np.exp(-t)
    s_off = np.exp(-gamma * t) / gamma - (np.exp(-gamma * t) - np.exp(-t)) / (gamma - 1)
    u[:half], s[:half], u[half:], s[half:] = u_on, s_on, u_off, s_off
    return s, u, t


def test_gamma_is_recovered_and_the_sign_of_change_is_right(rng):
    s, u, t = switched(rng)
    found = portrait(s, u, sparse.identity(2000, format="csr"))
    assert found.gamma == pytest.approx(0.4, rel=0.05)
    rising, falling = found.residual[:1000][t < 4], found.residual[1000:][t < 4]
    assert (rising > 0).mean() > 0.95
    assert (falling < 0).mean() > 0.95
    assert found.seen == (1.0, 1.0)


def test_counting_noise_is_averaged_away(rng):
    s, u, _ = switched(rng, n=3000)
    states = np.column_stack([5 * u, 5 * 0.4 * s])
    found = portrait(rng.poisson(3 * s), rng.poisson(3 * u), around(states))
    assert found.gamma == pytest.approx(0.4, rel=0.15)
    assert np.corrcoef(found.spliced, s)[0, 1] > 0.98


def test_depth_of_sequencing_does_not_matter(rng):
    s, u, _ = switched(rng)
    depth = rng.uniform(0.5, 2, len(s))
    plain = portrait(s, u, sparse.identity(2000, format="csr"))
    told = portrait(
        s * depth, u * depth, sparse.identity(2000, format="csr"), totals=[100 * depth, 20 * depth]
    )
    assert told.gamma == pytest.approx(plain.gamma, rel=1e-6)
    assert normalised(np.ones(2), np.array([0.0, 5.0])).tolist() == [0, 1]


def test_every_cell_averages_over_itself_and_its_neighbours(rng):
    average = around(rng.normal(size=(60, 3)), neighbours=9)
    np.testing.assert_allclose(average.sum(axis=1), 1)
    assert (average.getnnz(axis=1) == 10).all()
    assert (average.diagonal() > 0).all()
    with pytest.raises(DataError, match="20 cells"):
        around(np.zeros((5, 2)))


def test_genes_that_are_not_seen_have_no_line():
    found = portrait(np.zeros(30), np.ones(30), sparse.identity(30, format="csr"))
    assert np.isnan(found.gamma)
    assert np.isnan(found.r2)
    with pytest.raises(DataError, match="none below zero"):
        portrait(-np.ones(30), np.ones(30), sparse.identity(30, format="csr"))
