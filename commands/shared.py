"""What the commands share: options, opening data and models, doing the work here or on a cluster."""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from commands.terminal import progress_line, say
from dynamics import gene_states, read, roles
from dynamics.errors import DataError, FileError, SettingsError
from jobs import remote, sandbox
from models import checkpoint, fitting
from models.config import TrainConfig, from_assignments
from models.methods import find, usual_members

if TYPE_CHECKING:
    from anndata import AnnData

MEMBERS = {
    "type": int,
    "metavar": "N",
    "help": "models of the ensemble, which tells how sure the result is; 1: none (default: 5 where they can "
    "be trained together, else 1)",
}
SET = {
    "action": "append",
    "default": [],
    "metavar": "NAME=VALUE",
    "help": "a setting; may be given several times",
}


def recipe(options: argparse.Namespace, method: str) -> TrainConfig:
    """Return the recipe that the options describe."""
    config = TrainConfig(
        method=method,
        settings=from_assignments(find(method).settings, options.set),
        seed=options.seed,
        dims=options.dims,
        whiten=options.whiten,
    )
    return replace(config, members=usual_members(config) if options.members is None else options.members)


def opened(path: Path) -> "AnnData":
    """Read a file as the app does: a process of its own checks it and writes a clean copy."""
    if not path.is_file():
        raise FileError(f"There is no file {path}. Check its name and folder.")
    with tempfile.TemporaryDirectory(prefix="driftscope-") as folder:
        clean = Path(folder) / "clean.h5ad"
        sandbox.ingest(path, clean)
        return read.read_h5ad(clean)


def opened_with_model(options: argparse.Namespace) -> tuple:
    """Open data and model, and make sure that they fit."""
    model = checkpoint.load(options.model)
    say(options, *(f"warning: {one}" for one in model.summary["warnings"]))
    adata = opened(options.file)
    if model.rep == gene_states.REP:
        gene_states.with_gene_states(adata, roles.detect(adata))
    picked = chosen_roles(adata, options)
    return adata, picked, model, fitting.check_fit(model, adata, picked)


def perform(options: argparse.Namespace, function: Callable, *args, **kwargs):
    """Do work here, or on the Dask cluster that was named."""
    if options.scheduler:
        return remote.call(options.scheduler, function, *args, progress=progress_line(options), **kwargs)
    return function(*args, progress=progress_line(options), **kwargs)


def chosen_roles(adata: "AnnData", options: argparse.Namespace) -> roles.Roles:
    """Return the detected roles, with those given on the command line put in their place."""
    given = {
        "time_key": options.time_key,
        "rep": options.rep,
        "embedding": options.embedding,
        "cell_type_key": options.cell_type_key,
        "time_as": options.time_as,
        "time_unit": options.time_unit,
        "time_values": time_values(options.time_values),
    }
    picked = replace(
        roles.detect(adata), **{name: value for name, value in given.items() if value is not None}
    )
    if picked.rep == gene_states.REP:
        gene_states.with_gene_states(adata, picked)
    roles.check_roles(adata, picked)
    return picked


def chosen_rows(adata: "AnnData", condition: str | None) -> np.ndarray | None:
    """Return the rows of the cells that fulfil `COLUMN=VALUE`; None for all."""
    if condition is None:
        return None
    key, _, value = condition.partition("=")
    if key not in adata.obs:
        raise DataError(
            f"There is no column '{key}'; the columns are {', '.join(map(str, adata.obs.columns))}."
        )
    rows = np.flatnonzero(adata.obs[key].astype(str) == value)
    if not len(rows):
        known = ", ".join(sorted(adata.obs[key].astype(str).unique())[:12])
        raise DataError(f"No cell has {key} = '{value}'; its values are {known}.")
    return rows


def times_asked(text: str | None) -> list[float] | None:
    """Read `T1,T2,…`."""
    try:
        return None if text is None else [float(value) for value in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"--times '{text}' is not a list of numbers in the data's unit, such as 1,2.5."
        ) from None


def time_values(text: str | None) -> dict[str, float] | None:
    """Read `LABEL=NUMBER,…`."""
    if text is None:
        return None
    try:
        pairs = (part.rpartition("=") for part in text.split(","))
        return {label.strip(): float(value) for label, _, value in pairs}
    except ValueError as problem:
        raise SettingsError(
            f"--time-values '{text}' is not a list of LABEL=NUMBER, such as \"E8.5=8.5,P0=19\" ({problem})."
        ) from None


def pairs(words: Sequence[str]) -> dict[str, object]:
    """Read `name=value` words; values are read as JSON where they are JSON, else as text."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"--set '{word}': write a setting as name=value, such as n_top_genes=1000.")
        try:
            found[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            found[name.strip()] = value
    return found


def command(commands, run, *files: str, output: str | None = None) -> argparse.ArgumentParser:
    """Add a command with the options that all of them have; `run` is called `run_NAME`."""
    name = run.__name__.removeprefix("run_")
    added = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    added.set_defaults(run=run)
    for file in files:
        added.add_argument(file.lower(), metavar=file, type=Path)
    if output:
        added.add_argument("-o", "--output", type=Path, required=True, metavar=f"OUT{output}")
    if files:
        _data_options(added)
    added.add_argument(
        "--json", metavar="OUT", help="write the result as JSON to this file ('-': standard output)"
    )
    added.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return added


def _data_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--time-key", metavar="COLUMN", help="obs column that holds the time")
    add("--time-as", choices=("value", "index"), help="real elapsed time, or 0, 1, 2, … (default: value)")
    add("--time-values", metavar="LABEL=NUMBER,…", help='times by hand, such as "E8.5=8.5,P0=19"')
    add("--time-unit", metavar="UNIT", help="unit of the times, such as day (default: as read)")
    add(
        "--rep",
        metavar="KEY",
        help="obsm key of the cell states, such as X_pca; X_genes: the genes themselves, up to 200",
    )
    add("--embedding", metavar="KEY", help="obsm key of the map, such as X_umap")
    add("--cell-type-key", metavar="COLUMN", help="obs column that holds the cell types")
    add("--dims", type=int, metavar="N", help="leading dimensions of the states to use")
    add(
        "--whiten",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="give each dimension unit variance",
    )
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    add("--scheduler", metavar="ADDRESS", help="train on a running Dask cluster, such as tcp://10.0.0.1:8786")
