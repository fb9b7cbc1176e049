"""Driftscope without a browser: the same work for scripts and clusters."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dynamics import annotate, basis, confounding, inspect, predict, preprocess, read, roles, snapshots
from dynamics.errors import DataError, DynamicsError, FileError, SettingsError
from dynamics.projection import placement
from jobs import farm, precheck, remote
from jobs.cluster import number_of_workers
from jobs.terminal import progress_line, say, show
from models import checkpoint, fitting, folds, holdout, inputs, report, report_words, train
from models.config import TrainConfig, from_assignments, knobs
from models.methods import METHODS, find, usual_members

if TYPE_CHECKING:
    from anndata import AnnData


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 2 something the user can mend, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (DynamicsError, OSError) as problem:
        print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was half-written", file=sys.stderr)
        return 130
    return 0


# commands


def run_inspect(options: argparse.Namespace) -> None:
    """Say what a file is and what was found in it."""
    adata = opened(options.file)
    report = inspect.inspect(adata, roles=chosen_roles(adata, options))
    show(options, report.to_json(), _report_lines(report))


def run_prepare(options: argparse.Namespace) -> None:
    """Normalise, reduce and embed; what exists is reused."""
    adata = opened(options.file)
    config = preprocess.PrepareConfig.from_mapping({**pairs(options.set), "seed": options.seed})
    steps = preprocess.plan(adata, config)
    for step in steps:
        say(options, f"{step.action:>6}  {step.name}: {step.reason}")
    result = perform(options, preprocess.prepare, adata, config)
    read.write_h5ad(result, options.output)
    about = {"file": str(options.output), "n_cells": result.n_obs, "n_genes": result.n_vars}
    about["steps"] = [{"name": step.name, "action": step.action, "reason": step.reason} for step in steps]
    show(options, about, [f"wrote {options.output}: {result.n_obs:,} cells x {result.n_vars:,} genes"])


def run_methods(options: argparse.Namespace) -> None:
    """List the methods with their references and settings."""
    listed = [
        {
            "name": method.name,
            "title": method.title,
            "summary": method.summary,
            "use_when": method.use_when,
            "cannot": method.cannot,
            "reference": method.reference,
            "settings": [asdict(knob) for knob in knobs(method.settings)],
        }
        for method in METHODS.values()
    ]
    lines = []
    for method in listed:
        lines += [f"{method['name']}: {method['title']}", f"  {method['use_when']} {method['summary']}"]
        lines += [f"  Cannot: {method['cannot']}", f"  Reference: {method['reference']}"]
        for knob in method["settings"]:
            usual = "auto" if knob["default"] is None else knob["default"]
            lines.append(f"    --set {knob['name']}={usual}  {knob['help']}")
    show(options, {"methods": listed}, lines)


def run_train(options: argparse.Namespace) -> None:
    """Train a model and save it."""
    config = recipe(options, options.method)
    adata = opened(options.file)
    picked = chosen_roles(adata, options)
    shots = snapshots.from_anndata(adata, picked, dims=options.dims)
    say(options, f"{shots.n_cells:,} cells at {shots.n_times} times, {shots.dim} dimensions of {shots.rep}")
    shots = inputs.complete(shots, config, adata=adata, roles=picked)
    genes = basis.from_anndata(adata, picked, shots)
    name = options.name or options.output.stem
    model = perform(options, train.fit, shots, config, basis=genes, name=name)
    checkpoint.save(model, options.output)
    show(
        options,
        checkpoint.read_card(options.output),
        [f"wrote {options.output}: {model.method}, final loss {model.summary['final_loss']:.4g}"],
    )


def run_simulate(options: argparse.Namespace) -> None:
    """Predict cells at given times."""
    adata, picked, model, shots = opened_with_model(options)
    result = predict.simulate(
        adata,
        model,
        shots,
        roles=picked,
        placement=placement(adata, picked, shots),
        from_time=options.from_time,
        times=times_asked(options.times),
        rows=chosen_rows(adata, options.cells),
        extrapolate=options.extrapolate,
        stochastic=options.stochastic,
        seed=options.seed,
    )
    read.write_h5ad(result, options.output)
    about = {"file": str(options.output), "n_cells": result.n_obs, **result.uns["driftscope"]}
    show(options, about, [f"wrote {options.output}: {result.n_obs:,} predicted cells"])


def run_annotate(options: argparse.Namespace) -> None:
    """Add the results to a copy of the input, under the names that scVelo and CellRank read."""
    adata, picked, model, shots = opened_with_model(options)
    result = annotate.annotate(adata, model, shots, picked, placement=placement(adata, picked, shots))
    read.write_h5ad(result, options.output)
    added = sorted({f"obsm/{key}" for key in result.obsm} - {f"obsm/{key}" for key in adata.obsm})
    show(options, {"file": str(options.output), "added": added}, [f"wrote {options.output}"])


def run_validate(options: argparse.Namespace) -> None:
    """Leave times out and compare the predictions with their real cells, beside naive baselines."""
    adata = opened(options.file)
    picked = chosen_roles(adata, options)
    shots = snapshots.from_anndata(adata, picked, dims=options.dims)
    configs = [recipe(options, name) for name in options.methods.split(",")]
    for config in configs:
        shots = inputs.complete(shots, config, adata=adata, roles=picked)
    asked = None if options.hold_out is None else options.hold_out.split(",")
    plan = report.Plan(
        configs=tuple(configs),
        held_out=tuple(holdout.times_to_hold_out(shots, asked)),
        seeds=options.seeds,
        null_checks=not options.no_null_checks,
        origin=options.origin,
    )
    genes = basis.from_anndata(adata, picked, shots)
    look = folds.look(adata, picked, shots, basis=genes, exact=not options.fast)
    few = len(configs) * len(plan.held_out) * plan.seeds <= farm.FEW
    workers = options.workers or (1 if few else number_of_workers())
    with farm.farm(scheduler=options.scheduler, workers=workers) as run:
        progress = progress_line(options)
        found = report.make(shots, plan, look, run=run, progress=progress)
    data = {"file": options.file.name, "rep": shots.rep, "dims": shots.dim, "fingerprint": shots.fingerprint}
    protocol = {"time_as": picked.time_as, "whiten": options.whiten}
    alarms = [asdict(one) for one in confounding.alarms(adata, picked, shots)]
    told = report.to_json(found, data=data, protocol=protocol, alarms=alarms)
    show(options, told, report_words.lines(told))


# what the commands share


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
    """Check a file's structure, then read it."""
    if not path.is_file():
        raise FileError(f"There is no file {path}. Check its name and folder.")
    precheck.check(path)
    return read.read_h5ad(path)


def opened_with_model(options: argparse.Namespace) -> tuple:
    """Open data and model, and make sure that they fit."""
    model = checkpoint.load(options.model)
    adata = opened(options.file)
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


def _report_lines(report: inspect.Report) -> list[str]:
    found = report.to_json()
    lines = [f"{report.n_cells:,} cells x {report.n_genes:,} genes; values: {report.values}"]
    lines += [f"  {role}: {value}" for role, value in found["roles"].items() if value and role != "times"]
    lines += [
        f"  time {time['label']} = {time['value']:g}: {time['n_cells']:,} cells"
        for time in found["roles"]["times"] or ()
    ]
    lines += [f"{finding.level}: {finding.message} {finding.fix}" for finding in report.findings]
    return lines


# options


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="cli.py", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, run_inspect, "FILE")
    _command(commands, run_prepare, "FILE", output=".h5ad").add_argument("--set", **SET)
    _command(commands, run_methods)
    training = _command(commands, run_train, "FILE", output=".safetensors")
    training.add_argument(
        "--method", default=TrainConfig.method, help="see `cli.py methods` (default: %(default)s)"
    )
    training.add_argument("--name", help="the model's name (default: from the output file)")
    training.add_argument("--members", **MEMBERS)
    training.add_argument("--set", **SET)
    simulating = _command(commands, run_simulate, "FILE", "MODEL", output=".h5ad")
    simulating.add_argument(
        "--from", dest="from_time", type=float, metavar="T0", help="start time (default: first)"
    )
    simulating.add_argument(
        "--times", metavar="T1,T2", help="times to predict (default: all later times of the data)"
    )
    simulating.add_argument(
        "--extrapolate",
        action="store_true",
        help="predict beyond the measured times too, where nothing measured supports it",
    )
    simulating.add_argument("--cells", metavar="COLUMN=VALUE", help="start from these cells only")
    simulating.add_argument(
        "--stochastic",
        action="store_true",
        help="draw one possible path of each cell with the model's noise (sf2m), from --seed",
    )
    _command(commands, run_annotate, "FILE", "MODEL", output=".h5ad")
    validating = _command(commands, run_validate, "FILE")
    add = validating.add_argument
    add("--methods", default=TrainConfig.method, metavar="A,B", help="to judge (default: %(default)s)")
    add("--hold-out", metavar="T1,T2", help="times to leave out, one after the other (default: all inner)")
    add("--seeds", type=int, default=1, metavar="N", help="fits of each (default: %(default)s)")
    add("--from", dest="origin", choices=tuple(holdout.ORIGINS), default="previous", help="start from there")
    add("--workers", type=int, metavar="N", help="processes on this machine (default: as many as cores)")
    add("--fast", action="store_true", help="distances from draws of cells only, not over all cells")
    add("--no-null-checks", action="store_true", help="without shuffled, reversed and split times")
    add("--members", **MEMBERS)
    add("--set", **SET)
    return top


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


def _command(commands, run, *files: str, output: str | None = None) -> argparse.ArgumentParser:
    name = run.__name__.removeprefix("run_")
    command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    command.set_defaults(run=run)
    for file in files:
        command.add_argument(file.lower(), metavar=file, type=Path)
    if output:
        command.add_argument("-o", "--output", type=Path, required=True, metavar=f"OUT{output}")
    if files:
        _data_options(command)
    command.add_argument(
        "--json", metavar="OUT", help="write the result as JSON to this file ('-': standard output)"
    )
    command.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return command


def _data_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--time-key", metavar="COLUMN", help="obs column that holds the time")
    add("--time-as", choices=("value", "index"), help="real elapsed time, or 0, 1, 2, … (default: value)")
    add("--time-values", metavar="LABEL=NUMBER,…", help='times by hand, such as "E8.5=8.5,P0=19"')
    add("--time-unit", metavar="UNIT", help="unit of the times, such as day (default: as read)")
    add("--rep", metavar="KEY", help="obsm key of the cell states, such as X_pca")
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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
