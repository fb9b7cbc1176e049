"""What lies in the groups of an h5ad file: arrays, matrices and tables by name, and the tree under `uns`."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import h5py
import numpy as np

from dynamics.columns import read_column, read_frame
from dynamics.elements import (
    PARTS,
    READ_ERRORS,
    damage,
    encoding,
    is_null,
    levels_of,
    listed,
    native,
    place,
    read_matrix,
    sparse_format,
    text,
    texts,
)
from dynamics.errors import FileError
from dynamics.findings import Finding, note, quoted, warning

UNS_LIMIT = 64 * 1024**2
"""Bytes of one `uns` entry above which it is left out."""
TEXT_BYTES = 32
"""Bytes that a text takes at least, however short."""
PLAIN = {"", "dict", "array", "string-array", "string", "numeric-scalar", "bytes", "rec-array", "null"}
"""Kinds of elements that hold what they seem to hold."""


class Unknown(ValueError):
    """An element of a kind that is not known here."""


def elements(
    file: h5py.File, group: str, notes: list[Finding], damaged: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """Every readable element of a group; in files of anndata 0.6 the group is one table."""
    source = file.get(group)
    if isinstance(source, h5py.Dataset):
        if source.shape is not None and source.dtype.names and not is_damaged(place(source), damaged):
            records = source[()]
            for name in records.dtype.names:
                yield name, native(np.ascontiguousarray(records[name]))
        return
    for name, element in members(source) if isinstance(source, h5py.Group) else ():
        reason = is_damaged(place(element), damaged)
        if reason:
            notes.append(damaged_finding(f"{group}[{quoted(name)}]", reason))
            continue
        if _holds_words(element):
            notes.append(
                note("not-numbers", f"{group}[{quoted(name)}] does not hold numbers; it was left out.")
            )
            continue
        try:
            yield name, _value(element, notes)
        except (*READ_ERRORS, FileError, RecursionError) as problem:
            why = f" ({_in_short(problem)})" if isinstance(problem, FileError | Unknown) else ""
            notes.append(
                warning(
                    "unreadable-element",
                    f"{group}[{quoted(name)}] cannot be read and was left out{why}.",
                    "If you need it, compute it again and save the file.",
                )
            )


def _holds_words(element: Any) -> bool:
    """Whether an array holds texts or named values, which no matrix does: they need not be read."""
    return isinstance(element, h5py.Dataset) and _is_words(element.id.get_type())


def _is_words(kind: h5py.h5t.TypeID) -> bool:
    if isinstance(kind, h5py.h5t.TypeEnumID):
        return {kind.get_member_name(k) for k in range(kind.get_nmembers())} != {b"FALSE", b"TRUE"}
    return isinstance(kind, h5py.h5t.TypeStringID)


def _in_short(problem: Exception) -> str:
    return str(problem).split(". ")[0].rstrip(".")


def is_damaged(name: str, damaged: Mapping[str, str]) -> str:
    """Why an element or a part of it must not be read; empty where it is sound."""
    found = damage(name, damaged)
    return found[1] if found else ""


def damaged_finding(name: str, reason: str) -> Finding:
    return warning(
        "damaged-element",
        f"{name} is damaged ({reason}) and was left out.",
        "Copy or download the file again, or compute this part again and save the file.",
    )


def members(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The elements of a group by name; a slash in a name made a group of it."""
    for name, child in group.items():
        if isinstance(child, h5py.Datatype) or is_null(child):
            continue
        if isinstance(child, h5py.Group) and not encoding(child) and not _is_one(child):
            yield from members(child, f"{prefix}{text(name)}/")
        else:
            yield f"{prefix}{text(name)}", child


def _is_one(group: h5py.Group) -> bool:
    """Whether a group without encoding is one element rather than a folder of some."""
    parts = set(group)
    wholes = (PARTS, {"codes", "categories"}, {"values", "mask"})
    return not parts or _is_table(group) or any(whole <= parts for whole in wholes)


def _is_table(group: h5py.Group) -> bool:
    return encoding(group) == "dataframe" or "_index" in group.attrs or "_index" in group


def _value(element: h5py.Group | h5py.Dataset, notes: list[Finding]) -> Any:
    """One element other than a tree."""
    if isinstance(element, h5py.Group):
        if sparse_format(element) is not None:
            return read_matrix(element, notes)
        if _is_table(element):
            return read_frame(element, {}, notes)
        if {"codes", "categories"} <= set(element) or {"values", "mask"} <= set(element):
            return read_column(element, notes)
        raise Unknown(f"it is stored as {quoted(encoding(element) or 'a group')}")
    return _array(element, notes)


def _array(element: h5py.Dataset, notes: list[Finding]) -> Any:
    """A number, a text, or an array of them."""
    if is_null(element):
        return None
    if encoding(element) not in PLAIN and element.dtype.kind not in "biufc":
        raise Unknown(f"it is stored as {quoted(encoding(element))}")
    values = element[()]
    names = levels_of(element.dtype)
    if names is not None:
        return np.vectorize(lambda number: names.get(int(number), ""), otypes=[object])(values)
    if h5py.check_string_dtype(element.dtype) is not None:
        return text(values) if element.shape == () else texts(values, place(element), notes)
    if h5py.check_vlen_dtype(element.dtype) is not None or element.dtype.kind in "OV":
        return _records(values, place(element), notes)
    return native(values)


def _records(values: Any, name: str, notes: list[Finding]) -> np.ndarray:
    """A table of records with texts as str, as scanpy keeps lists of genes; lists of lists are not known."""
    fields = getattr(values, "dtype", np.dtype(object)).names
    if not fields:
        raise Unknown("it holds lists of different lengths")
    kinds = []
    for field in fields:
        kind = values.dtype[field]
        if kind.kind in "SO" and not kind.subdtype:
            kinds.append((field, object))
        else:
            kinds.append((field, kind.newbyteorder("=")))
    made = np.empty(np.shape(values), dtype=kinds)
    for field, kind in kinds:
        made[field] = texts(values[field], name, notes) if kind is object else values[field]
    widths = {f: max((len(v) for v in made[f].ravel()), default=0) for f, kind in kinds if kind is object}
    return made.astype([(f, f"U{max(widths[f], 1)}" if f in widths else kind) for f, kind in kinds])


def unstructured(
    file: h5py.File, notes: list[Finding], damaged: Mapping[str, str], *, old: set[str]
) -> Iterator[tuple[str, Any]]:
    """The entries of `uns` that are readable and not huge; what cannot be read costs only itself.

    Parameters
    ----------
    old
        Names of entries that are the categories of columns, as anndata 0.6 kept them.
    """
    source = file.get("uns")
    entries = source.items() if isinstance(source, h5py.Group) else ()
    for name, element in ((text(raw), child) for raw, child in entries):
        if name in old:
            continue
        if _size(element) > UNS_LIMIT:
            notes.append(note("large-uns", f"uns[{quoted(name)}] is larger than 64 MB and was left out."))
            continue
        lost: dict[str, str] = {}
        value = _tree(element, name, notes, (damaged, lost))
        for at, reason in list(lost.items())[:20]:
            if reason:
                notes.append(damaged_finding(f"uns[{quoted(at)}]", reason))
            else:
                message = f"uns[{quoted(at)}] is of an unknown kind and was left out."
                notes.append(note("unknown-uns", message))
        if name not in lost:
            yield name, value


def _tree(
    element: Any, at: str, notes: list[Finding], watched: tuple[Mapping[str, str], dict[str, str]]
) -> Any:
    """An entry with all below it; the places of what is left out are added to `watched`."""
    damaged, lost = watched
    is_group = isinstance(element, h5py.Group)
    if is_group and encoding(element) in ("", "dict") and not _is_special(element):
        found = {}
        for name, child in element.items():
            below = f"{at}/{text(name)}"
            value = _tree(child, below, notes, watched)
            if below not in lost:
                found[text(name)] = value
        return found
    try:
        lost_here = is_damaged(place(element), damaged)
        if not lost_here:
            return _value(element, notes)
    except (*READ_ERRORS, FileError, RecursionError):
        lost_here = ""
    lost[at] = lost_here
    return None


def _is_special(group: h5py.Group) -> bool:
    if encoding(group) == "dict":
        return False
    parts = set(group)
    return sparse_format(group) is not None or {"codes", "categories"} <= parts or _is_table(group)


def _size(element: Any) -> int:
    if isinstance(element, h5py.Dataset):
        kind = element.id.get_type()
        width = TEXT_BYTES if _is_words(kind) else 0
        return element.size * max(kind.get_size(), width) if element.shape is not None else 0
    return sum(_size(child) for child in element.values()) if isinstance(element, h5py.Group) else 0


ROOT = {
    "X",
    "obs",
    "var",
    "layers",
    "obsm",
    "varm",
    "obsp",
    "uns",
    "raw",
    "raw.X",
    "raw.var",
    "raw.varm",
    "raw.cat",
}


FOLDERS = {"layers", "obsm", "varm", "obsp", "uns", "raw"}
TABLES = {"obsm", "varm"}
"""Folders that are one table in files of anndata 0.6."""


def left_aside(file: h5py.File) -> list[Finding]:
    """Notes on what the file holds beside the parts that are read."""
    arrays = [
        warning(
            "no-folder",
            f"{quoted(name)} is a single array where a folder of named parts belongs; it was left out.",
            "If you need it, give it a name of its own in the program that made the file and save it again.",
        )
        for name in sorted(FOLDERS & set(file))
        if isinstance(file[name], h5py.Dataset)
        and not is_null(file[name])
        and not (name in TABLES and file[name].dtype.names)
    ]
    return [*_hollow(file), *arrays, *_unused(file)]


def _hollow(file: h5py.File) -> list[Finding]:
    """A warning where the name of the matrix leads to something that cannot hold values."""
    found = file.get("X")
    if isinstance(found, h5py.Datatype):
        what = "only describes a type of values (an HDF5 named datatype)"
    elif isinstance(found, h5py.Dataset) and found.shape is None and encoding(found) != "null":
        what = "is an array without a size"
    else:
        return []
    return [
        warning(
            "hollow-x",
            f'"X" {what} and holds no values; it was left out.',
            "If there should be values, write X again as a matrix in the program that made the file.",
        )
    ]


def _unused(file: h5py.File) -> list[Finding]:
    """A note on parts of unknown names."""
    others = [
        text(name)
        for name, element in file.items()
        if name not in ROOT
        and not (isinstance(element, h5py.Group) and not len(element))
        and not is_null(element)
    ]
    if not others:
        return []
    return [
        note("left-aside", f"The file also holds {listed(others)}, which is not used here and was left out.")
    ]


def unwritten(file: h5py.File, damaged: Mapping[str, str]) -> list[Finding]:
    """Notes on sound arrays that were declared but never written in full: such values are the filler."""
    found: list[tuple[str, str]] = []

    def visit(raw: bytes, info: h5py.h5o.ObjInfo) -> None:
        if info.type == h5py.h5o.TYPE_DATASET and (how := _gaps(h5py.h5d.open(file.id, raw))):
            name = raw.decode("utf-8", "surrogateescape")
            if not is_damaged(f"/{name}", damaged):
                found.append((name, how))

    h5py.h5o.visit(file.id, visit, info=True)
    return [
        warning(
            "never-written",
            f"{quoted(name)} was declared but {how}: such values are the filler that the file names for "
            "that.",
            "If they should be something else, write the file again from the program that made it.",
        )
        for name, how in found[:20]
    ]


def _gaps(array: h5py.h5d.DatasetID) -> str:
    """Say what of an array was never written; empty where all of it was or there is nothing to write."""
    layout = array.get_create_plist()
    kind = layout.get_layout()
    if kind == h5py.h5d.COMPACT or array.shape is None or 0 in array.shape:
        return ""
    if not array.get_storage_size():
        return "nothing was ever written to it"
    if kind != h5py.h5d.CHUNKED:
        return ""
    blocks = zip(array.shape, layout.get_chunk(), strict=True)
    n_missing = prod(-(-n // block) for n, block in blocks) - array.get_num_chunks()
    return f"{n_missing:,} of its blocks were never written" if n_missing else ""
