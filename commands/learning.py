"""Commands that learn: methods, train, validate."""

import argparse
from dataclasses import asdict

from commands import shared
from commands.terminal import progress_line, say, show
from dynamics import basis, confounding, snapshots
from jobs import farm
from jobs.cluster import number_of_workers
from models import checkpoint, folds, holdout, inputs, report, report_words, train
from models.config import TrainConfig, knobs
from models.methods import METHODS


def add(commands) -> None:
    """Add the commands to the command line."""
    shared.command(commands, run_methods)
    _add_train(commands)
    _add_validate(commands)


def _add_train(commands) -> None:
    training = shared.command(commands, run_train, "FILE", output=".safetensors")
    training.add_argument(
        "--method", default=TrainConfig.method, help="see `cli.py methods` (default: %(default)s)"
    )
    training.add_argument("--name", help="the model's name (default: from the output file)")
    training.add_argument("--members", **shared.MEMBERS)
    training.add_argument("--set", **shared.SET)


def _add_validate(commands) -> None:
    validating = shared.command(commands, run_validate, "FILE")
    add = validating.add_argument
    add("--methods", default=TrainConfig.method, metavar="A,B", help="to judge (default: %(default)s)")
    add("--hold-out", metavar="T1,T2", help="times to leave out, one after the other (default: all inner)")
    add("--seeds", type=int, default=1, metavar="N", help="fits of each (default: %(default)s)")
    add("--from", dest="origin", choices=tuple(holdout.ORIGINS), default="previous", help="start from there")
    add("--workers", type=int, metavar="N", help="processes on this machine (default: as many as cores)")
    add("--fast", action="store_true", help="distances from draws of cells only, not over all cells")
    add("--no-null-checks", action="store_true", help="without shuffled, reversed and split times")
    add("--members", **shared.MEMBERS)
    add("--set", **shared.SET)


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
    config = shared.recipe(options, options.method)
    adata = shared.opened(options.file)
    picked = shared.chosen_roles(adata, options)
    shots = snapshots.from_anndata(adata, picked, dims=options.dims)
    say(options, f"{shots.n_cells:,} cells at {shots.n_times} times, {shots.dim} dimensions of {shots.rep}")
    shots = inputs.complete(shots, config, adata=adata, roles=picked)
    genes = basis.from_anndata(adata, picked, shots)
    name = options.name or options.output.stem
    model = shared.perform(options, train.fit, shots, config, basis=genes, name=name)
    checkpoint.save(model, options.output)
    told = confounding.alarms(adata, picked, shots, field=model)
    lines = [f"warning: {one}" for one in model.summary["warnings"]]
    lines += [f"{one.level}: {one.message} {one.fix}" for one in told]
    lines.append(f"wrote {options.output}: {model.method}, final loss {model.summary['final_loss']:.4g}")
    card = checkpoint.read_card(options.output) | {"alarms": [asdict(one) for one in told]}
    show(options, card, lines)


def run_validate(options: argparse.Namespace) -> None:
    """Leave times out and compare the predictions with their real cells, beside naive baselines."""
    adata = shared.opened(options.file)
    picked = shared.chosen_roles(adata, options)
    shots = snapshots.from_anndata(adata, picked, dims=options.dims)
    configs = [shared.recipe(options, name) for name in options.methods.split(",")]
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
