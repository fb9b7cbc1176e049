"""Honest files as programs other than anndata write them: from R, Julia, Rust, Java and C."""

import h5py
import numpy as np
from scipy import sparse

from tests.hostile.honest import (
    CELLS,
    COUNTS,
    DAY_ORDER,
    DAYS,
    GENES,
    PCA,
    UMAP,
    UTF8,
    G,
    N,
    Truth,
    array,
    case,
    days,
    mark,
    matrix,
    modern,
    order,
    root,
    table,
)

K = np.arange(N)
TYPES = ["beta", "alpha", "gamma"]
WORDS = [TYPES[k % 3] for k in K]
R_LOGICAL = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "NA": 2}, basetype="i4")
ASCII = h5py.string_dtype("ascii")
CSR = sparse.csr_matrix(COUNTS)


def scalar(place, name, value):
    """An attribute as hdf5r writes it: text of fixed length or variable, without UTF-8 mark."""
    place.attrs.create(name, value, dtype=ASCII)


def _seurat_matrix(file, name, made):
    place = file.create_group(name)
    for part in ("data", "indices", "indptr"):
        place.create_dataset(
            part, data=getattr(made, part), maxshape=(None,), chunks=(100,), compression="gzip"
        )
    place.attrs["shape"] = np.array(made.shape, "i4")
    scalar(place, "encoding-type", "csr_matrix")
    scalar(place, "encoding-version", "0.1.0")


def _seurat_table(file, name, index, columns, order_of=True):
    place = file.create_group(name)
    for column, values in columns.items():
        place[column] = values
    place.create_dataset("_index", data=np.array(index, object), dtype=ASCII)
    scalar(place, "_index", "_index")
    if order_of:
        place.attrs.create("column-order", np.array(list(columns), object), dtype=ASCII)
    scalar(place, "encoding-type", "dataframe")
    scalar(place, "encoding-version", "0.1.0")
    return place


@case("SeuratDisk: data as X, counts as raw, factors with gaps")
def seurat_disk(file):
    _seurat_matrix(file, "X", sparse.csr_matrix(np.log1p(COUNTS).astype("f8")))
    codes = np.where(K % 10 == 0, -(2**31), K % 3).astype("i4")
    obs = _seurat_table(
        file, "obs", CELLS, {"day": DAYS.astype("f8"), "type": codes, "flag": (K % 2).astype("i4")}
    )
    obs.create_dataset("__categories/type", data=np.array(TYPES, object), dtype=ASCII)
    _seurat_table(file, "var", GENES, {"features": np.array(GENES, dtype="S10")})
    _seurat_matrix(file.create_group("raw"), "X", sparse.csr_matrix(COUNTS.astype("f8")))
    raw = file["raw"].create_group("var")
    raw.create_dataset("_index", data=np.array(GENES, object), dtype=ASCII)
    scalar(raw, "_index", "_index")
    file.create_group("obsm")["X_umap"] = UMAP.astype("f8")
    file.create_group("varm")
    _seurat_matrix(file.create_group("uns/neighbors"), "distances", sparse.identity(N, format="csr"))
    words = [None if k % 10 == 0 else TYPES[k % 3] for k in K]
    return Truth(
        x=np.log1p(COUNTS).astype("f8"),
        obs={"day": DAYS.tolist(), "type": words, "flag": (K % 2).tolist()},
        obsm={"X_umap": UMAP.astype("f8")},
        raw=COUNTS,
        times=DAY_ORDER,
    )


@case("SeuratDisk: no columns listed")
def seurat_unlisted(file):
    _seurat_matrix(file, "X", CSR)
    _seurat_table(file, "obs", CELLS, {"day": DAYS, "nCount_RNA": K.astype("f8")}, order_of=False)
    _seurat_table(file, "var", GENES, {}, order_of=False)
    return Truth(obs=days() | {"nCount_RNA": K.tolist()}, times=DAY_ORDER)


@case("SeuratDisk: scaled data as X, dense, raw with more genes")
def seurat_scaled(file):
    scaled = ((COUNTS - COUNTS.mean(axis=0)) / COUNTS.std(axis=0))[:, :8].astype("f8")
    file.create_dataset("X", data=scaled, chunks=(20, 8), maxshape=(None, None), compression="gzip")
    _seurat_table(file, "obs", CELLS, {"day": DAYS})
    _seurat_table(file, "var", GENES[:8], {"features": np.array(GENES[:8], "S10")})
    _seurat_matrix(file.create_group("raw"), "X", CSR)
    _seurat_table(file["raw"], "var", GENES, {})
    return Truth(x=scaled, genes=GENES[:8], obs=days(), raw=COUNTS, found=("x-scaled",))


def _mudata_table(file, name, index, factors=(), **columns):
    place = file.create_group(name)
    place.create_dataset("_index", data=np.array(index, object), dtype=ASCII)
    for column, values in columns.items():
        place.create_dataset(column, data=values, chunks=(N,), maxshape=(None,))
    for column, levels in factors:
        made = place.create_dataset(f"__categories/{column}", data=np.array(levels, object), dtype=ASCII)
        made.attrs.create("ordered", 0, dtype=R_LOGICAL)
        place[column].attrs["categories"] = made.ref
    for attribute, value in (
        ("_index", "_index"),
        ("encoding-type", "dataframe"),
        ("encoding-version", "0.1.0"),
    ):
        scalar(place, attribute, value)
    if columns:
        place.attrs.create("column-order", np.array(list(columns), object), dtype=ASCII)
    else:
        place.attrs.create("column-order", np.empty(0), dtype="f8")


@case("MuDataSeurat: factors by reference, logicals, user block", userblock_size=512)
def mudata_seurat(file):
    scalar(file, "encoding-type", "AnnData")
    scalar(file, "encoder", "MuDataSeurat.r")
    codes = np.where(K % 7 == 0, -(2**31), K % 3).astype("i4")
    _mudata_table(
        file,
        "obs",
        CELLS,
        [("type", TYPES)],
        day=DAYS.astype("f8"),
        type=codes,
        good=np.array(K % 3, "i4").astype(R_LOGICAL),
    )
    _mudata_table(file, "var", GENES)
    columns = sparse.csc_matrix(COUNTS.astype("f8"))
    place = file.create_group("layers/counts")
    place["indices"], place["indptr"], place["data"] = columns.indices, columns.indptr, columns.data
    place.attrs["shape"] = np.array([N, G], "i4")
    scalar(place, "encoding-type", "csc_matrix")
    file["X"] = np.log1p(COUNTS).astype("f8")
    raw = file.create_group("raw/X")
    raw["indices"], raw["indptr"], raw["data"] = columns.indices, columns.indptr, columns.data
    raw.attrs["shape"] = np.array([N, G], "i4")
    scalar(raw, "encoding-type", "csc_matrix")
    file["obsm/X_umap"] = UMAP.astype("f8")
    words = [None if k % 7 == 0 else TYPES[k % 3] for k in K]
    good = [[0, 1, None][k % 3] for k in K]
    return Truth(
        x=np.log1p(COUNTS).astype("f8"),
        obs={"day": DAYS.tolist(), "type": words, "good": good},
        layers={"counts": COUNTS},
        obsm={"X_umap": UMAP.astype("f8")},
        raw=COUNTS,
        times=DAY_ORDER,
    )


@case("anndataR: one cell, whose columns and names are single values")
def anndata_r_one(file):
    root(file)
    array(file, "X", COUNTS[:1].astype("f8"))
    obs = mark(file.create_group("obs"), "dataframe")
    obs.attrs["_index"] = "_index"
    mark(obs.create_dataset("_index", data=CELLS[0], dtype=UTF8), "string")
    mark(obs.create_dataset("day", data=2.5), "numeric-scalar")
    mark(obs.create_dataset("type", data="beta", dtype=UTF8), "string")
    obs.attrs["column-order"] = np.array(["day", "type"], dtype=object)
    table(file, "var", GENES)
    return Truth(x=COUNTS[:1], cells=CELLS[:1], obs={"day": [2.5], "type": ["beta"]}, found=("no-cells",))


@case("anndataR: nullable columns with masks of R's own type")
def anndata_r(file):
    obs = modern(file)
    for name, values, kind in (
        ("whole", np.where(K % 3 == 0, 1, K).astype("i4"), "nullable-integer"),
        (
            "yes",
            (K % 2).astype("i4").astype(h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, "i4")),
            "nullable-boolean",
        ),
    ):
        place = mark(obs.create_group(name), kind, "0.1.0")
        place["values"] = values
        place["mask"] = (K % 3 == 0).astype("i1").astype(h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, "i1"))
    obs.attrs["column-order"] = np.array(["day", "whole", "yes"], dtype=object)
    gone = K % 3 == 0
    whole = [None if g else int(k) for k, g in zip(K, gone, strict=True)]
    yes = [None if g else bool(k % 2) for k, g in zip(K, gone, strict=True)]
    return Truth(obs=days() | {"whole": whole, "yes": yes})


@case("anndataR: counts as fractions, matrix by columns, encodings with arrays of one")
def anndata_r_counts(file):
    modern(file, has_x=False)
    matrix(file, "X", sparse.csc_matrix(COUNTS.astype("f8")))
    for place in (file["X"], file["obs"], file["var"]):
        for name in ("encoding-type", "encoding-version"):
            place.attrs[name] = np.array([place.attrs[name]], dtype=object)
    file["obs"].attrs["_index"] = np.array(["_index"], dtype=object)
    return Truth(obs=days(), times=DAY_ORDER)


@case("zellkonverter: everything of SingleCellExperiment")
def zellkonverter(file):
    obs = modern(file)
    array(obs, "sizeFactor", (K + 1.0) / 7)
    array(obs, "missing", np.where(K % 2 == 0, -(2**31), K).astype("i4"))
    array(obs, "logical", np.where(K % 2 == 0, 1, 0).astype("i4"))
    order(obs, ["day", "sizeFactor", "missing", "logical"])
    array(file["layers"], "logcounts", np.log1p(COUNTS).astype("f8"))
    array(file["obsm"], "PCA", PCA.astype("f8"))
    mark(file["uns"].create_dataset("X_name", data="counts", dtype=UTF8), "string")
    missing = [None if k % 2 == 0 else int(k) for k in K]
    return Truth(
        obs=days() | {"sizeFactor": ((K + 1.0) / 7).tolist(), "missing": missing},
        layers={"logcounts": np.log1p(COUNTS).astype("f8")},
        obsm={"PCA": PCA.astype("f8")},
        uns={"X_name": "counts"},
        said=("r-missing",),
    )


@case("Julia and Rust: categories by unsigned codes, names as UTF-8 of fixed length")
def rust(file):
    modern(file, has_x=False)
    matrix(file, "X", CSR, indices="u8", indptr="u8", data="u4")
    obs = file["obs"]
    del obs["_index"]
    obs["_index"] = np.array([c.encode() for c in CELLS], dtype=h5py.string_dtype("utf-8", 9))
    place = mark(obs.create_group("type"), "categorical")
    place["codes"], place["categories"] = (K % 3).astype("u4"), np.array(TYPES, dtype="S8")
    place.attrs["ordered"] = np.uint8(0)
    order(obs, ["day", "type"])
    return Truth(obs=days() | {"type": WORDS})


@case("cellxgene: raw counts in raw, schema in uns, gene ids as names")
def cellxgene(file):
    genes = [f"ENSG{k:011}" for k in range(G)]
    root(file)
    matrix(file, "X", sparse.csr_matrix(np.log1p(COUNTS).astype("f4")))
    table(file, "obs", CELLS, {"development_stage": np.array([f"E{d}.5" for d in DAYS])})
    table(file, "var", genes, {"feature_name": np.array(GENES), "feature_is_filtered": np.zeros(G, bool)})
    raw = mark(file.create_group("raw"), "raw", "0.1.0")
    matrix(raw, "X", CSR)
    table(raw, "var", genes, {"feature_name": np.array(GENES)})
    mark(file["uns"].create_dataset("schema_version", data="5.1.0", dtype=UTF8), "string")
    return Truth(
        x=np.log1p(COUNTS).astype("f4"),
        genes=genes,
        raw=COUNTS,
        obs={"development_stage": [f"E{d}.5" for d in DAYS]},
        uns={"schema_version": "5.1.0"},
        times=("E2.5", "E3.5", "E10.5"),
    )


@case("a C program: big-endian, fixed texts, everything contiguous")
def plain_c(file):
    for name, names in (("obs", CELLS), ("var", GENES)):
        place = file.create_group(name)
        place["index"] = np.array([n.encode() for n in names])
    file["obs/day"] = DAYS.astype(">i2")
    file["X"] = COUNTS.astype(">f8")
    return Truth(obs=days(), times=DAY_ORDER)
