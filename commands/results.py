"""Commands that read results off a model: simulate, annotate."""

import argparse

from commands import shared
from commands.terminal import show
from dynamics import annotate, predict, read
from dynamics.projection import placement


def add(commands) -> None:
    """Add the commands to the command line."""
    shared.command(commands, run_annotate, "FILE", "MODEL", output=".h5ad")
    simulating = shared.command(commands, run_simulate, "FILE", "MODEL", output=".h5ad")
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


def run_simulate(options: argparse.Namespace) -> None:
    """Predict cells at given times."""
    adata, picked, model, shots = shared.opened_with_model(options)
    result = predict.simulate(
        adata,
        model,
        shots,
        roles=picked,
        placement=placement(adata, picked, shots),
        from_time=options.from_time,
        times=shared.times_asked(options.times),
        rows=shared.chosen_rows(adata, options.cells),
        extrapolate=options.extrapolate,
        stochastic=options.stochastic,
        seed=options.seed,
    )
    read.write_h5ad(result, options.output)
    about = {"file": str(options.output), "n_cells": result.n_obs, **result.uns["driftscope"]}
    show(options, about, [f"wrote {options.output}: {result.n_obs:,} predicted cells"])


def run_annotate(options: argparse.Namespace) -> None:
    """Add the results to a copy of the input, under the names that scVelo and CellRank read."""
    adata, picked, model, shots = shared.opened_with_model(options)
    result = annotate.annotate(adata, model, shots, picked, placement=placement(adata, picked, shots))
    read.write_h5ad(result, options.output)
    added = sorted({f"obsm/{key}" for key in result.obsm} - {f"obsm/{key}" for key in adata.obsm})
    show(options, {"file": str(options.output), "added": added}, [f"wrote {options.output}"])
