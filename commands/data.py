"""Commands on a data set: inspect, prepare."""

import argparse

from commands import shared
from commands.terminal import say, show
from dynamics import inspect, preprocess, read


def add(commands) -> None:
    """Add the commands to the command line."""
    shared.command(commands, run_inspect, "FILE")
    shared.command(commands, run_prepare, "FILE", output=".h5ad").add_argument("--set", **shared.SET)


def run_inspect(options: argparse.Namespace) -> None:
    """Say what a file is and what was found in it."""
    adata = shared.opened(options.file)
    report = inspect.inspect(adata, roles=shared.chosen_roles(adata, options))
    show(options, report.to_json(), _report_lines(report))


def run_prepare(options: argparse.Namespace) -> None:
    """Normalise, reduce and embed; what exists is reused."""
    adata = shared.opened(options.file)
    config = preprocess.PrepareConfig.from_mapping({**shared.pairs(options.set), "seed": options.seed})
    steps = preprocess.plan(adata, config)
    for step in steps:
        say(options, f"{step.action:>6}  {step.name}: {step.reason}")
    result = shared.perform(options, preprocess.prepare, adata, config)
    read.write_h5ad(result, options.output)
    about = {"file": str(options.output), "n_cells": result.n_obs, "n_genes": result.n_vars}
    about["steps"] = [{"name": step.name, "action": step.action, "reason": step.reason} for step in steps]
    show(options, about, [f"wrote {options.output}: {result.n_obs:,} cells x {result.n_vars:,} genes"])


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
