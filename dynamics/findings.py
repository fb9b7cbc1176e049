"""What was noticed about a data set, in plain words, with what to do about it."""

from dataclasses import dataclass

CONFOUNDERS = frozenset(
    {
        "batch-is-time",
        "batch-gaps",
        "cell-cycle-motion",
        "depth-differs",
        "depth-motion",
        "few-cells-at-time",
        "small-time",
        "duplicate-cells",
        "duplicate-states",
        "cells-at-two-times",
        "states-at-two-times",
        "barcodes-at-two-times",
    }
)
"""Findings by which something else than the motion of cells may look like it."""


@dataclass(frozen=True)
class Finding:
    """One thing that the user should know."""

    level: str
    """"error" (must be mended before dynamics can be learned), "warning" or "note"."""
    code: str
    """Short name for scripts, such as "few-cells"."""
    message: str
    """What was found, with names and numbers."""
    fix: str = ""
    """What to do about it, in a sentence."""


def note(code: str, message: str, fix: str = "") -> Finding:
    """Something good to know."""
    return Finding("note", code, message, fix)


def warning(code: str, message: str, fix: str) -> Finding:
    """Something worth a look."""
    return Finding("warning", code, message, fix)


def error(code: str, message: str, fix: str) -> Finding:
    """Something that must be mended before dynamics can be learned."""
    return Finding("error", code, message, fix)


def quoted(name: str) -> str:
    """A name from a file as it can be shown: short, printable, in quotes."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return f'"{shown}"' if len(shown) <= 80 else f'"{shown[:60]}…{shown[-15:]}"'
