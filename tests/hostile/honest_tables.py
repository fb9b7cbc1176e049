"""Honest files with every kind of column and name in obs and var."""

import h5py
import numpy as np

from tests.hostile.honest import (
    CELLS,
    DAY_ORDER,
    GENES,
    UTF8,
    G,
    N,
    Truth,
    array,
    case,
    categories,
    days,
    gaps,
    mark,
    modern,
    order,
    table,
)

K = np.arange(N)
MASK = K % 4 == 0
WORDS = ["beta", "alpha", "gamma"]


def _with(**columns):
    """A file with more columns, and their truth."""

    def make(file):
        obs = modern(file)
        truth = {name: put(obs, name) for name, put in columns.items()}
        order(obs, ["day", *columns])
        return Truth(obs=days() | truth, times=DAY_ORDER)

    return make


def _masked(values):
    return [None if gone else value for value, gone in zip(list(values), MASK, strict=True)]


def _gaps(kind, values):
    def put(obs, name):
        gaps(obs, name, values, MASK, kind)
        return _masked(values)

    return put


def _array(values, truth=None, **how):
    def put(obs, name):
        obs.create_dataset(name, data=values, **how)
        return list(values if truth is None else truth)

    return put


def _levels(codes, levels, truth, ordered=False):
    def put(obs, name):
        categories(obs, name, codes, levels, ordered=ordered)
        return truth

    return put


TEXTS = np.array([f"t{k % 5}" for k in K])
BYTES = np.array([f"é{k % 5}".encode() for k in K])
LATIN = np.array([f"Müller{k % 5}".encode("latin-1") for k in K])
LOGICAL = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "NA": 2}, basetype="i1")
COLOURS = h5py.enum_dtype({"red": 0, "green": 1, "blue": 5}, basetype="i4")
COMMON = {
    "missing whole numbers": _gaps("nullable-integer", K.astype("i8")),
    "missing whole numbers, one byte": _gaps("nullable-integer", K.astype("u1")),
    "missing yes/no": _gaps("nullable-boolean", K % 2 == 0),
    "missing texts": _gaps("nullable-string-array", TEXTS),
    "missing fractions": _gaps("nullable-float", K / 4),
    "missing of an unknown kind": _gaps("nullable-something", K.astype("f4")),
    "yes/no": _array(K % 2 == 0),
    "R logical with gaps": _array(np.array(K % 3, "i1"), [[0, 1, None][k % 3] for k in K], dtype=LOGICAL),
    "enumerated": _array(np.array([0, 1, 5] * 20, "i4"), ["red", "green", "blue"] * 20, dtype=COLOURS),
    "half precision": _array((K / 4).astype("f2")),
    "big-endian whole numbers": _array(K.astype(">i8")),
    "big-endian fractions": _array((K / 7).astype(">f8")),
    "unsigned": _array(K.astype("u8") + 2**63),
    "long double": _array((K / 4).astype(np.longdouble)),
    "missing and infinite": _array(np.where(MASK, np.nan, np.where(K == 1, np.inf, K))),
    "texts of fixed length": _array(BYTES, [b.decode() for b in BYTES]),
    "texts of fixed length, marked UTF-8": _array(
        BYTES.astype(h5py.string_dtype("utf-8", 12)), [b.decode() for b in BYTES]
    ),
    "ASCII texts": _array(TEXTS.astype(object), TEXTS, dtype=h5py.string_dtype("ascii")),
    "empty texts": _array(np.where(MASK, "", TEXTS).astype(object), dtype=UTF8),
    "very long texts": _array(np.array([f"{k:0>3000}" for k in K], dtype=object), dtype=UTF8),
    "one column of a table": _array(K[:, None], K),
    "dates as text": _array(np.array(["2021-03-04"] * N, dtype=object), dtype=UTF8),
    "categories": _levels((K % 3).astype("i1"), WORDS, [WORDS[k % 3] for k in K]),
    "ordered categories": _levels((K % 3).astype("i1"), WORDS, [WORDS[k % 3] for k in K], ordered=True),
    "categories with gaps": _levels(
        np.where(MASK, -1, K % 3).astype("i2"), WORDS, _masked([WORDS[k % 3] for k in K])
    ),
    "codes of R with gaps": _levels(
        np.where(MASK, -(2**31), K % 3).astype("i4"), WORDS, _masked([WORDS[k % 3] for k in K])
    ),
    "codes of Rust with gaps": _levels(
        np.where(MASK, 2**32 - 1, K % 3).astype("u4"), WORDS, _masked([WORDS[k % 3] for k in K])
    ),
    "codes as fractions": _levels((K % 3).astype("f8"), WORDS, [WORDS[k % 3] for k in K]),
    "codes big-endian": _levels((K % 3).astype(">i2"), WORDS, [WORDS[k % 3] for k in K]),
    "codes without a sign": _levels((K % 3).astype("u1"), WORDS, [WORDS[k % 3] for k in K]),
    "256 categories in one byte": _levels(
        (K + 196).astype("u1"), [str(k) for k in range(256)], [str(k + 196) for k in K]
    ),
    "number categories": _levels(
        (K % 3).astype("i1"), np.array([0.5, 2, -1]), [[0.5, 2, -1][k % 3] for k in K]
    ),
    "yes/no categories": _levels((K % 2).astype("i1"), np.array([False, True]), (K % 2).tolist()),
    "unused categories": _levels((K % 2).astype("i1"), WORDS, [WORDS[k % 2] for k in K]),
    "an empty text as category": _levels((K % 2).astype("i1"), ["", "a"], [["", "a"][k % 2] for k in K]),
    "categories for no cell": _levels(np.full(N, -1, "i1"), np.array([], "S1"), [None] * N),
    "ordered as text": _levels((K % 3).astype("i1"), WORDS, [WORDS[k % 3] for k in K], ordered="TRUE"),
    "ordered as a list of one": _levels(
        (K % 3).astype("i1"), WORDS, [WORDS[k % 3] for k in K], ordered=[True]
    ),
}
for _name, _put in COMMON.items():
    case(f"column: {_name}")(_with(x=_put))
for _odd in (
    "a/b",
    "a/b/c",
    "ä ö 细胞",
    "with\nbreak",
    "![](http://h/p.png)",
    "<b>x</b>",
    "=1+1",
    "n" * 900,
    "...",
):
    case(f"column named {_odd[:20]!r}")(_with(**{_odd: COMMON["categories"]}))


def _spoilt(put, *, said="unreadable-column"):
    def make(file):
        obs = modern(file)
        put(obs)
        order(obs, ["day", "x"])
        return Truth(obs=days(), without=("x",), said=(said,), times=DAY_ORDER)

    return make


LISTS = h5py.vlen_dtype("i4")
SPOILT = {
    "too short": lambda obs: array(obs, "x", K[:-1]),
    "two-dimensional": lambda obs: array(obs, "x", np.zeros((N, 3))),
    "complex": lambda obs: array(obs, "x", K + 1j),
    "records": lambda obs: obs.create_dataset("x", data=np.zeros(N, dtype=[("a", "i4"), ("b", "f4")])),
    "lists": lambda obs: obs.create_dataset("x", (N,), dtype=LISTS).__setitem__(0, [1, 2]),
    "nothing": lambda obs: obs.create_dataset("x", data=h5py.Empty("f4")),
    "a scalar": lambda obs: obs.create_dataset("x", data=3),
    "an unknown kind": lambda obs: mark(obs.create_group("x"), "from-the-future", "9"),
    "codes beyond": lambda obs: categories(obs, "x", K, WORDS),
    "negative codes": lambda obs: categories(obs, "x", np.full(N, -3), WORDS),
    "fractional codes": lambda obs: categories(obs, "x", K * 0.01, WORDS),
    "too few codes": lambda obs: categories(obs, "x", [0, 1], WORDS),
    "too short a mask": lambda obs: gaps(obs, "x", K, MASK[:-1], "nullable-integer"),
    "a mask of words": lambda obs: gaps(obs, "x", K, np.full(N, b"FALSE"), "nullable-integer"),
    "a mask of other numbers": lambda obs: gaps(obs, "x", K, K % 3, "nullable-integer"),
    "bytes without meaning": lambda obs: obs.create_dataset("x", data=np.zeros(N, dtype="V3")),
}
for _name, _put in SPOILT.items():
    case(f"column that is {_name}")(_spoilt(_put))


@case("column that is listed but missing")
def listed_missing(file):
    order(modern(file), ["day", "gone"])
    return Truth(obs=days(), without=("gone",), said=("missing-column",))


@case("column that is there but not listed")
def unlisted(file):
    array(modern(file), "x", K)
    return Truth(obs=days() | {"x": K.tolist()}, said=("unlisted-column",))


@case("order of columns is missing")
def no_order(file):
    obs = modern(file)
    array(obs, "x", K)
    del obs.attrs["column-order"]
    return Truth(obs=days() | {"x": K.tolist()})


@case("order of columns is empty")
def empty_order(file):
    obs = modern(file)
    array(obs, "x", K)
    obs.attrs["column-order"] = h5py.Empty("f8")
    return Truth(obs=days() | {"x": K.tolist()})


@case("order of columns is one text")
def order_of_one(file):
    obs = modern(file)
    obs.attrs["column-order"] = "day"
    return Truth(obs=days())


@case("order of columns as numbers")
def order_of_numbers(file):
    obs = modern(file)
    obs.attrs["column-order"] = np.arange(2.0)
    return Truth(obs=days(), said=("missing-column",))


@case("attributes of kinds that nobody reads")
def odd_attributes(file):
    obs = modern(file)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    for name in ("column-order", "_index"):
        del obs.attrs[name]
        h5py.h5a.create(obs.id, name.encode(), h5py.h5t.UNIX_D32LE, space)
    return Truth(obs=days())


@case("order of columns as bytes")
def order_of_bytes(file):
    obs = modern(file)
    array(obs, "x", K)
    obs.attrs["column-order"] = np.array([b"day", b"x"])
    return Truth(obs=days() | {"x": K.tolist()})


@case("column called _index")
def reserved(file):
    obs = modern(file)
    del obs["_index"]
    obs.attrs["_index"] = "names"
    array(obs, "names", CELLS)
    array(obs, "_index", K)
    order(obs, ["day", "_index"])
    return Truth(obs=days() | {"_index_column": K.tolist()}, said=("renamed-column",))


@case("column called like the names of rows")
def like_index(file):
    obs = modern(file)
    del obs["_index"]
    obs.attrs["_index"] = "index"
    array(obs, "index", CELLS)
    order(obs, ["day"])
    return Truth(obs=days())


@case("Western European letters in columns and names")
def latin(file):
    obs = modern(file)
    obs["x"] = LATIN
    order(obs, ["day", "x"])
    return Truth(obs=days() | {"x": [b.decode("latin-1") for b in LATIN]}, said=("text-encoding",))


@case("missing whole numbers as R writes them")
def r_gaps(file):
    obs = modern(file)
    array(obs, "x", np.where(MASK, -(2**31), K).astype("i4"))
    order(obs, ["day", "x"])
    return Truth(obs=days() | {"x": _masked(K)}, said=("r-missing",))


@case("repeated categories")
def repeated_levels(file):
    obs = modern(file)
    categories(obs, "x", (K % 3).astype("i1"), ["a", "b", "a"])
    order(obs, ["day", "x"])
    return Truth(obs=days() | {"x": [["a", "b", "a"][k % 3] for k in K]}, said=("duplicate-categories",))


@case("missing text as a category")
def missing_level(file):
    obs = modern(file)
    place = mark(obs.create_group("x"), "categorical")
    place.attrs["ordered"] = False
    array(place, "codes", (K % 2).astype("i1"))
    gaps(place, "categories", np.array(["a", ""]), [False, True], "nullable-string-array")
    order(obs, ["day", "x"])
    return Truth(obs=days() | {"x": [["a", None][k % 2] for k in K]}, said=("duplicate-categories",))


@case("100,000 categories")
def many_levels(file):
    obs = modern(file)
    levels = np.array([f"clone{k}" for k in range(100_000)], dtype=object)
    categories(obs, "x", (K * 1000).astype("i4"), levels)
    order(obs, ["day", "x"])
    return Truth(obs=days() | {"x": [f"clone{1000 * k}" for k in K]})


@case("a table without columns")
def no_columns(file):
    modern(file)
    del file["obs"]
    table(file, "obs", CELLS)
    return Truth(found=("no-time",))


@case("columns of genes")
def gene_columns(file):
    modern(file)
    del file["var"]
    table(
        file,
        "var",
        [f"ENSG{k:011}" for k in range(G)],
        {"gene_symbols": np.array(GENES), "ok": np.arange(G) > 3},
    )
    genes = [f"ENSG{k:011}" for k in range(G)]
    return Truth(genes=genes, obs=days(), var={"gene_symbols": GENES, "ok": (np.arange(G) > 3).tolist()})


@case("200 columns without an order")
def wide(file):
    obs = modern(file)
    for k in range(200):
        obs[f"column_{k:04}"] = K
    del obs.attrs["column-order"]
    return Truth(obs=days() | {"column_0000": K.tolist(), "column_0199": K.tolist()})


@case("order of columns under its other name")
def underscored(file):
    obs = modern(file)
    array(obs, "b", K)
    array(obs, "a", K)
    del obs.attrs["column-order"]
    obs.attrs["column_order"] = np.array(["day", "b", "a"], dtype=object)
    return Truth(obs=days() | {"b": K.tolist()})


def _notes_of_others(value):
    def make(file):
        modern(file)
        file.create_dataset("uns/driftscope/read_notes", data=value, dtype=UTF8)
        return Truth(obs=days())

    return make


for _notes in (
    "nonsense",
    "[1, 2]",
    '[{"level": "evil", "code": "x", "message": "y", "fix": "z"}]',
    "[" * 10_000,
):
    case(f"notes of somebody else: {_notes[:12]}")(_notes_of_others(_notes))


@case("somebody else's entry where notes are kept")
def taken(file):
    modern(file)
    array(file["uns"], "driftscope", np.arange(3))
    file["obs"]["x"] = K
    return Truth(obs=days(), said=("unlisted-column",))
