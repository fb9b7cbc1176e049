"""Time courses for the benchmarks: every h5ad of a folder that has three times or more."""

from dataclasses import replace
from pathlib import Path

from dynamics import preprocess, read, roles, snapshots
from dynamics.errors import DynamicsError
from dynamics.snapshots import Snapshots


def courses(folder: Path, names: list[str], *, time_as: str) -> dict[str, Snapshots]:
    """Return the snapshots of each file as the app would take them; with "index", times are 0, 1, 2, …

    Files without states are prepared first (normalised, variable genes, principal components).
    """
    found = {}
    for file in sorted(folder.glob("*.h5ad")):
        if names and file.stem not in names:
            continue
        try:
            shots = _course(file, time_as)
        except DynamicsError as problem:
            print(f"{file.stem}: left out. {problem}")
            continue
        if shots.n_times >= 3:
            found[file.stem] = shots
    return found


def _course(file: Path, time_as: str) -> Snapshots:
    adata = read.read_h5ad(file)
    picked = roles.detect(adata)
    if picked.rep is None:
        config = preprocess.PrepareConfig.from_mapping({"umap": "skip", "neighbours": "skip"})
        adata = preprocess.prepare(adata, config)
        picked = roles.detect(adata)
    return snapshots.from_anndata(adata, replace(picked, time_as=time_as))
