"""The command perturb: what it writes, says and refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cli import main
from dynamics import basis, read, roles, snapshots
from models import checkpoint
from models.config import TrainConfig
from models.train import fit


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A course of two groups that part, with genes along the states, and an ensemble of two trained on it."""
    folder = tmp_path_factory.mktemp("perturb")
    rng = np.random.default_rng(0)
    days = np.repeat([0.0, 1.0, 2.0], 60)
    states = rng.normal(size=(180, 3)).astype(np.float32) / 3
    side = np.tile(np.repeat([-1, 1], 30), 3)
    states[:, 0] += side * (0.3 + days)
    kinds = np.where(days < 2, "start", np.where(side > 0, "right, one", "=left"))
    obs = pd.DataFrame({"day": days, "cell_type": pd.Categorical(kinds)}, index=[f"c{k}" for k in range(180)])
    loadings = rng.normal(size=(3, 24)) * np.array([[0.1], [1], [1]])
    loadings[:, 0] = 1, 0, 0
    genes = np.clip(3 + states @ loadings + rng.normal(0, 0.1, (180, 24)), 0.01, None).astype(np.float32)
    names = ["=Drive", *(f"Other{k}" for k in range(23))]
    adata = AnnData(genes, obs=obs, var=pd.DataFrame(index=names), obsm={"X_pca": states})
    read.write_h5ad(adata, folder / "data.h5ad")
    picked = roles.detect(adata)
    shots = snapshots.from_anndata(adata, picked)
    config = TrainConfig("ot-cfm", {"steps": 150}, members=2)
    checkpoint.save(
        fit(shots, config, basis=basis.from_anndata(adata, picked, shots)), folder / "m.safetensors"
    )
    checkpoint.save(fit(shots, TrainConfig("ot-cfm", {"steps": 10})), folder / "bare.safetensors")
    return folder


def run(folder, *words, code=0, model="m"):
    given = [str(folder / "data.h5ad"), str(folder / f"{model}.safetensors")]
    assert main(["perturb", *given, *map(str, words)]) == code


def test_a_gene_is_changed_and_what_comes_of_it_is_written(files, tmp_path, capsys):
    ask = ("--gene", "=Drive=+0.5", "--cells", "day=0.0", "--move", "loading")
    given = ("-o", tmp_path / "out.csv", "--json", tmp_path / "told.json", "--h5ad", tmp_path / "out.h5ad")
    run(files, *ask, *given)
    told = json.loads((tmp_path / "told.json").read_text())
    change = {row["fate"]: row["change"] for row in told["fates"]}
    assert change["right, one"] > 0.05
    assert change["=left"] == pytest.approx(-change["right, one"], abs=1e-6)
    assert told["n_cells"] == 60
    assert told["n_members"] == 2
    assert told["perturbation"]["changes"][0] == {"gene": "=Drive", "kind": "shift", "sd": 0.5}
    assert 20 <= len(told["random_genes"]) <= 23
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table["fate"]) == ["'=left", "right, one"]
    within = read.read_h5ad(tmp_path / "out.h5ad")
    followed = (within.obs["day"] == 0.0).to_numpy()
    by_cell = within.obsm["fate_change"]
    assert np.isnan(by_cell[~followed]).all()
    assert by_cell[followed].mean(axis=0) == pytest.approx([change["=left"], change["right, one"]], abs=1e-6)
    assert list(within.uns["driftscope"]["perturb"]["table"]["fate"]) == ["=left", "right, one"]
    said = capsys.readouterr().out
    assert "in 60 cells moves fates" in said
    assert "not its result" in said


def test_a_screen_ranks_all_genes(files, tmp_path, capsys):
    ask = ("--screen", "--fate", "right, one", "--gene", "any=down", "--cells", "day=0.0")
    run(files, *ask, "-o", tmp_path / "out.csv", "--h5ad", tmp_path / "out.h5ad")
    kept = read.read_h5ad(tmp_path / "out.h5ad").uns["driftscope"]["perturb"]
    assert kept["fate"] == "right, one"
    table = pd.read_csv(tmp_path / "out.csv")
    assert 20 <= len(table) == len(kept["table"]) <= 24
    assert "'=Drive" in set(table["gene"])
    assert f"{len(table)} genes tried on 60 cells" in capsys.readouterr().out


def test_other_starting_cells_need_no_genes(files, tmp_path):
    ask = ("--cells", "day=0.0", "--instead", "cell_type=right, one", "--json", tmp_path / "told.json")
    run(files, *ask, model="bare")
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["fates"][1]["after"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("words", "said", "model"),
    [
        ((), "Nothing is asked", "m"),
        (("--gene", "Nobody"), "not among the model", "m"),
        (("--gene", "Other1=never"), "is no perturbation", "m"),
        (("--screen",), "name it with --fate", "m"),
        (("--screen", "--fate", "up"), "There is no fate 'up'", "m"),
        (("--gene", "Other1"), "trained without genes", "bare"),
        (("--gene", "Other1", "--instead", "day=0.0"), "leave out", "m"),
        (("--gene", "Other1", "--dose", "2"), "from 0 to 1", "m"),
    ],
)
def test_what_cannot_be_asked_is_said(files, capsys, words, said, model):
    run(files, *words, code=2, model=model)
    assert said in capsys.readouterr().err
