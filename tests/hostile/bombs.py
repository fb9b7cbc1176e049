"""Files that are small and unpack to what no machine holds, or that never end."""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t, h5z

from tests.hostile.battery import (
    EITHER,
    LEFT_OUT,
    OPENED,
    Case,
    Change,
    N,
    edited,
    family,
    honest,
    patched,
    replaced,
)

MB = 1024**2
LZF = 32000


def array(
    shape: tuple[int, ...],
    kind: h5t.TypeID = h5t.NATIVE_DOUBLE,
    *,
    at: str = "uns/x",
    chunk: tuple[int, ...] | None = None,
    layout: Callable[[h5p.PropDCID], object] = lambda layout: None,
    blocks: Callable[[h5d.DatasetID], object] = lambda made: None,
) -> Change:
    """An array made through the low-level interface, of which nothing is written but `blocks`."""

    def put(group: h5py.Group, name: str) -> None:
        settings = h5p.create(h5p.DATASET_CREATE)
        if chunk:
            settings.set_chunk(chunk)
        layout(settings)
        blocks(h5d.create(group.id, name.encode(), kind, h5s.create_simple(shape), settings))

    return replaced(at, put)


# structure


def tree(levels: int) -> Change:
    """Groups that have each other's children: 2^levels ways to the last."""

    def change(file: h5py.File, folder: Path) -> None:
        group = file["uns"]
        for _ in range(levels):
            below = group.create_group("a")
            group["b"] = below
            group = below

    return change


def deep(levels: int, at: str = "uns") -> Change:
    """Groups in groups."""

    def change(file: h5py.File, folder: Path) -> None:
        group = file[at]
        for _ in range(levels):
            group = group.create_group("a")

    return change


def wide(n: int) -> Change:
    """Very many empty groups."""

    def change(file: h5py.File, folder: Path) -> None:
        for k in range(n):
            h5py.h5g.create(file["uns"].id, b"%d" % k)

    return change


def again(place: str, names: list[str], at: str = "uns") -> Change:
    """The same element under other names."""

    def change(file: h5py.File, folder: Path) -> None:
        group = file[at]
        for name in names:
            group[name] = file[place]

    return change


def _large_again(file: h5py.File, folder: Path) -> None:
    file["obsm/big"] = np.random.default_rng(0).normal(size=(N, 25_000))
    again("/obsm/big", [f"big{k}" for k in range(300)], "obsm")(file, folder)


def _many_attributes(file: h5py.File, folder: Path) -> None:
    group = file["uns"].create_group("x", track_order=True)
    for k in range(10_500):
        group.attrs.create(f"a{k}", k, dtype="i2")


def _attributes_everywhere(file: h5py.File, folder: Path) -> None:
    for k in range(60):
        group = file["uns"].create_group(f"x{k}", track_order=True)
        for j in range(2_000):
            group.attrs.create(f"a{j}", j, dtype="i2")


def _large_attribute(file: h5py.File, folder: Path) -> None:
    group = file["uns"].create_group("x", track_order=True)
    for k in range(160):
        group.attrs[f"a{k}"] = np.zeros(8000)


def name(raw: bytes, at: str = "uns") -> Change:
    """An array of this name."""

    def change(file: h5py.File, folder: Path) -> None:
        h5d.create(file[at].id, raw, h5t.NATIVE_INT8, h5s.create_simple((N,))).write(
            h5s.ALL, h5s.ALL, np.zeros(N, "i1")
        )

    return change


STRUCTURE: dict[str, Change] = {
    "tree": tree(12),
    "tree of 40 levels": tree(40),
    "200 levels": deep(200),
    "3,000 levels": deep(3000),
    "200 levels in a table": deep(200, "obs"),
    "25,000 groups": wide(25_000),
    "a group in itself": lambda file, folder: file["uns"].__setitem__("self", file["uns"]),
    "the file in itself": lambda file, folder: file["uns"].__setitem__("self", file["/"]),
    "a table listed twice": again("/obs", ["obs2"]),
    "a matrix listed twice": again("/X", ["again"], "layers"),
    "an array of 8 MB with 300 names": _large_again,
    "10,500 attributes": _many_attributes,
    "120,000 attributes": _attributes_everywhere,
    "10 MB of attributes": _large_attribute,
    "a name of 64 KB": name(b"n" * 65_000),
    "a name of 64 KB of line breaks": name(b"\n" * 65_000),
}

# sizes that are not there


def zeros(shape: tuple[int, int], at: str) -> Change:
    """Zeros compressed a thousandfold: the most that gzip reaches."""
    content = zlib.compress(bytes(shape[1] * 8), 9)

    def blocks(made: h5d.DatasetID) -> None:
        for k in range(shape[0]):
            made.write_direct_chunk((k, 0), content)

    return array(shape, at=at, chunk=(1, shape[1]), layout=lambda p: p.set_deflate(9), blocks=blocks)


def _named_values(file: h5py.File, folder: Path) -> None:
    """Bytes that would take a gigabyte as names, where only numbers are of use."""
    kind = h5py.enum_dtype({"a": 0, "b": 1}, "u1")
    made = file.create_dataset("obsm/x", (N, 1_525_000), kind, chunks=(N, 152_500), compression="gzip")
    for k in range(10):
        made.id.write_direct_chunk((0, k * 152_500), zlib.compress(bytes(N * 152_500), 9))


def _many(n: int, each: Change, at: str) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        for k in range(n):
            each(file, folder)
            file.move(at, f"{at}{k}")

    return change


def _long_column(n: int, kind: str, at: str) -> Change:
    content = zlib.compress(bytes(MB * 8), 9)

    def change(file: h5py.File, folder: Path) -> None:
        if at in file:
            del file[at]
        rows = 8 * MB // np.dtype(kind).itemsize
        made = file.create_dataset(at, (n // rows * rows,), kind, chunks=(rows,), compression="gzip")
        for k in range(n // rows):
            made.id.write_direct_chunk((k * rows,), content)

    return change


def _sparsely_written(file: h5py.File, folder: Path) -> None:
    made = file["obsm"].create_dataset("x", (N, 100_000), "f4", chunks=(1, 100_000), fillvalue=7)
    made[0] = 1


SIZES: dict[str, Change] = {
    "56 GB, none written": array((50_000, 300_000), h5t.NATIVE_FLOAT, chunk=(1000, 1000)),
    "56 GB in one piece": array((50_000, 300_000), h5t.NATIVE_FLOAT),
    "X of 56 GB": array((50_000, 300_000), h5t.NATIVE_FLOAT, at="X", chunk=(1000, 1000)),
    "a column of 16 GB": array((2**31,), at="obs/day", chunk=(1000,)),
    "names of 2^31 cells": _long_column(2**31, "S1", "obs/_index"),
    "a column of 2^31 rows": _long_column(2**31, "i1", "obs/day"),
    "a column of 10^8 texts": _long_column(10**8, "S8", "obs/day"),
    "20 times 46 MB, none written": lambda file, folder: [
        file["uns"].create_dataset(f"x{k}", (6_000_000,), "f8", chunks=(1000,)) for k in range(20)
    ],
    "counts that overflow to 0": array((2**33, 2**33), h5t.NATIVE_INT8, chunk=(1, 1)),
    "counts that overflow to 0, in one piece": array((2**32, 2**32), h5t.NATIVE_INT8),
    "counts that overflow to 1": array((2**33 + 1, 2**33 - 1), h5t.NATIVE_INT8, chunk=(1, 1)),
    "32 dimensions": array((4,) * 32, h5t.NATIVE_INT8, chunk=(1,) * 32),
    "32 dimensions of 2^60": array((2**60,) * 32, h5t.NATIVE_INT8, chunk=(1,) * 32),
    "blocks of 153 MB": lambda file, folder: file["uns"].create_dataset(
        "x", (10,), "f8", maxshape=(None,), chunks=(20_000_000,), compression="gzip"
    ),
    "blocks of 4 GB": array((2**33,), h5t.NATIVE_INT8, chunk=(2**32 - 1,)),
    "60 million blocks": array(
        (60_000_000,), h5t.NATIVE_INT8, chunk=(1,), blocks=lambda made: made.write_direct_chunk((0,), b"\0")
    ),
    "texts of 500 KB": lambda file, folder: file["uns"].create_dataset(
        "x", (4,), "S500000", compression="gzip"
    ),
    "a column of texts of 5 KB": replaced(
        "obs/day", lambda group, name: group.create_dataset(name, (N,), "S5000", compression="gzip")
    ),
    "zeros of 40 GB": _many(40, zeros((N, 3_000_000), "obsm/x"), "obsm/x"),
    "40 times 60 MB of zeros": _many(40, zeros((N, 190_000), "obsm/x"), "obsm/x"),
    "X of 960 MB of zeros": zeros((N, 3_000_000), "X"),
}
ODD_SIZES: dict[str, Change] = {
    "no rows of 2^62 columns": array((0, 2**62), at="obsm/x"),
    "2^62 rows of no columns": array((2**62, 0), at="obsm/x"),
    "one row of many written": _sparsely_written,
    "an array without a shape": lambda file, folder: file["uns"].create_dataset("x", data=h5py.Empty("f8")),
}


def lying(first: Change, true: int, false: int, *, width: int = 8) -> Callable[[Path], Path]:
    """A number in the structure, every time it occurs, changed to another one."""

    def change(content: bytearray) -> None:
        assert true.to_bytes(width, "little") in content
        content[:] = content.replace(true.to_bytes(width, "little"), false.to_bytes(width, "little"))

    return patched(change, first=first)


def _compact(file: h5py.File, folder: Path) -> None:
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_layout(h5d.COMPACT)
    made = h5d.create(file["uns"].id, b"x", h5t.NATIVE_INT8, h5s.create_simple((12_347,)), layout)
    made.write(h5s.ALL, h5s.ALL, np.ones(12_347, "i1"))


def _plain(at: str) -> Change:
    return replaced(at, lambda group, name: group.create_dataset(name, data=np.ones(12_347)))


def _in_lzf(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", data=np.arange(1543.0), chunks=(1543,), compression="lzf")


def _blocked(file: h5py.File, folder: Path) -> None:
    file["uns"].create_dataset("x", data=np.ones(12_347), chunks=(4_321,), compression="gzip")


LYING = {
    "a list longer than stored": lying(_plain("uns/x"), 12_347, 10**7),
    "a column longer than stored": lying(_plain("obs/day"), 12_347, 10**7),
    "a list of 2^62": lying(_plain("uns/x"), 12_347, 2**62),
    "a list of less stored": lying(_plain("uns/x"), 12_347 * 8, 8),
    "a list of far more stored": lying(_plain("uns/x"), 12_347 * 8, 2**50),
    "a compact list longer than stored": lying(_compact, 12_347, 10**7),
    "blocks of 4 GB in lzf": lying(_in_lzf, 8 * 1543, 2**32 - 1, width=4),
    "blocks of another number": lying(_blocked, 4_321, 1, width=4),
    "blocks of no values": lying(_blocked, 4_321, 0, width=4),
    "blocks of too many values": lying(_blocked, 4_321, 2**31, width=4),
    "blocks beyond the list": lying(_blocked, 4_321, 2**40),
}

# filters


def filtered(*codes: int, at: str = "uns/x", flags: int = h5z.FLAG_OPTIONAL, values: tuple = ()) -> Change:
    """An array said to be compressed by these filters."""

    def layout(settings: h5p.PropDCID) -> None:
        for code in codes:
            if code == h5z.FILTER_DEFLATE:
                settings.set_deflate(9)
            else:
                settings.set_filter(code, flags, values)

    return array((N,), h5t.NATIVE_INT8, at=at, chunk=(N,), layout=layout)


DEFLATE, SHUFFLE, FLETCHER = h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32
FILTERS: dict[str, Change] = {
    "gzip twice": filtered(DEFLATE, DEFLATE),
    "gzip twice, in a matrix": filtered(DEFLATE, DEFLATE, at="X/data"),
    "gzip 20 times": filtered(*[DEFLATE] * 20),
    "gzip, then lzf": filtered(DEFLATE, LZF),
    "lzf, then gzip": filtered(LZF, DEFLATE),
    "shuffled twice": filtered(SHUFFLE, SHUFFLE, DEFLATE),
    "two checksums": filtered(FLETCHER, FLETCHER),
    **{
        f"filter {code}, in {at}": filtered(code, at=at)
        for code in (257, 305, 307, 32001, 32004, 32008, 32013, 32015, 32017, 32026, 40_000, 65_535)
        for at in ("uns/x", "X/data", "obs/day")
    },
    "nbit": filtered(h5z.FILTER_NBIT, values=(8, 0, 40, 1, 4, 0, 32, 0), flags=0),
    "scaleoffset": lambda file, folder: file["uns"].create_dataset("x", (9,), "i4", scaleoffset=2),
}


def stuffed(content: Callable[[], bytes], *, at: str = "uns/x", mask: int = 0, **settings: object) -> Change:
    """One block with this content in place of 1,000 numbers."""

    def change(file: h5py.File, folder: Path) -> None:
        if at in file:
            del file[at]
        made = file.create_dataset(at, (1000,), "f8", chunks=(1000,), **settings)
        made.id.write_direct_chunk((0,), content(), mask)

    return change


@functools.cache
def _large() -> bytes:
    return zlib.compress(bytes(256 * MB), 1)


_HONEST = np.arange(1000.0).tobytes()
GZIP, BOTH = {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}
SUMMED, BY_LZF = {"compression": "gzip", "fletcher32": True}, {"compression": "lzf"}
BLOCKS: dict[str, Change] = {
    "unpacks to 256 MB": stuffed(lambda: _large(), **GZIP),
    "unpacks to 256 MB, in a matrix": stuffed(lambda: _large(), at="X/data", **GZIP),
    "unpacks to 256 MB, in a column": stuffed(lambda: _large(), at="obs/day", **GZIP),
    "unpacks to 256 MB, shuffled": stuffed(lambda: _large(), **BOTH),
    "unpacks to 256 MB, with a checksum": stuffed(lambda: _large() + b"sums", **SUMMED),
    "unpacks to less": stuffed(lambda: zlib.compress(_HONEST[:400]), **GZIP),
    "unpacks to less, in a matrix": stuffed(lambda: zlib.compress(_HONEST[:400]), at="X/data", **GZIP),
    "unpacks to less, shuffled": stuffed(lambda: zlib.compress(_HONEST[:400]), **BOTH),
    "unpacks to one byte more": stuffed(lambda: zlib.compress(_HONEST + b"x"), **GZIP),
    "unpacks to nothing": stuffed(lambda: zlib.compress(b""), **GZIP),
    "does not end": stuffed(lambda: zlib.compress(_HONEST)[:-9], **GZIP),
    "is no gzip": stuffed(lambda: b"x" * 100, **GZIP),
    "is two": stuffed(lambda: zlib.compress(_HONEST[:4000]) + zlib.compress(_HONEST[4000:]), **GZIP),
    "is plain but too short": stuffed(lambda: _HONEST[:80], mask=1, **GZIP),
    "is plain but too long": stuffed(lambda: _HONEST * 9, mask=1, **GZIP),
    "is plain, of an array without filters": stuffed(lambda: _HONEST[:80]),
    "is shorter in lzf": stuffed(lambda: b"\x07" + bytes(8), **BY_LZF),
    "is longer in lzf": stuffed(lambda: b"\x00\x00" + b"\xe0\xff\x00" * 4000, **BY_LZF),
    "is no lzf": stuffed(lambda: b"\xff\xff\xff" * 30, **BY_LZF),
    "is shorter in lzf, in a matrix": stuffed(lambda: b"\x07" + bytes(8), at="X/data", **BY_LZF),
    "is shorter in lzf, shuffled": stuffed(lambda: b"\x07" + bytes(8), shuffle=True, **BY_LZF),
}


SUMS: dict[str, Change] = {
    "has a wrong checksum": stuffed(lambda: zlib.compress(_HONEST) + b"sums", **SUMMED),
    "has a wrong checksum, in a matrix": stuffed(
        lambda: zlib.compress(_HONEST) + b"sums", at="X/data", **SUMMED
    ),
}
"""What only reading finds."""


def cases() -> list[Case]:
    """Every file that is larger than it looks."""
    blocks = {f"a block {what}": edited(change) for what, change in BLOCKS.items()}
    return [
        *family("structure", {name: edited(change, base=honest) for name, change in STRUCTURE.items()}),
        *family("sizes", {name: edited(change) for name, change in SIZES.items()}, in_process=False),
        *family("odd sizes", {name: edited(change) for name, change in ODD_SIZES.items()}, ends=EITHER),
        *family(
            "sizes that may just fit",
            {"zeros of 960 MB in an embedding": edited(zeros((N, 3_000_000), "obsm/x"))},
            ends=EITHER,
            in_process=False,
        ),
        Case(
            "sizes", "61 MB of named values in an embedding", edited(_named_values), OPENED, in_process=False
        ),
        *family("sizes that lie", LYING, ends=LEFT_OUT, in_process=False),
        *family("filters", {name: edited(change) for name, change in FILTERS.items()}, words="compressed"),
        *family("blocks", blocks, ends=LEFT_OUT),
        *family(
            "blocks", {f"a block {n}": edited(c) for n, c in SUMS.items()}, ends=LEFT_OUT, in_process=False
        ),
        Case("sizes that lie", "blocks of 1 byte in lzf", lying(_in_lzf, 8 * 1543, 1, width=4), EITHER),
        Case("structure", "an empty group more", edited(deep(3)), ends=OPENED),
    ]
