"""Look at the structure of an HDF5 file before anything in it is read.

Nothing is followed before its kind of link is known, and only what an h5ad file needs is allowed: hard
links, data stored in the file itself and plain filters. `jobs.contents` then looks at what is stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5t, h5z

from dynamics.errors import FileError
from dynamics.findings import quoted
from dynamics.sniff import sniff
from jobs import contents

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
PROBLEMS = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)
"""What h5py raises on a file that contradicts itself."""


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
    """Bytes of the attributes of one element."""
    attributes: int = 10_000
    nesting: int = 4
    """How deep types may lie in one another."""
    members: int = 10_000
    block: int = 4_000_000
    """Entries of an index array looked at together."""


@dataclass
class Outline:
    """What a file holds, as far as it can be told without reading values."""

    declared: int = 0
    """Bytes that all arrays together take when unpacked."""
    stored: int = 0
    """Bytes that they take in the file."""
    arrays: list[tuple[str, h5d.DatasetID]] = field(default_factory=list)
    matrices: list[tuple[str, h5g.GroupID]] = field(default_factory=list)


@dataclass
class _Seen:
    """What the walk has met so far."""

    at: str = "/"
    addresses: set[int] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    objects: int = 0
    references: list[tuple[str, int]] = field(default_factory=list)
    outline: Outline = field(default_factory=Outline)


def check(
    path: str | Path,
    *,
    limits: Limits | None = None,
    outlined: Callable[[Outline], None] = lambda outline: None,
    watch: Callable[[str], None] = lambda element: None,
) -> Mapping[str, str]:
    """See that an h5ad file is safe to read.

    Parameters
    ----------
    path
        Any file; what is not an h5ad is named.
    outlined
        Called once the structure is known to be sound, before anything stored is looked at.
    watch
        Called with the name of each element that is about to be looked at.

    Returns
    -------
    Elements that a reader has to leave out because they are damaged, each with the reason. Where they are
    needed (X, the names of cells or genes) that is a refusal.

    Raises
    ------
    FileError
        The message names the element, says what is wrong with it and what to do.
    """
    limits = limits or Limits()
    sniff(path)
    seen = _Seen()
    try:
        with h5py.File(path, "r", locking=False) as file:
            seen.groups.add(_address(h5o.get_info(file.id)))
            _group(file.id, "/", limits=limits, seen=seen, depth=0)
            _totals(seen, limits, n_bytes=Path(path).stat().st_size)
            outlined(seen.outline)

            def look(element: str) -> None:
                seen.at = element
                watch(element)

            return contents.check(seen.outline.arrays, seen.outline.matrices, limits.block, watch=look)
    except PROBLEMS as problem:
        where = f"at {quoted(seen.at)} " if seen.at != "/" else ""
        raise FileError(
            f"The file is damaged: its structure cannot be read to the end {where}. Copy or download it "
            "again, or write it again from the program that made it.".replace(" .", ".")
        ) from problem


def _group(group: h5g.GroupID, path: str, *, limits: Limits, seen: _Seen, depth: int) -> None:
    """Walk one group: the kind of every link first, then what it leads to."""
    if depth > limits.depth:
        raise FileError(f"{quoted(path)} lies more than {limits.depth} levels deep. {ORIGIN}")
    _attributes(group, path, limits=limits, seen=seen)
    links: list[tuple[bytes, int]] = []

    def remember(name: bytes, info: h5l.LinkInfo) -> bool | None:
        links.append((name, info.type))
        return len(links) + seen.objects > limits.objects or None

    group.links.iterate(remember, info=True)
    if contents.is_matrix(group, {raw for raw, _ in links}):
        seen.outline.matrices.append((path, group))
    for raw, kind in links:
        name = f"{path.rstrip('/')}/{raw.decode('utf-8', 'replace')}"
        if kind != h5l.TYPE_HARD:
            what = LINKS.get(kind, "an unusual link")
            raise FileError(f"{quoted(name)} is {what}, which is not opened. {ORIGIN}")
        seen.objects += 1
        if seen.objects > limits.objects:
            raise FileError(
                f"{quoted(path)} brings the file to more than {limits.objects:,} elements. Leave out columns "
                "of obs and entries of uns that are not needed, and save the file again."
            )
        seen.at = name
        _object(group, raw, name, limits=limits, seen=seen, depth=depth)


def _object(parent: h5g.GroupID, raw: bytes, name: str, *, limits: Limits, seen: _Seen, depth: int) -> None:
    info = h5o.get_info(parent, raw)
    address = _address(info)
    if info.type == h5o.TYPE_GROUP:
        if address in seen.groups:
            raise FileError(f"{quoted(name)} leads to a group that is listed elsewhere too. {ORIGIN}")
        seen.groups.add(address)
        seen.addresses.add(address)
        _group(h5g.open(parent, raw), name, limits=limits, seen=seen, depth=depth + 1)
    elif info.type == h5o.TYPE_DATASET:
        dataset = h5d.open(parent, raw)
        _dataset(dataset, name, limits=limits, seen=seen, is_new=address not in seen.addresses)
        seen.addresses.add(address)
        _attributes(dataset, name, limits=limits, seen=seen)
    elif info.type != h5o.TYPE_NAMED_DATATYPE:
        raise FileError(f"{quoted(name)} is of an unknown kind. {ORIGIN}")


def _address(info: h5o.ObjInfo) -> int:
    return int(info.addr)


def _dataset(dataset: h5d.DatasetID, name: str, *, limits: Limits, seen: _Seen, is_new: bool) -> None:
    """Look at how an array is stored, without reading it."""
    layout = dataset.get_create_plist()
    if layout.get_external_count():
        raise FileError(f"{quoted(name)} keeps its values in another file, which is not opened. {ORIGIN}")
    if layout.get_layout() == h5d.VIRTUAL:
        raise FileError(f"{quoted(name)} is a window on other arrays (a virtual dataset). {ORIGIN}")
    _filters(layout, name)
    size = _element_size(dataset.get_type(), name, limits)
    if layout.get_layout() == h5d.CHUNKED and prod(layout.get_chunk()) * size > limits.chunk:
        raise FileError(
            f"{quoted(name)} is stored in blocks of {in_words(prod(layout.get_chunk()) * size)}, more than "
            f"the {in_words(limits.chunk)} allowed. {RESAVE}"
        )
    count, stored = _count(dataset.get_space()), dataset.get_storage_size()
    declared = count * contents.stored_size(dataset.get_type())
    if declared > limits.small and declared > limits.unpacking * stored:
        raise FileError(
            f"{quoted(name)} claims {in_words(declared)} but only {in_words(stored)} are stored: more than "
            f"any honest compression reaches. {RESAVE}"
        )
    seen.outline.declared += declared
    seen.outline.arrays.append((name, dataset))
    if is_new:  # the same array listed twice is stored once
        seen.outline.stored += stored


def _filters(layout: h5py.h5p.PropDCID, name: str) -> None:
    codes = [layout.get_filter(k)[0] for k in range(layout.get_nfilters())]
    for code in codes:
        if code not in ALLOWED_FILTERS:
            kind = FILTER_NAMES.get(code, f"filter {code}")
            raise FileError(
                f"{quoted(name)} is compressed with {kind}, which cannot be opened safely here. Use gzip or "
                f"lzf. {RESAVE}"
            )
    if sum(code in COMPRESSORS for code in codes) > 1 or len(set(codes)) < len(codes):
        raise FileError(f"{quoted(name)} is compressed more than once over. {RESAVE}")


def _element_size(kind: h5t.TypeID, name: str, limits: Limits) -> int:
    """Bytes of one element of an array; a type too large or too deep, or a reference, is refused."""
    if kind.detect_class(h5t.REFERENCE):
        raise FileError(f"{quoted(name)} holds references to other parts of the file. {ORIGIN}")
    if _is_deep(kind, limits.nesting, limits.members):
        raise FileError(f"{quoted(name)} is of a type with too many parts inside one another. {ORIGIN}")
    size = int(kind.get_size())
    parts = [size]
    if isinstance(kind, h5t.TypeCompoundID):
        parts = [int(kind.get_member_type(k).get_size()) for k in range(kind.get_nmembers())]
        if size > limits.record:
            parts.append(size)
    if max(parts, default=0) > limits.element:
        raise FileError(
            f"{quoted(name)} holds texts or elements of {in_words(max(parts))} each, more than the "
            f"{in_words(limits.element)} allowed. Shorten them, or leave that column out, and save the file "
            "again."
        )
    return size


def _is_deep(kind: h5t.TypeID, levels: int, members: int) -> bool:
    """Whether a type has more levels of types, or more members, than any table needs."""
    if levels < 0:
        return True
    if isinstance(kind, h5t.TypeCompoundID):
        n = kind.get_nmembers()
        return n > members or any(_is_deep(kind.get_member_type(k), levels - 1, members) for k in range(n))
    if isinstance(kind, h5t.TypeArrayID | h5t.TypeVlenID):
        return _is_deep(kind.get_super(), levels - 1, members)
    return isinstance(kind, h5t.TypeEnumID) and kind.get_nmembers() > members


def _count(space: h5py.h5s.SpaceID) -> int:
    """How many elements an array has."""
    return int(space.get_simple_extent_npoints()) if space.get_simple_extent_ndims() >= 0 else 0


def _attributes(place: h5py.h5g.GroupID | h5d.DatasetID, name: str, *, limits: Limits, seen: _Seen) -> None:
    """Look at the attributes of a group or array: their size, and what they refer to."""
    n_attributes = h5a.get_num_attrs(place)
    if n_attributes > limits.attributes:
        raise FileError(f"{quoted(name)} has {n_attributes:,} attributes. {ORIGIN}")
    sizes: dict[bytes, int] = {}

    def remember(attribute: bytes, info: h5a.AttrInfo) -> None:
        sizes[attribute] = int(info.data_size)

    if n_attributes:  # asking for them by number takes minutes where there are thousands
        h5a.iterate(place, remember, info=True)
    if sum(sizes.values()) > limits.attribute:
        raise FileError(f"{quoted(name)} has attributes larger than {in_words(limits.attribute)}. {ORIGIN}")
    for raw in sizes:
        attribute = h5a.open(place, raw)
        if attribute.get_type().detect_class(h5t.REFERENCE):
            seen.references += [(name, address) for address in _targets(attribute, name)]


def _targets(attribute: h5a.AttrID, name: str) -> list[int]:
    """Addresses of what an attribute refers to; anndata 0.7 refers to the names of categories in this way."""
    if not attribute.get_type().equal(h5t.STD_REF_OBJ):
        raise FileError(f"{quoted(name)} refers to other parts of the file in an unusual way. {ORIGIN}")
    values = np.empty(attribute.shape, dtype=h5py.ref_dtype)
    attribute.read(values)
    return [_address(h5o.get_info(h5r.dereference(ref, attribute))) for ref in values.ravel() if ref]


def _totals(seen: _Seen, limits: Limits, *, n_bytes: int) -> None:
    outline = seen.outline
    if outline.declared > limits.declared:
        raise FileError(
            f"The file unpacks to {in_words(outline.declared)}, more than the {in_words(limits.declared)} "
            "allowed. Leave out layers and graphs that are not needed, or use fewer genes, and save it again."
        )
    if outline.declared > limits.small and outline.declared > limits.unpacking * outline.stored:
        raise FileError(
            f"The file claims {in_words(outline.declared)} but only {in_words(outline.stored)} are stored: "
            f"more than any honest compression reaches. {RESAVE}"
        )
    if outline.stored > n_bytes:
        raise FileError(
            f"The arrays of the file say that {in_words(outline.stored)} are stored, but it has only "
            f"{in_words(n_bytes)}: some of them share the same bytes. {ORIGIN}"
        )
    for name, address in seen.references:
        if address not in seen.addresses:
            raise FileError(f"{quoted(name)} refers to something that the file does not list. {ORIGIN}")


def in_words(n: float) -> str:
    """A size in words: "4.6 GB"."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if n < 1024 or unit == "TB":
            return f"{n:,.0f} {unit}" if n >= 10 or unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError
