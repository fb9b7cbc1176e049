"""A form drawn from a dataclass of settings: what a field's metadata says is what the user reads.

Metadata of a field: `label`, `help`, `min`, `max`, `unit`, `choices` (values, or value → words), `advanced`.
"""

import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import streamlit as st

from dynamics.errors import SettingsError

LONG_TEXT = "numbers separated by commas"


def draw(
    settings: type,
    *,
    key: str,
    values: Mapping[str, Any] | None = None,
    columns: int = 1,
    only: tuple[str, ...] | None = None,
    below: Mapping[str, Callable[[Any], None]] | None = None,
) -> dict[str, Any]:
    """Draw one widget for each setting and return the values, by field name.

    Parameters
    ----------
    settings
        A dataclass; fields whose metadata says `advanced` go below, in an "Advanced" expander.
    key
        Start of the widgets' keys: "training" gives "training.sigma", …
    values
        Values to start from instead of the defaults.
    columns
        Number of columns.
    only
        Draw these fields alone; the others are not in the answer.
    below
        What is drawn below a field, given its value.
    """
    fields = [field for field in dataclasses.fields(settings) if only is None or field.name in only]
    hints = get_type_hints(settings)
    start = {field.name: _start(field, values or {}) for field in fields}
    chosen: dict[str, Any] = {}
    visible = [field for field in fields if not field.metadata.get("advanced")]
    advanced = [field for field in fields if field.metadata.get("advanced")]
    for field, place in _places(visible, columns):
        with place:
            chosen[field.name] = _widget(field, hints[field.name], start[field.name], key)
            if below and field.name in below:
                below[field.name](chosen[field.name])
    if advanced:
        with st.expander("Advanced", key=f"{key}.advanced"):
            for field, place in _places(advanced, columns):
                with place:
                    chosen[field.name] = _widget(field, hints[field.name], start[field.name], key)
    return {field.name: chosen[field.name] for field in fields}


def changed(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not the defaults: what a `cli.py` line has to name."""
    defaults = {field.name: _start(field, {}) for field in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def _places(listed: Sequence[dataclasses.Field], columns: int) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Give each field its place, row by row."""
    for first in range(0, len(listed), columns):
        row = st.columns(columns, vertical_alignment="bottom") if columns > 1 else [st.container()]
        yield from zip(listed[first : first + columns], row, strict=False)


def _start(field: dataclasses.Field, values: Mapping[str, Any]) -> Any:
    if field.name in values:
        return values[field.name]
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _widget(field: dataclasses.Field, hint: Any, value: Any, key: str) -> Any:
    about = field.metadata
    kind, optional = _kind(hint)
    common = {
        "label": _label(field),
        "help": about.get("help"),
        "key": f"{key}.{field.name}",
        "persist_state": "session",
    }
    choices = about.get("choices") or (get_args(kind) if get_origin(kind) is Literal else None)
    if choices:
        return _choice(choices, value, common, optional=optional)
    if kind is bool:
        return st.toggle(value=bool(value), **common)
    if kind in (int, float):
        return _number(kind, value, about, common)
    if get_origin(kind) in (tuple, list):
        return _several(kind, value, common)
    text = st.text_input(value="" if value is None else str(value), **common)
    return None if optional and not text else text


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the type of a field and whether it may be None: `int | None` → (int, True)."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0], len(rest) < len(get_args(hint))
    return hint, False


def _label(field: dataclasses.Field) -> str:
    label = field.metadata.get("label") or field.name.replace("_", " ").capitalize()
    unit = field.metadata.get("unit")
    return f"{label} ({unit})" if unit and unit.lower() not in label.lower() else label


def _choice(choices: Any, value: Any, common: Mapping[str, Any], *, optional: bool) -> Any:
    words = choices if isinstance(choices, Mapping) else {choice: str(choice) for choice in choices}
    options = ([None] if optional and None not in words else []) + list(words)
    return st.selectbox(
        options=options,
        index=options.index(value) if value in options else 0,
        format_func=lambda choice: words.get(choice, "automatic"),
        **common,
    )


def _number(kind: type, value: Any, about: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
    """Draw a number; an empty field stands for None, shown as "automatic"."""
    low, high = (None if about.get(end) is None else kind(about[end]) for end in ("min", "max"))
    start = None if value is None else kind(value)
    return st.number_input(
        value=start,
        min_value=low,
        max_value=high,
        step=1 if kind is int else _step(value, about),
        format="%d" if kind is int else "%.6g",
        placeholder="automatic",
        **common,
    )


def _step(value: Any, about: Mapping[str, Any]) -> float:
    if about.get("step"):
        return float(about["step"])
    largest = max(abs(float(value or 0)), 1e-6)
    return float(f"{largest / 10:.0e}")


def _several(kind: Any, value: Any, common: Mapping[str, Any]) -> tuple[Any, ...]:
    """Draw a list as text: `64, 64`."""
    part = get_args(kind)[0] if get_args(kind) else float
    text = st.text_input(value=", ".join(f"{item}" for item in value or ()), placeholder=LONG_TEXT, **common)
    try:
        return tuple(part(item.strip()) for item in text.split(",") if item.strip())
    except ValueError:
        raise SettingsError(
            f"{common['label']}: {text!r} was given; {LONG_TEXT} are expected, such as 64, 64."
        ) from None
