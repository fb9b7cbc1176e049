"""Files whose texts of any length share bytes, lie about their length, or lie elsewhere than they say."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s

from tests.hostile.battery import EITHER, Case, Change, N, edited, family, patched

LONG = 1_000_003


def _reference(file: h5py.File, length: int) -> bytes:
    """How the file points to a text of this length, which is written for it."""
    made = file["uns"].create_dataset("text", (1,), h5py.string_dtype())
    made[0] = "t" * length
    file.flush()
    at = made.id.get_offset()
    return Path(file.filename).read_bytes()[at : at + 16]


def shared(
    n: int, length: int, *, at: str = "uns/x", said: Callable[[bytes], bytes] = bytes, kind: object = None
) -> Change:
    """A list whose texts are all the same one, written once; `said` may change how they point to it."""

    def change(file: h5py.File, folder: Path) -> None:
        pointer = said(_reference(file, length))
        if at in file:
            del file[at]
        made = file.create_dataset(
            at, (n,), kind or h5py.string_dtype(), chunks=(min(n, 10**6),), compression="gzip"
        )
        content = zlib.compress(pointer * min(n, 10**6))
        for k in range(0, n, 10**6):
            made.id.write_direct_chunk((k,), content)

    return change


def compact(file: h5py.File, folder: Path) -> None:
    """The same in the header of the list itself, put in place of 3,000 short texts."""
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_layout(h5d.COMPACT)
    kind = h5py.h5t.py_create(h5py.string_dtype(), logical=True)
    made = h5py.Dataset(h5d.create(file["uns"].id, b"x", kind, h5s.create_simple((3000,)), layout))
    made[:] = [f"short text {k:09}" for k in range(3000)]
    file["uns"].attrs["pointer"] = np.frombuffer(_reference(file, LONG), "u1")


def attribute_of_texts(file: h5py.File, folder: Path) -> None:
    """The same in an attribute."""
    file["obs"].attrs["column-order"] = [f"short text {k:09}" for k in range(3000)]
    file["uns"].attrs["pointer"] = np.frombuffer(_reference(file, LONG), "u1")


def repoint(content: bytearray) -> None:
    """Let 3,000 short texts be the long one."""
    long = content.index(struct.pack("<I", LONG))
    pointer = bytes(content[long : long + 16])
    start = struct.pack("<I", len("short text 000000000"))
    at = 0
    while (at := content.find(start, at)) >= 0:
        if content[at + 4 + 6 : at + 4 + 8] == b"\0\0" and content[at + 16 : at + 20] == start:
            while content[at : at + 4] == start:
                content[at : at + 16] = pointer
                at += 16
        at += 4


def _length(value: int) -> Callable[[bytes], bytes]:
    return lambda pointer: struct.pack("<I", value) + pointer[4:]


def _place(value: int) -> Callable[[bytes], bytes]:
    return lambda pointer: pointer[:4] + struct.pack("<Q", value) + pointer[12:]


TEXTS: dict[str, Change] = {
    "ten million of 1 MB": shared(10**7, LONG),
    "a million of 1 MB": shared(10**6, LONG),
    "5,000 of 1 MB": shared(5_000, LONG),
    "5,000 of 1 MB, in a column": shared(5_000, LONG, at="obs/note"),
    "40 of 1 MB, in a column": shared(N, LONG, at="obs/note"),
    "40 of 1 MB, as names": shared(N, LONG, at="obs/_index"),
    "two of 1 MB, as categories": shared(2, LONG, at="obs/type/categories"),
    "ten million of 20 bytes": shared(10**7, 20),
    "a million of 20 bytes": shared(10**6, 20),
    "ten million lists": shared(10**7, 1000, kind=h5py.vlen_dtype("i1")),
    "5,000 lists of a million": shared(5_000, LONG, kind=h5py.vlen_dtype("i1")),
}
PLACES = (("in uns", "uns/x", 10), ("in a column", "obs/note", N), ("as names", "obs/_index", N))
TEXT_LIES: dict[str, Change] = {
    f"{what}, {name}": shared(n, 100, at=at, said=said)
    for what, said in {
        "texts of 4 GB": _length(2**32 - 1),
        "texts of 100 MB": _length(10**8),
        "texts of 50 of 100 bytes": _length(50),
        "texts beyond the file": _place(2**40),
        "texts in a group": _place(96),
        "texts out of order": lambda pointer: pointer[:12] + struct.pack("<I", 9999),
    }.items()
    for name, at, n in (
        ("in uns", "uns/x", 10),
        ("in a column", "obs/note", N),
        ("as names", "obs/_index", N),
    )
}


def heap(at: int, value: int, width: int) -> Callable[[bytearray], None]:
    """Change a number in the store of texts."""

    def change(content: bytearray) -> None:
        start = content.index(b"GCOL") + at
        content[start : start + width] = value.to_bytes(width, "little")

    return change


HEAPS = {
    f"{what} {value}": patched(heap(at, value, width))
    for what, at, width, values in (
        ("version", 4, 1, (0, 200)),
        ("size", 8, 8, (0, 16, 17, 2**20, 2**62, 2**64 - 1)),
        ("index of an object", 16, 2, (0, 65_535)),
        ("uses of an object", 18, 2, (0, 65_535)),
        ("size of an object", 24, 8, (0, 1, 2**16, 2**32, 2**64 - 1)),
    )
    for value in values
}


def cases() -> list[Case]:
    """Every file whose texts are not what they say."""
    pointing = {
        "3,000 of 1 MB in a header": patched(repoint, first=compact),
        "3,000 of 1 MB in an attribute": patched(repoint, first=attribute_of_texts),
    }
    shared_texts = {name: edited(change) for name, change in TEXTS.items()} | pointing
    lies = {name: edited(change) for name, change in TEXT_LIES.items()}
    lies |= {
        "texts that are not set": edited(shared(N, 100, at="obs/note", said=_place(0))),
        "names that are not set": edited(shared(N, 100, at="obs/_index", said=_place(0))),
    }
    return [
        *family("texts that share bytes", shared_texts, in_process=False),
        *family("texts that lie", lies, ends=EITHER, in_process=False),
        *family("damaged store of texts", HEAPS, ends=EITHER, in_process=False),
    ]
