"""Training to equal held-out quality: torchcfm's documented single-cell recipe against ours, A B A B.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.speed [--rounds 3] [--recipe-steps 10000] [--write]

A: 3 × 64 SELU, 256 pairs per interval, exact minibatch transport in every step, Adam 1e-4, 10,000 steps;
timed over some steps in every round and scaled; trained to the end once for its held-out W1. B: whole fits
of ours, pairing included. 16,819 cells at five times (benchmarks/training.py), the middle time left out.
Processor seconds, since other work on the machine distorts the clock on the wall.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from benchmarks import results, torchcfm_recipe
from benchmarks.torchcfm_recipe import Recipe
from benchmarks.training import branching
from models import holdout
from models.config import TrainConfig
from models.train import fit, one_thread

HELD_OUT = 2
OURS = {
    "ot-cfm, quick": TrainConfig("ot-cfm", {"pairing": "quick", "steps": 200, "batch": 256}),
    "ot-cfm": TrainConfig("ot-cfm"),
    "auto": TrainConfig("auto"),
}
BATCH, RATE = 256, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed", type=int, default=40, help="steps of A that are timed in each round")
    parser.add_argument("--recipe-steps", type=int, default=10_000)
    parser.add_argument("--dims", type=int, nargs="*", default=[5, 50])
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    lines = [
        "Processor seconds of a whole training, median (all rounds), and held-out W1 of the fold.",
        "",
        "| | dimensions | seconds | W1 | faster |",
        "|---|---|---|---|---|",
    ]
    for dim in options.dims:
        lines += _compare(dim, options)
    print("\n".join(lines))
    if options.write:
        command = (
            f"python -m benchmarks.speed --rounds {options.rounds} --recipe-steps {options.recipe_steps}"
        )
        results.write("Training time to equal quality", command, lines)


def _compare(dim: int, options: argparse.Namespace) -> list[str]:
    shots = branching(dim)
    rest = holdout.without(shots, HELD_OUT)
    spent: dict[str, list[float]] = {"A": [], **{name: [] for name in OURS}}
    w1 = {}
    for number in range(options.rounds):
        recipe = Recipe(rest, seed=number, batch=BATCH, rate=RATE)
        seconds, _ = _timed(lambda one=recipe: [one.step() for _ in range(options.timed)])
        spent["A"].append(seconds / options.timed * options.recipe_steps)
        for name, config in OURS.items():
            seconds, model = _timed(lambda one=config: fit(rest, one))
            spent[name].append(seconds)
            w1.setdefault(name, torchcfm_recipe.predicted(shots, model, HELD_OUT)[0])
            print(
                f"{dim}-D, round {number + 1}: {name} {seconds:.2f} s, A {spent['A'][-1]:.0f} s", flush=True
            )
    recipe = Recipe(rest, seed=0, batch=BATCH, rate=RATE)
    with one_thread():
        for _ in range(options.recipe_steps):
            recipe.step()
    w1["A"] = torchcfm_recipe.predicted(shots, recipe, HELD_OUT)[0]
    usual = statistics.median(spent["A"])
    return [
        f"| {'torchcfm, ' + format(options.recipe_steps, ',') + ' steps' if name == 'A' else name} | {dim} | "
        f"{statistics.median(one):.2f} ({', '.join(f'{s:.2f}' for s in one)}) | {w1[name]:.4f} | "
        f"{usual / statistics.median(one):.0f}× |"
        for name, one in spent.items()
    ]


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    with one_thread():
        began = time.process_time()
        made = work()
        return time.process_time() - began, made


if __name__ == "__main__":
    main()
