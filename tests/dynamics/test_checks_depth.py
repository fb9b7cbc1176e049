"""Depth is read from a column or the counts, and compared between times."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from dynamics.checks_depth import depth, depth_findings, medians
from dynamics.checks_time import read_axis
from dynamics.roles import Roles

N, G = 120, 40
ROLES = Roles(time_key="day", counts_layer="X")


def make(rng, factor, *, form=np.asarray):
    """Counts on days 0 and 3, `factor` times as deep on the second."""
    days = np.repeat([0, 3], N // 2)
    counts = rng.poisson(np.where(days == 3, 10.0 * factor, 10.0)[:, None], (N, G))
    return AnnData(form(counts.astype(np.float32)), obs=pd.DataFrame({"day": days}).set_axis(range(N)))


def found(adata, roles=ROLES):
    axis, index, _ = read_axis(adata.obs, roles)
    return list(depth_findings(adata, roles, axis=axis, index=index))


@pytest.mark.filterwarnings("ignore:Transforming to str index")
class TestDepth:
    @pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
    def test_a_factor_above_two_is_told_with_both_medians(self, rng, form):
        (finding,) = found(make(rng, 3.0, form=form))
        assert (finding.level, finding.code) == ("warning", "depth-differs")
        assert "3.0 times" in finding.message
        assert "day 0" in finding.message
        assert "day 3" in finding.message

    def test_smaller_factors_stay_quiet(self, rng):
        assert not found(make(rng, 1.8))

    @pytest.mark.parametrize("name", ["total_counts", "n_counts", "nCount_RNA", "nUMI", "Total Counts"])
    def test_a_column_is_taken_before_the_counts(self, rng, name):
        adata = make(rng, 3.0)
        adata.obs[name] = np.arange(N)
        np.testing.assert_array_equal(depth(adata, ROLES), np.arange(N))

    def test_columns_of_other_things_are_not(self, rng):
        adata = make(rng, 1.0)
        for name in ("n_genes_by_counts", "pct_counts_mt", "log1p_total_counts", "counts_of_ducks"):
            adata.obs[name] = 1.0
        adata.obs["n_counts"] = "many"
        np.testing.assert_array_equal(depth(adata, ROLES), adata.X.sum(axis=1))

    def test_missing_and_negative_values_count_as_unknown(self, rng):
        adata = make(rng, 1.0)
        adata.obs["total_counts"] = np.r_[[np.nan, np.inf, -1.0], np.full(N - 3, 5.0)]
        assert np.isnan(depth(adata, ROLES)[:3]).all()
        assert not found(adata)

    def test_without_counts_nothing_is_known(self, rng):
        adata = make(rng, 3.0)
        assert depth(adata, Roles(time_key="day")) is None
        assert depth(AnnData(obs=adata.obs), ROLES) is None
        assert not found(AnnData(obs=adata.obs))

    def test_layers_raw_and_files_are_added_up_alike(self, rng, tmp_path):
        adata = make(rng, 3.0, form=sparse.csr_matrix)
        expected = depth(adata, ROLES)
        adata.raw = adata
        adata.layers["counts"] = adata.X.copy()
        for layer in ("raw", "counts"):
            np.testing.assert_array_equal(depth(adata, Roles(counts_layer=layer)), expected)
        adata.write_h5ad(tmp_path / "a.h5ad")
        backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
        np.testing.assert_array_equal(depth(backed, ROLES), expected)
        backed.file.close()


def test_medians_leave_out_small_groups_and_unknown_values():
    values = np.r_[np.arange(5.0), np.nan, 1.0, 2.0]
    index = np.r_[np.zeros(6, int), 1, -1]
    np.testing.assert_array_equal(medians(values, index, 2), [2.0, np.nan])
