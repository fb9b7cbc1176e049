"""The gene network as a model: it finds a small known network, and can be read and saved."""

import numpy as np
import pytest
import torch

from dynamics.errors import DataError, ModelError
from dynamics.jacobian import mean_jacobian
from dynamics.regulation import Panel, correlations
from dynamics.snapshots import from_arrays
from models import checkpoint
from models.config import TrainConfig
from models.objectives import grn_ode
from models.train import fit
from tests.dynamics import networks
from tests.dynamics.networks import EDGES, GENES


@pytest.fixture(scope="module")
def snapshots():
    _, states, times = networks.course(GENES, EDGES, each=120)
    return from_arrays(states, times, unit="day", rep="X_genes")


@pytest.fixture(scope="module")
def model(snapshots):
    return fit(snapshots, TrainConfig("grn-ode", {"steps": 300, "regulators": 7}))


def true_table():
    table = np.zeros((len(GENES), len(GENES)))
    for edge in EDGES:
        table[GENES.index(edge.regulator), GENES.index(edge.target)] = edge.sign
    return table


def average_precision(strength):
    apart = ~np.eye(len(GENES), dtype=bool)
    true = (true_table() != 0)[apart][np.argsort(-np.abs(strength)[apart], kind="stable")]
    return float(np.mean(np.cumsum(true)[true] / (np.flatnonzero(true) + 1)))


def test_it_finds_the_network_better_than_correlation(model, snapshots):
    every = np.arange(len(GENES))
    plain, _ = correlations(snapshots.states, Panel(GENES, snapshots.states, every, every))
    assert average_precision(model.network()) > average_precision(np.nan_to_num(plain)) + 0.1
    edges = (true_table() != 0) & ~np.eye(len(GENES), dtype=bool)
    assert (np.sign(model.network()) == true_table())[edges].mean() > 0.7


def test_the_number_of_regulators_is_told_by_held_out_pairs_or_set(snapshots):
    chosen = fit(snapshots, TrainConfig("grn-ode", {"steps": 20}))
    n = chosen.summary["figures"]["regulators_per_gene"]
    assert n in grn_ode.SIZES
    set_by_hand = fit(snapshots, TrainConfig("grn-ode", {"steps": 20, "regulators": 2}))
    assert ((set_by_hand.network() != 0).sum(axis=0) <= 2).all()


def test_genes_that_do_not_regulate_have_no_effect_on_the_motion(snapshots):
    few = fit(snapshots, TrainConfig("grn-ode", {"steps": 50, "regulators": 1}))
    jacobian = mean_jacobian(few, 1.0, snapshots.states[::10])
    absent = (few.network().T == 0) & ~np.eye(len(GENES), dtype=bool)
    assert np.abs(jacobian[absent]).max() < 1e-7
    assert (np.abs(jacobian[~absent]) > 0).all()


def test_without_production_every_gene_decays_to_its_mean(snapshots):
    model = fit(snapshots, TrainConfig("grn-ode", {"steps": 10}))
    model.net.production.weight.zero_()
    model.net.production.bias.zero_()
    high = torch.from_numpy(snapshots.states.max(axis=0, keepdims=True))
    assert (model(1.0, high) < 0).all()


def test_an_ensemble_shares_the_network_and_is_saved_with_it(snapshots, tmp_path):
    model = fit(snapshots, TrainConfig("grn-ode", {"steps": 30}, members=2))
    checkpoint.save(model, tmp_path / "m.safetensors")
    again = checkpoint.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.network(), model.network())
    x = torch.from_numpy(snapshots.states[:20].copy())
    for one, other in zip(again.members, model.members, strict=True):
        assert torch.equal(one(1.0, x), other(1.0, x))


def test_other_models_have_no_network_and_too_many_genes_are_refused(snapshots):
    plain = fit(snapshots, TrainConfig("ot-cfm", {"steps": 10}))
    with pytest.raises(ModelError, match="no gene network"):
        plain.network()
    wide = from_arrays(np.random.default_rng(0).standard_normal((40, 201)), np.repeat([0.0, 1.0], 20))
    with pytest.raises(DataError, match="up to 200 dimensions"):
        fit(wide, TrainConfig("grn-ode"))
