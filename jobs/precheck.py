"""Look at the structure of an HDF5 file before anything in it is read.

Nothing is followed before its kind of link is known, and only what an h5ad file needs is allowed: hard
links, data stored in the file itself and plain filters. `jobs.contents` then looks at what is stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5t

from dynamics.errors import FileError
from dynamics.findings import quoted
from dynamics.sniff import sniff
from jobs import contents, kinds
from jobs.kinds import in_words
from jobs.layout import MB, RESAVE, check_blocks, check_filters

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

GB = 1024**3
ORIGIN = (
    "No h5ad file written by anndata has this. If you trust the file, open it in Python and save it again."
)
LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}
MATRICES = {"/layers", "/obsm", "/varm", "/obsp", "/varp"}
FEW_TEXTS = 64
"""Texts that an attribute may have without being looked at."""
PROBLEMS = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)
"""What h5py raises on a file that contradicts itself."""


@dataclass(frozen=True)
class Limits:
    """What a file may ask for."""

    depth: int = 16
    objects: int = 20_000
    matrices: int = 500
    """Elements of each group in `MATRICES`; in `uns` and below, `listed`; in all others, `columns`."""
    columns: int = 4_050
    """HDF5 keeps the list of their names in 64 KB."""
    listed: int = 5_000
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
    all_attributes: int = 100_000
    name: int = 1024
    """Bytes of one name."""
    blocks: int = 100_000
    """Blocks of an array that are never too many, however short the file."""
    texts: int = 100_000
    """Texts of any length that are never too many, however short the file."""
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
    repeated: int = 0
    """Bytes that arrays take which are listed before under another name."""
    texts: int = 0
    """Texts and lists of any length; each lies in the file on its own."""
    arrays: list[tuple[str, h5d.DatasetID]] = field(default_factory=list)
    matrices: list[tuple[str, h5g.GroupID]] = field(default_factory=list)


@dataclass
class _Seen:
    """What the walk has met so far."""

    n_bytes: int
    """Bytes of the file."""
    pointer: int = kinds.POINTER
    """Bytes of the place of a text of any length."""
    at: str = "/"
    addresses: set[int] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    objects: int = 0
    attributes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
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
    limits = limits or Limits(declared=min(Limits.declared, memory_limit()))
    sniff(path)
    seen = _Seen(Path(path).stat().st_size)
    try:
        with h5py.File(path, "r", locking=False) as file:
            seen.pointer = 8 + file.id.get_create_plist().get_sizes()[0]
            seen.groups.add(_address(h5o.get_info(file.id)))
            _group(file.id, "/", limits=limits, seen=seen, depth=0)
            _totals(seen, limits)
            outlined(seen.outline)

            def look(element: str) -> None:
                seen.at = element
                watch(element)

            outline = seen.outline
            return seen.damaged | contents.check(
                outline.arrays, outline.matrices, limits.block, n_bytes=seen.n_bytes, watch=look
            )
    except (*PROBLEMS, MemoryError) as problem:
        raise FileError(_broken(seen.at, problem)) from problem


def memory_limit() -> int:
    """Bytes that this process may take: a file that unpacks to more cannot be read in it."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    return soft if soft > 0 else Limits.declared


def _broken(at: str, problem: BaseException) -> str:
    """What to say of a file whose structure or values cannot be looked at."""
    if isinstance(problem, MemoryError) or "alloc" in str(problem):  # how HDF5 says that memory ran out
        return (
            f"{quoted(at)} takes more memory than a file of this size may need. Leave it out, or shorten "
            "its texts, and save the file again."
        )
    where = f" at {quoted(at)}" if at != "/" else ""
    return (
        f"The file is damaged: its structure cannot be read to the end{where}. Copy or download it again, or "
        "write it again from the program that made it."
    )


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
    most = limits.listed if path.startswith("/uns") else limits.columns
    most = limits.matrices if path in MATRICES else most
    if most < len(links) <= limits.objects - seen.objects:
        raise FileError(
            f"{quoted(path)} has {len(links):,} elements, more than the {most:,} allowed. Leave out what is "
            "not needed and save the file again."
        )
    names = [_name(path, raw, kind, limits) for raw, kind in links]  # before anything is opened
    if contents.is_matrix(group, {raw for raw, _ in links}):
        seen.outline.matrices.append((path, group))
    for name, (raw, _) in zip(names, links, strict=True):
        seen.objects += 1
        if seen.objects > limits.objects:
            raise FileError(
                f"{quoted(path)} brings the file to more than {limits.objects:,} elements. Leave out columns "
                "of obs and entries of uns that are not needed, and save the file again."
            )
        seen.at = name
        _object(group, raw, name, limits=limits, seen=seen, depth=depth)


def _name(path: str, raw: bytes, kind: int, limits: Limits) -> str:
    """The full name of a link that may be followed.

    Raises
    ------
    FileError
        It is no hard link, or its name would lead to something else.
    """
    name = f"{path.rstrip('/')}/{raw.decode('utf-8', 'surrogateescape')}"
    if kind != h5l.TYPE_HARD:
        what = LINKS.get(kind, "an unusual link")
        raise FileError(f"{quoted(name)} is {what}, which is not opened. {ORIGIN}")
    if b"/" in raw or raw in (b"", b".", b".."):
        raise FileError(f"{quoted(name)} has a name that stands for another place in the file. {ORIGIN}")
    if len(raw) > limits.name:
        raise FileError(
            f"{quoted(name)} has a name of {in_words(len(raw))}, more than the {in_words(limits.name)} "
            "allowed. Give it a shorter one and save the file again."
        )
    return name


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
        is_new = address not in seen.addresses
        seen.addresses.add(address)
        _dataset(dataset, name, limits=limits, seen=seen, is_new=is_new)
        if is_new:
            _attributes(dataset, name, limits=limits, seen=seen)
    elif info.type != h5o.TYPE_NAMED_DATATYPE:
        raise FileError(f"{quoted(name)} is of an unknown kind. {ORIGIN}")
    elif address not in seen.addresses:
        seen.addresses.add(address)
        kind = h5t.open(parent, raw)
        _element_size(kind, name, limits)
        _attributes(kind, name, limits=limits, seen=seen)


def _address(info: h5o.ObjInfo) -> int:
    return int(info.addr)


def _dataset(dataset: h5d.DatasetID, name: str, *, limits: Limits, seen: _Seen, is_new: bool) -> None:
    """Look at how an array is stored, without reading it."""
    layout = dataset.get_create_plist()
    if layout.get_external_count():
        raise FileError(f"{quoted(name)} keeps its values in another file, which is not opened. {ORIGIN}")
    if layout.get_layout() == h5d.VIRTUAL:
        raise FileError(f"{quoted(name)} is a window on other arrays (a virtual dataset). {ORIGIN}")
    check_filters(layout, name, largest=limits.chunk)
    kind = dataset.get_type()
    size = _element_size(kind, name, limits)
    if layout.get_layout() == h5d.CHUNKED:
        most = max(limits.blocks, seen.n_bytes // 8)  # each has an entry in an index
        check_blocks(dataset, name, size=size, largest=limits.chunk, most=most)
    count, stored = kinds.count(dataset.get_space()), dataset.get_storage_size()
    declared = count * kinds.stored_size(kind, seen.pointer)
    is_whole = layout.get_layout() != h5d.CHUNKED and stored
    if (declared > limits.small and declared > limits.unpacking * stored) or (is_whole and declared > stored):
        raise FileError(
            f"{quoted(name)} claims {in_words(declared)} but only {in_words(stored)} are stored: more than "
            f"any honest compression reaches. {RESAVE}"
        )
    outline = seen.outline
    outline.declared += declared
    outline.arrays.append((name, dataset))
    if is_new:  # the same array listed twice is stored once
        outline.stored += stored
        outline.texts += count * kinds.n_texts(kind)
    else:
        outline.repeated += declared
    if outline.repeated > limits.small:
        raise FileError(f"{quoted(name)} is one of many names for the same array. {ORIGIN}")
    if outline.texts > limits.texts and outline.texts * seen.pointer > seen.n_bytes:
        raise FileError(
            f"{quoted(name)} claims more texts or lists than fit into a file of {in_words(seen.n_bytes)}. "
            f"{ORIGIN}"
        )


def _element_size(kind: h5t.TypeID, name: str, limits: Limits) -> int:
    return kinds.check(
        kind,
        name,
        element=limits.element,
        record=limits.record,
        nesting=limits.nesting,
        most=limits.members,
        refuse=lambda what: f"{what}. {ORIGIN}",
    )


def _attributes(
    place: h5g.GroupID | h5d.DatasetID | h5t.TypeID, name: str, *, limits: Limits, seen: _Seen
) -> None:
    """Look at the attributes of a group or array: their size, and what they refer to."""
    sizes = _sizes(place, name, limits=limits, seen=seen)
    if sum(sizes.values()) > limits.attribute:
        raise FileError(f"{quoted(name)} has attributes larger than {in_words(limits.attribute)}. {ORIGIN}")
    for raw in sizes:
        attribute = h5a.open(place, raw)
        kind = attribute.get_type()
        if kind.detect_class(h5t.REFERENCE):
            seen.references += [(name, address) for address in _targets(attribute, name)]
            continue
        _element_size(kind, name, replace(limits, element=limits.attribute, record=limits.attribute))
        if kinds.n_texts(kind) * kinds.count(attribute.get_space()) > FEW_TEXTS:
            _listed(attribute, name, seen)


def _sizes(
    place: h5g.GroupID | h5d.DatasetID | h5t.TypeID, name: str, *, limits: Limits, seen: _Seen
) -> dict[bytes, int]:
    """The attributes of an element, each with its size in bytes."""
    n_attributes = h5a.get_num_attrs(place)
    seen.attributes += n_attributes
    if n_attributes > limits.attributes:
        raise FileError(f"{quoted(name)} has {n_attributes:,} attributes. {ORIGIN}")
    if seen.attributes > limits.all_attributes:
        raise FileError(
            f"{quoted(name)} brings the file to more than {limits.all_attributes:,} attributes. {ORIGIN}"
        )
    sizes: dict[bytes, int] = {}

    def remember(attribute: bytes, info: h5a.AttrInfo) -> None:
        sizes[attribute] = int(info.data_size)

    if n_attributes:  # asking for them by number takes minutes where there are thousands
        h5a.iterate(place, remember, info=True)
    return sizes


def _listed(attribute: h5a.AttrID, name: str, seen: _Seen) -> None:
    """Look at an attribute that is a list of texts, such as the names of columns."""
    values = np.empty(attribute.shape, dtype=attribute.dtype)
    attribute.read(values)
    if contents.n_text_bytes(values) > seen.n_bytes:
        raise FileError(f"{quoted(name)} has a list of texts longer than the file itself. {ORIGIN}")


def _targets(attribute: h5a.AttrID, name: str) -> list[int]:
    """Addresses of what an attribute refers to; anndata 0.7 refers to the names of categories in this way."""
    if not attribute.get_type().equal(h5t.STD_REF_OBJ):
        raise FileError(f"{quoted(name)} refers to other parts of the file in an unusual way. {ORIGIN}")
    values = np.empty(attribute.shape, dtype=h5py.ref_dtype)
    try:
        attribute.read(values)
        return [_address(h5o.get_info(h5r.dereference(ref, attribute))) for ref in values.ravel() if ref]
    except PROBLEMS as problem:
        raise FileError(f"{quoted(name)} refers to something that is not there. {ORIGIN}") from problem


def _totals(seen: _Seen, limits: Limits) -> None:
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
    if outline.stored > seen.n_bytes:
        raise FileError(
            f"The arrays of the file say that {in_words(outline.stored)} are stored, but it has only "
            f"{in_words(seen.n_bytes)}: some of them share the same bytes. {ORIGIN}"
        )
    for name, address in seen.references:
        if address not in seen.addresses:
            raise FileError(f"{quoted(name)} refers to something that the file does not list. {ORIGIN}")
