"""Look at what is stored in an HDF5 file: compressed blocks that lie, and sparse matrices that do.

The HDF5 library trusts a block to unpack to the size that the array says. One that unpacks to less is filled
up with whatever lies in memory, one that unpacks to more takes any amount of it.
"""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5i, h5t, h5z

from dynamics.errors import FileError
from dynamics.findings import quoted

LZF = 32000
CHECKSUM_BYTES = 4
SLACK = 1024
"""Bytes by which a block may be larger than its values when they could not be compressed."""
AGAIN = "Copy or download the file again, or write it again from the original data."


def check(
    arrays: Iterable[tuple[str, h5d.DatasetID]],
    matrices: Iterable[tuple[str, h5g.GroupID]],
    block: int,
    *,
    watch: Callable[[str], None],
) -> dict[str, str]:
    """See that what is stored is what the structure says.

    Parameters
    ----------
    block
        Entries of an index array looked at together.
    watch
        Called with the name of each element that is about to be looked at.

    Returns
    -------
    Damaged elements by name, each with what is wrong with it.

    Raises
    ------
    FileError
        The index arrays of a sparse matrix are not what they claim to be.
    """
    damaged = {}
    for name, dataset in arrays:
        watch(name)
        found = _damage(dataset)
        if found:
            damaged[name] = found
    for name, group in matrices:
        watch(name)
        if any(part.startswith(f"{name}/") for part in damaged):
            continue
        try:
            Matrix(name, h5py.Group(group), block).check()
        except FileError as problem:
            if not name.startswith("/uns/"):
                raise
            damaged[name] = str(problem).split(", so its values")[0].partition(quoted(name))[2].strip()
    return damaged


@dataclass(frozen=True)
class _Blocks:
    """How the blocks of an array are stored."""

    n_bytes: int
    """Bytes of one block when unpacked."""
    filters: tuple[int, ...]
    """In the order in which they were applied."""
    width: int = 1
    """Bytes of one value."""

    def damage(self, dataset: h5d.DatasetID, info: Any) -> str:
        """What is wrong with one block; empty where nothing is."""
        is_plain = not any(
            code != h5z.FILTER_SHUFFLE and not info.filter_mask >> k & 1
            for k, code in enumerate(self.filters)
        )
        if is_plain and info.size != self.n_bytes:
            return "one of its blocks does not have the size that it should"
        if info.size > self.n_bytes + self.n_bytes // 16 + SLACK:
            return "one of its blocks is larger than the values in it"
        if is_plain or h5z.FILTER_DEFLATE not in self.filters:
            return ""  # LZF unpacks to 88 times its size at most: that the block is no larger is enough
        mask, stored = dataset.read_direct_chunk(info.chunk_offset)
        return "" if self._unpacks(stored, mask) else "one of its blocks does not unpack to what it should"

    def _unpacks(self, stored: bytes, mask: int) -> bool:
        """Whether a block unpacks to the right number of bytes."""
        used = [code for k, code in enumerate(self.filters) if not mask >> k & 1]
        expected: int | None = self.n_bytes
        sizes = []  # what each filter, when undone, must give; None after compression, where nobody knows
        for code in used:
            sizes.append(expected)
            if expected is not None:
                expected += CHECKSUM_BYTES if code == h5z.FILTER_FLETCHER32 else 0
            expected = None if code in (h5z.FILTER_DEFLATE, LZF) else expected
        data: bytes | memoryview = memoryview(stored)
        for code, size in reversed(list(zip(used, sizes, strict=True))):
            if code == h5z.FILTER_FLETCHER32:
                data = data[:-CHECKSUM_BYTES]
            elif code == h5z.FILTER_DEFLATE:
                data = inflated(data, size)
            elif size is None:
                data = _unshuffled(data, self.width)
            if size is not None and len(data) != size:
                return False
        return True


def _unshuffled(data: bytes | memoryview, width: int) -> bytes:
    """Bytes in their own order again, after those of each place in a value were put together."""
    whole = len(data) // width * width
    values = np.frombuffer(data, np.uint8)
    return values[:whole].reshape(width, -1).T.tobytes() + values[whole:].tobytes()


def inflated(data: bytes | memoryview, size: int) -> bytes:
    """What a deflated block holds, never more than a byte beyond `size`; empty where it is damaged."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, size + 1)
    except zlib.error:
        return b""
    return found if stream.eof else b""


def _damage(dataset: h5d.DatasetID) -> str:
    """What is wrong with the stored values of an array; empty where nothing is."""
    layout = dataset.get_create_plist()
    count = dataset.get_space().get_simple_extent_npoints()
    if not count or layout.get_layout() == h5d.COMPACT:
        return ""
    if _has_gaps(dataset, layout) and not _is_filled(layout):
        return "its values were never written"
    if layout.get_layout() != h5d.CHUNKED:
        return ""
    filters = tuple(layout.get_filter(k)[0] for k in range(layout.get_nfilters()))
    pointer = 8 + h5i.get_file_id(dataset).get_create_plist().get_sizes()[0]
    width = stored_size(dataset.get_type(), pointer)
    blocks = _Blocks(prod(layout.get_chunk()) * width, filters, width)
    infos: list[Any] = []
    dataset.chunk_iter(infos.append)
    return next((wrong for info in infos if (wrong := blocks.damage(dataset, info))), "")


def _has_gaps(dataset: h5d.DatasetID, layout: h5py.h5p.PropDCID) -> bool:
    """Whether some values of an array have no place in the file."""
    if not dataset.get_storage_size():
        return True
    if layout.get_layout() != h5d.CHUNKED:
        return False
    n_blocks = prod(-(-n // block) for n, block in zip(dataset.shape, layout.get_chunk(), strict=True))
    return dataset.get_num_chunks() < n_blocks


def _is_filled(layout: h5py.h5p.PropDCID) -> bool:
    """Whether values that were never written read as a known filler and not as whatever lies in memory."""
    is_known = layout.fill_value_defined() != h5d.FILL_VALUE_UNDEFINED
    return is_known and layout.get_fill_time() != h5d.FILL_TIME_NEVER


def stored_size(kind: h5t.TypeID, pointer: int = 16) -> int:
    """Bytes of one element in the file, where a text of any length is a `pointer` to where it lies."""
    size = int(kind.get_size())
    if isinstance(kind, h5t.TypeVlenID) or (isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()):
        return pointer
    if isinstance(kind, h5t.TypeArrayID):
        return prod(kind.get_array_dims()) * stored_size(kind.get_super(), pointer)
    if isinstance(kind, h5t.TypeCompoundID):
        members = [kind.get_member_type(k) for k in range(kind.get_nmembers())]
        return size + sum(stored_size(member, pointer) - int(member.get_size()) for member in members)
    return size


def text(value: object) -> str:
    """An attribute as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def is_matrix(group: h5g.GroupID, names: set[bytes]) -> bool:
    """Whether a group says that it is, or is laid out as, a sparse matrix."""
    said = _said(h5py.Group(group))
    return said[:3] in ("csr", "csc") or (
        {b"data", b"indices", b"indptr"} <= names and said not in ("", "dict")
    )


def _said(group: h5py.Group) -> str:
    """What a group says that it is; R writes a single text as a list of one."""
    said = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
    if isinstance(said, np.ndarray) and said.size == 1:
        said = said.ravel()[0]
    return text(said)


class Matrix:
    """The claims of one sparse matrix, checked block by block so that memory stays small."""

    def __init__(self, name: str, group: h5py.Group, block: int) -> None:
        self.name, self.group, self.block = quoted(name), group, block

    def check(self) -> None:
        """Raise FileError where the index arrays are not what they claim to be."""
        for part in ("data", "indices", "indptr"):
            self._check_part(part)
        if not {"shape", "h5sparse_shape"} & set(self.group.attrs):
            return  # the tables of cells and genes tell it; whoever reads it looks at every position
        major, minor = self._shape()
        self._check_starts(major)
        self._check_indices(minor)

    def _check_part(self, part: str) -> None:
        array = self.group.get(part) if part in self.group else None
        if array is None:
            self._refuse(f"has no part named {part}")
        if not isinstance(array, h5py.Dataset) or len(array.shape or ()) != 1:
            self._refuse(f"has a part {part} that is not a plain list")
        whole = part != "data"
        if array.dtype.kind not in ("iu" if whole else "iufbc"):
            self._refuse(f"has a part {part} that does not hold {'whole numbers' if whole else 'numbers'}")

    def _shape(self) -> tuple[int, int]:
        """Rows or columns that `indptr` counts, and those that `indices` point to."""
        attributes = self.group.attrs
        shape = np.asarray(attributes.get("shape", attributes.get("h5sparse_shape", ())))
        if (
            shape.shape != (2,)
            or shape.dtype.kind not in "iuf"
            or not np.all((shape >= 0) & (shape % 1 == 0))
        ):
            self._refuse("does not say how many rows and columns it has")
        rows, columns = (int(n) for n in shape)
        return (columns, rows) if _said(self.group).startswith("csc") else (rows, columns)

    def _check_starts(self, major: int) -> None:
        starts, entries = self.group["indptr"], self.group["indices"].shape[0]
        if starts.shape[0] != major + 1:
            self._refuse(f"lists {starts.shape[0]:,} starts where {major + 1:,} are needed")
        if self.group["data"].shape[0] != entries:
            self._refuse(f"has {self.group['data'].shape[0]:,} values but {entries:,} positions")
        last = 0
        for at in range(0, major + 1, self.block):
            block = starts[at : at + self.block]
            if at == 0 and block[0] != 0:
                self._refuse(f"starts at {block[0]} instead of 0")
            if int(block[0]) < last or np.any(block[1:] < block[:-1]):
                self._refuse("has starts that fall")
            last = int(block[-1])
        if last != entries:
            self._refuse(f"ends at {last:,} instead of {entries:,}")

    def _check_indices(self, minor: int) -> None:
        indices = self.group["indices"]
        for at in range(0, indices.shape[0], self.block):
            block = indices[at : at + self.block]
            low, high = int(block.min()), int(block.max())
            if low < 0 or high >= minor:
                self._refuse(f"points to position {low if low < 0 else high:,}, outside 0 to {minor - 1:,}")

    def _refuse(self, what: str) -> None:
        raise FileError(
            f"The sparse matrix {self.name} {what}, so its values would be wrong. The file is damaged or was "
            "written by a faulty program: write it again from the original data."
        )
