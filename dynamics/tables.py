"""The tables of an h5ad file, their names made unique, and what was noticed on the way."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics.elements import read_frame, text
from dynamics.errors import FileError


@dataclass(frozen=True)
class Note:
    """Something that was noticed while reading, for the findings."""

    code: str
    message: str
    fix: str = ""
    level: str = "note"


def read_notes(adata: AnnData) -> list[Note]:
    """What was noticed when the data set was read."""
    kept = adata.uns.get("driftscope", {})
    texts = kept.get("read_notes", "[]") if isinstance(kept, Mapping) else "[]"
    return [Note(**note) for note in json.loads(str(texts))]


def noted(adata: AnnData, notes: list[Note]) -> AnnData:
    """The data set with its reading notes under `uns["driftscope"]` (changes `adata`, which is ours)."""
    kept = adata.uns.get("driftscope", {})
    if notes and isinstance(kept, Mapping):
        earlier = read_notes(adata)
        all_notes = [*earlier, *(note for note in notes if note not in earlier)]
        adata.uns["driftscope"] = {**kept, "read_notes": json.dumps([asdict(note) for note in all_notes])}
    return adata


def opened(path: str | Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise FileError(
            f'"{Path(path).name}" is not a readable h5ad file. If it was copied or downloaded, do it again.'
        ) from error


def table(file: h5py.File, name: str, what: str, notes: list[Note]) -> pd.DataFrame:
    if name not in file:
        raise FileError(
            f'The file has no table "{name}", which every h5ad file has. '
            "Save it again: adata.write_h5ad(path)."
        )
    frame, skipped = read_frame(file[name], old_categories(file))
    for column in skipped:
        message = f'Column "{column}" of {name} cannot be read and was left out.'
        notes.append(Note("unreadable-column", message))
    return _unique(frame, what, notes)


def _unique(frame: pd.DataFrame, what: str, notes: list[Note]) -> pd.DataFrame:
    repeated = frame.index.duplicated()
    if not repeated.any():
        return frame
    example = frame.index[repeated][0]
    notes.append(
        Note(
            f"duplicate-{what}-names",
            f'{int(repeated.sum()):,} {what} names occur more than once, such as "{example}"; '
            'numbers were added ("-1", "-2", …) so that each is unique.',
            f"Nothing needs to be done; to keep your own {what} names, make them unique and upload again.",
            "warning",
        )
    )
    counts: dict[str, int] = {}
    taken = set(frame.index)
    names = []
    for name, again in zip(frame.index, repeated, strict=True):
        new = name
        while again and new in taken:
            counts[name] = counts.get(name, 0) + 1
            new = f"{name}-{counts[name]}"
        taken.add(new)
        names.append(new)
    return frame.set_axis(pd.Index(names, dtype=object, name=frame.index.name), axis=0)


def old_categories(file: h5py.File) -> dict[str, list[str]]:
    """Category names that anndata 0.6 kept as `uns/<column>_categories`."""
    uns = file.get("uns", {})
    return {
        name.removesuffix("_categories"): [text(level) for level in np.atleast_1d(uns[name][()])]
        for name in uns
        if name.endswith("_categories") and isinstance(uns[name], h5py.Dataset)
    }


def raw_matrix(file: h5py.File) -> tuple[Any, Any] | None:
    """Matrix and table of `raw`, in the new or the old place."""
    if "raw/X" in file and "raw/var" in file:
        return file["raw/X"], file["raw/var"]
    return (file["raw.X"], file["raw.var"]) if "raw.X" in file and "raw.var" in file else None


def raw_table(file: h5py.File, notes: list[Note]) -> pd.DataFrame:
    return _unique(read_frame(raw_matrix(file)[1], old_categories(file))[0], "gene", notes)
