"""The JSON in a model file's header, read as if it came from a stranger."""

import json
import math
from typing import Any

from dynamics.errors import ModelError

MAX_DEPTH = 8
MAX_DIGITS, MAX_FRACTION = 20, 60
LONGEST = 200


def damaged(found: str) -> ModelError:
    """Return the error for a file that Driftscope did not write, or that changed since."""
    return ModelError(
        f"This is not an intact Driftscope model: {found}. "
        "Get the file again from where it came, or train the model again."
    )


def shown(name: object, *, limit: int = 40) -> str:
    """Return a word from a file for a message: short, and without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(name)[:limit])


def written(text: str) -> str:
    """Return a word as it can be written: of at most 200 characters, and whole ones."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def parse(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object strictly.

    Raises
    ------
    ModelError
        Not JSON, not an object, a name given twice, nested deeper than 8, a number that is not finite, or
        text of half characters.
    """
    try:
        found = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError):
        raise damaged("its header is not valid JSON") from None
    if not isinstance(found, dict):
        raise damaged("its header is not a JSON object")
    if _deeper_than(found, MAX_DEPTH):
        raise damaged(f"its header is nested deeper than {MAX_DEPTH}")
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise damaged("its header holds halves of characters") from None
    return found


def take(header: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """Return an entry of the header, which must be of the given type.

    Raises
    ------
    ModelError
        The entry is missing or of another type.
    """
    value = header.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise damaged(f'"{name}" is missing from its header or is not what it should be')
    return value


def numbers(values: list[Any], name: str) -> list[float]:
    """Return a list of numbers as floats, or raise ModelError."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise damaged(f'"{name}" in its header does not hold numbers')
    return [float(value) for value in values]


def texts(values: list[Any], name: str) -> tuple[str, ...]:
    """Return a list of short texts, or raise ModelError."""
    if not all(isinstance(value, str) and len(value) <= LONGEST for value in values):
        raise damaged(f'"{name}" in its header does not hold short texts')
    return tuple(values)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise damaged("a name stands twice in its header")
    return found


def _refuse_constant(name: str) -> float:
    raise damaged(f"its header holds {name}")


def _float(text: str) -> float:
    if len(text) > MAX_FRACTION:
        raise damaged("its header holds a number that is too long")
    value = float(text)
    if not math.isfinite(value):
        raise damaged(f"its header holds a number that is too large ({text:.20})")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise damaged("its header holds a number that is too long")
    return int(text)


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return bool(level)
