"""Files with types and names that no data set has."""

from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from tests.hostile.battery import EITHER, Case, Change, N, edited, family, replaced
from tests.hostile.bombs import array, name


def _wide_record(n: int) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        kind = h5t.create(h5t.COMPOUND, 4 * n)
        for k in range(n):
            kind.insert(b"m%d" % k, 4 * k, h5t.NATIVE_FLOAT)
        h5d.create(file["uns"].id, b"x", kind, h5s.create_simple((2,)))

    return change


def _nested_record(levels: int) -> h5t.TypeID:
    kind = h5t.NATIVE_INT8
    for _ in range(levels):
        outer = h5t.create(h5t.COMPOUND, 1)
        outer.insert(b"a", 0, kind)
        kind = outer
    return kind


def _wide_enum(file: h5py.File, folder: Path) -> None:
    kind = h5t.enum_create(h5t.NATIVE_INT32)
    for k in range(3_000):
        kind.enum_insert(b"m%d" % k, k)
    h5d.create(file["uns"].id, b"x", kind, h5s.create_simple((2,)))


def _float(file: h5py.File, folder: Path) -> None:
    kind = h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 20, 11, 0, 20)
    h5d.create(file["obsm"].id, b"x", kind, h5s.create_simple((N, 2)))


TYPES: dict[str, Change] = {
    "records in records": array((2,), _nested_record(9)),
    "an array of 10^9 as one value": array((2,), h5t.array_create(h5t.NATIVE_INT8, (10**9,))),
    "an array of 2^40 as one value": array((2,), h5t.array_create(h5t.NATIVE_INT8, (2**15, 2**15))),
    "lists of lists": lambda file, folder: file["uns"].create_dataset(
        "x", (2,), h5py.vlen_dtype(h5py.vlen_dtype("i1"))
    ),
    "lists of texts": lambda file, folder: file["uns"].create_dataset(
        "x", (2,), h5py.vlen_dtype(h5py.string_dtype())
    ),
}
ODD_TYPES: dict[str, Change] = {
    "an enumeration of 3,000": _wide_enum,
    "record of 1,000 members": _wide_record(1_000),
    "times": array((N,), h5t.UNIX_D32LE, at="obs/time"),
    "bits": array((N,), h5t.STD_B8LE, at="obs/bits"),
    "opaque values": lambda file, folder: file["uns"].create_dataset("x", data=np.array([b"xy"], dtype="V2")),
    "numbers of an unknown kind": _float,
    "a stored type": lambda file, folder: file["uns"].__setitem__("kind", np.dtype("f8")),
    "a stored type as X": replaced("X", lambda group, name: group.__setitem__(name, np.dtype("f8"))),
    "a stored type as a table": replaced("obsm/x", lambda g, name: g.__setitem__(name, np.dtype("f8"))),
}


def cases() -> list[Case]:
    """Every file with odd types and names."""
    names = {
        "not UTF-8": b"caf\xe9",
        "control characters": b"a\x1b[31m\x07\r\n",
        "from right to left": "a\u202egpj.exe".encode(),
        "of no width": "a\u200b\u200d".encode(),
        "of 1,000 bytes": b"n" * 1000,
        "a path on Windows": b"..\\..\\x",
    }
    odd = {f"{what}, in {at}": edited(name(raw, at)) for what, raw in names.items() for at in ("uns", "obs")}
    return [
        *family("odd names", odd, ends=EITHER),
        *family("types", {name: edited(change) for name, change in TYPES.items()}),
        *family("odd types", {name: edited(change) for name, change in ODD_TYPES.items()}, ends=EITHER),
    ]
