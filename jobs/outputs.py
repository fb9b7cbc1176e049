"""How much disk a job will take, told before it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODEL = 20_000_000
"""Bytes of a model with its checkpoints and what is kept beside it, at most in usual cases."""
GROWTH: Mapping[str, float] = {"ingest": 1.5, "prepare": 2.5, "annotate": 2.0, "simulate": 1.5}
"""Size of what a job writes over that of the file it reads."""
SMALL: Mapping[str, int] = {
    "train": MODEL,
    "regulation": MODEL,
    "fates": MODEL,
    "screen": MODEL,
    "assume": MODEL,
}


def expected(workspace: Path, task: str, params: Mapping[str, Any]) -> int:
    """Return about how many bytes a job will write; 0 where it writes next to nothing, or nobody knows."""
    if task not in GROWTH:
        return SMALL.get(task, 0)
    return int(GROWTH[task] * _size(_source(workspace, task, params)))


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
