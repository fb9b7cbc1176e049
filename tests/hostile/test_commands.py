"""Arguments that nobody in good faith would give: a plain line, exit code 2, nothing written, nothing run."""

import os

import pytest

from cli import main
from dynamics import read
from tests.ui.test_pages_models import course

LONG = "9" * 5000
TRAIN = (
    ("--set", "steps=nan"),
    ("--set", "steps=1e999"),
    ("--set", f"steps={LONG}"),
    ("--set", "steps=True"),
    ("--set", "__class__=1"),
    ("--set", "=1"),
    ("--set", "steps"),
    ("--set", 'pairing=__import__("os").system("true")'),
    ("--set", f"pairing={LONG}"),
    ("--method", "__class__"),
    ("--method", "../x"),
    ("--members", "1000000"),
    ("--members", "-1"),
    ("--seed", "-1"),
    ("--seed", LONG[:4000]),
    ("--dims", "0"),
    ("--dims", "99999999999"),
    ("--time-key", "__class__"),
    ("--time-key", "../../etc/passwd"),
    ("--time-values", "0=1e999"),
    ("--time-values", "0=1e308,1=-1e308,3=0"),
    ("--time-values", "0=0,1=1e-300,3=1"),
    ("--time-values", "x" * 100_000),
    ("--time-values", "="),
    ("--rep", "../x"),
    ("--rep", "\x1b[2J"),
)
PREPARE = ("[" * 100_000, "NaN", "1e999", '{"a": 1}', "[1, 2]", "x" * 100_000, LONG, "true", "-1", '"../x"')


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    read.write_h5ad(course(cells=20), path)
    return path


def refused(capsys, *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert len(said) < 600
    assert said.strip().isprintable()
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("given", TRAIN, ids=lambda given: f"{given[0]} {given[1]:.20}")
def test_hostile_settings_are_refused_in_a_line(file, tmp_path, capsys, given):
    refused(capsys, "train", file, "-o", tmp_path / "m.safetensors", *given)
    assert os.listdir(tmp_path) == []


def test_hostile_settings_of_preparation_are_refused_in_a_line(file, tmp_path, capsys):
    for value in PREPARE:
        refused(capsys, "prepare", file, "-o", tmp_path / "p.h5ad", "--set", f"n_top_genes={value}")
    refused(capsys, "prepare", file, "-o", tmp_path / "p.h5ad", "--set", "__class__={}")
    assert os.listdir(tmp_path) == []


def test_an_input_is_never_replaced_by_the_output(file, capsys):
    before = file.read_bytes()
    again = file.with_name("link.h5ad")
    again.symlink_to(file)
    for output in (file, again, file.parent):
        refused(capsys, "train", file, "-o", output)
        refused(capsys, "prepare", file, "-o", output)
    assert file.read_bytes() == before


def test_times_that_nothing_can_be_predicted_for_are_refused(file, tmp_path, capsys):
    model, out = tmp_path / "m.safetensors", tmp_path / "s.h5ad"
    assert (
        main(["train", str(file), "-o", str(model), "--set", "steps=10", "--method", "ot-cfm", "--quiet"])
        == 0
    )
    for times in ("nan", "inf", ",", "1e308", "-1e308,1e308", "0,1e15", "x" * 10_000):
        refused(capsys, "simulate", file, model, "-o", out, "--extrapolate", f"--times={times}")
    for more in (["--from=nan"], ["--from=1e308"], ["--cells=x"], ["--cells=="], [f"--cells=day={LONG}"]):
        refused(capsys, "simulate", file, model, "-o", out, *more)
    refused(capsys, "simulate", file, file, "-o", out)
    refused(capsys, "simulate", model, model, "-o", out)
    assert not out.exists()
