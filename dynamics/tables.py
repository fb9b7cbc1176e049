"""The tables of an h5ad file, their names made unique, and what was noticed on the way."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics.columns import read_frame, read_values
from dynamics.elements import is_null, matrix_shape
from dynamics.errors import FileError
from dynamics.findings import Finding, note, warning

SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "symbols",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "gene",
    "name",
    "hgnc_symbol",
    "mgi_symbol",
)
ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "feature_id", "ensembl")
FIELDS = ("level", "code", "message", "fix")


def read_notes(adata: AnnData) -> list[Finding]:
    """What was noticed when the data set was read."""
    kept = adata.uns.get("driftscope", {})
    texts = kept.get("read_notes", "[]") if isinstance(kept, Mapping) else "[]"
    try:
        return [Finding(**{key: str(row[key]) for key in FIELDS}) for row in json.loads(str(texts))]
    except (ValueError, TypeError, LookupError, RecursionError):  # somebody else's entry of that name
        return []


def noted(adata: AnnData, notes: list[Finding]) -> AnnData:
    """The data set with its reading notes under `uns["driftscope"]` (changes `adata`, which is ours)."""
    kept = adata.uns.get("driftscope", {})
    if notes and isinstance(kept, Mapping):
        earlier = read_notes(adata)
        all_notes = [*earlier, *(new for new in notes if new not in earlier)]
        adata.uns["driftscope"] = {**kept, "read_notes": json.dumps([asdict(one) for one in all_notes])}
    return adata


def opened(path: str | Path) -> h5py.File:
    """Open an h5ad file for reading; files are never changed once written, so no lock is taken."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise FileError(
            f'"{Path(path).name}" is not a readable h5ad file. If it was copied or downloaded, do it again.'
        ) from error


def table(
    file: h5py.File,
    name: str,
    what: str,
    notes: list[Finding],
    *,
    damaged: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read `obs` or `var` with unique names; what was noticed is added to `notes`.

    Raises
    ------
    FileError
        The table is missing or cannot be read.
    """
    element = file.get(name)
    if not isinstance(element, h5py.Group | h5py.Dataset) or is_null(element):
        raise FileError(
            f'The file has no table "{name}", which every h5ad file has. '
            "Save it again: adata.write_h5ad(path)."
        )
    shape = matrix_shape(file["X"]) if "X" in file and not is_null(file["X"]) else ()
    n_rows = shape[("obs", "var").index(name)] if len(shape) == 2 else None
    frame = read_frame(element, old_categories(file), notes, n_rows=n_rows, damaged=damaged)
    if "_index" in frame.columns:  # h5ad keeps the names of rows under this name
        notes.append(
            note(
                "renamed-column",
                f'Column "_index" of {name} is called "_index_column" here: h5ad keeps that name.',
            )
        )
        frame = frame.rename(columns={"_index": "_index_column"})
    return _unique(frame, what, notes)


def _unique(frame: pd.DataFrame, what: str, notes: list[Finding]) -> pd.DataFrame:
    repeated = frame.index.duplicated()
    if not repeated.any():
        return frame
    example = frame.index[repeated][0]
    notes.append(
        warning(
            f"duplicate-{what}-names",
            f'{int(repeated.sum()):,} {what} names occur more than once, such as "{example}"; '
            'numbers were added ("-1", "-2", …) so that each is unique.',
            f"Nothing needs to be done; to keep your own {what} names, make them unique and upload again.",
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


def old_categories(file: h5py.File) -> dict[str, np.ndarray]:
    """Category names that anndata 0.6 kept as `uns/<column>_categories`; none where tables are groups."""
    uns = file.get("uns")
    if not isinstance(uns, h5py.Group) or not any(
        isinstance(file.get(name), h5py.Dataset) for name in ("obs", "var", "raw.var", "raw/var")
    ):
        return {}
    return {
        name.removesuffix("_categories"): read_values(uns[name], [])
        for name in uns
        if name.endswith("_categories")
        and isinstance(uns[name], h5py.Dataset)
        and uns[name].shape is not None
    }


def raw_matrix(file: h5py.File) -> tuple[Any, Any] | None:
    """Matrix and table of `raw`, in the new or the old place; the table is None where there is none."""
    raw = file.get("raw")
    if isinstance(raw, h5py.Group) and "X" in raw and not is_null(raw["X"]):
        return raw["X"], raw.get("var")
    return (file["raw.X"], file.get("raw.var")) if "raw.X" in file and not is_null(file["raw.X"]) else None


def raw_table(
    file: h5py.File, notes: list[Finding], *, damaged: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The genes of `raw`, which are those of `var` where raw lists none of its own."""
    matrix, genes = raw_matrix(file)
    shape = matrix_shape(matrix)
    n_rows = shape[1] if len(shape) == 2 else None
    if genes is not None:
        frame = read_frame(genes, old_categories(file), notes, n_rows=n_rows, damaged=damaged)
        return _unique(frame, "gene", notes)
    frame = table(file, "var", "gene", [], damaged=damaged)[[]] if "var" in file else pd.DataFrame()
    if n_rows is not None and len(frame) != n_rows:
        raise FileError(
            f"raw has {n_rows:,} genes but does not name them. Write the file again with raw.var, or "
            "without raw."
        )
    return frame
