"""The command that asks what a change of genes would do to the fates of cells: perturb."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from commands import shared
from commands.fates import asked_states, types_of
from commands.terminal import progress_line, show
from dynamics import (
    fate_readout,
    perturb,
    perturb_null,
    perturb_told,
    perturbation,
    read,
    screen,
    transitions,
)
from dynamics.errors import DataError, ModelError, SettingsError
from dynamics.fate_results import csv
from jobs.workspace import write_whole

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots

SHOWN = 10


def add(commands) -> None:
    """Add the command to the command line."""
    asking = shared.command(commands, run_perturb, "FILE", "MODEL")
    asking.add_argument(
        "--gene",
        action="append",
        default=[],
        metavar="NAME[=KIND]",
        help="a gene and what is done to it: knockout (default), up, down, or a shift by standard deviations "
        "such as +1.5; several times for several genes at once",
    )
    asking.add_argument("--cells", metavar="COLUMN=VALUE", help="cells it is done to (default: all)")
    asking.add_argument("--instead", metavar="COLUMN=VALUE", help="compare with these starting cells instead")
    asking.add_argument("--fate", metavar="NAME", help="the fate that is looked at; needed for --screen")
    asking.add_argument("--screen", action="store_true", help="try every variable gene")
    asking.add_argument("--dose", type=float, default=1.0, help="0 to 1 (default: %(default)s)")
    asking.add_argument(
        "--move",
        choices=perturbation.MOVES,
        default=perturbation.PLAUSIBLE,
        help="to the likeliest state with that expression, or along the gene alone (default: %(default)s)",
    )
    asking.add_argument("--release", action="store_true", help="do not hold the genes while cells move on")
    asking.add_argument("--terminal", action="append", default=[], metavar="STATE", help="as for fates")
    asking.add_argument("-o", "--output", type=Path, metavar="OUT.csv", help="write the table")
    asking.add_argument(
        "--h5ad", type=Path, metavar="OUT.h5ad", help="write the data set with the result in it"
    )


def run_perturb(options: argparse.Namespace) -> None:
    """Ask what a change of genes, or other starting cells, would do to fates."""
    _check(options)
    adata, picked, model, shots = shared.opened_with_model(options)
    if model.basis is None and not options.instead:
        raise ModelError(
            f'The model "{model.name}" was trained without genes, so no gene can be changed. Compare '
            "starting cells with --instead, or train on a data set with genes."
        )
    labels = types_of(adata, picked, shots)
    built = transitions.chains(model, shots, growth="none")
    given = {"model": model, "chain": built[0], "labels": labels}
    states = asked_states(options.terminal, adata, shots, **given)
    told = fate_readout.readout(model, shots, states, chains_of=built, labels=labels)
    if options.fate and options.fate not in told.names:
        raise DataError(f"There is no fate '{options.fate}'; there are {', '.join(told.names) or 'none'}.")
    rows = perturb.some(_rows(shots, shared.chosen_rows(adata, options.cells)), seed=options.seed)
    place = (model, told, perturbation.surroundings(shots, model.basis) if model.basis else None)
    if options.screen:
        result = _screen(options, place, shots=shots, rows=rows)
    elif options.instead:
        other = _rows(shots, shared.chosen_rows(adata, options.instead))
        result = _instead(options, place, shots=shots, first=rows, other=other)
    else:
        result = _effect(options, place, shots=shots, rows=rows)
    if options.h5ad:
        read.write_h5ad(perturb_told.annotated(adata, result, model=model, snapshots=shots), options.h5ad)


def _check(options: argparse.Namespace) -> None:
    """Refuse a command line that asks for nothing, for two things, or for a result nowhere."""
    if bool(options.gene) + bool(options.instead) == 0 and not options.screen:
        raise SettingsError("Nothing is asked: give --gene NAME, --screen, or --instead COLUMN=VALUE.")
    if options.instead and (options.gene or options.screen):
        raise SettingsError("--instead compares starting cells; leave out --gene and --screen.")
    if options.screen and not options.fate:
        raise SettingsError("A screen ranks genes by one fate: name it with --fate.")
    if options.screen and len(options.gene) > 1:
        raise SettingsError("A screen does the same to every gene: give at most one --gene, for its kind.")


def _rows(shots: "Snapshots", chosen: np.ndarray | None) -> np.ndarray:
    """Return the rows of the snapshots of chosen cells; without a choice those before the last time."""
    if chosen is None:
        return np.flatnonzero(shots.time_index < shots.n_times - 1)
    rows = np.flatnonzero(np.isin(shots.cells, chosen))
    if not len(rows):
        raise DataError(f"None of these {len(chosen):,} cells has a time. Choose other cells.")
    return rows


def _asked(options: argparse.Namespace) -> perturbation.Perturbation:
    changes = tuple(perturbation.parsed(word) for word in options.gene)
    changes = changes or (perturbation.GeneChange("every gene"),)
    given = {"dose": options.dose, "move": options.move, "held": not options.release}
    return perturbation.Perturbation(changes, **given)


def _effect(
    options: argparse.Namespace, place: tuple, *, shots: "Snapshots", rows: np.ndarray
) -> dict[str, Any]:
    asked = _asked(options)
    given = {"states": shots.states[rows], "times": shots.times[rows], "perturbation": asked}
    given["seed"] = options.seed
    found = perturb.effect(*place, **given, progress=progress_line(options))
    random = None if found.refused else perturb_null.null(*place, **given)
    result = _tell(options, found, random, asked=asked)
    by_cell = np.full((shots.n_cells, len(found.names)), np.nan)
    by_cell[rows] = found.by_cell
    return result | {"perturbation": json.dumps(asked.to_json()), "by_cell": by_cell}


def _instead(
    options: argparse.Namespace, place: tuple, *, shots: "Snapshots", first: np.ndarray, other: np.ndarray
) -> dict[str, Any]:
    second = perturb.chosen(shots, other, seed=options.seed)
    what = f"starting from {options.instead} instead"
    given = {"first": (shots.states[first], shots.times[first]), "second": second, "what": what}
    found = perturb.start_population(*place[:2], **given, seed=options.seed)
    return _tell(options, found, None, asked=None)


def _tell(
    options: argparse.Namespace,
    found: perturb.Effect,
    random: perturb_null.Null | None,
    *,
    asked: perturbation.Perturbation | None,
) -> dict[str, Any]:
    """Say what was found; returns what an h5ad file keeps of it."""
    table = perturb_told.table(found, random)
    if options.output:
        write_whole(options.output, csv(table).encode())
    fate = found.names.index(options.fate) if options.fate in found.names else None
    said = perturb_told.sentence(found, random, fate=fate)
    told = perturb_told.to_json(found, random, perturbation=asked) | {"sentence": said}
    rows = [f"  {one['fate']}: {one['before']} → {one['after']}" for one in _rounded(told["fates"])]
    show(options, told, [said, *rows, perturb_told.READING])
    return {"table": table, "sentence": said, "n_cells": found.n_cells, "off_support": found.off}


def _rounded(rows: list[dict]) -> list[dict]:
    """Return shares as text."""
    return [
        {name: f"{value:.1%}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def _screen(
    options: argparse.Namespace, place: tuple, *, shots: "Snapshots", rows: np.ndarray
) -> dict[str, Any]:
    given = {"states": shots.states[rows], "times": shots.times[rows], "fate": options.fate}
    given |= {"seed": options.seed, "perturbation": _asked(options)}
    found = screen.screen(*place, **given, progress=progress_line(options))
    table = found.table()
    if options.output:
        write_whole(options.output, csv(table).encode())
    told = {"fate": found.fate, "n_cells": found.n_cells, "message": found.message}
    told["genes"] = json.loads(table.to_json(orient="records"))
    rows = [
        f"  {row['gene']}: {row['effect']:+.1%}, q {row['q']:.2g}, {row['conclusion']}"
        for row in told["genes"][:SHOWN]
        if row["effect"] is not None and row["q"] is not None
    ]
    show(options, told, [found.message, f"largest effects on {found.fate}:", *rows, perturb_told.READING])
    return {"table": table, "sentence": found.message, "fate": found.fate, "n_cells": found.n_cells}
