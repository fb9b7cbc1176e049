"""The benchmarks compare like with like, and what they write is what they measured."""

import argparse
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import path_prior, quality, results, torchcfm_recipe
from dynamics.snapshots import Snapshots, from_arrays
from models import holdout
from models.holdout import Baseline, Score
from models.objectives.auto import PRIOR


@pytest.fixture
def course() -> Snapshots:
    rng = np.random.default_rng(0)
    times = np.repeat([0.0, 1.0, 2.0], 60)
    states = 100 + rng.standard_normal((180, 2)) + 3 * times[:, None] * [1, 0]
    return from_arrays(states, 10 * times)


def test_the_recipe_of_torchcfm_predicts_a_drift_in_any_units(course):
    found = torchcfm_recipe.score(course, 1, seed=0, steps=200)
    naive = {one.name: one.w1 for one in holdout.baselines(course, 1)}
    assert found.w1 < 0.5 * naive["copy"]


def test_the_table_gives_ratios_to_torchcfm(course):
    rows = {
        "a|baselines|1|0": [
            asdict(Baseline(name, "1", w1, 0.1))
            for name, w1 in (("copy", 3.0), ("ot-midpoint", 1.1), ("noise-floor", 1.0))
        ]
    }
    for method, w1 in (("torchcfm ot-cfm", 2.0), ("auto", 1.5)):
        for seed in range(2):
            one = Score(method, "1", seed, "previous", w1 + 0.1 * seed, 0.1, 4.0, "straight paths")
            rows[f"a|{method}|1|{seed}"] = asdict(one)
    lines = "\n".join(quality.report(rows, {"a": course}, argparse.Namespace(methods=["auto"])))
    assert "| auto | 1.55±0.071 (0.756) | 0.756 | 0.756 | 72% | 4.0 |" in lines
    assert "W1 -24.4% on average" in lines
    assert "straight paths (2×)" in lines


def test_a_section_of_the_results_is_replaced_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FILE", tmp_path / "RESULTS.md")
    results.write("B", "command b", ["first"])
    results.write("A", "command a", ["other"])
    results.write("B", "command b", ["second"])
    text = (tmp_path / "RESULTS.md").read_text()
    assert "first" not in text
    assert text.index("## A") < text.index("other") < text.index("## B") < text.index("second")
    assert "torch" in text


@pytest.mark.parametrize("name", path_prior.COURSES)
def test_simulated_courses_can_be_learned_from(name):
    shots = path_prior.course(name, 0)
    assert np.isfinite(shots.states).all()
    assert shots.n_times >= 5
    moved = np.linalg.norm(shots.at(shots.n_times - 1).mean(axis=0) - shots.at(0).mean(axis=0))
    assert moved > 0.3
    assert len(PRIOR) == len(set(map(str, PRIOR)))
