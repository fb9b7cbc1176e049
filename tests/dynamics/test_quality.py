"""Quality control."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from dynamics import quality
from dynamics.errors import DataError


@pytest.fixture
def counts(rng):
    """200 healthy cells, then 3 nearly empty, 3 doublets of many, 3 damaged, 1 without a count."""
    mean = rng.gamma(1.0, 4.0, 100)
    depth = np.concatenate([rng.lognormal(0, 0.2, 200), [0.02] * 3, [12.0] * 3, [1.0] * 3, [0.0]])
    x = rng.poisson(depth[:, None] * mean).astype(np.float32)
    x[206:209, :5] += 300
    names = [f"mt-{k}" for k in range(5)] + [f"g{k}" for k in range(95)]
    adata = ad.AnnData(x)
    adata.var_names = names
    return adata


def test_metrics_are_plain_sums(counts):
    found = quality.metrics(counts)
    np.testing.assert_allclose(found.total, counts.X.sum(axis=1))
    np.testing.assert_array_equal(found.n_genes, (counts.X > 0).sum(axis=1))
    np.testing.assert_array_equal(found.cells_per_gene, (counts.X > 0).sum(axis=0))
    alive = found.total > 0
    share = 100 * counts.X[:, :5].sum(axis=1)[alive] / counts.X.sum(axis=1)[alive]
    np.testing.assert_allclose(found.mitochondrial[alive], share, rtol=1e-6)
    assert (found.source, found.n_mitochondrial) == ("X", 5)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("dtype", ["float64", "int32", "uint16", ">f4", "float16", "bool"])
def test_metrics_do_not_depend_on_how_the_matrix_is_stored(counts, form, dtype):
    dense = np.minimum(counts.X, 1 if dtype == "bool" else 200).astype(np.float32)
    expected = quality.metrics(ad.AnnData(dense, var=counts.var))
    no_sparse = dtype in ("float16", ">f4")  # scipy has no sparse matrices of these
    stored = dense.astype(dtype) if no_sparse else form(dense.astype(dtype))
    found = quality.metrics(ad.AnnData(stored, var=counts.var))
    np.testing.assert_allclose(found.total, expected.total)
    np.testing.assert_array_equal(found.n_genes, expected.n_genes)
    np.testing.assert_array_equal(found.cells_per_gene, expected.cells_per_gene)


def test_suggested_thresholds_take_the_odd_cells_out_and_keep_the_others(counts):
    found = quality.metrics(counts)
    keep = quality.kept_cells(found, quality.suggest(found))
    assert keep[:200].all()
    assert not keep[200:].any()


def test_cells_all_alike_are_all_kept(rng):
    found = quality.metrics(ad.AnnData(rng.poisson(5, (80, 40)).astype(np.float32)))
    assert quality.kept_cells(found, quality.suggest(found)).all()
    assert found.mitochondrial is None


def test_no_limits_remove_only_cells_without_counts(counts):
    found = quality.metrics(counts)
    np.testing.assert_array_equal(quality.kept_cells(found, quality.Thresholds()), found.total > 0)


def test_genes_seen_in_few_cells_go():
    x = np.zeros((10, 3), np.float32)
    x[:, 0], x[:3, 1], x[:2, 2] = 1, 1, 1
    found = quality.metrics(ad.AnnData(x))
    assert quality.kept_genes(found, quality.Thresholds(min_cells=3)).tolist() == [True, True, False]


def test_mitochondrial_genes_are_found_by_symbol(counts):
    counts.var["gene_symbols"] = counts.var_names
    counts.var_names = [f"ENSMUSG{k:05d}" for k in range(counts.n_vars)]
    counts.var.loc[counts.var_names[0], "gene_symbols"] = "MT-CO1"
    assert quality.metrics(counts).n_mitochondrial == 5


def test_the_counts_layer_is_preferred(counts):
    counts.layers["counts"] = counts.X.copy()
    counts.X = np.log1p(counts.X)
    assert quality.metrics(counts).source == "counts"
    assert quality.metrics(counts).total.max() > 1000


def test_values_that_are_no_counts_are_refused_with_what_was_found(counts):
    counts.X[0, 0] = np.nan
    with pytest.raises(DataError, match="1 missing or infinite"):
        quality.metrics(counts)
    counts.X[0, 0] = -2
    with pytest.raises(DataError, match="negative values \\(down to -2\\)"):
        quality.metrics(counts)
    with pytest.raises(DataError, match="needs an expression matrix"):
        quality.metrics(ad.AnnData(obs=counts.obs))
