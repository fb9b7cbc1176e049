"""The command that ranks candidate regulators: regulation."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from commands import shared
from commands.terminal import progress_line, show
from dynamics import read, regulators
from dynamics.annotate import remember
from dynamics.errors import DataError, FileError, ModelError
from dynamics.regulation import FEWEST, regulate
from dynamics.regulation_checks import added, to_json
from dynamics.stability_map import stability_map
from jobs.work_regulation import panel_of
from jobs.workspace import write_whole

SHOWN = 10


def add(commands) -> None:
    """Add the command to the command line."""
    ranking = shared.command(commands, run_regulation, "FILE", "MODEL")
    ranking.add_argument("--csv", type=Path, metavar="OUT.csv", help="write one row for each candidate edge")
    ranking.add_argument(
        "--h5ad", type=Path, metavar="OUT.h5ad", help="write the data set with the candidate edges in it"
    )
    ranking.add_argument(
        "--tfs", type=Path, metavar="FILE", help="names of transcription factors: only these may regulate"
    )
    ranking.add_argument("--prior", type=Path, metavar="FILE", help="known edges: regulator,target[,sign]")
    ranking.add_argument("--cells", metavar="COLUMN=VALUE", help="the network of these cells only")
    ranking.add_argument("--top", type=int, metavar="N", help="only the N strongest edges")
    ranking.add_argument("--stability", action="store_true", help="also fixed points and divergence")


def run_regulation(options: argparse.Namespace) -> None:
    """Rank candidate regulators of every gene, with correlation beside them."""
    adata, picked, model, shots = shared.opened_with_model(options)
    if model.basis is None:
        raise ModelError(
            f'The model "{model.name}" was trained without genes, so that nothing can be said of regulation. '
            "Train one on a data set with genes."
        )
    named = regulators.read_names(_text(options.tfs)) if options.tfs else ()
    genes = panel_of(adata, picked, shots, basis=model.basis, regulators=named)
    edges = regulators.read_prior(_text(options.prior)) if options.prior else ()
    rows = _rows(shared.chosen_rows(adata, options.cells), shots.cells)
    (found,) = regulate(
        model,
        shots,
        genes,
        basis=model.basis,
        regions=np.isin(np.arange(shots.n_cells), rows)[None],
        prior=regulators.prior_table(edges, *genes.names),
        seed=options.seed,
        progress=progress_line(options),
    )
    listed = regulators.edges(found, most=options.top)
    if options.csv:
        write_whole(options.csv, regulators.to_csv(listed).encode())
    told = {
        "note": "All edges are candidates.",
        "n_cells": found.n_cells,
        "n_members": found.n_members,
        "chance": found.chance,
        "check": to_json(added(model, shots, genes, basis=model.basis, rows=rows))
        if len(rows) >= 2 * FEWEST
        else None,
        "edges": listed,
    }
    if options.h5ad:
        annotated = adata.copy()
        kept = {**told, "edges": pd.DataFrame(listed), "check": (told["check"] or {}).get("sentence")}
        remember(annotated, "regulation", kept, model=model, snapshots=shots)
        read.write_h5ad(annotated, options.h5ad)
    if options.stability:
        told["stability"] = _stability(model, shots)
    show(options, told, _lines(told))


def _stability(model, shots) -> dict[str, object]:
    found = stability_map(model, shots)
    points = [
        {name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in asdict(of_time).items()}
        for of_time in found.points
    ]
    for one in points:
        one["agreed"] = [value if np.isfinite(value) else None for value in one["agreed"]]
    return {
        "median_divergence": float(np.median(found.divergence)),
        "share_parting": float((found.fastest > 0).mean()),
        "fixed_points": points,
    }


def _rows(chosen: np.ndarray | None, cells: np.ndarray) -> np.ndarray:
    """Rows of the snapshots of chosen cells; raises DataError where hardly any has a time."""
    if chosen is None:
        return np.arange(len(cells))
    rows = np.flatnonzero(np.isin(cells, chosen))
    if len(rows) < FEWEST:
        raise DataError(
            f"{len(rows)} of these cells have a time; a network needs {FEWEST}. Choose more cells."
        )
    return rows


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileError(f"There is no file {path}. Check its name and folder.")
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _lines(told: dict) -> list[str]:
    head = [f"candidate edges among {told['n_cells']:,} cells, the strongest first:"]
    rows = [
        f"  {row['regulator']} → {row['target']}: {row['call']}, score {row['score']:.3f}, "
        f"correlation {row['correlation']:.2f}"
        for row in told["edges"][:SHOWN]
    ]
    return [*head, *rows, *([told["check"]["sentence"]] if told["check"] else [])]
