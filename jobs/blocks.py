"""The blocks in which an array of an HDF5 file is stored: where they lie, and whether they unpack.

The HDF5 library trusts a block to unpack to the size that the array says, and fills up in silence what it
does not find.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5i, h5z

from jobs import kinds, lzf
from jobs.layout import has_plain_edges

LZF = 32000
CHECKSUM_BYTES = 4
UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)
"""What h5py raises on stored values that contradict the structure."""
SLACK = 1024
"""Bytes by which a block may be larger than its values when they could not be compressed."""
Taken = tuple[int, int, str]
"""From where to where in the file the values of an array lie, and its name."""


def damage(dataset: h5d.DatasetID, layout: h5py.h5p.PropDCID, name: str, taken: list[Taken]) -> str:
    """What is wrong with the blocks of an array; empty where nothing is. Adds their places to `taken`."""
    if not _shuffles_values(layout, dataset.get_type()):
        return "it is shuffled by another width than that of its values"
    filters = tuple(layout.get_filter(k)[0] for k in range(layout.get_nfilters()))
    pointer = 8 + h5i.get_file_id(dataset).get_create_plist().get_sizes()[0]
    width = kinds.stored_size(dataset.get_type(), pointer)
    whole = _ends(dataset.shape, layout.get_chunk()) if has_plain_edges(layout) else None
    stored = _Blocks(prod(layout.get_chunk()) * width, filters, width, whole)
    try:
        infos, expected = _listed(dataset, layout.get_chunk())
        if len(infos) < expected and not is_filled(layout):
            return "some of its values were never written"
        if len(infos) > expected:
            return "some of its blocks are listed more than once"
        if not _are_in_place(infos, dataset.shape, layout.get_chunk()):
            return "one of its blocks is listed at a place that is not its own"
        taken += [(info.byte_offset, info.byte_offset + info.size, name) for info in infos]
        return next((wrong for info in infos if (wrong := stored.damage(dataset, info))), "")
    except UNREADABLE:
        return "one of its blocks cannot be read"


@dataclass(frozen=True)
class _Blocks:
    """How the blocks of an array are stored."""

    n_bytes: int
    """Bytes of one block when unpacked."""
    filters: tuple[int, ...]
    """In the order in which they were applied."""
    width: int = 1
    """Bytes of one value."""
    whole: tuple[int, ...] | None = None
    """Where the first block begins, by axis, that reaches beyond the array and so was not filtered; None
    where such blocks are filtered like all others."""

    def damage(self, dataset: h5d.DatasetID, info: Any) -> str:
        """What is wrong with one block; empty where nothing is."""
        is_plain = not any(
            code != h5z.FILTER_SHUFFLE and not info.filter_mask >> k & 1
            for k, code in enumerate(self.filters)
        )
        if self._is_unshuffled(info.filter_mask) and not is_plain:
            return "one of its blocks is compressed in another way than the others"
        is_plain = is_plain or self._is_plain_edge(info.chunk_offset)
        if is_plain and info.size != self.n_bytes:
            return "one of its blocks does not have the size that it should"
        if info.size > self.n_bytes + self.n_bytes // 16 + SLACK:
            return "one of its blocks is larger than the values in it"
        mask, stored = dataset.read_direct_chunk(info.chunk_offset)
        if is_plain:  # it was found where it should be, which listing alone does not tell
            return ""
        return "" if self._unpacks(stored, mask) else "one of its blocks does not unpack to what it should"

    def _is_unshuffled(self, mask: int) -> bool:
        """Whether a block says that its bytes were not shuffled; writers never leave that step out."""
        return any(code == h5z.FILTER_SHUFFLE and mask >> k & 1 for k, code in enumerate(self.filters))

    def _is_plain_edge(self, offset: Sequence[int]) -> bool:
        return self.whole is not None and any(at >= end for at, end in zip(offset, self.whole, strict=True))

    def _unpacks(self, stored: bytes, mask: int) -> bool:
        """Whether a block unpacks to the right number of bytes."""
        used = [code for k, code in enumerate(self.filters) if not mask >> k & 1]
        data: bytes | memoryview = memoryview(stored)
        for code, size in reversed(list(zip(used, self._sizes(used), strict=True))):
            if code == LZF:
                return lzf.length(data, size) == size  # nothing but shuffling comes before it
            data = self._undone(code, data, size)
            if size is not None and len(data) != size:
                return False
        return True

    def _undone(self, code: int, data: bytes | memoryview, size: int | None) -> bytes | memoryview:
        """The bytes before a filter was applied, which should be `size` where that is known."""
        if code == h5z.FILTER_FLETCHER32:
            return data[:-CHECKSUM_BYTES]
        if code == h5z.FILTER_DEFLATE:
            return inflated(data, size)
        return _unshuffled(data, self.width) if size is None else data

    def _sizes(self, used: Sequence[int]) -> Iterator[int | None]:
        """What each filter, when undone, must give; None after compression, where nobody knows."""
        expected: int | None = self.n_bytes
        for code in used:
            yield expected
            if code in (h5z.FILTER_DEFLATE, LZF):
                expected = None
            elif code == h5z.FILTER_FLETCHER32 and expected is not None:
                expected += CHECKSUM_BYTES


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


def is_filled(layout: h5py.h5p.PropDCID) -> bool:
    """Whether values that were never written read as a known filler and not as whatever lies in memory."""
    is_known = layout.fill_value_defined() != h5d.FILL_VALUE_UNDEFINED
    return is_known and layout.get_fill_time() != h5d.FILL_TIME_NEVER


def _shuffles_values(layout: h5py.h5p.PropDCID, kind: h5py.h5t.TypeID) -> bool:
    """Whether shuffling, where it is done, goes by the width of the values."""
    steps = [layout.get_filter(k) for k in range(layout.get_nfilters())]
    widths = [settings[:1] for code, _, settings, _ in steps if code == h5z.FILTER_SHUFFLE]
    return bool(kinds.n_texts(kind)) or all(width == (kind.get_size(),) for width in widths)


def _ends(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Where the blocks end that lie inside the array, by axis."""
    return tuple(n // size * size for n, size in zip(shape, chunk, strict=True))


def _listed(dataset: h5d.DatasetID, chunk: tuple[int, ...]) -> tuple[list[Any], int]:
    """The blocks of an array that its index lists, and how many there should be at most."""
    infos: list[Any] = []
    expected = kinds.n_chunks(dataset, chunk)

    def remember(info: Any) -> bool | None:
        infos.append(info)
        return len(infos) > expected or None  # an index may lead round in circles

    dataset.chunk_iter(remember)
    return infos, expected


def _are_in_place(infos: Sequence[Any], shape: tuple[int, ...], chunk: tuple[int, ...]) -> bool:
    """Whether each block is listed at a place of its own in the array; from elsewhere it is never read."""
    places = np.array([info.chunk_offset for info in infos], dtype=np.uint64).reshape(-1, len(shape))
    is_inside = (places < np.array(shape, np.uint64)) & (places % np.array(chunk, np.uint64) == 0)
    return bool(is_inside.all()) and len(np.unique(places, axis=0)) == len(places)
