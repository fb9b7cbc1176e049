"""Files that were cut, spoilt or glued together, and files of other kinds under the name of an h5ad."""

import functools
import io
import json
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.battery import EITHER, OPENED, Case, edited, family, patched, plain, rich

SEED = 20_240_607
N_FLIPPED, N_SPOILT = 160, 40
SIGNATURE = b"\x89HDF\r\n\x1a\n"


@functools.cache
def base(newest: bool = False) -> bytes:
    """An honest file; in the newest form of HDF5 its structure carries checksums."""
    with tempfile.TemporaryDirectory() as folder:
        path = rich(Path(folder) / "a.h5ad")
        if newest:
            new = Path(folder) / "b.h5ad"
            with h5py.File(path) as old, h5py.File(new, "w", libver="latest") as file:
                for name in old:
                    old.copy(name, file)
                file.attrs.update(old.attrs)
            path = new
        return path.read_bytes()


def cut(share: float, *, newest: bool = False) -> Callable[[], bytes]:
    """The first part of a file."""
    return lambda: base(newest)[: int(share * len(base(newest)))]


def flipped(seed: int, *, newest: bool = False, n: int = 3, most: float = 1.0) -> Callable[[], bytes]:
    """A file with a few wrong bits; near its beginning where `most` is small."""

    def content() -> bytes:
        rng = np.random.default_rng([SEED, seed])
        spoilt = bytearray(base(newest))
        for at in rng.integers(0, int(len(spoilt) * most), n):
            spoilt[at] ^= 1 << int(rng.integers(8))
        return bytes(spoilt)

    return content


def spoilt(seed: int, mark: bytes) -> Callable[[], bytes]:
    """A file with a wrong byte in one of the structures that begin with a mark."""

    def content() -> bytes:
        rng = np.random.default_rng([SEED, seed, *mark])
        spoilt = bytearray(base(mark in (b"OHDR", b"FRHP", b"BTHD", b"FADB", b"FAHD")))
        places = [k for k in range(len(spoilt)) if spoilt.startswith(mark, k)]
        at = int(rng.choice(places)) + int(rng.integers(4, 64))
        spoilt[at] = int(rng.choice([0, 1, 127, 128, 255, spoilt[at] ^ 64]))
        return bytes(spoilt)

    return content


def blanked(seed: int, length: int) -> Callable[[], bytes]:
    """A file with a stretch of zeros, as a disk leaves it."""

    def content() -> bytes:
        at = int(np.random.default_rng([SEED, seed, length]).integers(0, len(base()) - length))
        return base()[:at] + bytes(length) + base()[at + length :]

    return content


def number(mark: bytes, at: int, value: int, width: int = 8) -> Callable[[Path], Path]:
    """A number in the structure, counted from the first mark, changed to another one."""

    def change(content: bytearray) -> None:
        start = content.index(mark) + at
        content[start : start + width] = value.to_bytes(width, "little")

    return patched(change)


HUGE = (0, 1, 2**31, 2**40, 2**63, 2**64 - 2)
NUMBERS = {
    f"{what} {value}": number(mark, at, value)
    for what, mark, at in (
        ("end of the file", SIGNATURE, 40),
        ("base address", SIGNATURE, 24),
        ("free space", SIGNATURE, 32),
        ("driver block", SIGNATURE, 48),
        ("root header", SIGNATURE, 64),
        ("root tree", SIGNATURE, 80),
        ("left neighbour of a tree", b"TREE", 8),
        ("right neighbour of a tree", b"TREE", 16),
        ("child of a tree", b"TREE", 32),
        ("size of a heap", b"HEAP", 8),
        ("free part of a heap", b"HEAP", 16),
        ("place of a heap", b"HEAP", 24),
    )
    for value in HUGE
}
BYTES = {
    f"{what} {value}": number(mark, at, value, width)
    for what, mark, at, width, values in (
        ("version of the file", SIGNATURE, 8, 1, (1, 2, 3, 9, 255)),
        ("size of addresses", SIGNATURE, 13, 1, (0, 1, 4, 16, 255)),
        ("size of lengths", SIGNATURE, 14, 1, (0, 1, 4, 16, 255)),
        ("leaves of a node", SIGNATURE, 16, 2, (0, 1, 65_535)),
        ("children of a node", SIGNATURE, 18, 2, (0, 65_535)),
        ("kind of a tree", b"TREE", 4, 1, (1, 2, 255)),
        ("level of a tree", b"TREE", 5, 1, (1, 20, 255)),
        ("entries of a tree", b"TREE", 6, 2, (0, 999, 65_535)),
        ("version of a table", b"SNOD", 4, 1, (0, 9)),
        ("entries of a table", b"SNOD", 6, 2, (0, 999, 65_535)),
        ("version of a heap", b"HEAP", 4, 1, (1, 9)),
    )
    for value in values
}


def _tree_in_itself(content: bytearray) -> None:
    """A tree of groups whose first child is the tree."""
    at = content.index(b"TREE")
    content[at + 5] = 1  # children are trees
    content[at + 32 : at + 40] = at.to_bytes(8, "little")


def _neighbours_in_a_circle(content: bytearray) -> None:
    at = content.index(b"TREE")
    content[at + 8 : at + 24] = at.to_bytes(8, "little") * 2


def _blocks_in_a_circle(content: bytearray) -> None:
    """A tree of blocks that is its own right neighbour and child."""
    at = next(k for k in range(len(content)) if content[k : k + 5] == b"TREE\x01")
    content[at + 5] = 1
    content[at + 16 : at + 24] = at.to_bytes(8, "little")


def _driver(content: bytearray) -> None:
    """A block that asks for a file made of several files."""
    block = struct.pack("<B3xI8s", 0, 64, b"NCSAfami") + bytes(64)
    content[48:56] = len(content).to_bytes(8, "little")
    content += block
    content[40:48] = len(content).to_bytes(8, "little")


CRAFTED = {
    "a tree in itself": patched(_tree_in_itself),
    "neighbours in a circle": patched(_neighbours_in_a_circle),
    "blocks in a circle": patched(_blocks_in_a_circle),
    "a driver for several files": patched(_driver),
}


def user_block(size: int, block: bytes = b"") -> Callable[[Path], Path]:
    """A file after other bytes."""

    def make(folder: Path) -> Path:
        path = folder / "upload.h5ad"
        path.write_bytes(block.ljust(size, b"\0") + base())
        return path

    return make


def rewritten(**settings: object) -> Callable[[Path], Path]:
    """The same data set in a file with other settings."""

    def make(folder: Path) -> Path:
        path = folder / "upload.h5ad"
        with h5py.File(rich(folder / "old.h5ad")) as old, h5py.File(path, "w", **settings) as file:
            for name in old:
                old.copy(name, file)
            file.attrs.update(old.attrs)
        (folder / "old.h5ad").unlink()
        return path

    return make


def _left_open(folder: Path) -> Path:
    """A file that its writer has not closed, as the newest form marks it."""
    path = rewritten(libver="latest")(folder)
    content = bytearray(path.read_bytes())
    content[11] = 5  # written to; the checksum does not fit any more
    path.write_bytes(content)
    return path


# other kinds of files


def _zipped(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/x"))
    return buffer.getvalue()


class Marked:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return open, ("unpickled.txt", "w")


def _pickled(protocol: int) -> bytes:
    return pickle.dumps(Marked(), protocol=protocol)


def _array(**settings: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Marked()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _safetensors() -> bytes:
    head = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(4)


OTHERS: dict[str, Callable[[], bytes] | bytes] = {
    **{f"pickle, protocol {k}": functools.partial(_pickled, k) for k in range(6)},
    "torch": lambda: _zipped({"archive/data.pkl": _pickled(2), "archive/version": b"3"}),
    "zip": lambda: _zipped({"../../x": b"y"}),
    "npz": lambda: _zipped({"x.npy": _array()}),
    "npy": _array,
    "tar": _tarred,
    "gzip bomb": lambda: __import__("gzip").compress(bytes(10**7)),
    "safetensors": _safetensors,
    "web page": b"<!doctype html><script>alert(1)</script>",
    "script": b"#!/bin/sh\ntouch /tmp/executed\n",
    "program": b"\x7fELF" + bytes(200),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "nothing": b"",
    "one byte": b"\x89",
    "zeros": bytes(10_000),
    "the signature alone": SIGNATURE,
    "the signature and zeros": SIGNATURE + bytes(3000),
    "the signature and chance": lambda: SIGNATURE + np.random.default_rng(0).bytes(3000),
    "chance": lambda: np.random.default_rng(1).bytes(9000),
    "json": b'{"a": ' * 5000,
    "a path": b"/etc/passwd",
}


def cases() -> list[Case]:
    """Every damaged file, and every file of another kind."""
    shares = (0.01, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99, 0.9999)
    cuts = {f"after {share:.2%}": plain(cut(share)) for share in shares}
    cuts |= {f"after {share:.2%}, newest form": plain(cut(share, newest=True)) for share in shares}
    flips = {f"bits {k}": plain(flipped(k)) for k in range(N_FLIPPED // 4)}
    flips |= {f"bits of the head {k}": plain(flipped(k, most=0.1)) for k in range(N_FLIPPED // 2)}
    flips |= {f"bits, newest form {k}": plain(flipped(k, newest=True)) for k in range(N_FLIPPED // 4)}
    marks = (b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"FRHP")
    spoils = {
        f"{mark.decode()} {k}": plain(spoilt(k, mark))
        for mark in marks
        for k in range(N_SPOILT // 4)
        if mark in base(mark in (b"OHDR", b"FRHP"))
    }
    blanks = {
        f"{length} zeros {k}": plain(blanked(k, length)) for length in (64, 512, 4096) for k in range(8)
    }
    glued = {
        "two files": plain(lambda: base() + base()),
        "chance behind": plain(lambda: base() + np.random.default_rng(0).bytes(5000)),
        "after 512 bytes": user_block(512),
        "after 2048 bytes": user_block(2048, b"#!/bin/sh\n"),
        "newest form": rewritten(libver="latest"),
        "newest form of 2012": rewritten(libver=("earliest", "v110")),
        "in pages": rewritten(libver="latest", fs_strategy="page", fs_persist=True),
        "with kept free space": rewritten(libver="latest", fs_strategy="fsm", fs_persist=True),
    }
    odd = {"behind a zip": user_block(512, _zipped({"a": b"b"})), "left open": _left_open}
    others = {name: plain(content) for name, content in OTHERS.items()}
    others["another HDF5 file"] = edited(lambda file, folder: file.__delitem__("obs"))
    return [
        *family("cut", cuts, words="cut short|damaged|empty"),
        *family("flipped bits", flips, ends=EITHER, in_process=False),
        *family("spoilt structure", spoils | blanks, ends=EITHER, in_process=False),
        *family("numbers of the structure", NUMBERS | BYTES, ends=EITHER, in_process=False),
        *family("crafted structure", CRAFTED, ends=EITHER, in_process=False),
        *family("glued and odd forms", glued, ends=OPENED),
        *family("glued and odd forms", odd, ends=EITHER),
        *family("other kinds of files", others),
    ]
