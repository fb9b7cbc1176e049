"""Every layout of h5ad opens with the same values; one gene, or the cells alone, are read quickly."""

import os
import time

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from dynamics import write
from dynamics.errors import DataError, FileError
from dynamics.read import find_gene, gene_values, matrix_names, read_cells, read_h5ad, read_notes, write_h5ad

N, G = 60, 25


@pytest.fixture
def dense(rng):
    return rng.poisson(1.0, (N, G)).astype(np.float32)


@pytest.fixture
def adata(dense, rng):
    obs = pd.DataFrame(
        {
            "day": np.repeat([2, 10, 3], 20),
            "type": pd.Categorical(np.repeat(["b", "a", "c"], 20), categories=["c", "b", "a"], ordered=True),
            "text": [f"w{k % 7}" for k in range(N)],
            "flag": np.arange(N) % 2 == 0,
        },
        index=[f"cell{k}" for k in range(N)],
    )
    var = pd.DataFrame({"gene_symbols": [f"Sym{k}" for k in range(G)]}, index=[f"g{k}" for k in range(G)])
    made = AnnData(X=sparse.csr_matrix(dense), obs=obs, var=var)
    made.layers["counts"] = sparse.csc_matrix(dense)
    made.layers["dense"] = dense + 1
    made.obsm["X_pca"] = rng.normal(size=(N, 5)).astype(np.float32)
    made.obsm["X_clone"] = sparse.random(N, 4, density=0.3, random_state=0, format="csr")
    made.obsm["frame"] = pd.DataFrame({"a": np.arange(N), "b": 1.5}, index=obs.index)
    made.varm["PCs"] = rng.normal(size=(G, 5))
    made.obsp["distances"] = sparse.identity(N, format="csr")
    made.uns["type_colors"] = np.array(["#111111", "#222222", "#333333"])
    made.uns["pca"] = {"variance_ratio": np.arange(5.0), "params": {"zero_center": True}}
    return made


def as_dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def assert_same(read, made):
    np.testing.assert_array_equal(as_dense(read.X), as_dense(made.X))
    assert list(read.obs_names) == list(made.obs_names)
    assert list(read.var_names) == list(made.var_names)
    assert set(read.layers) == set(made.layers)
    assert set(read.obsm) == set(made.obsm)
    for key in made.layers:
        np.testing.assert_array_equal(as_dense(read.layers[key]), as_dense(made.layers[key]))
    for key in made.obsm:
        np.testing.assert_array_equal(as_dense(read.obsm[key]), as_dense(made.obsm[key]))
    for name in made.obs:
        assert [str(v) for v in read.obs[name]] == [str(v) for v in made.obs[name]]


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "gzip"])
def test_files_of_anndata_open_unchanged(adata, tmp_path, layout):
    if layout in ("csr", "csc"):
        adata.X = adata.X.asformat(layout)
    elif layout == "dense":
        adata.X = adata.X.toarray()
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path, compression="gzip" if layout == "gzip" else None)
    read = read_h5ad(path)
    assert_same(read, adata)
    assert list(read.obs["type"].cat.categories) == ["c", "b", "a"]
    assert read.obs["type"].cat.ordered
    assert read.varm["PCs"].shape == (G, 5)
    assert read.obsp["distances"].shape == (N, N)
    assert list(read.uns["type_colors"]) == ["#111111", "#222222", "#333333"]
    assert read_notes(read) == []


def test_what_is_written_is_read_by_anndata_and_here(adata, tmp_path):
    adata.raw = adata.copy()
    path = tmp_path / "clean.h5ad"
    write_h5ad(adata, path)
    for read in (anndata.read_h5ad(path), read_h5ad(path)):
        assert_same(read, adata)
        np.testing.assert_array_equal(as_dense(read.raw.X), as_dense(adata.raw.X))
        assert read.uns["pca"]["params"]["zero_center"]
    with h5py.File(path) as file:
        assert file["X"].attrs["encoding-type"] == "csc_matrix"
    assert list(tmp_path.iterdir()) == [path]


def _elements(group):
    """What stands in a group: of each element its kind, attributes, compression and values."""
    found = {}

    def visit(name, element):
        about = {key: np.asarray(value).tolist() for key, value in element.attrs.items()}
        values = None
        if isinstance(element, h5py.Dataset):
            values = element.dtype, element.compression, element[()].tolist()
        found[name] = about, values

    group.visititems(visit)
    return found, {key: np.asarray(value).tolist() for key, value in group.attrs.items()}


def test_tables_are_written_as_anndata_writes_them(tmp_path):
    frame = pd.DataFrame(
        {
            "whole": np.arange(6),
            "größe": np.linspace(0, 1, 6, dtype=np.float32),
            "yes": np.arange(6) % 2 == 0,
            "type": pd.Categorical(list("aabbcc")),
            "ordered": pd.Categorical(list("xyzxyz"), categories=["z", "y", "x"], ordered=True),
            "numbers": pd.Categorical([3, 1, 2, 3, 1, 2]),
            "gaps": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
            "names": [f"name {k}" for k in range(6)],
            "in/two": np.arange(6),
        },
        index=pd.Index([f"c{k}" for k in range(6)], name="cell"),
    )
    write_h5ad(AnnData(obs=frame), tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file, h5py.File(tmp_path / "b.h5ad", "w") as other:
        with pytest.warns(FutureWarning, match="(?i)forward slash"):
            anndata.io.write_elem(other, "obs", frame, dataset_kwargs={"compression": "lzf"})
        assert _elements(file["obs"]) == _elements(other["obs"])


def test_writing_the_same_twice_gives_the_same_bytes(adata, tmp_path):
    write_h5ad(adata, tmp_path / "a.h5ad")
    write_h5ad(adata, tmp_path / "b.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def test_a_failed_write_leaves_the_old_file(adata, tmp_path, monkeypatch):
    path = tmp_path / "a.h5ad"
    write_h5ad(adata, path)
    before = path.read_bytes()
    monkeypatch.setattr(write, "_write_uns", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OSError, match="no space"):
        write_h5ad(adata[:10].copy(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_odd_columns_can_be_written(adata, tmp_path):
    adata.obs["mixed"] = [1, "a", None] * 20
    adata.obs["nullable"] = pd.array([1, None, 3] * 20, dtype="Int64")
    adata.obs["yes"] = pd.array([True, None, False] * 20, dtype="boolean")
    adata.obs["words"] = pd.array(["x", None, "y"] * 20, dtype="string")
    adata.obs["when"] = pd.Timestamp("2021-03-04")
    adata.obs["bins"] = pd.cut(np.arange(N), 3)
    adata.uns["odd"] = {1, 2}
    path = tmp_path / "a.h5ad"
    write_h5ad(adata, path)
    obs = read_h5ad(path).obs
    assert list(obs["words"].iloc[[0, 2]]) == ["x", "y"]
    assert obs["words"].isna().sum() == 20
    assert obs["nullable"].isna().sum() == 20
    assert obs["bins"].nunique() == 3
    assert str(obs["when"].iloc[0]).startswith("2021-03-04")


def test_cells_are_read_without_the_matrix(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:  # reading any value of the matrix would fail
        del file["X/data"], file["layers/counts/data"]
    read = read_cells(path)
    assert read.X is None
    assert not read.layers
    assert read.shape == (N, G)
    assert set(read.obsm) == {"X_pca", "X_clone", "frame"}
    assert matrix_names(path) == ["X", "counts", "dense"]


def test_states_without_genes(tmp_path):
    made = AnnData(obs=pd.DataFrame({"t": [0, 1, 1]}, index=list("abc")), obsm={"X_phate": np.eye(3)[:, :2]})
    made.write_h5ad(tmp_path / "a.h5ad")
    for read in (read_h5ad(tmp_path / "a.h5ad"), read_cells(tmp_path / "a.h5ad")):
        assert read.shape == (3, 0)
        np.testing.assert_array_equal(read.obsm["X_phate"], np.eye(3)[:, :2])
    write_h5ad(read_h5ad(tmp_path / "a.h5ad"), tmp_path / "b.h5ad")
    assert read_h5ad(tmp_path / "b.h5ad").shape == (3, 0)


def test_raw_stands_in_for_a_missing_matrix(adata, dense, tmp_path):
    adata.raw = adata.copy()
    path = tmp_path / "a.h5ad"
    adata[:, :5].copy().write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"], file["var"], file["layers"], file["varm"]
    read = read_h5ad(path)
    np.testing.assert_array_equal(as_dense(read.X), dense)
    assert [note.code for note in read_notes(read)] == ["raw-only"]
    assert read_cells(path).shape == (N, G)
    np.testing.assert_array_equal(gene_values(path, "g7"), dense[:, 7])


def test_repeated_names_are_made_unique_and_said(adata, tmp_path):
    adata.obs_names = ["x", "x", "x-1", *adata.obs_names[3:]]
    adata.var_names = ["g", "g", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "a.h5ad")
    read = read_h5ad(tmp_path / "a.h5ad")
    assert list(read.obs_names[:3]) == ["x", "x-2", "x-1"]
    assert read.var_names.is_unique
    write_h5ad(read, tmp_path / "b.h5ad")
    codes = {note.code for note in read_notes(read_cells(tmp_path / "b.h5ad"))}
    assert codes == {"duplicate-cell-names", "duplicate-gene-names"}


def test_arrays_that_do_not_fit_are_left_out_and_said(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["obsm"].create_dataset("X_umap", data=np.zeros((N - 1, 2)))
        file["obsm"].create_dataset("X_line", data=np.arange(float(N)))
        file["uns"].create_group("strange").attrs["encoding-type"] = "from-the-future"
        file["uns/strange"].attrs["encoding-version"] = "9"
    read = read_h5ad(path)
    assert "X_umap" not in read.obsm
    assert read.obsm["X_line"].shape == (N, 1)
    notes = {note.code: note for note in read_notes(read)}
    assert "59 rows where 60" in notes["obsm-shape"].message
    assert 'uns["strange"]' in notes["unknown-uns"].message


def test_numbers_of_other_machines(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        for name, kind in {
            "X/data": ">f4",
            "X/indices": ">i4",
            "X/indptr": ">i8",
            "obsm/X_pca": ">f8",
        }.items():
            replace(file, name, file[name][()].astype(kind))
        replace(file, "obs/day", file["obs/day"][()].astype(">i2"))
        replace(file, "layers/dense", file["layers/dense"][()].astype("f2"))
    read = read_h5ad(path)
    assert_same(read, adata)
    assert read.layers["dense"].dtype == np.float32
    assert read.obs.groupby("day").size().to_dict() == {2: 20, 3: 20, 10: 20}
    np.testing.assert_array_equal(gene_values(path, "g3"), as_dense(adata.X)[:, 3])


def replace(file, name, values):
    """Put other values in the place of an array, keeping its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


def test_tables_without_encoding_as_converters_from_r_write_them(adata, dense, tmp_path):
    path = tmp_path / "a.h5ad"
    with h5py.File(path, "w") as file:
        file["X"] = dense
        obs = file.create_group("obs")
        obs["_index"] = np.array(list(adata.obs_names), dtype="S")
        obs["day"] = adata.obs["day"].to_numpy()
        obs["type"] = adata.obs["type"].cat.codes.to_numpy()
        obs["__categories/type"] = np.array(["c", "b", "a"], dtype="S")
        obs.attrs["column_order"] = np.array(["day", "type"], dtype="S")
        file.create_group("var")["index"] = np.array(list(adata.var_names), dtype="S")
    read = read_h5ad(path)
    np.testing.assert_array_equal(read.X, dense)
    assert list(read.obs["type"]) == list(adata.obs["type"])
    assert list(read.var_names) == list(adata.var_names)


def test_anndata_0_7(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["obs/type"], file["obs/text"], file["obsm/frame"]
        file["obs/type"] = adata.obs["type"].cat.codes.to_numpy()
        file["obs/__categories/type"] = np.array(["c", "b", "a"], dtype=h5py.string_dtype())
        file["obs/__categories/type"].attrs["ordered"] = True
        file["obs/type"].attrs["categories"] = file["obs/__categories/type"].ref
        file["obs"].attrs["encoding-version"] = "0.1.0"
        file["obs"].attrs["column_order"] = ["day", "type", "flag"]
        for name in ("layers", "obsm", "uns"):
            del file[name].attrs["encoding-type"]
    read = read_h5ad(path)
    assert list(read.obs["type"]) == list(adata.obs["type"])
    np.testing.assert_array_equal(as_dense(read.X), as_dense(adata.X))


def test_anndata_0_6(dense, tmp_path):
    path = tmp_path / "a.h5ad"
    obs = np.array(
        [(f"cell{k}".encode(), k % 2, 1.5 * k) for k in range(N)],
        dtype=[("index", "S8"), ("type", "i1"), ("score", "f4")],
    )
    var = np.array([(f"g{k}".encode(),) for k in range(G)], dtype=[("index", "S8")])
    obsm = np.zeros(N, dtype=[("X_pca", "f4", (3,)), ("X_umap", "f8", (2,))])
    obsm["X_pca"] = np.arange(3 * N).reshape(N, 3)
    matrix = sparse.csr_matrix(dense)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(matrix, part)
        group.attrs["h5sparse_format"] = b"csr"
        group.attrs["h5sparse_shape"] = np.array([N, G])
        file["obs"], file["var"], file["obsm"] = obs, var, obsm
        file["uns/type_categories"] = np.array([b"left", b"right"])
        file["raw.X"], file["raw.var"] = dense, var
    read = read_h5ad(path)
    np.testing.assert_array_equal(as_dense(read.X), dense)
    assert list(read.obs["type"][:3]) == ["left", "right", "left"]
    assert read.obs["score"].iloc[2] == 3.0
    np.testing.assert_array_equal(read.obsm["X_pca"], obsm["X_pca"])
    assert read.raw is not None
    assert "type_categories" not in read.uns
    np.testing.assert_array_equal(gene_values(path, "g4", layer="raw"), dense[:, 4])


def test_nullable_words_as_index(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.obs["words"] = pd.array(["x", None] * 30, dtype="string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        adata.write_h5ad(path)
    read = read_h5ad(path)
    assert read.obs["words"].isna().sum() == 30
    assert all(type(name) is str for name in read.obs_names)


def test_a_column_that_contradicts_itself_costs_only_itself(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        replace(file, "obs/day", np.arange(5))
    read = read_h5ad(path)
    assert "day" not in read.obs
    assert list(read.obs["type"]) == list(adata.obs["type"])
    assert [note.code for note in read_notes(read)] == ["unreadable-column"]


def test_a_matrix_that_does_not_fit_is_refused(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = [N, G + 1]
    with pytest.raises(FileError, match="X has 60 × 26 values, but the tables list 60 cells and 25 genes"):
        read_h5ad(path)


@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_what_is_no_h5ad_is_refused(tmp_path, content):
    path = tmp_path / "a.h5ad"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r'"a\.h5ad" is not a readable h5ad file'):
        read_cells(path)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_one_gene(adata, dense, tmp_path, layout):
    adata.X = dense if layout == "dense" else adata.X.asformat(layout)
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    for gene in ("g3", "G3", "sym3"):
        values = gene_values(path, gene)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, dense[:, 3])
    np.testing.assert_array_equal(gene_values(path, "g3", layer="dense"), dense[:, 3] + 1)
    np.testing.assert_array_equal(gene_values(path, "g3", layer="counts"), dense[:, 3])


def test_one_gene_across_blocks(adata, dense, tmp_path, monkeypatch):
    monkeypatch.setattr("dynamics.read.BLOCK", 7)
    adata.write_h5ad(tmp_path / "a.h5ad")
    for k in (0, 11, G - 1):
        np.testing.assert_array_equal(gene_values(tmp_path / "a.h5ad", f"g{k}"), dense[:, k])


def test_unknown_genes_and_layers_are_named(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match='no gene "Xyz"'):
        gene_values(tmp_path / "a.h5ad", "Xyz")
    with pytest.raises(DataError, match=r'no layer "magic".*X, counts, dense'):
        gene_values(tmp_path / "a.h5ad", "g1", layer="magic")


def test_genes_are_found_by_any_name():
    var = pd.DataFrame({"gene_ids": ["ENSG1", "ENSG2"]}, index=["Actb", "GATA1"])
    assert find_gene(var, "actb") == "Actb"
    assert find_gene(var, " gata1 ") == "GATA1"
    assert find_gene(var, "ensg2") == "GATA1"
    assert find_gene(var, "Sox2") is None


def test_one_gene_of_many_cells_is_quick(tmp_path):
    matrix = sparse.random(5_000, 500, density=0.05, format="csc", dtype=np.float32, random_state=0)
    write_h5ad(AnnData(X=matrix), tmp_path / "a.h5ad")
    started = time.process_time()
    for k in range(0, 500, 50):
        gene_values(tmp_path / "a.h5ad", str(k))
    assert (time.process_time() - started) / 10 < 0.1


@pytest.mark.data
def test_real_data_survive_the_way_through(shared_data, tmp_path):
    for path in sorted(shared_data.glob("[elrs]*.h5ad")):
        made, read = anndata.read_h5ad(path), read_h5ad(path)
        write_h5ad(read, tmp_path / "clean.h5ad")
        again = read_h5ad(tmp_path / "clean.h5ad")
        assert read_notes(again) == []
        assert list(again.obs.columns) == list(made.obs.columns)
        assert list(again.obs_names) == list(made.obs_names)
        if made.X is not None:
            np.testing.assert_array_equal(as_dense(again.X), as_dense(made.X))
        for key in made.obsm:
            np.testing.assert_array_equal(as_dense(again.obsm[key]), as_dense(made.obsm[key]))


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be opened there")
def test_the_folder_is_brought_to_disk_too(adata, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_mode))
    write_h5ad(adata, tmp_path / "a.h5ad")
    assert len(synced) == 2
