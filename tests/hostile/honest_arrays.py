"""Honest files with odd entries in obsm, obsp, varm and uns, and with parts that cannot be used."""

import zlib

import h5py
import numpy as np
from scipy import sparse

from tests.hostile.honest import (
    CELLS,
    COUNTS,
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
    folder,
    gaps,
    mark,
    matrix,
    modern,
    table,
)

CUBE = np.random.default_rng(3).normal(size=(N, 3))


def _states(name, values, *, found=(), key="X_umap", truth=None, said=()):
    def make(file):
        modern(file)
        if sparse.issparse(values):
            matrix(file["obsm"], key, values)
        else:
            array(file["obsm"], key, values)
        wanted = values if truth is None else truth
        return Truth(obs=days(), obsm={key: wanted}, found=found, said=said)

    case(f"obsm: {name}")(make)


SPOILT = UMAP.copy()
SPOILT[3] = np.nan
_states("three dimensions", CUBE)
_states("one column", CUBE[:, :1])
_states("a list", CUBE[:, 0], truth=CUBE[:, :1])
_states("sparse", sparse.csr_matrix(COUNTS[:, :5]), key="X_topics")
_states("sparse by columns", sparse.csc_matrix(COUNTS[:, :5]), key="X_topics")
_states("missing values", SPOILT, found=("array-not-finite",))
_states("constant", np.ones((N, 2)), found=("array-constant",))
_states("whole numbers", np.arange(2 * N).reshape(N, 2))
_states("big-endian", UMAP.astype(">f8"))
_states("half precision", UMAP.astype("f2"))
_states("yes/no", COUNTS[:, :4] > 0, key="flags")
_states("complex", UMAP + 1j, key="waves", said=("complex-numbers",))
_states("three-dimensional", np.zeros((N, 2, 3)), key="images")
_states("no columns", np.zeros((N, 0)), key="X_none")
_states("500 columns", np.random.default_rng(4).normal(size=(N, 500)), key="X_scVI")
for _odd in (
    "umap",
    "UMAP",
    "X umap",
    "a/b",
    "细胞",
    "![](http://h/p)",
    "x\n\x1by",
    "<a href='x'>",
    "n" * 300,
):
    _states(f"named {_odd[:20]!r}", UMAP, key=_odd.replace("//", "/"))


@case("obsm: a table")
def states_in_table(file):
    modern(file)
    table(file["obsm"], "frame", CELLS, {"a": np.arange(N), "b": np.arange(N) / 2})
    return Truth(obs=days(), obsm={"frame": np.column_stack([np.arange(N), np.arange(N) / 2])})


@case("obsm: a table in another order of cells")
def shuffled_table(file):
    modern(file)
    table(file["obsm"], "frame", CELLS[::-1], {"a": np.arange(N)[::-1].copy()})
    return Truth(obs=days(), obsm={"frame": np.arange(N)[:, None]}, said=("reordered-table",))


@case("obsm: a table that names its rows otherwise")
def numbered_table(file):
    modern(file)
    table(file["obsm"], "frame", [str(k) for k in range(N)], {"a": np.arange(N)})
    return Truth(obs=days(), obsm={"frame": np.arange(N)[:, None]}, said=("table-names",))


@case("obsm: wrong number of rows, texts, an unknown kind, lists")
def wrong_states(file):
    modern(file)
    obsm = file["obsm"]
    array(obsm, "X_umap", UMAP[:-1])
    array(obsm, "X_pca", PCA.T)
    array(obsm, "words", np.full((N, 2), "x"))
    mark(obsm.create_group("airr"), "awkward-array", "0.1.0").attrs["form"] = "{}"
    array(obsm["airr"], "node0-offsets", np.arange(N))
    array(obsm, "X_good", PCA)
    without = ("obsm/X_umap", "obsm/X_pca", "obsm/words", "obsm/airr")
    said = ("obsm-shape", "not-numbers", "unreadable-element")
    return Truth(obs=days(), obsm={"X_good": PCA}, without=without, said=said)


@case("obsp and varm with content, some of it unknown")
def graphs(file):
    modern(file)
    matrix(file["obsp"], "distances", sparse.identity(N, format="csr"))
    array(file["obsp"], "wrong", np.eye(N)[:, :-1])
    mark(file["obsp"].create_group("odd"), "from-the-future", "1")
    array(file["varm"], "PCs", np.ones((G, 4)))
    array(file["varm"], "wrong", np.ones((G + 1, 4)))
    said = ("obsp-shape", "unreadable-element", "varm-shape")
    return Truth(obs=days(), without=("obsp/wrong", "obsp/odd", "varm/wrong"), said=said)


@case("uns: everything that anndata can write")
def plain_uns(file):
    modern(file)
    uns = file["uns"]
    mark(uns.create_dataset("text", data="two", dtype=UTF8), "string")
    mark(uns.create_dataset("number", data=2.5), "numeric-scalar")
    mark(uns.create_dataset("flag", data=True), "numeric-scalar")
    mark(uns.create_dataset("none", data=h5py.Empty("f4")), "null", "0.1.0")
    array(uns, "texts", np.array(["a", "b"]))
    array(uns, "day_colors", np.array(["#111111", "#222222", "#333333"]))
    matrix(uns, "graph", sparse.identity(5, format="csr"))
    deep = folder(uns, "deep")
    for k in range(8):
        deep = folder(deep, f"level{k}")
    array(deep, "end", np.arange(3))
    table(uns, "frame", ["a", "b"], {"x": np.arange(2)})
    categories(uns, "kinds", [0, 1], ["a", "b"])
    gaps(uns, "gaps", np.arange(3), [False, True, False], "nullable-integer")
    records = np.array([(b"g1", 1.5), (b"g2", 2.5)], dtype=[("names", "S4"), ("scores", ">f4")])
    mark(uns.create_dataset("rank", data=records), "rec-array")
    truth = {"text": "two", "number": 2.5, "flag": True, "none": None, "texts": ["a", "b"]}
    return Truth(obs=days(), uns=truth | {"rank": [("g1", 1.5), ("g2", 2.5)]})


@case("uns: one unknown element deep in a tree costs only itself")
def unknown_uns(file):
    modern(file)
    tree = folder(file["uns"], "tree")
    mark(tree.create_group("odd"), "from-the-future", "9")
    array(tree, "good", np.arange(3))
    return Truth(obs=days(), uns={"tree": {"good": [0, 1, 2]}}, said=("unknown-uns",))


@case("uns: entries of unknown kinds at the top")
def unknown_top(file):
    modern(file)
    uns = file["uns"]
    mark(uns.create_group("odd"), "from-the-future", "9")
    mark(uns.create_group("wrong"), "csr_matrix", "0.1.0").attrs["shape"] = [3, 3]
    uns.create_dataset("lists", (2,), dtype=h5py.vlen_dtype("i4"))[0] = [1, 2]
    uns.create_dataset("opaque", data=np.zeros(2, "V5"))
    array(uns, "good", np.arange(3))
    without = ("uns/odd", "uns/lists", "uns/opaque", "uns/wrong")
    said = ("unknown-uns", "damaged-element")
    return Truth(obs=days(), uns={"good": [0, 1, 2]}, without=without, said=said)


@case("uns: a dictionary whose keys are those of a sparse matrix")
def like_a_matrix(file):
    modern(file)
    place = folder(file["uns"], "x")
    for part in ("data", "indices", "indptr"):
        array(place, part, np.arange(3))
    parts = {part: [0, 1, 2] for part in ("data", "indices", "indptr")}
    return Truth(obs=days(), uns={"x": parts})


@case("uns: a huge entry")
def huge_uns(file):
    modern(file)
    file["uns"].create_dataset(
        "x", data=np.arange(9_000_000, dtype="f8") % 7, chunks=(500_000,), compression="lzf"
    )
    return Truth(obs=days(), without=("uns/x",), said=("large-uns",))


@case("uns: very many short texts")
def many_texts(file):
    modern(file)
    for name, kind in (("texts", "S1"), ("kinds", h5py.enum_dtype({"a": 0, "b": 1}, "u1"))):
        file["uns"].create_dataset(name, (2_200_000,), kind, chunks=(550_000,), compression="lzf")[:] = 1
    file["uns"].create_dataset("flags", data=np.ones(2_200_000, bool), compression="lzf")
    return Truth(obs=days(), without=("uns/texts", "uns/kinds"), said=("large-uns",))


@case("uns: texts with gaps beside others")
def texts_with_gaps(file):
    modern(file)
    tree = folder(file["uns"], "tree")
    array(tree, "good", np.arange(3))
    gaps(tree, "texts", np.array(["a", "b"]), [False, True], "nullable-string-array")
    return Truth(obs=days(), uns={"tree": {"good": [0, 1, 2], "texts": ["a", None]}})


@case("uns is missing, as are all folders")
def nothing_but_needed(file):
    modern(file)
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        del file[name]
    return Truth(obs=days())


@case("folders are arrays of nothing")
def empty_folders(file):
    modern(file)
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        del file[name]
        mark(file.create_dataset(name, data=h5py.Empty("f4")), "null", "0.1.0")
    return Truth(obs=days())


@case("arrays where folders belong")
def arrays_as_folders(file):
    modern(file)
    for name in ("layers", "obsm", "varm", "obsp", "uns"):
        del file[name]
        array(file, name, np.ones((N, 2)))
    array(file, "raw", COUNTS)
    return Truth(obs=days(), said=("no-folder",), without=("raw",))


@case("categories alone among states are said")
def categories_in_obsm(file):
    modern(file)
    categories(file["obsm"], "kinds", np.arange(N) % 2, ["a", "b"])
    return Truth(obs=days(), said=("not-numbers",), without=("obsm/kinds",))


@case("names in uns that mean something to browsers and terminals")
def odd_names(file):
    modern(file)
    names = ["![](http:)", "<script>", "x\ny", "\x1b[31m", "=1+1", "细胞", "'; DROP", "%{y}", "{}", " "]
    for name in names:
        array(file["uns"], name, np.arange(2))
    return Truth(obs=days(), uns={name: [0, 1] for name in names})


# Parts that cannot be used cost themselves, not the file


def _spoil(file: h5py.File, name: str, shape=(N, 2)) -> None:
    """Make an array whose only block does not unpack to what it should."""
    made = file.create_dataset(name, shape, "f8", chunks=shape, compression="gzip")
    made.id.write_direct_chunk((0,) * len(shape), zlib.compress(bytes(8)))


@case("damaged parts that are not needed")
def damaged_parts(file):
    modern(file)
    for name in ("obsm/X_umap", "obsp/graph", "varm/PCs", "uns/a", "uns/tree/b", "layers/spoilt"):
        _spoil(file, name)
    array(file["uns/tree"], "good", np.arange(3))
    _spoil(file, "obs/x", (N,))
    _spoil(file, "raw/X", (N, G))
    table(file["raw"], "var", GENES)
    without = ("x", "obsm/X_umap", "obsp/graph", "varm/PCs", "uns/a", "layers/spoilt", "raw")
    said = ("damaged-element", "unreadable-column", "unlisted-column")
    return Truth(obs=days(), uns={"tree": {"good": [0, 1, 2]}}, without=without, said=said)


@case("damaged categories of one column")
def damaged_levels(file):
    obs = modern(file)
    place = mark(obs.create_group("x"), "categorical")
    array(place, "codes", np.zeros(N, "i1"))
    _spoil(file, "obs/x/categories", (3,))
    return Truth(obs=days(), without=("x",), said=("unreadable-column", "unlisted-column"))


@case("damaged categories of anndata 0.7, beside and by reference")
def damaged_old_levels(file):
    obs = modern(file)
    obs["x"] = obs["y"] = np.zeros(N, "i1")
    _spoil(file, "obs/__categories/x", (3,))
    _spoil(file, "uns/levels", (3,))
    obs["y"].attrs["categories"] = file["uns/levels"].ref
    said = ("damaged-element", "unreadable-column", "unlisted-column")
    return Truth(obs=days(), without=("x", "y"), said=said)


@case("damaged parts under names that are no UTF-8")
def damaged_odd_names(file):
    obs = modern(file)
    _spoil(file, "uns/x")
    _spoil(file, "uns/y", (N,))
    for name, place in ((b"x", file["obsm"]), (b"y", obs)):
        h5py.h5o.link(h5py.h5o.open(file.id, b"uns/" + name), place.id, b"caf\xe9")
    del file["uns"]
    return Truth(obs=days(), said=("damaged-element", "unreadable-column", "unlisted-column"))


@case("names that are no UTF-8")
def latin_names(file):
    obs = modern(file)
    for place, values in ((obs, np.arange(N)), (file["obsm"], UMAP), (file["uns"], np.arange(3))):
        made = file.create_dataset(None, data=values)
        h5py.h5o.link(made.id, place.id, "Größe".encode("cp1252"))
    truth = days() | {"Größe": list(range(N))}
    return Truth(obs=truth, obsm={"Größe": UMAP}, uns={"Größe": [0, 1, 2]}, said=("unlisted-column",))


@case("kinds of numbers that nobody reads")
def odd_types(file):
    modern(file)
    space = h5py.h5s.create_simple((N,))
    for group in ("obs", "obsm", "uns"):
        for name, kind in ((b"bits", h5py.h5t.STD_B8LE), (b"clock", h5py.h5t.UNIX_D32LE)):
            h5py.h5d.create(file[group].id, name, kind, space)
    h5py.h5d.create(file["varm"].id, b"clock", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((G, 2)))
    without = ("clock", "obsm/clock", "uns/clock")
    said = ("unreadable-column", "unlisted-column", "unreadable-element", "unknown-uns", "never-written")
    return Truth(obs=days(), without=without, said=said)


@case("arrays that were never written")
def never_written(file):
    modern(file)
    file["obsm"].create_dataset("X_umap", (N, 2), "f4")
    file["obs"].create_dataset("x", (N,), "i4", fillvalue=7)
    file["uns"].create_dataset("y", (3,), "i4", chunks=(2,), compression="gzip")
    truth = days() | {"x": [7] * N}
    said = ("never-written", "unlisted-column")
    return Truth(obs=truth, obsm={"X_umap": np.zeros((N, 2))}, uns={"y": [0, 0, 0]}, said=said)


@case("arrays that were never written and have no filler")
def never_filled(file):
    modern(file)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind, space = h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((N,))
    h5py.h5d.create(file["obs"].id, b"x", kind, space, layout)
    layout.set_chunk((10,))
    h5py.h5d.create(file["obsm"].id, b"y", kind, space, layout)
    file["obsm/y"][:20] = 1
    without = ("x", "obsm/y")
    said = ("damaged-element", "unreadable-column", "unlisted-column")
    return Truth(obs=days(), without=without, said=said)


@case("cells and days only, one column each")
def least(file):
    table(file, "obs", CELLS, {"day": DAYS})
    return Truth(x=None, genes=[], obs=days(), found=("no-genes",))
