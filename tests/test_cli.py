"""The command line, as scripts use it."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cli
from dynamics import read
from jobs import sandbox
from jobs.nursery import Nursery
from models import train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A small time course with states, a map and genes."""
    rng = np.random.default_rng(0)
    times = np.repeat([0.0, 1.0, 3.0], [80, 85, 15])
    states = rng.normal(size=(180, 6)) * [3, 2, 1, 1, 1, 1]
    states[:, 0] += 4 * times
    genes = np.abs(states @ rng.normal(size=(6, 12))) / 10
    obs = pd.DataFrame({"day": times, "cell_type": pd.Categorical(np.where(states[:, 1] > 0, "up", "down"))})
    obs.index = [f"cell{k}" for k in range(180)]
    adata = AnnData(
        X=genes.astype(np.float32), obs=obs, obsm={"X_pca": states, "X_umap": states[:, :2] + 0.1}
    )
    path = tmp_path_factory.mktemp("cli") / "course.h5ad"
    read.write_h5ad(adata, path)
    return path


@pytest.fixture(scope="module")
def model(course) -> Path:
    path = course.with_name("model.safetensors")
    assert cli.main(["train", str(course), "-o", str(path), "--set", "steps=40", "--quiet"]) == 0
    return path


def answer(capsys, *words: str) -> dict:
    """Run a command with `--json -` and return what it prints."""
    assert cli.main([*words, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_inspect_says_what_the_app_would_detect(course, capsys):
    found = answer(capsys, "inspect", str(course))
    assert (found["n_cells"], found["n_genes"]) == (180, 12)
    assert found["roles"]["time_key"] == "day"
    assert [time["value"] for time in found["roles"]["times"]] == [0, 1, 3]
    assert [time["n_cells"] for time in found["roles"]["times"]] == [80, 85, 15]
    assert found["roles"]["embedding"] == "X_umap"
    few = next(finding for finding in found["findings"] if "15" in finding["message"])
    assert set(few) == {"level", "code", "message", "fix"}


def test_methods_lists_settings_and_references(capsys):
    listed = answer(capsys, "methods")["methods"]
    assert {"ot-cfm", "i-cfm"} <= {method["name"] for method in listed}
    assert all(method["reference"] and method["settings"] for method in listed)


def test_the_same_seed_gives_the_same_file_byte_for_byte(course, model):
    again = course.with_name("again") / "model.safetensors"
    again.parent.mkdir()
    assert cli.main(["train", str(course), "-o", str(again), "--set", "steps=40", "--quiet"]) == 0
    assert again.read_bytes() == model.read_bytes()
    other = course.with_name("other.safetensors")
    words = ["train", str(course), "-o", str(other), "--set", "steps=40", "--seed", "1", "--name", "model"]
    assert cli.main([*words, "--quiet"]) == 0
    assert other.read_bytes() != model.read_bytes()


def test_training_says_what_else_the_motion_may_be(course, capsys):
    words = ["train", str(course), "-o", str(course.with_name("alarmed.safetensors")), "--set", "steps=10"]
    few = next(alarm for alarm in answer(capsys, *words)["alarms"] if "15" in alarm["message"])
    assert set(few) == {"level", "code", "message", "fix"}
    assert cli.main(words) == 0
    assert few["message"] in capsys.readouterr().out


def test_the_members_of_an_ensemble_are_those_asked_for_or_the_usual_ones(course, capsys):
    out = course.with_name("members.safetensors")
    plain = ["train", str(course), "-o", str(out), "--method"]
    words = [*plain, "ot-cfm", "--set", "steps=10"]
    assert answer(capsys, *words)["members"] == 5
    assert answer(capsys, *words, "--members", "2")["members"] == 2
    assert answer(capsys, *words, "--members", "1")["members"] == 1
    assert answer(capsys, *plain, "ot")["members"] == 1
    assert cli.main([*words, "--members", "0"]) == 2
    assert "members = 0: expected a whole number from 1" in capsys.readouterr().err


def test_simulate_predicts_cells_at_the_asked_times(course, model, capsys):
    out = course.with_name("predicted.h5ad")
    words = ["simulate", str(course), str(model), "-o", str(out), "--from", "0", "--times", "0.5,2"]
    answer(capsys, *words, "--cells", "cell_type=up")
    predicted = read.read_h5ad(out)
    n_start = int((read.read_cells(course).obs.query("day == 0")["cell_type"] == "up").sum())
    assert predicted.n_obs == 2 * n_start
    assert "X_pca" in predicted.obsm
    assert predicted.n_vars == 12


def test_simulate_goes_beyond_the_measured_times_only_when_asked(course, model, capsys):
    out = course.with_name("beyond.h5ad")
    words = ["simulate", str(course), str(model), "-o", str(out), "--times", "3,4"]
    assert cli.main(words) == 2
    assert "--extrapolate" in capsys.readouterr().err
    assert not out.exists()
    assert answer(capsys, *words, "--extrapolate")["n_extrapolated"] > 0
    predicted = read.read_h5ad(out)
    assert set(predicted.obs["time"][predicted.obs["extrapolated"]]) == {4.0}


def test_simulate_draws_paths_from_a_model_with_noise(course, model, capsys):
    noisy, out = course.with_name("noisy.safetensors"), course.with_name("drawn.h5ad")
    train = ["train", str(course), "-o", str(noisy), "--method", "sf2m", "--set", "steps=40", "--quiet"]
    assert cli.main(train) == 0
    drawn = []
    for seed in ("1", "1", "2"):
        words = ["simulate", str(course), str(noisy), "-o", str(out), "--stochastic", "--seed", seed]
        assert answer(capsys, *words, "--from", "0")["solver"] == "stochastic"
        drawn.append(read.read_h5ad(out).obsm["X_pca"])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 0
    assert cli.main(["simulate", str(course), str(model), "-o", str(out), "--stochastic"]) != 0
    assert "has no noise" in capsys.readouterr().err


def test_annotate_adds_results_and_keeps_the_input(course, model, capsys):
    out = course.with_name("annotated.h5ad")
    assert (
        "obsm/velocity_umap" in answer(capsys, "annotate", str(course), str(model), "-o", str(out))["added"]
    )
    before, after = read.read_h5ad(course), read.read_h5ad(out)
    assert set(before.obs) < set(after.obs)
    np.testing.assert_array_equal(before.obsm["X_pca"], after.obsm["X_pca"])
    assert after.obsm["velocity_umap"].shape == (180, 2)
    assert after.uns["driftscope"]["method"] == "auto"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "nothing.h5ad"], "nothing.h5ad"),
        (["train", "COURSE", "-o", "OUT", "--method", "magic"], "ot-cfm"),
        (["train", "COURSE", "-o", "OUT", "--set", "stepz=3"], "steps"),
        (["train", "COURSE", "-o", "OUT", "--set", "steps=many"], "steps"),
        (["train", "COURSE", "-o", "OUT", "--time-key", "hour"], "day"),
        (["train", "COURSE", "-o", "OUT", "--dims", "99"], "6"),
        (["train", "COURSE", "-o", "OUT", "--time-values", "soon"], "LABEL=NUMBER"),
        (["simulate", "COURSE", "MODEL", "-o", "OUT", "--cells", "cell_type=blue"], "up"),
        (["simulate", "COURSE", "MODEL", "-o", "OUT", "--times", "soon"], "soon"),
        (["simulate", "COURSE", "MODEL", "-o", "OUT", "--times", "9"], "--extrapolate"),
        (["annotate", "COURSE", "COURSE", "-o", "OUT"], "model"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(words, said, course, model, capsys):
    out = course.with_name("never")
    names = {"COURSE": str(course), "MODEL": str(model), "OUT": str(out)}
    assert cli.main([names.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not out.exists()


def test_interrupting_leaves_nothing_half_written(course, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", interrupted)
    out = course.with_name("interrupted.safetensors")
    assert cli.main(["train", str(course), "-o", str(out)]) == 130
    assert not list(out.parent.glob("*interrupted*"))


def test_help_is_the_manual():
    run = subprocess.run(
        [sys.executable, "cli.py", "train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--time-values" in run.stdout


def test_growth_is_annotated_and_carried_by_predicted_cells(course, tmp_path):
    model, out = str(tmp_path / "m.safetensors"), str(tmp_path / "out.h5ad")
    settings = ["--set", "steps=20", "--set", "numbers=counts"]
    assert cli.main(["train", str(course), "-o", model, "--method", "growth-cfm", "--quiet", *settings]) == 0
    assert cli.main(["annotate", str(course), model, "-o", out, "--quiet"]) == 0
    assert read.read_h5ad(out).obs["growth_rate"].notna().all()
    assert cli.main(["simulate", str(course), model, "-o", out, "--times", "0,1", "--quiet"]) == 0
    weight = read.read_h5ad(out).obs.groupby("time")["weight"].sum()
    assert weight[0.0] == 80
    assert weight[1.0] == pytest.approx(85, rel=0.3)


def test_growth_from_genes_says_which_genes_are_missing(course, tmp_path, capsys):
    words = ["train", str(course), "-o", str(tmp_path / "m.safetensors"), "--method", "growth-cfm"]
    assert cli.main([*words, "--set", "growth_from=genes"]) == 2
    assert "0 of 97 cell-cycle genes" in capsys.readouterr().err


def test_a_damaged_file_is_refused_whatever_it_would_read_as(course, tmp_path, capsys):
    path = tmp_path / "cells.h5ad"
    path.write_bytes(course.read_bytes())
    with h5py.File(path, "a") as file:
        shape = file["X"].shape
        del file["X"]
        made = file.create_dataset("X", shape, "f4", chunks=shape, compression="gzip")
        made.id.write_direct_chunk((0, 0), zlib.compress(bytes(80)))
    assert cli.main(["inspect", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert '"/X"' in said


def test_names_do_not_command_the_terminal(course, tmp_path, capsys):
    adata = read.read_h5ad(course)
    adata.obs["day"] = pd.Categorical(
        adata.obs["day"].map({0.0: "\x1b]0;x\x07 day 0", 1.0: "day 1", 3.0: "day 3"})
    )
    read.write_h5ad(adata, tmp_path / "cells.h5ad")
    assert cli.main(["inspect", str(tmp_path / "cells.h5ad")]) == 0
    assert cli.main(["inspect", str(tmp_path / "cells.h5ad"), "--time-key", "\x1b[31mday"]) == 2
    said = capsys.readouterr()
    assert "day 0" in said.out
    assert "\x1b" not in said.out + said.err


def test_the_story_of_a_failure_is_in_the_log(course, tmp_path, monkeypatch, capsys):
    environment = {"PATH": os.environ["PATH"], "TOY": json.dumps({"fail": "the story"})}
    toys = Nursery("tests.jobs.toy_orders", folder=ROOT, environment=environment)
    monkeypatch.setattr(sandbox, "nursery", lambda: toys)
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    assert cli.main(["inspect", str(course)]) == 2
    toys.close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    number = said.split("under ")[1].split(".")[0]
    kept = (tmp_path / "home" / "cli.log").read_text()
    assert number in kept
    assert "the story" in kept
