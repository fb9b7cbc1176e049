"""Files that say of themselves that they are an h5ad but cannot be opened with right values."""

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from tests.hostile.honest import CELLS, COUNTS, DAYS, GENES, G, N, array, mark, matrix, modern, root, table
from tests.hostile.honest_arrays import _spoil

Case = tuple[Callable[[h5py.File], None], Sequence[str]]
CASES: dict[str, Case] = {}


def case(name: str, *words: str) -> Callable:
    """Enter a case with words that its refusal must hold."""

    def enter(make: Callable[[h5py.File], None]) -> Callable[[h5py.File], None]:
        CASES[name] = make, words
        return make

    return enter


def write(name: str, path: Path) -> Sequence[str]:
    """Write the file of that case; returns the words that its refusal must hold."""
    make, words = CASES[name]
    with h5py.File(path, "w") as file:
        make(file)
    return words


def _put(file: h5py.File, name: str, values: object) -> None:
    del file[name]
    file[name] = values


@case("X of texts", "does not hold numbers")
def words(file):
    modern(file, x=np.full((N, G), "a"))


@case("X of records", "does not hold numbers")
def records(file):
    modern(file, x=np.zeros((N, G), dtype=[("a", "f4")]))


@case("X of lists", "does not hold numbers")
def lists(file):
    modern(file, has_x=False)
    file.create_dataset("X", (N, G), dtype=h5py.vlen_dtype("f4"))[0, 0] = [1]


def _of_24_bits(place, name, values):
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    kind.set_size(3)
    made = h5py.h5d.create(place.id, name, kind, h5py.h5s.create_simple(values.shape))
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values.astype("i4"))


@case("X of 24 bits", "24 bits", "unusual type", "32 or 64 bits")
def odd_width(file):
    modern(file, has_x=False)
    _of_24_bits(file, b"X", COUNTS)


@case("sparse X of 24 bits", "24 bits", "unusual type", "32 or 64 bits")
def odd_sparse_width(file):
    modern(file)
    values = file["X/data"][()]
    del file["X/data"]
    _of_24_bits(file["X"], b"data", values)


@case("more genes than can be numbered", "6,000,000", '"var" has no names')
def endless_genes(file):
    modern(file, has_x=False)
    del file["var"]
    matrix(file, "X", sparse.csr_matrix(([1.0], ([0], [5])), (N, 6_000_000)))


@case("more columns than a table can list", "4,101 elements", "4,050 allowed")
def many_columns(file):
    obs = modern(file)
    for k in range(4_099):
        obs.create_dataset(f"c{k}", data=DAYS)


@case("X with three dimensions", "60 × 24 × 2")
def cube(file):
    modern(file, x=np.zeros((N, G, 2)))


@case("X with other cells", "59 × 24", "60 cells")
def short(file):
    modern(file, x=COUNTS[:-1])


@case("X with other genes", "60 × 23", "24 genes")
def narrow(file):
    modern(file, x=COUNTS[:, :-1])


@case("X of an unknown kind", "from-the-future")
def unknown(file):
    modern(file, has_x=False)
    mark(file.create_group("X"), "from-the-future", "9")


@case("X as a group of nothing", "X")
def hollow(file):
    modern(file, has_x=False)
    file.create_group("X")


@case("square sparse X that does not say its order", "does not say whether")
def square(file):
    root(file)
    matrix(file, "X", sparse.csr_matrix(COUNTS[:G]))
    file["X"].attrs.clear()
    table(file, "obs", CELLS[:G])
    table(file, "var", GENES)


@case("sparse X without marks that points outside", "points outside")
def unmarked_lie(file):
    modern(file)
    file["X"].attrs.clear()
    indices = file["X/indices"][()]
    indices[5] = 2**30
    _put(file, "X/indices", indices)


@case("sparse X without shape that points outside", "points outside")
def shapeless_lie(file):
    modern(file)
    del file["X"].attrs["shape"]
    indices = file["X/indices"][()]
    indices[5] = G
    _put(file, "X/indices", indices)


@case("sparse X without marks whose starts fall", "starts that fall")
def unmarked_fall(file):
    modern(file)
    file["X"].attrs.clear()
    starts = file["X/indptr"][()]
    starts[3] = 10_000
    _put(file, "X/indptr", starts)


@case("array-of-one encoding that lies", "points to position")
def listed_lie(file):
    modern(file)
    file["X"].attrs["encoding-type"] = np.array(["csr_matrix"], dtype=object)
    indices = file["X/indices"][()]
    indices[5] = G
    _put(file, "X/indices", indices)


@case("shape as fractions that are not whole", "how many rows and columns")
def half_a_cell(file):
    modern(file)
    file["X"].attrs["shape"] = [N + 0.5, G]


@case("unmarked X whose shape is a text", "does not say")
def shape_of_text(file):
    modern(file)
    file["X"].attrs.clear()
    file["X"].attrs["shape"] = "60 x 24"
    del file["X/indptr"]
    array(file["X"], "indptr", np.zeros(5, int))


@case("damaged X", '"/X" is damaged')
def damaged(file):
    modern(file, has_x=False)
    _spoil(file, "X", (N, G))


@case("damaged names of cells", '"/obs/_index" is damaged')
def damaged_names(file):
    modern(file)
    del file["obs/_index"]
    _spoil(file, "obs/_index", (N,))


@case("damaged names of genes", '"/var/_index" is damaged')
def damaged_genes(file):
    modern(file)
    del file["var/_index"]
    _spoil(file, "var/_index", (G,))


@case("damaged raw in place of X", '"/raw/X" is damaged')
def damaged_raw(file):
    modern(file, has_x=False)
    _spoil(file, "raw/X", (N, G))
    table(file["raw"], "var", GENES)


@case("damaged categories of anndata 0.6", '"/uns/day_categories" is damaged')
def damaged_oldest(file):
    file["X"] = COUNTS
    for name, names in (("obs", CELLS), ("var", GENES)):
        made = np.zeros(len(names), dtype=[("index", "S9"), ("day", "i1")])
        made["index"] = [n.encode() for n in names]
        file[name] = made
    _spoil(file, "uns/day_categories", (3,))


@case("part of X without filler", '"/X" is damaged')
def unfilled(file):
    modern(file, has_x=False)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_chunk((10, G))
    h5py.h5d.create(file.id, b"X", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((N, G)), layout)
    file["X"][:20] = COUNTS[:20]


@case("names of cells with two dimensions", "names of the rows")
def wide_names(file):
    obs = modern(file)
    del obs["_index"]
    array(obs, "_index", np.full((N, 2), "a"))


@case("obs without names and without X", "no names for its rows")
def nameless(file):
    obs = modern(file, has_x=False)
    del obs["_index"], obs.attrs["_index"]


@case("obs is a list of numbers", "is not a table")
def list_of_cells(file):
    modern(file)
    _put(file, "obs", np.arange(N))


@case("obs is nothing", 'no table "obs"')
def no_cells(file):
    modern(file)
    _put(file, "obs", h5py.Empty("f4"))


@case("obs is a named type", 'no table "obs"')
def kind_of_cells(file):
    modern(file)
    _put(file, "obs", np.dtype("f8"))
