"""Files with types and names that no data set has."""

import json
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from tests.hostile.battery import EITHER, Case, Change, G, N, edited, family, replaced
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


def crowd(place: str, n: int, values: object) -> Change:
    """Very many elements of one table or group."""

    def change(file: h5py.File, folder: Path) -> None:
        group = file.require_group(place)
        space = h5s.create_simple(np.shape(values))
        for k in range(n):
            made = h5d.create(group.id, b"x%d" % k, h5t.NATIVE_DOUBLE, space)
            made.write(h5s.ALL, h5s.ALL, np.asarray(values, "f8"))

    return change


def _long_labels(file: h5py.File, folder: Path) -> None:
    del file["obs/day"]
    file["obs/day"] = np.array([f"day {k % 4} {'x' * 100_000}" for k in range(N)], dtype=object)


def _endless_notes(file: h5py.File, folder: Path) -> None:
    file["uns/driftscope/read_notes"] = "[" * 200_000


def _many_notes(file: h5py.File, folder: Path) -> None:
    one = {"level": "note", "code": "x", "message": "m" * 200, "fix": ""}
    file["uns/driftscope/read_notes"] = json.dumps([one] * 20_000)


def _record_of_no_use(file: h5py.File, folder: Path) -> None:
    file["uns/driftscope/prepare/steps"] = "[" * 200_000


CROWDS: dict[str, Change] = {
    "5,000 columns": crowd("obs", 5_000, np.arange(N)),
    "15,000 columns": crowd("obs", 15_000, np.arange(N)),
    "15,000 columns of genes": crowd("var", 15_000, np.arange(G)),
    "15,000 embeddings": crowd("obsm", 15_000, np.zeros((N, 2))),
    "15,000 embeddings of other cells": crowd("obsm", 15_000, np.zeros((3, 2))),
    "5,000 layers": crowd("layers", 5_000, np.zeros((N, G))),
    "15,000 entries": crowd("uns", 15_000, 1.0),
    "15,000 unknown arrays": crowd("elsewhere", 15_000, 1.0),
    "times of 100 KB": _long_labels,
    "endless notes": _endless_notes,
    "20,000 notes": _many_notes,
    "an endless record": _record_of_no_use,
}


def _texts(place: str, raw: bytes, kind: object) -> Change:
    """A column, names or categories made of these bytes."""

    def put(group: h5py.Group, key: str) -> None:
        n = 2 if place.endswith("categories") else N
        group.create_dataset(key, data=np.array([raw] * n, dtype=kind))

    return replaced(place, put)


ANY_LENGTH = h5py.string_dtype()
BYTES: dict[str, Change] = {
    f"{what}, {where}": _texts(place, raw, kind)
    for what, raw in {
        "not UTF-8": b"caf\xe9",
        "half characters": b"\xed\xa0\x80",
        "controls": b"\x1b[31m\r\n",
        "nothing": b"",
    }.items()
    for where, place, kind in (
        ("in a column", "obs/note", "S8"),
        ("in a column of any length", "obs/note", ANY_LENGTH),
        ("as names", "obs/_index", "S8"),
        ("as names of any length", "obs/_index", ANY_LENGTH),
        ("as categories", "obs/type/categories", ANY_LENGTH),
    )
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
    crowds = {name: edited(change) for name, change in CROWDS.items()}
    return [
        *family("crowds", crowds, ends=EITHER, in_process=False),
        *family("odd texts", {name: edited(change) for name, change in BYTES.items()}, ends=EITHER),
        *family("odd names", odd, ends=EITHER),
        *family("types", {name: edited(change) for name, change in TYPES.items()}),
        *family("odd types", {name: edited(change) for name, change in ODD_TYPES.items()}, ends=EITHER),
    ]
