"""Look at what is stored in an HDF5 file: compressed blocks that lie, and sparse matrices that do.

The HDF5 library trusts a block to unpack to the size that the array says. One that unpacks to less is filled
up with whatever lies in memory, one that unpacks to more takes any amount of it.
"""

from collections.abc import Callable, Iterable
from math import prod

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5o, h5s

from dynamics.elements import unusual
from dynamics.errors import FileError
from dynamics.findings import quoted
from jobs import blocks, kinds
from jobs.blocks import UNREADABLE, Taken

TEXTS = 1000
"""Texts looked at together where the array is not stored in blocks."""
SHARED = "some of its values lie where those of another array do"


def check(
    arrays: Iterable[tuple[str, h5d.DatasetID]],
    matrices: Iterable[tuple[str, h5g.GroupID]],
    block: int,
    *,
    n_bytes: int,
    watch: Callable[[str], None],
) -> dict[str, str]:
    """See that what is stored is what the structure says.

    Parameters
    ----------
    block
        Entries of an index array looked at together.
    n_bytes
        Bytes of the file.
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
    known: dict[int, str] = {}  # the same array may have several names
    texts = 0
    taken: list[Taken] = []
    for name, dataset in arrays:
        watch(name)
        address = int(h5o.get_info(dataset).addr)
        if address not in known:
            length = _text_bytes(dataset, n_bytes)
            wrong = _damage(dataset, name, taken)
            known[address] = wrong or ("its texts cannot be read" if length < 0 else "")
            texts += max(0, length)
        if texts > n_bytes:
            raise FileError(
                f"{quoted(name)} holds texts that are longer than the file itself: they share the same "
                "bytes. No h5ad file written by anndata has this. If you trust the file, open it in Python "
                "and save it again."
            )
        if known[address]:
            damaged[name] = known[address]
    damaged |= dict.fromkeys(_overlapping(taken), SHARED)
    for name, group in matrices:
        watch(name)
        if not any(part.startswith(f"{name}/") for part in damaged):
            damaged |= _lies(name, group, block)
    return damaged


def _lies(name: str, group: h5g.GroupID, block: int) -> dict[str, str]:
    """What is wrong with a sparse matrix that can be left out; any other that lies is a reason to refuse."""
    try:
        Matrix(name, h5py.Group(group), block).check()
    except FileError as problem:
        if not name.startswith("/uns/"):
            raise
        return {name: str(problem).split(", so its values")[0].partition(quoted(name))[2].strip()}
    return {}


def _damage(dataset: h5d.DatasetID, name: str, taken: list[Taken]) -> str:
    """What is wrong with the stored values of an array; empty where nothing is.

    Where the values lie is added to `taken`.
    """
    layout = dataset.get_create_plist()
    count = kinds.count(dataset.get_space())
    if dataset.get_space().get_simple_extent_type() == h5s.NULL and said(dataset, b"encoding-type") != "null":
        return "it has no values and no size"
    if not count or layout.get_layout() == h5d.COMPACT:
        return ""
    if not dataset.get_storage_size():
        return "" if blocks.is_filled(layout) else "its values were never written"
    if layout.get_layout() != h5d.CHUNKED:
        at = dataset.get_offset()
        if at is not None:
            taken.append((at, at + dataset.get_storage_size(), name))
        return ""
    return blocks.damage(dataset, layout, name, taken)


def _overlapping(taken: list[Taken]) -> set[str]:
    """The arrays that share bytes of the file with another one, or with themselves."""
    found: set[str] = set()
    end, owner = 0, ""
    for start, stop, name in sorted(taken):
        if start < end:
            found |= {owner, name}
        if stop > end:
            end, owner = stop, name
    return found


def _text_bytes(dataset: h5d.DatasetID, most: int) -> int:
    """Bytes of all texts of any length, at least up to `most`; -1 where they cannot be read."""
    if not kinds.n_texts(dataset.get_type()) or not dataset.shape or 0 in dataset.shape:
        return 0
    array, total = h5py.Dataset(dataset), 0
    rows = array.chunks[0] if array.chunks else max(1, TEXTS // prod(array.shape[1:]))
    try:
        for at in range(0, array.shape[0], rows):
            total += n_text_bytes(array[at : at + rows])
            if total > most:
                break
    except UNREADABLE as problem:
        if "alloc" in str(problem):  # how HDF5 says that memory ran out
            raise MemoryError from problem
        return -1
    return total


def n_text_bytes(values: np.ndarray) -> int:
    """Bytes of all texts and lists in an array or table."""
    if values.dtype.names:
        return sum(n_text_bytes(values[name]) for name in values.dtype.names)
    if values.dtype != object:
        return 0
    return sum(one.nbytes if isinstance(one, np.ndarray) else len(one or b"") for one in values.ravel())


def _is_written(dataset: h5d.DatasetID) -> bool:
    """Whether every value of an array was written, so that none of them is a filler."""
    layout = dataset.get_create_plist()
    if layout.get_layout() != h5d.CHUNKED:
        return layout.get_layout() == h5d.COMPACT or dataset.get_storage_size() > 0
    return dataset.get_num_chunks() >= kinds.n_chunks(dataset, layout.get_chunk())


def text(value: object) -> str:
    """An attribute as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def said(place: h5g.GroupID | h5d.DatasetID, name: bytes) -> str:
    """An attribute that is one text; empty where there is none."""
    if not h5a.exists(place, name):
        return ""
    attribute = h5a.open(place, name)
    if attribute.dtype.kind not in "OSU" or attribute.shape not in ((), (1,)):
        return ""
    values = np.empty(attribute.shape, dtype=attribute.dtype)
    attribute.read(values)
    return text(values.ravel()[0])


def form(group: h5g.GroupID) -> str:
    """The form in which a group says that it is a sparse matrix: "csr" or "csc"; empty where it is none."""
    now, before = said(group, b"encoding-type")[:3], said(group, b"h5sparse_format")[:3]
    found = {one for one in (now, before) if one in ("csr", "csc")}
    return "/".join(sorted(found))


def is_matrix(group: h5g.GroupID, names: set[bytes]) -> bool:
    """Whether a group says that it is, or is laid out as, a sparse matrix."""
    return bool(form(group)) or (
        {b"data", b"indices", b"indptr"} <= names and said(group, b"encoding-type") not in ("", "dict")
    )


class Matrix:
    """The claims of one sparse matrix, checked block by block so that memory stays small."""

    def __init__(self, name: str, group: h5py.Group, block: int) -> None:
        self.at, self.name, self.group, self.block = name, quoted(name), group, block

    def check(self) -> None:
        """Raise FileError where the index arrays are not what they claim to be."""
        for part in ("data", "indices", "indptr"):
            self._check_part(part)
        for part in ("data", "indices", "indptr") if self.group["indices"].shape[0] else ():
            if not _is_written(self.group[part].id):  # the filler would be taken for positions
                self._refuse(f"has a part {part} that was never written in full")
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
        if wrong := unusual(array):
            raise FileError(f"{quoted(f'{self.at}/{part}')} {wrong}")
        if array.dtype.kind not in ("iu" if whole else "iufbc"):
            self._refuse(f"has a part {part} that does not hold {'whole numbers' if whole else 'numbers'}")

    def _shape(self) -> tuple[int, int]:
        """Rows or columns that `indptr` counts, and those that `indices` point to."""
        shapes = [self.group.attrs[name] for name in ("shape", "h5sparse_shape") if name in self.group.attrs]
        found = np.asarray(shapes[0] if shapes else ())
        if (
            found.shape != (2,)
            or found.dtype.kind not in "iuf"
            or not np.all((found >= 0) & (found % 1 == 0))
        ):
            self._refuse("does not say how many rows and columns it has")
        layout = form(self.group.id)
        if not all(np.array_equal(found, shape) for shape in shapes) or "/" in layout:
            self._refuse("says two different things about its shape")
        rows, columns = (int(n) for n in found)
        return (columns, rows) if layout == "csc" else (rows, columns)

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
