"""Honest files with every matrix that a program may write: kinds of numbers, orders, gaps, sizes."""

import ctypes

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
    G,
    N,
    Truth,
    array,
    case,
    days,
    mark,
    matrix,
    modern,
    root,
    table,
)

CSR, CSC = sparse.csr_matrix(COUNTS), sparse.csc_matrix(COUNTS)


def _parts(file: h5py.File, kind: str, data, indices, starts, shape=(N, G)) -> h5py.Group:
    """X from parts that need not be in order."""
    place = mark(file.create_group("X"), f"{kind}_matrix", "0.1.0")
    place.attrs["shape"] = np.array(shape)
    place["data"], place["indices"], place["indptr"] = data, indices, starts
    return place


def _positions(kind, width):
    def make(file):
        modern(file, has_x=False)
        matrix(file, "X", CSR if kind == "csr" else CSC, indices=width, indptr=width)
        return Truth(obs=days(), times=DAY_ORDER)

    return make


for _kind in ("csr", "csc"):
    for _width in ("i2", "i4", "i8", "u4", "u8", ">i4", ">i8", ">u4"):
        case(f"{_kind}, positions as {_width}")(_positions(_kind, _width))


@case("positions in one byte, starts in eight")
def narrow_positions(file):
    modern(file, has_x=False)
    matrix(file, "X", CSR, indices="u1", indptr="u8")
    return Truth(obs=days())


NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">i4", ">i8", ">u4"]
NUMBERS += [">f2", ">f4", ">f8"]


def _numbers(kind, width):
    def make(file):
        modern(file, has_x=False)
        if kind == "dense":
            array(file, "X", COUNTS.astype(width))
        else:
            matrix(file, "X", CSR.asformat(kind), data=width)
        return Truth(obs=days())

    return make


for _width in NUMBERS:
    for _kind in ("dense", "csr"):
        case(f"{_kind} X of {_width}")(_numbers(_kind, _width))


@case("long double X")
def long_double(file):
    modern(file, x=COUNTS.astype(np.longdouble))
    return Truth(obs=days())


@case("yes/no X")
def yes_no(file):
    modern(file, x=COUNTS > 0)
    return Truth(x=COUNTS > 0, obs=days(), found=("not-expression",))


@case("sparse yes/no X")
def sparse_yes_no(file):
    modern(file, has_x=False)
    matrix(file, "X", sparse.csr_matrix(COUNTS > 0))
    return Truth(x=COUNTS > 0, obs=days(), found=("not-expression",))


@case("complex X")
def complex_x(file):
    modern(file, x=COUNTS + 1j)
    return Truth(x=COUNTS + 1j, obs=days(), found=("not-expression",))


@case("counts beyond 2^24")
def large_counts(file):
    large = COUNTS.astype("i8") + 2**24 + 1
    modern(file, x=large)
    return Truth(x=large, obs=days())


@case("sparse counts beyond 2^24")
def large_sparse_counts(file):
    large = CSR.astype("i8") * (2**24 + 1)
    modern(file, has_x=False)
    matrix(file, "X", large)
    return Truth(x=large, obs=days())


@case("unsorted positions")
def unsorted(file):
    modern(file, has_x=False)
    made = CSR.copy()
    for k in range(N):
        part = slice(made.indptr[k], made.indptr[k + 1])
        made.indices[part], made.data[part] = made.indices[part][::-1].copy(), made.data[part][::-1].copy()
    _parts(file, "csr", made.data, made.indices, made.indptr)
    return Truth(obs=days())


def _twice(kind, width):
    def make(file):
        modern(file, has_x=False)
        made = CSR.asformat(kind)
        data = np.repeat((made.data * 60).astype(width), 2)
        _parts(file, kind, data, np.repeat(made.indices, 2), made.indptr * 2)
        return Truth(x=COUNTS * 120, obs=days(), said=("summed-duplicates",))

    return make


for _kind in ("csr", "csc"):
    for _width in ("f4", "u2", "i2"):
        case(f"{_kind} with values of the same place, {_width}")(_twice(_kind, _width))


@case("values of the same place whose sum needs more room")
def overflowing(file):
    modern(file, has_x=False)
    data = np.full(CSR.nnz * 2, 100, dtype="i1")
    _parts(file, "csr", data, np.repeat(CSR.indices, 2), CSR.indptr * 2)
    return Truth(x=(COUNTS > 0) * 200, obs=days(), said=("summed-duplicates",))


@case("explicit zeros")
def zeros(file):
    modern(file, has_x=False)
    full = sparse.csr_matrix(np.ones((N, G), dtype="f4"))
    _parts(file, "csr", COUNTS.ravel(), full.indices, full.indptr)
    return Truth(obs=days())


@case("empty cells and genes")
def empty_rows(file):
    holed = COUNTS.copy()
    holed[::7], holed[:, 3] = 0, 0
    modern(file, has_x=False)
    matrix(file, "X", sparse.csr_matrix(holed))
    return Truth(x=holed, obs=days(), found=("empty-cells",))


@case("sparse X of zeros only")
def nothing_stored(file):
    modern(file, has_x=False)
    matrix(file, "X", sparse.csr_matrix((N, G), dtype="f4"))
    return Truth(x=np.zeros((N, G)), obs=days(), found=("empty-cells",))


@case("sparse X with missing and infinite values")
def not_finite(file):
    spoilt = COUNTS.copy()
    spoilt[0, 0], spoilt[1, 1], spoilt[2, 2] = np.nan, np.inf, -np.inf
    modern(file, x=spoilt)
    return Truth(x=spoilt, obs=days(), found=("x-not-finite",))


def _r_missing(kind):
    def make(file):
        gaps = COUNTS.astype("i4")
        gaps[3, 4] = -(2**31)
        modern(file, has_x=False)
        array(file, "X", gaps) if kind == "dense" else matrix(file, "X", sparse.csr_matrix(gaps))
        return Truth(x=gaps, obs=days(), found=("x-r-missing",))

    return make


for _kind in ("dense", "csr"):
    case(f"{_kind} X with missing whole numbers of R")(_r_missing(_kind))


@case("z-scores")
def scaled(file):
    scaled = ((COUNTS - COUNTS.mean(axis=0)) / COUNTS.std(axis=0)).astype("f4")
    modern(file, x=scaled)
    return Truth(x=scaled, obs=days(), found=("x-scaled",))


@case("negative zeros and subnormal numbers")
def subnormal(file):
    odd = COUNTS.copy()
    odd[0], odd[1] = -0.0, 1e-42
    modern(file, x=odd)
    return Truth(x=odd, obs=days())


def _sized(n, g, kind):
    def make(file):
        root(file)
        values = COUNTS[:n, :g]
        array(file, "X", values) if kind == "dense" else matrix(file, "X", sparse.csr_matrix(values))
        table(file, "obs", np.array(CELLS[:n], dtype=object), {"day": DAYS[:n]})
        table(file, "var", np.array(GENES[:g], dtype=object))
        found = ("no-cells",) if n < 3 else ("no-genes",) if g == 0 else ("one-gene",) if g == 1 else ()
        x = None if g == 0 else values
        return Truth(x=x, cells=CELLS[:n], genes=GENES[:g], obs={"day": DAYS[:n].tolist()}, found=found)

    return make


for _n, _g in ((1, G), (N, 1), (0, G), (N, 0), (1, 1), (2, G), (0, 0)):
    for _kind in ("dense", "csr"):
        case(f"{_kind} X of {_n} cells and {_g} genes")(_sized(_n, _g, _kind))


@case("X as a list for one gene")
def vector(file):
    root(file)
    array(file, "X", COUNTS[:, 0])
    table(file, "obs", CELLS, {"day": DAYS})
    table(file, "var", GENES[:1])
    return Truth(x=COUNTS[:, :1], genes=GENES[:1], obs=days(), found=("one-gene",))


@case("X with genes in rows, dense")
def turned(file):
    modern(file, x=COUNTS.T)
    return Truth(obs=days(), said=("turned-matrix",))


@case("X with genes in rows, sparse")
def turned_sparse(file):
    modern(file, has_x=False)
    matrix(file, "X", sparse.csr_matrix(COUNTS.T))
    return Truth(obs=days(), said=("turned-matrix",))


@case("raw only")
def raw_only(file):
    modern(file, has_x=False)
    raw = mark(file.create_group("raw"), "raw", "0.1.0")
    matrix(raw, "X", CSR)
    table(raw, "var", GENES)
    return Truth(obs=days(), said=("raw-only",))


@case("raw with more genes than X")
def raw_wider(file):
    root(file)
    matrix(file, "X", sparse.csr_matrix(COUNTS[:, :5]))
    table(file, "obs", CELLS, {"day": DAYS})
    table(file, "var", GENES[:5])
    raw = mark(file.create_group("raw"), "raw", "0.1.0")
    matrix(raw, "X", CSR)
    table(raw, "var", GENES)
    return Truth(x=COUNTS[:, :5], genes=GENES[:5], obs=days(), raw=COUNTS)


@case("raw without its own genes")
def raw_unnamed(file):
    modern(file)
    matrix(file.create_group("raw"), "X", sparse.csr_matrix(COUNTS * 2))
    return Truth(obs=days(), raw=COUNTS * 2)


@case("raw that does not fit")
def raw_wrong(file):
    modern(file)
    raw = file.create_group("raw")
    matrix(raw, "X", sparse.csr_matrix(COUNTS[:-1]))
    table(raw, "var", GENES)
    return Truth(obs=days(), without=("raw",), said=("raw-left-out",))


@case("layers only")
def layers_only(file):
    modern(file, has_x=False)
    array(file["layers"], "a", np.log1p(COUNTS))
    array(file["layers"], "counts", COUNTS)
    layers = {"a": np.log1p(COUNTS), "counts": COUNTS}
    return Truth(obs=days(), layers=layers, said=("layer-only",))


@case("X is a named type")
def type_in_place_of_x(file):
    modern(file, has_x=False)
    file["X"] = np.dtype("f4")
    array(file["obsm"], "X_pca", PCA)
    return Truth(x=None, obs=days(), obsm={"X_pca": PCA}, said=("hollow-x",), found=("no-values",))


@case("X is an array without a size, and there are no states")
def nothing_in_place_of_x(file):
    modern(file, has_x=False)
    file["X"] = h5py.Empty("f4")
    found = ("no-values", "nothing-to-learn")
    return Truth(x=None, obs=days(), said=("hollow-x",), found=found)


@case("blocks at the edges are not compressed", libver="latest")
def plain_edges(file):
    modern(file, has_x=False)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((7, 5))
    layout.set_shuffle()
    layout.set_deflate(4)
    library = ctypes.CDLL(h5py.h5z.__file__)
    assert library.H5Pset_chunk_opts(ctypes.c_int64(layout.id), ctypes.c_uint(2)) == 0
    made = h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((N, G)), layout)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, COUNTS)
    return Truth(obs=days())


@case("states only")
def states_only(file):
    root(file)
    table(file, "obs", CELLS, {"day": DAYS})
    array(file["obsm"], "X_pca", PCA)
    return Truth(x=None, genes=[], obs=days(), obsm={"X_pca": PCA}, found=("no-genes",))


@case("genes without a table")
def no_var(file):
    root(file)
    matrix(file, "X", CSR)
    table(file, "obs", CELLS, {"day": DAYS})
    return Truth(genes=[str(k) for k in range(G)], obs=days(), said=("no-names",))


@case("layers that do not fit, hold texts or lie on their side")
def odd_layers(file):
    modern(file)
    array(file["layers"], "short", COUNTS[:-1])
    array(file["layers"], "words", np.full((N, G), "x"))
    array(file["layers"], "turned", COUNTS.T)
    array(file["layers"], "sliced/deep", COUNTS)
    without = ("layers/short", "layers/words")
    layers = {"turned": COUNTS, "sliced/deep": COUNTS}
    return Truth(obs=days(), layers=layers, without=without, said=("layers-shape", "turned-matrix"))


def _stored(how):
    def make(file):
        modern(file, has_x=False)
        mark(file.create_dataset("X", data=COUNTS, **how), "array")
        del file["obs/day"]
        mark(
            file["obs"].create_dataset("day", data=DAYS, chunks=(7,), maxshape=(None,), **_line(how)), "array"
        )
        return Truth(obs=days(), times=DAY_ORDER)

    return make


def _line(how):
    return {key: value for key, value in how.items() if key in ("compression", "shuffle", "fletcher32")}


STORED = {
    "odd blocks": {"chunks": (7, 5)},
    "one block": {"chunks": (N, G)},
    "tiny blocks": {"chunks": (1, 1)},
}
STORED |= {"resizable": {"chunks": (50, 50), "maxshape": (None, None)}, "wide blocks": {"chunks": (1, G)}}
for _squeeze in (None, "gzip", "lzf"):
    for _shuffle in (False, True):
        for _sum in (False, True):
            _name = f"stored with {_squeeze or 'no'} compression, shuffle {_shuffle}, checksum {_sum}"
            _how = {"compression": _squeeze, "shuffle": _shuffle, "fletcher32": _sum}
            STORED[_name] = {"chunks": (32, 9), **_how}
for _name, _how in STORED.items():
    case(f"X in {_name}")(_stored(_how))


@case("filters in the other order")
def other_order(file):
    modern(file, has_x=False)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((16, 8))
    layout.set_fletcher32()
    layout.set_deflate(4)
    layout.set_shuffle()
    space = h5py.h5s.create_simple((N, G))
    h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, space, layout)
    file["X"][...] = COUNTS
    return Truth(obs=days())


@case("values kept in the header")
def compact(file):
    modern(file)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    del file["obs/day"]
    h5py.h5d.create(file["obs"].id, b"day", h5py.h5t.STD_I64LE, h5py.h5s.create_simple((N,)), layout)
    file["obs/day"][...] = DAYS
    return Truth(obs=days())


@case("blocks that were never written hold the filler")
def holes(file):
    modern(file, has_x=False)
    made = file.create_dataset("X", (N, G), "f4", chunks=(10, G), fillvalue=3)
    made[:30] = COUNTS[:30]
    x = np.vstack([COUNTS[:30], np.full((N - 30, G), 3.0)])
    return Truth(x=x, obs=days(), said=("never-written",))
