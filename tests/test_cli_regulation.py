"""Candidate regulation on the command line."""

import csv
import json

import pytest

import cli
from dynamics import read
from tests.test_cli import answer, course, model  # noqa: F401


def test_edges_are_written_as_json_and_csv(course, model, tmp_path, capsys):  # noqa: F811
    out, within = tmp_path / "edges.csv", tmp_path / "edges.h5ad"
    words = ["--csv", str(out), "--h5ad", str(within), "--stability"]
    told = answer(capsys, "regulation", str(course), str(model), *words)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == len(told["edges"]) == 12 * 11
    assert rows[0]["regulator"] == told["edges"][0]["regulator"]
    kept = read.read_h5ad(within).uns["driftscope"]["regulation"]
    assert list(kept["edges"]["target"]) == [edge["target"] for edge in told["edges"]]
    assert kept["n_cells"] == 180
    assert {row["call"] for row in rows} <= {"candidate activator", "candidate repressor"}
    scores = [abs(edge["score"]) for edge in told["edges"]]
    assert scores == sorted(scores, reverse=True)
    assert "correlation" in told["check"]["sentence"]
    assert told["n_cells"] == 180
    assert {one["time"] for one in told["stability"]["fixed_points"]} == {0, 1, 3}


def test_regulators_a_prior_network_and_cells_can_be_named(course, model, tmp_path, capsys):  # noqa: F811
    names, prior = tmp_path / "tfs.txt", tmp_path / "prior.csv"
    names.write_text("1, 2\nnobody")
    prior.write_text("1,3,activation\n")
    words = ["regulation", str(course), str(model), "--tfs", str(names), "--prior", str(prior)]
    told = answer(capsys, *words, "--cells", "cell_type=up", "--top", "5")
    assert {edge["regulator"] for edge in told["edges"]} <= {"1", "2"}
    assert len(told["edges"]) == 5
    assert told["n_cells"] < 180


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tfs", "nowhere.txt"], "There is no file nowhere.txt"),
        (["--cells", "cell_type=sideways"], "No cell has cell_type"),
    ],
)
def test_what_can_be_mended_is_one_line(course, model, words, said, capsys):  # noqa: F811
    assert cli.main(["regulation", str(course), str(model), *words, "--quiet"]) == 2
    assert said in capsys.readouterr().err


def test_genes_of_a_small_panel_can_be_the_states(course, tmp_path, capsys):  # noqa: F811
    made = tmp_path / "network.safetensors"
    words = ["--method", "grn-ode", "--rep", "X_genes", "--set", "steps=30", "--quiet"]
    assert cli.main(["train", str(course), "-o", str(made), *words]) == 0
    capsys.readouterr()
    told = answer(capsys, "regulation", str(course), str(made), "--rep", "X_genes")
    assert len(told["edges"]) == 12 * 11
    assert json.dumps(told)
