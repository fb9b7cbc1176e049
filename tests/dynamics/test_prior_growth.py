"""Growth expected from genes."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics.errors import DataError
from dynamics.growth_genes import APOPTOSIS, FORMER_NAMES, G2M_PHASE, S_PHASE
from dynamics.prior_growth import deaths_unknown, prior_growth, with_prior_growth
from dynamics.roles import Roles
from dynamics.snapshots import from_anndata

CYCLE = S_PHASE + G2M_PHASE


def make(genes, *, cycling=(), dying=(), n: int = 40) -> anndata.AnnData:
    """Log-normalised values around 1; `cycling` and `dying` cells have twice as much of their genes."""
    values = np.random.default_rng(0).uniform(0.8, 1.2, (n, len(genes))).astype(np.float32)
    upper = [gene.upper() for gene in genes]
    values[np.ix_(list(cycling), [g in CYCLE for g in upper])] *= 2
    values[np.ix_(list(dying), [g in APOPTOSIS for g in upper])] *= 2
    obs = pd.DataFrame({"day": np.arange(n) % 2 / 1.0}, index=[f"c{k}" for k in range(n)])
    states = np.random.default_rng(1).normal(size=(n, 3))
    return anndata.AnnData(
        X=values, obs=obs, var=pd.DataFrame(index=list(genes)), obsm={"X_pca": states.astype(np.float32)}
    )


ALL = [*CYCLE, *APOPTOSIS, *[f"OTHER{k}" for k in range(20)]]
ROLES = Roles(time_key="day", rep="X_pca")


def test_lists_are_distinct_symbols():
    for genes, size in ((S_PHASE, 43), (G2M_PHASE, 54), (APOPTOSIS, 40)):
        assert len(genes) == len(set(genes)) == size
        assert all(gene == gene.upper() for gene in genes)
    assert not set(CYCLE) & set(APOPTOSIS)
    assert set(FORMER_NAMES) <= {*CYCLE, *APOPTOSIS}


def test_cycling_cells_grow_and_dying_cells_shrink():
    growth = prior_growth(make(ALL, cycling=range(10), dying=range(10, 20)), ROLES)
    assert growth.dtype == np.float64
    assert growth[:10].min() > growth[20:].max() > growth[20:].min() > growth[10:20].max()
    assert (np.abs(growth) <= 1.4).all()
    assert growth[:10].mean() > 0.5
    assert growth[10:20].mean() < -0.5


def test_rates_follow_the_unit_of_time():
    data = make(ALL, cycling=range(10))
    days, hours, weeks, unknown = (prior_growth(data, ROLES, unit=u) for u in ("day", "h", "week", "stage"))
    np.testing.assert_allclose(24 * hours, days)
    np.testing.assert_allclose(weeks, 7 * days)
    np.testing.assert_allclose(unknown, days)


def test_mouse_genes_former_names_symbol_columns_and_sparse_values_are_read_alike():
    data = make(ALL, cycling=range(10), dying=range(5, 15))
    expected = prior_growth(data, ROLES)
    mouse = data.copy()
    mouse.var_names = [gene.capitalize() for gene in ALL]
    former = data.copy()
    former.var_names = [FORMER_NAMES.get(gene, gene) for gene in ALL]
    numbered = data.copy()
    numbered.var["gene_name"], numbered.var_names = ALL, [f"ENSG{k:011d}" for k in range(len(ALL))]
    thin = data.copy()
    thin.X = sparse.csr_matrix(thin.X)
    for other in (mouse, former, numbered, thin):
        np.testing.assert_allclose(prior_growth(other, ROLES), expected, rtol=1e-6)


def test_snapshots_get_the_growth_of_their_own_cells():
    data = make(ALL, cycling=range(10))
    data.obs.loc["c3", "day"] = np.nan
    shots = from_anndata(data, ROLES)
    grown = with_prior_growth(shots, data, ROLES)
    np.testing.assert_array_equal(grown.prior_growth, prior_growth(data, ROLES)[shots.cells])
    assert grown.fingerprint == shots.fingerprint
    assert not grown.prior_growth.flags.writeable


def test_too_few_genes_are_refused_with_numbers():
    with pytest.raises(DataError, match=r"3 of 97 cell-cycle genes .*10 are needed"):
        prior_growth(make([*CYCLE[:3], *APOPTOSIS]), ROLES)
    without = make(ALL)[:, []].copy()
    with pytest.raises(DataError, match="no genes"):
        prior_growth(without, ROLES)


def test_without_apoptosis_genes_only_divisions_differ():
    few = make([*CYCLE, *APOPTOSIS[:2]], cycling=range(10), dying=range(10, 20))
    rates = prior_growth(few, ROLES)
    assert rates[:10].min() > rates[10:].max()
    assert rates[10:20].mean() == pytest.approx(rates[20:].mean(), abs=0.05)
    assert "Only 2 of 40 apoptosis genes" in deaths_unknown(few)
    assert not deaths_unknown(make(ALL))
