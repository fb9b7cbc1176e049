"""What the command line prints: lines for people, JSON for programs, one moving line of progress."""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from dynamics.field import Progress
from dynamics.printable import printable, visible
from jobs import logs
from jobs.workspace import default_home

BAR = 24
LOG, LOG_BYTES = "cli.log", 1_000_000
LOGGED = ("driftscope", "jobs", "models", "dynamics")


class Log(RotatingFileHandler):
    """The log of the command line, in the home of the app; begun when there is something to keep."""

    def __init__(self) -> None:
        super().__init__(place(), maxBytes=LOG_BYTES, backupCount=1, delay=True)
        self.setFormatter(logs.Text(logs.PLAIN))

    def _open(self) -> IO[str]:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return super()._open()


def place() -> Path:
    """Return where the log is kept."""
    return default_home() / LOG


def error(problem: Exception) -> None:
    """Print what the user can mend, in one line."""
    print(f"error: {printable(problem)}", file=sys.stderr)


@contextmanager
def log_kept() -> Iterator[None]:
    """Keep in a file what would otherwise come between the lines for the user."""
    kept = Log()
    logs = [logging.getLogger(name) for name in LOGGED]
    for log in logs:
        log.addHandler(kept)
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(kept)
        kept.close()


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
    if lines and not options.quiet and options.json != "-":
        print(*map(visible, lines), sep="\n")


def progress_line(options: argparse.Namespace) -> Progress:
    """Return a `progress` that draws one line on a terminal and is silent elsewhere."""

    def progress(fraction: float, message: str = "", **figures: float) -> bool:
        if not options.quiet and sys.stderr.isatty():
            done = round(BAR * fraction)
            extra = "  ".join(f"{name} {value:.4g}" for name, value in figures.items() if name == "loss")
            end = "\n" if fraction >= 1 else ""
            bar = "#" * done + "." * (BAR - done)
            print(
                f"\r{bar} {fraction:4.0%} {printable(message)} {extra}\033[K",
                end=end,
                file=sys.stderr,
                flush=True,
            )
        return True

    return progress
