"""RESULTS.md: what the benchmarks measured; every section is written by its script, never by hand."""

import datetime
import os
import platform
from pathlib import Path

import numpy as np
import ot
import torch

FILE = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results\n\nWritten by the scripts in this folder; each section says with which command and where.\n"


def conditions() -> str:
    """Return machine, versions, load and date in one line."""
    try:
        info = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    return (
        f"{datetime.date.today():%Y-%m-%d}; {cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at "
        f"the end; {versions}, POT {ot.__version__}"
    )


def write(section: str, command: str, lines: list[str]) -> None:
    """Put a section in place of the one of the same name, or at the end."""
    text = FILE.read_text() if FILE.exists() else HEAD
    parts = text.split("\n## ")
    body = "\n".join([section, "", f"`{command}`", "", f"{conditions()}.", "", *lines, ""])
    kept = [part for part in parts[1:] if part.split("\n", 1)[0] != section]
    FILE.write_text("\n## ".join([parts[0].rstrip() + "\n", *sorted([*kept, body])]).rstrip() + "\n")
