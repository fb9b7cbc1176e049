"""Honest files of every generation of anndata, and of programs that say less than they should."""

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
    categories,
    days,
    mark,
    matrix,
    modern,
    order,
    table,
)

TYPES = ["beta", "alpha", "gamma"]
CODES = np.arange(N) % 3
WORDS = [TYPES[k] for k in CODES]


def _records(names, **columns):
    kinds = [("index", "S20"), *((name, values.dtype, values.shape[1:]) for name, values in columns.items())]
    made = np.zeros(len(names), dtype=kinds)
    made["index"] = [name.encode() for name in names]
    for name, values in columns.items():
        made[name] = values
    return made


def _old_sparse(file: h5py.File, name: str, made: sparse.spmatrix, kind: object) -> None:
    place = file.create_group(name)
    place.attrs["h5sparse_format"], place.attrs["h5sparse_shape"] = kind, np.array(made.shape)
    for part in ("data", "indices", "indptr"):
        place[part] = getattr(made, part)


def _oldest(file: h5py.File, x: str = "csr", scalar: bool = False) -> Truth:
    if x == "dense":
        file["X"] = COUNTS
    else:
        _old_sparse(file, "X", sparse.csr_matrix(COUNTS).asformat(x), np.bytes_(x))
    file["obs"] = _records(
        CELLS, day=DAYS.astype("i2"), type=CODES.astype("i1"), good=np.arange(N) % 2 == 0, score=PCA[:, 0]
    )
    file["var"] = _records(GENES, mean=COUNTS.mean(axis=0))
    file["obsm"] = _records(CELLS, X_pca=PCA, X_umap=UMAP)[["X_pca", "X_umap"]]
    file["uns/type_categories"] = np.array([t.encode() for t in TYPES])
    file["uns/louvain"] = np.array([1.0, 2.0])
    if scalar:
        file["uns/one"] = "text"
    obs = days() | {"type": WORDS, "good": (np.arange(N) % 2 == 0).tolist(), "score": PCA[:, 0].tolist()}
    return Truth(obs=obs, obsm={"X_pca": PCA, "X_umap": UMAP}, uns={"louvain": [1.0, 2.0]}, times=DAY_ORDER)


@case("anndata 0.6, csr")
def oldest_csr(file):
    return _oldest(file)


@case("anndata 0.6, csc")
def oldest_csc(file):
    return _oldest(file, "csc")


@case("anndata 0.6, dense")
def oldest_dense(file):
    return _oldest(file, "dense", scalar=True)


@case("anndata 0.6 with raw.X")
def oldest_raw(file):
    truth = _oldest(file)
    _old_sparse(file, "raw.X", sparse.csr_matrix(COUNTS * 2), b"csr")
    file["raw.var"] = _records(GENES)
    return Truth(**vars(truth) | {"raw": COUNTS * 2})


@case("anndata 0.6, X as one line for one gene")
def oldest_vector(file):
    file["X"] = COUNTS[:, 0]
    file["obs"], file["var"] = _records(CELLS, day=DAYS), _records(GENES[:1])
    return Truth(x=COUNTS[:, :1], genes=GENES[:1], obs=days())


@case("anndata 0.6, X as one line for one cell")
def oldest_row(file):
    file["X"] = COUNTS[0]
    file["obs"], file["var"] = _records(CELLS[:1], day=DAYS[:1]), _records(GENES)
    return Truth(x=COUNTS[:1], cells=CELLS[:1], found=("no-cells",))


@case("anndata 0.6, missing categories and wide fields")
def oldest_gaps(file):
    codes = np.where(np.arange(N) % 5 == 0, -1, CODES).astype("i1")
    file["X"] = COUNTS
    file["obs"] = _records(CELLS, day=DAYS, type=codes, wide=PCA[:, :2])
    file["var"] = _records(GENES)
    file["uns/type_categories"] = np.array(TYPES, dtype=object)
    words = [None if code < 0 else TYPES[code] for code in codes]
    return Truth(obs=days() | {"type": words}, without=("wide",), said=("unreadable-column",))


@case("anndata 0.6, codes beyond the categories")
def oldest_beyond(file):
    file["X"] = COUNTS
    file["obs"], file["var"] = _records(CELLS, day=DAYS, type=np.full(N, 7)), _records(GENES)
    file["uns/type_categories"] = np.array(TYPES, dtype=object)
    return Truth(obs=days(), without=("type",), said=("unreadable-column",))


def _seven(file: h5py.File, *, reference: bool = True, ordered: object = False) -> h5py.Group:
    matrix(file, "X", sparse.csr_matrix(COUNTS))
    for name, names in (("obs", CELLS), ("var", GENES)):
        place = mark(file.create_group(name), "dataframe", "0.1.0")
        place.attrs["_index"] = "index"
        place.create_dataset("index", data=np.array(names, dtype=object), dtype=UTF8)
        order(place, [])
    obs = file["obs"]
    obs["day"], obs["type"] = DAYS, CODES.astype("i1")
    levels = obs.create_dataset("__categories/type", data=np.array(TYPES, dtype=object), dtype=UTF8)
    levels.attrs["ordered"] = ordered
    if reference:
        obs["type"].attrs["categories"] = levels.ref
    order(obs, ["day", "type"])
    for name in ("obsm", "layers", "uns"):
        file.create_group(name)
    file["obsm/X_umap"] = UMAP
    return obs


@case("anndata 0.7")
def seven(file):
    _seven(file)
    return Truth(
        obs=days() | {"type": WORDS}, ordered={"type": TYPES}, obsm={"X_umap": UMAP}, times=DAY_ORDER
    )


@case("anndata 0.7, ordered categories")
def seven_ordered(file):
    _seven(file, ordered=True)
    return Truth(obs=days() | {"type": WORDS}, ordered={"type": TYPES})


@case("anndata 0.7, categories elsewhere than their name says")
def seven_elsewhere(file):
    obs = _seven(file)
    del obs["__categories/type"], obs["type"].attrs["categories"]
    obs.create_dataset("__categories/other", data=np.array(TYPES, dtype=object), dtype=UTF8)
    obs["type"].attrs["categories"] = obs["__categories/other"].ref
    return Truth(obs=days() | {"type": WORDS})


@case("anndata 0.7, categories without a reference, as SeuratDisk writes them")
def seven_seurat(file):
    _seven(file, reference=False)
    return Truth(obs=days() | {"type": WORDS})


@case("anndata 0.7, slash in the name of a column")
def seven_slash(file):
    obs = _seven(file)
    obs["a/b"] = CODES.astype("i1")
    levels = obs.create_dataset("__categories/a/b", data=np.array(TYPES, dtype=object), dtype=UTF8)
    obs["a/b"].attrs["categories"] = levels.ref
    order(obs, ["day", "type", "a/b"])
    return Truth(obs=days() | {"a/b": WORDS})


@case("anndata 0.8 and later")
def eight(file):
    obs = modern(file)
    categories(obs, "type", CODES.astype("i1"), TYPES, ordered=True)
    order(obs, ["day", "type"])
    array(file["obsm"], "X_umap", UMAP)
    matrix(file["layers"], "twice", sparse.csc_matrix(COUNTS * 2))
    raw = mark(file.create_group("raw"), "raw", "0.1.0")
    matrix(raw, "X", sparse.csr_matrix(COUNTS * 3))
    table(raw, "var", GENES)
    return Truth(
        obs=days() | {"type": WORDS},
        ordered={"type": TYPES},
        obsm={"X_umap": UMAP},
        layers={"twice": COUNTS * 2},
        raw=COUNTS * 3,
        times=DAY_ORDER,
    )


@case("anndata 0.12: raw and X as null elements")
def nothing(file):
    modern(file, has_x=False)
    for name in ("X", "raw", "uns/none", "obsm/none"):
        mark(file.create_dataset(name, data=h5py.Empty("f4")), "null", "0.1.0")
    array(file["layers"], "counts", COUNTS)
    return Truth(obs=days(), layers={"counts": COUNTS}, said=("layer-only",))


@case("unknown versions of every encoding")
def future_versions(file):
    obs = modern(file)
    categories(obs, "type", CODES.astype("i1"), TYPES)
    order(obs, ["day", "type"])
    array(file["obsm"], "X_umap", UMAP)
    file.visititems(lambda _, element: mark(element, element.attrs["encoding-type"], "9.9.9") and None)
    return Truth(obs=days() | {"type": WORDS}, obsm={"X_umap": UMAP})


@case("no encoding attributes but on X")
def unmarked(file):
    obs = modern(file, x=COUNTS)
    categories(obs, "type", CODES.astype("i1"), TYPES)
    order(obs, ["day", "type"])
    array(file["obsm"], "X_umap", UMAP)
    file.visititems(_unmark)
    _unmark("", file)
    return Truth(obs=days() | {"type": WORDS}, obsm={"X_umap": UMAP})


def _unmark(_, element):
    for name in ("encoding-type", "encoding-version"):
        element.attrs.pop(name, None)


@case("no attributes at all, sparse X")
def bare(file):
    modern(file)
    file.visititems(lambda _, element: [element.attrs.pop(name) for name in list(element.attrs)] and None)
    return Truth(obs=days(), said=("unmarked-matrix",))


@case("no attributes at all, sparse X by columns")
def bare_columns(file):
    modern(file, has_x=False)
    matrix(file, "X", sparse.csc_matrix(COUNTS))
    file["X"].attrs.clear()
    return Truth(obs=days(), said=("unmarked-matrix",))


ATTRIBUTES = {
    "bytes": lambda value: np.bytes_(value),
    "text of fixed length": lambda value: np.array(value, dtype=f"S{len(value) + 5}"),
    "array of one": lambda value: np.array([value], dtype=object),
    "array of one, bytes": lambda value: np.array([value.encode()]),
    "matrix of one": lambda value: np.array([[value]], dtype=object),
}


def _attributes(kind):
    def make(file):
        obs = modern(file)
        categories(obs, "type", CODES.astype("i1"), TYPES, ordered=True)
        order(obs, ["day", "type"])
        table(file["obsm"], "frame", CELLS, {"a": np.arange(N)})

        def change(_, element):
            for name in ("encoding-type", "encoding-version", "_index"):
                if name in element.attrs:
                    element.attrs[name] = ATTRIBUTES[kind](element.attrs[name])

        file.visititems(change)
        frame = np.arange(N)[:, None]
        return Truth(obs=days() | {"type": WORDS}, ordered={"type": TYPES}, obsm={"frame": frame})

    return make


for _kind in ATTRIBUTES:
    case(f"attributes as {_kind}")(_attributes(_kind))


@case("shape of a sparse matrix as fractions, as R may write it")
def fractional_shape(file):
    modern(file)
    file["X"].attrs["shape"] = np.array([float(N), float(G)])
    return Truth(obs=days())


@case("csr_array as encoding")
def sparse_array(file):
    modern(file)
    file["X"].attrs["encoding-type"] = "csr_array"
    return Truth(obs=days())


@case("user block of 512 bytes", userblock_size=512)
def user_block(file):
    modern(file)
    return Truth(obs=days(), times=DAY_ORDER)


@case("user block of 2048 bytes", userblock_size=2048)
def larger_user_block(file):
    modern(file)
    return Truth(obs=days())


@case("user block of 8192 bytes", userblock_size=8192)
def largest_user_block(file):
    modern(file)
    return Truth(obs=days())


@case("newest form of HDF5", libver="latest")
def newest(file):
    modern(file)
    return Truth(obs=days())


@case("named types beside the parts, as JHDF5 writes them")
def named_types(file):
    modern(file)
    file["__DATA_TYPES__/Enum_Boolean"] = h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, basetype="i1")
    file["obsm/kind"] = np.dtype("f8")
    return Truth(obs=days(), said=("left-aside",))


@case("elements of Stereopy at the root")
def stereopy(file):
    modern(file)
    categories(file, "annotation@cluster", CODES, TYPES)
    return Truth(obs=days(), said=("left-aside",))


@case("varp with content")
def varp(file):
    modern(file)
    array(file["varp"], "genes", np.eye(G))
    return Truth(obs=days(), said=("left-aside",))
