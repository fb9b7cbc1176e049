"""The summary in a model file, checked before a page draws it: every entry of the kind that fits it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from models.header import damaged

MOST_CELLS = 2**40
LARGEST_LOSS = 1e39
"""Beyond what float32 holds."""
MOST_POINTS, MOST_COUPLINGS, MOST_WARNINGS, MOST_VERSIONS = 1_000, 1_000, 100, 20
LONGEST_WARNING, LONGEST_WORD = 2_000, 200

Test = Callable[[Any], bool]


def check_summary(summary: Mapping[str, Any], *, n_times: int) -> None:
    """Make sure that a summary can be drawn and compared.

    Raises
    ------
    ModelError
        An entry is missing, unknown, or not of the kind that training writes; the message names it.
    """
    unknown = sorted(set(summary) - set(ENTRIES))
    if unknown:
        raise damaged("its summary holds entries that Driftscope does not write")
    for name in NEEDED:
        if name not in summary:
            raise damaged(f'its summary does not tell "{name}"')
    for name, value in summary.items():
        if not ENTRIES[name](value):
            raise damaged(f'"{name}" in its summary is not what it should be')
    if len(summary["n_cells"]) != n_times:
        raise damaged("its summary speaks of another number of times")


def learned_nothing(summary: Mapping[str, Any]) -> bool:
    """Whether a network was trained and predicts no better than one mean velocity for all cells and times."""
    reference = summary.get("reference_loss")
    return summary["steps"] > 0 and reference is not None and not summary["final_loss"] < reference


def is_whole(value: Any, *, most: int = MOST_CELLS) -> bool:
    """Whether a value is a whole number from 0."""
    return type(value) is int and 0 <= value < most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < LARGEST_LOSS


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and is_whole(value[0]) and _is_number(value[1])


def _is_text(longest: int) -> Test:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _list_of(test: Test, most: int) -> Test:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(test, value))


def _is_fact(value: Any) -> bool:
    """A word, a number, a truth or nothing, or a short list of these."""
    if isinstance(value, list):
        return len(value) <= MOST_POINTS and not any(isinstance(one, list | dict) for one in value)
    return value is None or isinstance(value, bool | str) or _is_number(value)


def _is_coupling(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_fact, value.values()))


def _is_versions(value: Any) -> bool:
    word = _is_text(LONGEST_WORD)
    return isinstance(value, dict) and len(value) <= MOST_VERSIONS and all(map(word, value.values()))


ENTRIES: Mapping[str, Test] = {
    "steps": is_whole,
    "final_loss": _is_number,
    "reference_loss": _is_number,
    "loss": _list_of(_is_point, MOST_POINTS),
    "n_cells": _list_of(is_whole, MOST_POINTS),
    "couplings": _list_of(_is_coupling, MOST_COUPLINGS),
    "warnings": _list_of(_is_text(LONGEST_WARNING), MOST_WARNINGS),
    "versions": _is_versions,
    "figures": lambda value: isinstance(value, dict),
}
NEEDED = ("steps", "final_loss", "n_cells", "warnings")
"""What pages and reports read of every model."""
