"""The same input gives the same answer: weights, paths and fates, in one process and in another."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dynamics import fates, growth, terminal
from dynamics.integrate import integrate
from dynamics.projection import Placement
from dynamics.snapshots import Snapshots, from_arrays
from dynamics.stochastic import simulate
from models import checkpoint
from models.cell_model import CellModel
from models.config import TrainConfig, canonical_json
from models.train import fit

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {
    "an ensemble": TrainConfig("ot-cfm", {"steps": 10, "width": 8, "depth": 1}, seed=3, members=3),
    "chance": TrainConfig("sf2m", {"steps": 10, "width": 8, "depth": 1}, seed=3),
    "growth": TrainConfig("growth-cfm", {"steps": 10, "width": 8, "depth": 1}, seed=3, whiten=True),
}


def course() -> Snapshots:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((150, 3)) + np.repeat([0.0, 1.0, 3.0], 50)[:, None] * [2.0, 0.0, 0.0]
    return from_arrays(states, np.repeat([0.0, 1.0, 3.0], 50), unit="day")


def told(model: CellModel, shots: Snapshots) -> str:
    """One word for all that a model answers."""
    support, first = Placement(shots.states, shots.states[:, :2]), shots.states[:50]
    codes = np.full(shots.n_cells, -1)
    codes[100:] = shots.states[100:, 1] > 0
    ends = terminal.from_codes(codes, ["a", "b"], source=terminal.BY_HAND)
    found = [
        integrate(model, first, [0.0, 1.0, 3.0], support=support).states,
        integrate(model, first, [0.0, 3.0], method="dopri5", support=support).states,
        fates.fate_probabilities(shots, model, ends, draws=8).probabilities,
    ]
    if model.is_stochastic:
        found.append(simulate(model, first, [0.0, 3.0], seed=5).states)
    if model.has_growth:
        found.append(growth.follow(model, first, [0.0, 3.0]).weights)
    return hashlib.sha256(b"".join(one.tobytes() for one in found)).hexdigest()


def made(name: str, path: Path) -> str:
    """Train by a recipe that went through its saved form, save, and answer."""
    shots, recipe = course(), TrainConfig.from_json(RECIPES[name].to_json())
    checkpoint.save(fit(shots, recipe, name="same"), path)
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {told(checkpoint.load(path), shots)}"


@pytest.mark.slow
def test_another_process_answers_alike(tmp_path):
    here = [made(name, tmp_path / "model") for name in RECIPES]
    assert made("growth", tmp_path / "model") == here[-1]
    places = [str(ROOT), str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {places!r}; import test_repeats as t; from pathlib import Path; "
    code += "print(*[t.made(name, Path(sys.argv[1])) for name in t.RECIPES], sep='\\n')"
    run = [sys.executable, "-c", code, str(tmp_path / "other")]
    there = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split("\n")
    assert there[:-1] == here


@pytest.mark.parametrize("name", RECIPES)
def test_a_saved_model_tells_its_recipe(name, tmp_path):
    """From the card alone the model can be trained again, to the same bytes."""
    shots, path = course(), tmp_path / "model"
    made(name, path)
    card = checkpoint.read_card(path)
    recipe = {key: card[key] for key in ("method", "settings", "seed", "whiten", "members")}
    again = TrainConfig.from_json(recipe | {"dims": card["dim"]})
    assert canonical_json(recipe) == canonical_json({key: again.to_json()[key] for key in recipe})
    checkpoint.save(fit(shots, again, name="same"), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
