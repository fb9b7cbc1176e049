"""Look at the structure of an HDF5 file before anything in it is read.

Nothing is followed before its kind of link is known, and only what an h5ad file needs is allowed: hard
links, data stored in the file itself, plain filters, and sparse matrices whose index arrays are what they
claim to be.
"""

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5t, h5z

from dynamics.errors import FileError
from dynamics.sniff import sniff

MB = 1024**2
GB = 1024**3
DEFLATE, SHUFFLE, FLETCHER32, LZF = h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, 32000
COMPRESSORS = {DEFLATE, LZF}
ALLOWED_FILTERS = {DEFLATE, SHUFFLE, FLETCHER32, LZF}
FILTER_NAMES = {4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2", 32001: "blosc", 32004: "lz4"}
FILTER_NAMES |= {32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz", 32026: "blosc2"}
RESAVE = 'Save it again in Python: adata.write_h5ad(path, compression="gzip").'
ORIGIN = (
    "No h5ad file written by anndata has this. If you trust the file, open it in Python and save it again."
)
LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}


@dataclass(frozen=True)
class Limits:
    """What a file may ask for."""

    depth: int = 16
    objects: int = 20_000
    element: int = 4096
    """Bytes of one element of an array, such as a text of fixed length."""
    chunk: int = 64 * MB
    record: int = 64 * 1024
    """Bytes of one row of a table whose columns are stored together, as anndata 0.6 did."""
    declared: int = 64 * GB
    """Bytes that all arrays together would take when unpacked."""
    unpacking: int = 1_100
    """How much larger than stored an array above `small` may become; no honest compressor reaches it."""
    small: int = 64 * MB
    attribute: int = 8 * MB
    attributes: int = 10_000
    block: int = 4_000_000
    """Entries of an index array looked at together."""


@dataclass
class _Seen:
    """What the walk has met so far."""

    addresses: set[int] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    objects: int = 0
    declared: int = 0
    stored: int = 0
    references: list[tuple[str, int]] = field(default_factory=list)
    matrices: list[tuple[str, h5g.GroupID]] = field(default_factory=list)


def check(path: str | Path, *, limits: Limits | None = None) -> None:
    """See that an h5ad file is safe to read; returns nothing where it is.

    Parameters
    ----------
    path
        Any file; what is not an h5ad is named.

    Raises
    ------
    FileError
        The message names the element, says what is wrong with it and what to do.
    """
    limits = limits or Limits()
    sniff(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            seen = _Seen(groups={_address(h5o.get_info(file.id))})
            _group(file.id, "/", limits=limits, seen=seen, depth=0)
            _totals(seen, limits)
            for name, group in seen.matrices:
                _Matrix(name, h5py.Group(group), limits).check()
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as problem:
        raise FileError(
            "The file is damaged: its structure cannot be read to the end. Copy or download it again, or "
            "write it again from the program that made it."
        ) from problem


def shown(name: str) -> str:
    """An element's name as it can be shown: short, printable, in quotes."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return f'"{printable}"' if len(printable) <= 80 else f'"{printable[:60]}…{printable[-15:]}"'


def _group(group: h5g.GroupID, path: str, *, limits: Limits, seen: _Seen, depth: int) -> None:
    """Walk one group: the kind of every link first, then what it leads to."""
    if depth > limits.depth:
        raise FileError(f"{shown(path)} lies more than {limits.depth} levels deep. {ORIGIN}")
    _attributes(group, path, limits=limits, seen=seen)
    links: list[tuple[bytes, int]] = []

    def remember(name: bytes, info: h5l.LinkInfo) -> bool | None:
        links.append((name, info.type))
        return len(links) + seen.objects > limits.objects or None

    group.links.iterate(remember, info=True)
    if _is_matrix(group, {raw for raw, _ in links}):
        seen.matrices.append((path, group))
    for raw, kind in links:
        name = f"{path.rstrip('/')}/{raw.decode('utf-8', 'replace')}"
        if kind != h5l.TYPE_HARD:
            what = LINKS.get(kind, "an unusual link")
            raise FileError(f"{shown(name)} is {what}, which is not opened. {ORIGIN}")
        seen.objects += 1
        if seen.objects > limits.objects:
            raise FileError(f"The file holds more than {limits.objects:,} elements. {RESAVE}")
        _object(group, raw, name, limits=limits, seen=seen, depth=depth)


def _object(parent: h5g.GroupID, raw: bytes, name: str, *, limits: Limits, seen: _Seen, depth: int) -> None:
    info = h5o.get_info(parent, raw)
    address = _address(info)
    if info.type == h5o.TYPE_GROUP:
        if address in seen.groups:
            raise FileError(f"{shown(name)} leads to a group that is listed elsewhere too. {ORIGIN}")
        seen.groups.add(address)
        seen.addresses.add(address)
        _group(h5g.open(parent, raw), name, limits=limits, seen=seen, depth=depth + 1)
    elif info.type == h5o.TYPE_DATASET:
        seen.addresses.add(address)
        dataset = h5d.open(parent, raw)
        _dataset(dataset, name, limits=limits, seen=seen)
        _attributes(dataset, name, limits=limits, seen=seen)
    elif info.type != h5o.TYPE_NAMED_DATATYPE:
        raise FileError(f"{shown(name)} is of an unknown kind. {ORIGIN}")


def _address(info: h5o.ObjInfo) -> int:
    return int(info.addr)


def _dataset(dataset: h5d.DatasetID, name: str, *, limits: Limits, seen: _Seen) -> None:
    """Look at how an array is stored, without reading it."""
    layout = dataset.get_create_plist()
    if layout.get_external_count():
        raise FileError(f"{shown(name)} keeps its values in another file, which is not opened. {ORIGIN}")
    if layout.get_layout() == h5d.VIRTUAL:
        raise FileError(f"{shown(name)} is a window on other arrays (a virtual dataset). {ORIGIN}")
    _filters(layout, name)
    size = _element_size(dataset.get_type(), name, limits)
    if layout.get_layout() == h5d.CHUNKED and prod(layout.get_chunk()) * size > limits.chunk:
        raise FileError(
            f"{shown(name)} is stored in blocks of {_bytes(prod(layout.get_chunk()) * size)}, more than the "
            f"{_bytes(limits.chunk)} allowed. {RESAVE}"
        )
    declared, stored = _count(dataset.get_space()) * size, dataset.get_storage_size()
    if declared > limits.small and declared > limits.unpacking * stored:
        raise FileError(
            f"{shown(name)} claims {_bytes(declared)} but only {_bytes(stored)} are stored: more than "
            f"any honest compression reaches. {RESAVE}"
        )
    seen.declared += declared
    seen.stored += stored


def _filters(layout: h5py.h5p.PropDCID, name: str) -> None:
    codes = [layout.get_filter(k)[0] for k in range(layout.get_nfilters())]
    for code in codes:
        if code not in ALLOWED_FILTERS:
            kind = FILTER_NAMES.get(code, f"filter {code}")
            raise FileError(
                f"{shown(name)} is compressed with {kind}, which cannot be opened safely here. Use gzip or "
                f"lzf. {RESAVE}"
            )
    if sum(code in COMPRESSORS for code in codes) > 1:
        raise FileError(f"{shown(name)} is compressed more than once over. {RESAVE}")


def _element_size(kind: h5t.TypeID, name: str, limits: Limits) -> int:
    """Bytes of one element of an array; a type too large, or a reference, is refused."""
    if kind.detect_class(h5t.REFERENCE):
        raise FileError(f"{shown(name)} holds references to other parts of the file. {ORIGIN}")
    size = int(kind.get_size())
    parts = [size]
    limit = limits.element
    if isinstance(kind, h5t.TypeCompoundID):
        parts = [int(kind.get_member_type(k).get_size()) for k in range(kind.get_nmembers())]
        if size > limits.record:
            parts.append(size)
    if max(parts, default=0) > limit:
        raise FileError(
            f"{shown(name)} holds texts or elements of {_bytes(max(parts))} each, more than the "
            f"{_bytes(limit)} allowed. Shorten them, or leave that column out, and save the file again."
        )
    return size


def _count(space: h5py.h5s.SpaceID) -> int:
    """How many elements an array has."""
    return int(space.get_simple_extent_npoints()) if space.get_simple_extent_ndims() >= 0 else 0


def _attributes(place: h5py.h5g.GroupID | h5d.DatasetID, name: str, *, limits: Limits, seen: _Seen) -> None:
    """Look at the attributes of a group or array: their size, and what they refer to."""
    n_attributes = h5a.get_num_attrs(place)
    if n_attributes > limits.attributes:
        raise FileError(f"{shown(name)} has {n_attributes:,} attributes. {ORIGIN}")
    for k in range(n_attributes):
        if h5a.get_info(place, index=k).data_size > limits.attribute:
            raise FileError(
                f"{shown(name)} has an attribute larger than {_bytes(limits.attribute)}. {ORIGIN}"
            )
        attribute = h5a.open(place, index=k)
        kind = attribute.get_type()
        if kind.detect_class(h5t.REFERENCE):
            seen.references += [(name, address) for address in _targets(attribute, name)]


def _targets(attribute: h5a.AttrID, name: str) -> list[int]:
    """Addresses of what an attribute refers to; anndata 0.7 refers to the names of categories in this way."""
    if not attribute.get_type().equal(h5t.STD_REF_OBJ):
        raise FileError(f"{shown(name)} refers to other parts of the file in an unusual way. {ORIGIN}")
    values = np.empty(attribute.shape, dtype=h5py.ref_dtype)
    attribute.read(values)
    return [_address(h5o.get_info(h5r.dereference(ref, attribute))) for ref in values.ravel() if ref]


def _totals(seen: _Seen, limits: Limits) -> None:
    if seen.declared > limits.declared:
        raise FileError(
            f"The file unpacks to {_bytes(seen.declared)}, more than the {_bytes(limits.declared)} allowed. "
            "Leave out layers and graphs that are not needed, or use fewer genes, and save it again."
        )
    if seen.declared > limits.small and seen.declared > limits.unpacking * seen.stored:
        raise FileError(
            f"The file claims {_bytes(seen.declared)} but only {_bytes(seen.stored)} are stored: more than "
            f"any honest compression reaches. {RESAVE}"
        )
    for name, address in seen.references:
        if address not in seen.addresses:
            raise FileError(f"{shown(name)} refers to something that the file does not list. {ORIGIN}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_matrix(group: h5g.GroupID, names: set[bytes]) -> bool:
    """Whether a group says that it is, or is laid out as, a sparse matrix."""
    attributes = h5py.Group(group).attrs
    said = _text(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))[:3]
    return said in ("csr", "csc") or ({b"data", b"indices", b"indptr"} <= names and bool(said))


class _Matrix:
    """The claims of one sparse matrix, checked block by block so that memory stays small."""

    def __init__(self, name: str, group: h5py.Group, limits: Limits) -> None:
        self.name, self.group, self.limits = shown(name), group, limits

    def check(self) -> None:
        """Raise FileError where the index arrays are not what they claim to be."""
        missing = [part for part in ("data", "indices", "indptr") if part not in self.group]
        if missing:
            self._refuse(f"has no part named {missing[0]}")
        for part in ("data", "indices", "indptr"):
            array = self.group[part]
            if not isinstance(array, h5py.Dataset) or len(array.shape or ()) != 1:
                self._refuse(f"has a part {part} that is not a plain list")
            if array.dtype.kind not in ("iu" if part != "data" else "iufbc"):
                self._refuse(
                    f"has a part {part} that does not hold {'numbers' if part == 'data' else 'whole numbers'}"
                )
        major, minor = self._shape()
        self._check_starts(major)
        self._check_indices(minor)

    def _shape(self) -> tuple[int, int]:
        """Rows or columns that `indptr` counts, and those that `indices` point to."""
        attributes = self.group.attrs
        shape = np.asarray(attributes.get("shape", attributes.get("h5sparse_shape", ())))
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or int(shape.min()) < 0:
            self._refuse("does not say how many rows and columns it has")
        rows, columns = (int(n) for n in shape)
        said = _text(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))
        return (columns, rows) if said.startswith("csc") else (rows, columns)

    def _check_starts(self, major: int) -> None:
        starts, entries = self.group["indptr"], self.group["indices"].shape[0]
        if starts.shape[0] != major + 1:
            self._refuse(f"lists {starts.shape[0]:,} starts where {major + 1:,} are needed")
        if self.group["data"].shape[0] != entries:
            self._refuse(f"has {self.group['data'].shape[0]:,} values but {entries:,} positions")
        last = 0
        for at in range(0, major + 1, self.limits.block):
            block = starts[at : at + self.limits.block]
            if at == 0 and block[0] != 0:
                self._refuse(f"starts at {block[0]} instead of 0")
            if int(block[0]) < last or np.any(block[1:] < block[:-1]):
                self._refuse("has starts that fall")
            last = int(block[-1])
        if last != entries:
            self._refuse(f"ends at {last:,} instead of {entries:,}")

    def _check_indices(self, minor: int) -> None:
        indices = self.group["indices"]
        for at in range(0, indices.shape[0], self.limits.block):
            block = indices[at : at + self.limits.block]
            low, high = int(block.min()), int(block.max())
            if low < 0 or high >= minor:
                self._refuse(f"points to position {low if low < 0 else high:,}, outside 0 to {minor - 1:,}")

    def _refuse(self, what: str) -> None:
        raise FileError(
            f"The sparse matrix {self.name} {what}, so its values would be wrong. The file is damaged or was "
            "written by a faulty program: write it again from the original data."
        )


def _bytes(n: float) -> str:
    """A size in words: "4.6 GB"."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if n < 1024 or unit == "TB":
            return f"{n:,.0f} {unit}" if n >= 10 or unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError
