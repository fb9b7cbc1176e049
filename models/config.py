"""What can be set: fields that know their own label, range and unit, and the recipe of one training run.

The form in the browser and `--set name=value` on the command line draw themselves from these fields.
"""

import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from dynamics.errors import SettingsError

MAX_SEED = 2**32 - 1
MAX_MEMBERS = 32
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
AUTOMATIC = ("", "auto", "automatic", "none")

Settings = TypeVar("Settings")


def knob(
    default: Any,
    *,
    label: str,
    help: str,
    min: float | None = None,
    max: float | None = None,
    unit: str | None = None,
    choices: Mapping[str, str] | Iterable[str] | None = None,
    advanced: bool = False,
) -> Any:
    """Declare a setting: a dataclass field that can be drawn, explained and checked.

    Parameters
    ----------
    default
        None means "chosen from the data"; the field's type then allows None.
    label, help
        What it is called and what it does, for a biologist.
    min, max
        Allowed range, both ends included, in `unit`.
    choices
        Allowed words, or word → what the form shows for it.
    advanced
        Shown only on request.
    """
    if choices is not None and not isinstance(choices, Mapping):
        choices = {choice: choice for choice in choices}
    metadata = {"label": label, "help": help, "min": min, "max": max, "unit": unit, "advanced": advanced}
    return field(default=default, metadata={**metadata, "choices": choices})


@dataclass(frozen=True)
class Knob:
    """One setting, as a form or a manual needs it."""

    name: str
    kind: str
    """"int", "float", "bool" or "choice"."""
    default: Any
    label: str
    help: str
    min: float | None
    max: float | None
    unit: str | None
    choices: Mapping[str, str] | None
    advanced: bool
    optional: bool
    """None is allowed and means "chosen from the data"."""

    def check(self, value: Any) -> Any:
        """Return `value` in the setting's own type.

        Raises
        ------
        SettingsError
            Wrong type, not a number, out of range, or not one of the choices.
        """
        if value is None and self.optional:
            return None
        if self.kind == "choice":
            return self._choice(value)
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise SettingsError(f"{self.name} = {value!r:.60}: expected true or false.")
        return self._number(value)

    def parse(self, text: str) -> Any:
        """Read the setting from text, as typed on the command line."""
        word = text.strip().lower()
        if self.optional and word in AUTOMATIC:
            return None
        if self.kind == "choice":
            return self.check(text.strip())
        if self.kind == "bool":
            return self.check(True if word in TRUE else False if word in FALSE else text)
        try:
            return self.check(float(word))
        except ValueError:
            raise SettingsError(f"{self.name} = {text!r:.60}: expected {self._range()}.") from None

    def _choice(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise SettingsError(f"{self.name} = {value!r:.60}: choose one of {', '.join(self.choices)}.")

    def _number(self, value: Any) -> float | int:
        wrong = isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf
        if wrong or (self.kind == "int" and value != int(value)) or not self._within(value):
            raise SettingsError(f"{self.name} = {value!r:.60}: expected {self._range()}.")
        return int(value) if self.kind == "int" else float(value)

    def _within(self, value: float) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def _range(self) -> str:
        words = "a whole number" if self.kind == "int" else "a number"
        if self.min is not None and self.max is not None:
            words += f" from {self.min:g} to {self.max:g}"
        elif self.min is not None or self.max is not None:
            words += f" of at least {self.min:g}" if self.max is None else f" of at most {self.max:g}"
        return words + (f" {self.unit}" if self.unit else "") + (", or auto" if self.optional else "")


def knobs(settings: type) -> tuple[Knob, ...]:
    """List the settings of a settings dataclass, those shown first before the advanced ones."""
    hints = typing.get_type_hints(settings)
    found = []
    for item in fields(settings):
        if item.metadata.keys() >= {"label", "help"} and item.default is not MISSING:
            kind, optional = _kind(hints[item.name], item.metadata["choices"])
            found.append(Knob(item.name, kind, item.default, optional=optional, **item.metadata))
    return tuple(sorted(found, key=lambda one: one.advanced))


def from_mapping(settings: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Build checked settings from names and values, as read from a form or a file.

    Raises
    ------
    SettingsError
        An unknown name (the known ones are listed), a wrong type, or a value out of range.
    """
    known = {one.name: one for one in knobs(settings)}
    _refuse_unknown(values, known)
    return settings(**{name: known[name].check(value) for name, value in values.items()})


def from_assignments(settings: type[Settings], assignments: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` words from a command line into checked values."""
    known = {one.name: one for one in knobs(settings)}
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(
                f"{assignment!r:.60}: write a setting as name=value. Known: {', '.join(known)}."
            )
        _refuse_unknown([name.strip()], known)
        values[name.strip()] = known[name.strip()].parse(text)
    return values


def to_mapping(settings: Any) -> dict[str, Any]:
    """Return every setting by name, in a form that JSON can hold."""
    return {one.name: getattr(settings, one.name) for one in knobs(type(settings))}


def canonical_json(value: Any) -> str:
    """Write `value` as JSON in the one way that equal values always give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of one training run; together with the data it determines the model."""

    method: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Names and values of the method's settings; what is not given keeps its default."""
    seed: int = 0
    dims: int | None = None
    """Leading dimensions of the representation to learn in; None for all that the snapshots have."""
    whiten: bool = False
    """Scale every dimension to unit variance instead of all by one number."""
    members: int = 1
    """Models of the ensemble: the model itself, and others trained on random halves of the cells."""

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not isinstance(self.settings, Mapping):
            raise SettingsError("A recipe needs the name of a method and settings by name.")
        if type(self.seed) is not int or not 0 <= self.seed <= MAX_SEED:
            raise SettingsError(f"seed = {self.seed!r:.60}: expected a whole number from 0 to {MAX_SEED}.")
        if self.dims is not None and (type(self.dims) is not int or self.dims < 1):
            raise SettingsError(f"dims = {self.dims!r:.60}: expected a whole number of at least 1, or none.")
        if not isinstance(self.whiten, bool):
            raise SettingsError(f"whiten = {self.whiten!r:.60}: expected true or false.")
        if type(self.members) is not int or not 1 <= self.members <= MAX_MEMBERS:
            raise SettingsError(
                f"members = {self.members!r:.60}: expected a whole number from 1 (no ensemble) to "
                f"{MAX_MEMBERS}."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe in a form that JSON can hold."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {
            "settings": dict(self.settings)
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Rebuild a recipe from `to_json`; unknown names are refused."""
        _refuse_unknown(values, [item.name for item in fields(cls)])
        return cls(**values)


def _kind(hint: Any, choices: Mapping[str, str] | None) -> tuple[str, bool]:
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    optional = type(None) in parts
    base = next(part for part in parts if part is not type(None))
    return "choice" if choices is not None else base.__name__, optional


def _refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(f"{name!s:.60}" for name in set(names) - set(known))[:5]
    if unknown:
        raise SettingsError(f"Unknown setting {', '.join(unknown)}. Known: {', '.join(known)}.")
