"""The command fates: what it writes, says and refuses."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cli import main
from dynamics import read, roles, snapshots
from models import checkpoint
from models.config import TrainConfig
from models.train import fit


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A course of two groups that part, with names that need care, and an ensemble of three trained on it."""
    folder = tmp_path_factory.mktemp("fates")
    rng = np.random.default_rng(0)
    days = np.repeat([0.0, 1.0, 2.0], 60)
    states = rng.normal(size=(180, 3)).astype(np.float32) / 3
    side = np.tile(np.repeat([-1, 1], 30), 3)
    states[:, 0] += side * (1 + days)
    kinds = np.where(days < 2, "start", np.where(side > 0, "right, one", "=left"))
    obs = pd.DataFrame({"day": days, "cell_type": pd.Categorical(kinds)}, index=[f"c{k}" for k in range(180)])
    obs["clone"] = [f"k{k % 30 + 30 * (s > 0)}" for k, s in zip(range(180), side, strict=True)]
    obs.loc["c7", "day"] = np.nan
    adata = AnnData(obs=obs, obsm={"X_pca": states, "X_umap": states[:, :2].copy()})
    read.write_h5ad(adata, folder / "data.h5ad")
    shots = snapshots.from_anndata(adata, roles.detect(adata))
    model = fit(shots, TrainConfig("ot-cfm", {"steps": 100}, members=3))
    checkpoint.save(model, folder / "model.safetensors")
    return folder


def run(folder, *words, code=0):
    given = ["fates", str(folder / "data.h5ad"), str(folder / "model.safetensors"), *map(str, words)]
    assert main([*given, "-o", str(folder / "out.h5ad")]) == code


def test_fates_are_written_under_the_fields_names(files, tmp_path, capsys):
    run(files, "--json", tmp_path / "told.json", "--csv", tmp_path / "cells.csv")
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["names"] == ["=left", "right, one"]
    assert told["n_members"] == 3
    assert told["growth"] == "none"
    assert {row["type"] for row in told["types"]} == {"start", "=left", "right, one"}
    out = anndata.read_h5ad(files / "out.h5ad")
    fates = out.obsm["fate_probabilities"]
    assert fates.shape == (180, 2)
    assert np.isnan(fates[7]).all()
    known = np.arange(180) != 7
    np.testing.assert_allclose(fates[known].sum(axis=1), 1)
    side = out.obsm["X_pca"][:, 0] > 0
    assert ((fates[:, 1] > 0.5) == side)[known].mean() > 0.97
    assert list(out.uns["fate_probabilities_names"]) == told["names"]
    np.testing.assert_array_equal(out.obsm["lineages_fwd"], fates)
    assert list(out.obs["term_states_fwd"].cat.categories) == told["names"]
    ours = out.uns["driftscope"]["fates"]
    assert (ours["low"][known] <= fates[known] + 1e-9).all()
    assert json.loads(ours["terminal_states"])["states"][0]["name"] == "=left"
    assert "wrote" in capsys.readouterr().out


def test_the_table_is_safe_for_spreadsheets(files, tmp_path):
    run(files, "--csv", tmp_path / "cells.csv", "--quiet")
    table = pd.read_csv(tmp_path / "cells.csv")
    assert len(table) == 179
    assert "'=left" in table.columns
    assert "'=left low" in table.columns
    assert "'=left" in set(table["type"])
    for line in (tmp_path / "cells.csv").read_text().splitlines():
        assert not line.startswith("=")
        assert ",=" not in line


def test_terminal_states_are_named_or_come_from_a_file(files, tmp_path, capsys):
    words = ("--terminal", "A=cell_type:right, one", "--terminal", "B=cell_type:=left")
    run(files, *words, "--json", tmp_path / "told.json")
    told = json.loads((tmp_path / "told.json").read_text())
    assert [(one["name"], one["source"]) for one in told["terminal_states"]] == [("A", "hand"), ("B", "hand")]
    kept = anndata.read_h5ad(files / "out.h5ad").uns["driftscope"]["fates"]["terminal_states"]
    (tmp_path / "states.json").write_text(kept)
    run(files, "--terminal", tmp_path / "states.json", "--json", tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["mean"] == told["mean"]
    capsys.readouterr()


def test_clones_are_scored_beside_their_ceiling(files, tmp_path):
    run(files, "--json", tmp_path / "told.json")
    (first, second) = json.loads((tmp_path / "told.json").read_text())["clones"]
    assert "cannot be scored" in first["refused"]
    assert "10 are needed" in second["refused"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--terminal", "A"), "NAME=COLUMN:VALUE"),
        (("--terminal", "A=cell_type:none"), "No cell has cell_type"),
        (("--terminal", "A=cell_type:start"), "No cell of the last time"),
        (("--terminal", "A=cell_type:=left"), "at least two terminal states"),
        (("--terminal", "none.json"), "There is no file"),
        (("--growth", "model"), "knows no growth"),
        (("--growth", "genes"), "no genes"),
    ],
)
def test_what_cannot_be_done_is_said(files, capsys, words, said):
    run(files, *words, code=2)
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ")


def test_other_tools_fates_are_left_as_they_are(files):
    adata = anndata.read_h5ad(files / "data.h5ad")
    adata.obsm["lineages_fwd"] = np.ones((180, 4))
    read.write_h5ad(adata, files / "other.h5ad")
    given = ["fates", str(files / "other.h5ad"), str(files / "model.safetensors"), "--quiet"]
    assert main([*given, "-o", str(files / "again.h5ad")]) == 0
    out = anndata.read_h5ad(files / "again.h5ad")
    assert (out.obsm["lineages_fwd"] == 1).all()
    assert "driftscope_fate_probabilities" in out.obsm
    given[1] = str(files / "again.h5ad")
    assert main([*given, "-o", str(files / "third.h5ad")]) == 0
    assert set(anndata.read_h5ad(files / "third.h5ad").obsm) == set(out.obsm)
