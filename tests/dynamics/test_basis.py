"""The map from states to genes against principal components and known maps."""

import anndata
import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from dynamics.basis import fit_basis, log_expression
from dynamics.errors import DataError
from dynamics.roles import Roles

NAMES = [f"gene{k}" for k in range(30)]


@pytest.fixture
def expression(rng):
    return np.log1p(rng.poisson(np.exp(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 30)) * 0.7 + 0.5)))


@pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array]
)
def test_for_principal_components_it_is_the_loadings(expression, form):
    pca = PCA(5, svd_solver="full")
    states = pca.fit_transform(expression)
    basis = fit_basis(form(expression), states, NAMES)
    np.testing.assert_allclose(basis.loadings, pca.components_, atol=1e-4)
    np.testing.assert_allclose(basis.mean, expression.mean(axis=0), atol=1e-4)
    explained = 1 - (expression - pca.inverse_transform(states)).var(axis=0) / expression.var(axis=0)
    np.testing.assert_allclose(basis.r2, explained, atol=1e-3)


def test_an_exact_linear_map_is_found_from_any_states(rng):
    states = 100 + rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    matrix, shift = rng.normal(size=(4, 30)), rng.normal(size=30)
    basis = fit_basis(states @ matrix + shift, states, NAMES)
    np.testing.assert_allclose(basis.to_genes(states[:9]), states[:9] @ matrix + shift, rtol=1e-3, atol=2e-2)
    np.testing.assert_allclose(
        basis.velocity_to_genes(np.eye(4), ["gene3"])[:, 0], matrix[:, 3], rtol=1e-2, atol=1e-2
    )
    np.testing.assert_allclose(basis.r2, 1, atol=1e-4)


def test_r2_is_near_zero_for_a_gene_that_the_states_do_not_know(rng):
    states = rng.normal(size=(2000, 3))
    expression = np.stack([states[:, 0], rng.normal(size=2000), np.full(2000, 4.0)], axis=1)
    r2 = fit_basis(expression, states, ["a", "b", "c"]).r2
    assert r2[0] == pytest.approx(1, abs=1e-4)
    assert r2[1] < 0.02
    assert r2[2] == 0


def test_idle_dimensions_and_few_cells_do_no_harm(rng):
    states = np.concatenate([rng.normal(size=(3, 2)), np.zeros((3, 8))], axis=1)
    basis = fit_basis(rng.normal(size=(3, 30)), states, NAMES)
    assert np.isfinite(basis.loadings).all()
    assert np.isfinite(basis.to_genes(states)).all()


def test_the_order_of_cells_does_not_matter(expression, rng):
    states = rng.normal(size=(200, 4))
    order = rng.permutation(200)
    first, second = fit_basis(expression, states, NAMES), fit_basis(expression[order], states[order], NAMES)
    np.testing.assert_allclose(first.loadings, second.loadings, atol=1e-6)


def test_sparse_expression_is_not_made_dense(monkeypatch, rng):
    expression = sparse.random(500, 30, 0.1, format="csr", rng=rng)
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array):
        monkeypatch.setattr(kind, "toarray", lambda *_: pytest.fail("made dense"))
    assert fit_basis(expression, rng.normal(size=(500, 3)), NAMES).dim == 3


def test_genes_are_found_by_name(expression, rng):
    basis = fit_basis(expression, rng.normal(size=(200, 2)), NAMES)
    states = rng.normal(size=(5, 2))
    np.testing.assert_allclose(
        basis.to_genes(states, ["gene7", "gene2"]), basis.to_genes(states)[:, [7, 2]], rtol=1e-5
    )
    with pytest.raises(DataError, match=r"1 of 2 genes .* 30: Sox2"):
        basis.to_genes(states, ["gene1", "Sox2"])
    with pytest.raises(DataError, match="width 2"):
        basis.to_genes(np.ones((5, 3)))


def test_what_does_not_fit_is_refused(rng):
    states = rng.normal(size=(5, 2))
    with pytest.raises(DataError, match="shape \\(4, 30\\)"):
        fit_basis(np.ones((4, 30)), states, NAMES)
    with pytest.raises(DataError, match="missing or infinite"):
        fit_basis(np.full((5, 30), np.nan), states, NAMES)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_log_expression_logs_what_is_not_logged_and_changes_nothing(rng, form):
    counts = rng.poisson(2.0, size=(50, 30)).astype(np.float32)
    wanted = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    raw = anndata.AnnData(form(counts))
    found = log_expression(raw, Roles(counts_layer="X"))
    np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(raw.X.toarray() if sparse.issparse(raw.X) else raw.X, counts)
    logged = anndata.AnnData(form(wanted), layers={"counts": form(counts)})
    assert log_expression(logged, Roles(counts_layer="counts")) is logged.X
    scaled = anndata.AnnData((wanted - wanted.mean(0)) / wanted.std(0), layers={"counts": form(counts)})
    found = log_expression(scaled, Roles(counts_layer="counts"))
    np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, wanted, rtol=1e-5)


def test_log_expression_without_genes_is_none():
    assert log_expression(anndata.AnnData(obs={"a": np.zeros(3)}), Roles()) is None
