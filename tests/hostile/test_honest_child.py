"""Honest files through the real child process, and files of anndata itself beside what it reads from them."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics.errors import FileError
from dynamics.read import read_h5ad, read_notes
from jobs import sandbox
from jobs.precheck import check
from tests.hostile import honest, honest_arrays, honest_layouts, honest_writers, refused
from tests.hostile.compare import dense, plain, same

FILLED_BY = (honest_arrays, honest_layouts, honest_writers)
SOME = (
    "anndata 0.6, csr",
    "anndata 0.7",
    "no attributes at all, sparse X",
    "MuDataSeurat: factors by reference, logicals, user block",
    "damaged parts that are not needed",
    "arrays that were never written and have no filler",
)


@pytest.mark.parametrize("name", SOME)
def test_the_child_reads_the_same(name, tmp_path):
    truth = honest.write(name, tmp_path / "a.h5ad")
    report = sandbox.ingest(tmp_path / "a.h5ad", tmp_path / "b.h5ad")
    clean = read_h5ad(tmp_path / "b.h5ad")
    same(clean, truth)
    assert {note.code for note in read_notes(clean)} == set(truth.said)
    assert {finding["code"] for finding in report["findings"]} >= set(truth.said)


def test_the_child_refuses_a_damaged_matrix(tmp_path):
    refused.write("damaged X", tmp_path / "a.h5ad")
    with pytest.raises(FileError, match='"/X" is damaged'):
        sandbox.ingest(tmp_path / "a.h5ad", tmp_path / "b.h5ad")
    assert not (tmp_path / "b.h5ad").exists()


def of_anndata(seed):
    """A data set with a bit of everything that anndata writes."""
    rng = np.random.default_rng(seed)
    n, g = int(rng.integers(3, 40)), int(rng.integers(1, 30))
    kinds = [np.float32, np.float64, np.int32, np.int64, np.uint16, bool]
    x = rng.poisson(1.0, (n, g)).astype(kinds[seed % len(kinds)])
    obs = pd.DataFrame(index=[f"c{k}" for k in range(n)])
    obs["whole"] = rng.integers(-5, 5, n)
    obs["nullable"] = pd.array(np.where(rng.random(n) < 0.3, None, 3), dtype="Int32")
    obs["boolean"] = pd.array(np.where(rng.random(n) < 0.3, None, True), dtype="boolean")
    obs["text"] = [f"t{k}" for k in rng.integers(0, 3, n)]
    obs["words"] = pd.array([None if k == 0 else f"w{k}" for k in rng.integers(0, 3, n)], dtype="string")
    obs["kind"] = pd.Categorical.from_codes(rng.integers(-1, 3, n), ["z", "a", "ü"], ordered=bool(seed % 2))
    obs["number kind"] = pd.Categorical(rng.integers(0, 3, n) / 2)
    obs["float"] = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)).astype(np.float32)
    made = anndata.AnnData(x if seed % 3 else sparse.csc_matrix(x), obs=obs)
    made.layers["sparse"] = sparse.random(n, g, density=0.3, format="csr", random_state=seed)
    made.obsm["X_umap"] = rng.normal(size=(n, 2))
    made.obsm["table"] = pd.DataFrame({"a": rng.normal(size=n)}, index=obs.index)
    made.varm["loadings"] = rng.normal(size=(g, 3))
    made.obsp["graph"] = sparse.random(n, n, density=0.2, format="csr", random_state=seed)
    made.uns["tree"] = {"deep": {"number": 1.5, "texts": np.array(["a", "b"])}, "flag": True}
    if seed % 2:
        made.raw = made
    return made


@pytest.mark.parametrize("seed", range(12))
def test_what_anndata_writes_reads_as_anndata_reads_it(seed, tmp_path):
    path = tmp_path / "a.h5ad"
    with anndata.settings.override(allow_write_nullable_strings=True):
        of_anndata(seed).write_h5ad(path, compression=[None, "gzip", "lzf"][seed % 3])
    wanted, read = anndata.read_h5ad(path), read_h5ad(path, damaged=check(path))
    assert read_notes(read) == []
    assert list(read.obs.columns) == list(wanted.obs.columns)
    assert list(read.obs_names) == list(wanted.obs_names)
    assert list(read.var_names) == list(wanted.var_names)
    for name in wanted.obs:
        assert [plain(v) for v in read.obs[name]] == [plain(v) for v in wanted.obs[name]], name
        if isinstance(wanted.obs[name].dtype, pd.CategoricalDtype):
            assert list(read.obs[name].cat.categories) == list(wanted.obs[name].cat.categories)
            assert read.obs[name].cat.ordered == wanted.obs[name].cat.ordered
    np.testing.assert_array_equal(dense(read.X), dense(wanted.X))
    assert read.X.dtype == wanted.X.dtype
    if wanted.raw is not None:
        np.testing.assert_array_equal(dense(read.raw.X), dense(wanted.raw.X))
    for part in ("layers", "obsm", "varm", "obsp"):
        assert set(getattr(read, part)) == set(getattr(wanted, part))
        for name, values in getattr(wanted, part).items():
            np.testing.assert_array_equal(dense(getattr(read, part)[name]), dense(values))
    assert read.uns["tree"]["deep"]["number"] == 1.5
    assert list(read.uns["tree"]["deep"]["texts"]) == ["a", "b"]
