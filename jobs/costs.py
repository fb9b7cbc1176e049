"""What a job will take of the disk and of memory, about, told before it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODEL = 20_000_000
"""Bytes of a model with its checkpoints and what is kept beside it, at most in usual cases."""
SMALL = frozenset({"train", "validate", "regulation", "fates", "screen", "assume"})
WRITTEN: Mapping[str, float] = {"ingest": 2.5, "prepare": 3.0, "annotate": 3.0, "simulate": 2.0}
"""Size of what a job writes over that of the file it reads: at most 2.4 and 2.7 in five real data sets."""
HELD, ALWAYS = 10.0, 50_000_000
"""Memory of a job that reads a whole file: over the size of the file, and in any case."""


def written(workspace: Path, task: str, params: Mapping[str, Any]) -> int:
    """Return about how many bytes a job will write; 0 where nobody knows."""
    if task in SMALL:
        return MODEL
    return int(WRITTEN[task] * _size(_source(workspace, task, params))) if task in WRITTEN else 0


def held(workspace: Path, task: str, params: Mapping[str, Any]) -> int:
    """Return about how many bytes of memory a job will hold that opens or prepares a file."""
    return int(ALWAYS + HELD * _size(_source(workspace, task, params)))


def _source(workspace: Path, task: str, params: Mapping[str, Any]) -> Path:
    if task == "ingest":
        return Path(params.get("source", ""))
    folder = workspace / "datasets" / (params.get("dataset") or "")
    prepared = folder / "prepared.h5ad"
    return prepared if task != "prepare" and prepared.exists() else folder / "data.h5ad"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what the job itself says better
        return 0
