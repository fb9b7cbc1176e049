"""Fates against clones: a perfect prediction, one at random, and too few clones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics import clones, terminal
from dynamics.errors import DataError
from dynamics.fates import Fates
from dynamics.snapshots import from_arrays

N = 60


def made(rng, *, late=6, told=None):
    """One early cell and some late ones of each clone; a clone's share of the first fate is its own."""
    share = rng.random(N) if told is None else told
    fate = (rng.random((N, late)) > share[:, None]).astype(int).ravel()
    snapshots = from_arrays(np.zeros((N + N * late, 2)), np.repeat([0.0, 1.0], [N, N * late]))
    states = terminal.from_codes(np.concatenate([np.full(N, -1), fate]), ["a", "b"], source="types")
    codes = np.concatenate([np.arange(N), np.repeat(np.arange(N), late)])
    ones = np.ones(len(codes))
    p = np.concatenate([np.column_stack([share, 1 - share]), np.eye(2)[fate]])
    fates = Fates(("a", "b"), p, None, None, None, ones, 0 * ones)
    return fates, snapshots, states, (tuple(map(str, range(N))), codes)


def test_the_true_shares_reach_the_ceiling(rng):
    found = clones.score_clones(*made(rng), at=0)
    assert found.n_clones == N
    assert found.n_late == 6 * N
    for kind in ("auroc", "pearson", "spearman"):
        model, ceiling, chance = (getattr(found, kind)[one] for one in ("model", "ceiling", "chance"))
        assert (model >= ceiling - 0.02).all()
        assert (ceiling > chance + 0.2).all()
    assert found.distance["model"] <= found.distance["ceiling"] < found.distance["chance"]
    assert found.auroc["chance"][0] == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(found.table["a real"] + found.table["b real"], 1)


def test_clones_of_one_fate_each_are_told_without_error(rng):
    found = clones.score_clones(*made(rng, told=(np.arange(N) % 2).astype(float)), at=0)
    for kind in ("model", "ceiling"):
        np.testing.assert_allclose(found.auroc[kind], 1)
        assert found.distance[kind] == 0


def test_the_same_seed_gives_the_same_scores(rng):
    given = made(rng)
    first, second = (clones.score_clones(*given, at=0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.auroc["ceiling"], second.auroc["ceiling"])


def test_too_few_clones_are_refused(rng):
    fates, snapshots, states, (names, codes) = made(rng)
    few = np.where(codes < 5, codes, -1)
    with pytest.raises(DataError, match=r"5 clones have cells there \(5 cells\).*10 are needed"):
        clones.score_clones(fates, snapshots, states, (names, few), at=0)


def test_single_late_cells_cannot_be_halved(rng):
    with pytest.raises(DataError, match="0 of them two cells or more"):
        clones.score_clones(*made(rng, late=1), at=0)


def test_clones_are_read_from_a_column_and_from_a_matrix():
    obs = pd.DataFrame({"clone": pd.Categorical(["x", None, "y", "nan"])})
    matrix = sparse.csr_matrix([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]])
    adata = SimpleNamespace(obs=obs, obsm={"X_clone": matrix})
    names, codes = clones.clone_codes(adata, "clone", np.arange(4))
    assert [names[k] if k >= 0 else None for k in codes] == ["x", None, "y", None]
    _, codes = clones.clone_codes(adata, "X_clone", np.array([0, 1, 3]))
    assert list(codes) == [1, -1, 1]
    with pytest.raises(DataError, match="no column and no array"):
        clones.clone_codes(adata, "other", np.arange(4))
