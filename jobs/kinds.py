"""Types of HDF5 values, as they are declared: their size, how deep they lie in one another, texts in them."""

from collections.abc import Callable
from math import prod

import h5py
from h5py import h5s, h5t

from dynamics.errors import FileError
from dynamics.findings import quoted

POINTER = 16
"""Bytes of the place of a text of any length, where the file has addresses of 8 bytes."""


def count(space: h5s.SpaceID) -> int:
    """How many elements an array has; the library's own count overflows."""
    if space.get_simple_extent_type() == h5s.NULL:
        return 0
    return prod(int(n) for n in space.get_simple_extent_dims())


def stored_size(kind: h5t.TypeID, pointer: int = POINTER) -> int:
    """Bytes of one element in the file, where a text of any length is a `pointer` to where it lies."""
    size = int(kind.get_size())
    if is_list(kind):
        return pointer
    if isinstance(kind, h5t.TypeArrayID):
        return prod(kind.get_array_dims()) * stored_size(kind.get_super(), pointer)
    if isinstance(kind, h5t.TypeCompoundID):
        return size + sum(stored_size(member, pointer) - int(member.get_size()) for member in members(kind))
    return size


def n_texts(kind: h5t.TypeID) -> int:
    """How many texts or lists of any length one element holds."""
    if is_list(kind):
        return 1
    if isinstance(kind, h5t.TypeArrayID):
        return prod(kind.get_array_dims()) * n_texts(kind.get_super())
    return sum(n_texts(member) for member in members(kind)) if isinstance(kind, h5t.TypeCompoundID) else 0


def is_list(kind: h5t.TypeID) -> bool:
    """Whether an element is a text or list of any length."""
    return isinstance(kind, h5t.TypeVlenID) or (isinstance(kind, h5t.TypeStringID) and kind.is_variable_str())


def members(kind: h5t.TypeCompoundID) -> list[h5t.TypeID]:
    """The types of the columns of a record."""
    return [kind.get_member_type(k) for k in range(kind.get_nmembers())]


def check(
    kind: h5t.TypeID,
    name: str,
    *,
    element: int,
    record: int,
    nesting: int,
    most: int,
    refuse: Callable[[str], str],
) -> int:
    """Bytes of one element; a type too large or too deep, or a reference, is refused.

    Parameters
    ----------
    element, record
        Most bytes of one value, and of one row of a table.
    nesting, most
        Most levels of types in one another, and most members of one type.
    refuse
        Makes the text of a refusal out of what is wrong.

    Raises
    ------
    FileError
        The type is none that a table or matrix has.
    """
    if kind.detect_class(h5t.REFERENCE):
        raise FileError(refuse(f"{quoted(name)} holds references to other parts of the file"))
    if _is_deep(kind, nesting, most) or _holds_lists(kind):
        raise FileError(refuse(f"{quoted(name)} is of a type with too many parts inside one another"))
    size = int(kind.get_size())
    parts = [size]
    if isinstance(kind, h5t.TypeCompoundID):
        parts = [int(member.get_size()) for member in members(kind)]
        if size > record:
            parts.append(size)
    if max(parts, default=0) > element:
        raise FileError(
            f"{quoted(name)} holds texts or elements of {in_words(max(parts))} each, more than the "
            f"{in_words(element)} allowed. Shorten them, or leave that column out, and save the file again."
        )
    return size


def _is_deep(kind: h5t.TypeID, levels: int, most: int) -> bool:
    """Whether a type has more levels of types, or more members, than any table needs."""
    if levels < 0:
        return True
    if isinstance(kind, h5t.TypeCompoundID):
        return kind.get_nmembers() > most or any(_is_deep(one, levels - 1, most) for one in members(kind))
    if isinstance(kind, h5t.TypeArrayID | h5t.TypeVlenID):
        return _is_deep(kind.get_super(), levels - 1, most)
    return isinstance(kind, h5t.TypeEnumID) and kind.get_nmembers() > most


def _holds_lists(kind: h5t.TypeID) -> bool:
    """Whether lists hold lists, which lets a short file stand for an endless array."""
    if isinstance(kind, h5t.TypeVlenID):
        return n_texts(kind.get_super()) > 0
    if isinstance(kind, h5t.TypeArrayID):
        return _holds_lists(kind.get_super())
    return isinstance(kind, h5t.TypeCompoundID) and any(_holds_lists(member) for member in members(kind))


def n_chunks(dataset: h5py.h5d.DatasetID, chunk: tuple[int, ...]) -> int:
    """How many blocks an array has by its shape."""
    return prod(-(-int(n) // size) for n, size in zip(dataset.shape, chunk, strict=True))


def in_words(n: float) -> str:
    """A size in words: "4.6 GB"."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if n < 1024 or unit == "TB":
            return f"{n:,.0f} {unit}" if n >= 10 or unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError
