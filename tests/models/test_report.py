"""The report: verdicts by their rule, checks with a known answer, and what is kept of it."""

import json
import math

import numpy as np
import pytest
from clouds import drifting

from dynamics.basis import fit_basis
from dynamics.snapshots import Snapshots, from_arrays
from jobs.farm import farm
from models import folds, holdout, nulls, report, report_words, verdict
from models.config import TrainConfig
from models.folds import Look
from models.report import Plan
from models.resampling import Apart, draw

QUICK = {"steps": 120}


def bending(n: int = 150, *, seed: int = 0) -> Snapshots:
    """A cloud that runs along half a circle: straight lines cut the corner."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, np.pi, 5)
    centres = 4 * np.column_stack([np.cos(angles), np.sin(angles)])
    states = np.concatenate([centre + 0.3 * rng.standard_normal((n, 2)) for centre in centres])
    return from_arrays(states, np.repeat(np.arange(5.0), n), unit="day")


def made(shots: Snapshots, *methods: str, look: Look | None = None, checks: bool = False, **more) -> dict:
    plan = Plan(
        tuple(TrainConfig(name, QUICK) for name in methods),
        tuple(holdout.inner_times(shots)),
        null_checks=checks,
        **more,
    )
    return report.to_json(report.make(shots, plan, look or Look()), data={}, protocol={})


def known(**w1: float) -> folds.Naive:
    """Distances of the naive predictions that hardly vary among the draws."""
    rng = np.random.default_rng(0)
    names = {"copy": 2.0, "line": 1.0, "floor": 0.5} | w1
    apart = {key: near(names[name], rng) for key, name in KEYS.items()}
    return folds.Naive(1, (), apart, draw(100, 100, stream=(1,)), {}, np.empty(0))


KEYS = {"copy": "copy", "ot-midpoint": "line", "noise-floor": "floor"}


def near(value: float, rng: np.random.Generator, *, spread: float = 0.01) -> Apart:
    values = value * np.exp(spread * rng.standard_normal(12))
    return Apart(values, values, np.empty((12, 0)))


@pytest.mark.parametrize(
    ("model", "word", "finds"),
    [(0.7, "better", True), (0.99, "no-better", True), (1.2, "no-better", True), (3.0, "worse", False)],
)
def test_verdicts_follow_their_rule(model, word, finds):
    judged = verdict.at_time([near(model, np.random.default_rng(1))], known(), name="day 3")
    assert judged.verdict == word
    assert judged.finds_motion is finds
    assert judged.headroom.mean == pytest.approx((2 - model) / 1.5, abs=0.03)
    assert "day 3" in judged.text


def test_what_chance_could_have_done_is_not_clear():
    wide = near(0.9, np.random.default_rng(1), spread=0.5)
    assert verdict.at_time([wide], known(), name="day 3").verdict == "no-better"
    sure = near(0.9, np.random.default_rng(1))
    assert verdict.at_time([sure], known(), name="day 3").verdict == "better"


def test_without_motion_nothing_is_found():
    still = verdict.at_time([near(0.4, np.random.default_rng(1))], known(copy=0.5, line=0.5), name="day 3")
    assert (still.verdict, still.finds_motion) == ("no-better", False)
    assert "nothing to predict" in still.text
    assert math.isnan(still.headroom.mean)
    assert still.to_json()["headroom"] is None


def test_smooth_paths_beat_straight_lines_on_a_bend():
    told = made(bending(), "spline-cfm", "ot-cfm")
    smooth, straight = told["summary"]
    assert smooth["verdict"] == "better"
    assert smooth["against_line"] < straight["against_line"] - 0.2
    assert {row["held_out"] for row in told["times"]} == {"1", "2", "3"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    words = "\n".join(report_words.lines(told))
    assert "clearly better than straight lines" in words
    assert "noise-floor" in words


def test_a_steady_drift_is_predicted_no_better_than_by_straight_lines():
    (told,) = made(drifting(200, times=(0.0, 1.0, 3.0, 4.0), dim=2), "ot-cfm")["summary"]
    assert (told["verdict"], told["finds_motion"]) == ("no-better", True)
    assert told["headroom"] > 0.7


def test_checks_turn_out_as_they_must():
    told = made(bending(), "ot-cfm", checks=True)
    found = {one["name"]: one for one in told["nulls"]}
    assert set(found) == {"permuted", "reversed", "split"}
    assert found["permuted"]["passed"]
    assert found["split"]["passed"]
    assert found["split"]["moved"] < found["split"]["step"]
    assert found["reversed"]["finds_motion"]
    assert "rests on the time labels" in report_words.null_words(found["reversed"])


def test_two_times_cannot_be_tested():
    told = made(drifting(60, times=(0.0, 1.0)), "ot-cfm", checks=True)
    (summary,) = told["summary"]
    assert (summary["verdict"], summary["w1_mean"]) == ("untestable", None)
    assert "only two time points" in summary["verdict_text"]
    assert [one["name"] for one in told["nulls"]] == ["split"]
    assert "only two time points" in "\n".join(report_words.lines(told))


def test_a_time_with_few_cells_is_said_and_left_out():
    shots = drifting(60, times=(0.0, 1.0, 2.0, 3.0))
    few = np.concatenate([shots.rows(0), shots.rows(1)[:12], shots.rows(2), shots.rows(3)])
    thin = from_arrays(shots.states[few], shots.times[few], unit="day")
    told = made(thin, "ot-cfm")
    assert told["summary"][0]["verdict"] == "untestable"
    assert [row["verdict"] for row in told["times"]] == ["untestable", "untestable"]
    assert "only 12 cells" in told["times"][0]["verdict_text"]


def test_types_and_genes_are_looked_at():
    shots = bending()
    groups = (shots.states[:, 1] > np.median(shots.states[:, 1])).astype(np.int64)
    basis = fit_basis(shots.states @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), shots.states, "abc")
    told = made(shots, "spline-cfm", look=Look(groups, ("low", "high"), basis))
    assert {row["type"] for row in told["types"]} <= {"low", "high"}
    assert all(row["n_cells"] >= 20 for row in told["types"])
    first = [row for row in told["genes"] if row["held_out"] == "2"]
    assert {row["gene"] for row in first} <= set("abc")
    assert all(row["model"] < row["copy"] for row in first)


def test_the_first_recipe_alone_has_an_ensemble():
    shots = bending(60)
    configs = tuple(TrainConfig(name, QUICK, members=3) for name in ("ot-cfm", "i-cfm"))
    found = report.make(shots, Plan(configs, (1,), seeds=2, null_checks=False), Look())
    members = {name: [one.task.config.members for one in trials] for name, trials in found.trials.items()}
    assert list(members.values()) == [[3, 1], [1, 1]]
    assert found.calibration.n_values == 6
    assert "80 % bands" in report_words.calibration_words(
        report.to_json(found, data={}, protocol={})["calibration"]
    )


def test_processes_give_the_same_report():
    shots = bending(60)
    plan = Plan((TrainConfig("ot-cfm", QUICK),), (1, 2, 3), null_checks=False)
    alone = report.to_json(report.make(shots, plan, Look()), data={}, protocol={})
    with farm(workers=2) as run:
        together = report.to_json(report.make(shots, plan, Look(), run=run), data={}, protocol={})
    for one in (*alone["rows"], *together["rows"], *alone["summary"], *together["summary"]):
        one.pop("train_seconds")
    assert together == alone


def test_exact_distances_are_those_of_the_protocol():
    shots = bending(60)
    plan = Plan((TrainConfig("ot-cfm", QUICK),), (2,), null_checks=False)
    told = report.to_json(report.make(shots, plan, Look(exact=True)), data={}, protocol={})
    task = holdout.Task(TrainConfig("ot-cfm", QUICK), 2)
    assert told["rows"][0]["w1"] == holdout.score(shots, task).w1
    assert told["baselines"][0]["w1"] == holdout.baselines(shots, 2)[0].w1
    assert "up to 5,000 cells a side" in told["protocol"]["distance"]


def test_shuffled_and_reversed_times_keep_the_cells():
    shots = drifting(40, times=(0.0, 1.0, 4.0))
    mixed = nulls.permuted(shots, seed=3)
    assert np.bincount(mixed.time_index).tolist() == np.bincount(shots.time_index).tolist()
    assert (mixed.time_index != shots.time_index).any()
    turned = nulls.backwards(shots)
    assert turned.axis.values.tolist() == [0.0, 3.0, 4.0]
    np.testing.assert_array_equal(turned.at(0), shots.at(2))
    np.testing.assert_array_equal(turned.at(1), shots.at(1))
    assert nulls.thinned(shots, 10).axis.n_cells == (10, 10, 10)
