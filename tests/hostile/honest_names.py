"""Honest files with every kind of name for cells and genes, and with none."""

import numpy as np

from tests.hostile.honest import (
    CELLS,
    COUNTS,
    DAYS,
    G,
    N,
    Truth,
    array,
    case,
    categories,
    days,
    gaps,
    modern,
    root,
    table,
)

K = np.arange(N)

INDEX = {
    "whole numbers": (K, [str(k) for k in K]),
    "fractions": (K / 4, [str(k / 4) for k in K]),
    "bytes": (np.array([c.encode() for c in CELLS]), CELLS),
    "unicode": (np.array([f"细胞{k}" for k in K], dtype=object), [f"细胞{k}" for k in K]),
    "very long": (np.array([f"{k:0>2000}" for k in K], dtype=object), [f"{k:0>2000}" for k in K]),
    "markdown": (np.array([f"![](http://h/{k})" for k in K], object), [f"![](http://h/{k})" for k in K]),
    "control characters": (np.array([f"a\n\x1b{k}" for k in K], object), [f"a\n\x1b{k}" for k in K]),
}


def _index(values, names):
    def make(file):
        obs = modern(file)
        del obs["_index"]
        array(obs, "_index", values)
        return Truth(cells=list(names), obs=days())

    return make


for _name, (_values, _names) in INDEX.items():
    case(f"names of cells: {_name}")(_index(_values, _names))


@case("names of cells with gaps")
def nullable_index(file):
    obs = modern(file)
    del obs["_index"]
    gaps(obs, "_index", np.array(CELLS), K < 0, "nullable-string-array")
    return Truth(obs=days())


@case("cells without a name")
def unnamed(file):
    obs = modern(file)
    del obs["_index"]
    gaps(obs, "_index", np.array(CELLS), K < 2, "nullable-string-array")
    cells = ["unnamed", "unnamed-1", *CELLS[2:]]
    return Truth(cells=cells, obs=days(), said=("missing-names", "duplicate-cell-names"))


@case("names of cells as categories")
def index_of_categories(file):
    obs = modern(file)
    del obs["_index"]
    categories(obs, "_index", K[::-1].astype("i1"), CELLS[::-1])
    return Truth(obs=days())


@case("repeated names of cells and genes")
def repeated(file):
    root(file)
    array(file, "X", COUNTS)
    table(file, "obs", ["x", "x", "x-1", *CELLS[3:]], {"day": DAYS})
    table(file, "var", ["g"] * G)
    genes = ["g", *(f"g-{k}" for k in range(1, G))]
    said = ("duplicate-cell-names", "duplicate-gene-names")
    return Truth(cells=["x", "x-2", "x-1", *CELLS[3:]], genes=genes, obs=days(), said=said)


@case("no names of cells at all")
def nameless(file):
    obs = modern(file)
    del obs["_index"], obs.attrs["_index"]
    return Truth(cells=[str(k) for k in K], obs=days(), said=("no-names",))


for _key in ("index", "rownames", "obs_names", "barcodes", "CellID"):

    def _named(file, key=_key):
        obs = modern(file)
        obs.move("_index", key)
        del obs.attrs["_index"]
        return Truth(obs=days())

    case(f"names of cells under {_key}")(_named)
