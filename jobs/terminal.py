"""What the command line prints: lines for people, JSON for programs, one moving line of progress."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dynamics.field import Progress
from dynamics.printable import printable, visible

BAR = 24


def show(options: argparse.Namespace, content: Mapping, lines: Sequence[str]) -> None:
    """Print lines for people, and JSON where it was asked for."""
    if options.json is None:
        say(options, *lines)
        return
    text = json.dumps(content, indent=1, allow_nan=False, default=lambda value: value.tolist())
    if options.json == "-":
        print(text)
        return
    say(options, *lines)
    Path(options.json).write_text(text + "\n")


def say(options: argparse.Namespace, *lines: str) -> None:
    """Print to standard output, unless it is kept for JSON or for silence."""
    if not options.quiet and options.json != "-":
        print(*map(visible, lines), sep="\n")


def progress_line(options: argparse.Namespace) -> Progress:
    """Return a `progress` that draws one line on a terminal and is silent elsewhere."""

    def progress(fraction: float, message: str = "", **figures: float) -> bool:
        if not options.quiet and sys.stderr.isatty():
            done = round(BAR * fraction)
            extra = "  ".join(f"{name} {value:.4g}" for name, value in figures.items() if name == "loss")
            end = "\n" if fraction >= 1 else ""
            bar = "#" * done + "." * (BAR - done)
            said = printable(message)
            print(f"\r{bar} {fraction:4.0%} {said} {extra}\033[K", end=end, file=sys.stderr, flush=True)
        return True

    return progress
