"""What is extrapolated is marked, and what is not is left alone."""

import numpy as np
import pytest
from scipy.sparse.linalg import svds

from dynamics import basis, demo, roles, snapshots
from dynamics.integrate import integrate
from dynamics.projection import Placement
from dynamics.read import read_h5ad
from dynamics.snapshots import from_arrays
from models.config import TrainConfig
from models.train import fit

MOST_FALSE, LEAST_TRUE = 0.02, 0.95


def falsely_marked(states: np.ndarray, *, folds: int = 10) -> float:
    """Share of cells that count as off the data by the other nine tenths of the cells."""
    fold = np.random.default_rng(0).integers(0, 10, len(states))
    parts = [(states[fold != k], states[fold == k]) for k in range(folds)]
    off = [Placement(others, others[:, :2]).distance(own) > 1 for others, own in parts]
    return float(np.concatenate(off).mean())


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    times = np.repeat([0.0, 1.0, 2.0], 300)
    states = rng.standard_normal((900, 2)) * 0.3 + times[:, None] * [2.0, 0.0]
    return from_arrays(states, times, unit="day")


def test_twice_beyond_the_last_time_nearly_all_is_marked(toy):
    model = fit(toy, TrainConfig("ot-cfm", {"steps": 200}))
    support = Placement(toy.states, toy.states)
    far = integrate(model, toy.states[:300], [0.0, 2.0, 4.0], support=support, unit="day")
    assert far.beyond.tolist() == [False, False, True]
    assert (~far.inside[-1]).mean() >= LEAST_TRUE, "by the distance to measured cells alone"
    assert "have left the measured cells" in far.message
    assert "nothing measured supports it" in far.message
    assert far.inside[1].mean() >= 1 - LEAST_TRUE, "within the measured times most stay among the cells"


def test_a_model_that_stands_still_is_marked_by_time(toy):
    """Also where nothing leaves the cells, a time that nobody measured is told."""
    still = fit(toy, TrainConfig("ot-cfm", {"steps": 10}))
    still.net.heads["velocity"].weight.zero_()
    still.net.heads["velocity"].bias.zero_()
    found = integrate(still, toy.states[:300], [0.0, 4.0], support=Placement(toy.states, toy.states))
    assert found.inside.all()
    assert found.beyond.tolist() == [False, True]
    assert "nothing measured supports it" in found.message


def test_measured_cells_are_not_marked(toy):
    assert falsely_marked(toy.states) <= MOST_FALSE


def components(adata) -> np.ndarray:
    """Leading principal components of log counts per 10,000, (n, 20)."""
    values = np.asarray(basis.log_expression(adata, roles.detect(adata)).todense(), np.float32)
    values -= values.mean(axis=0)
    left, size, _ = svds(values, k=20, random_state=0)
    return np.ascontiguousarray(left * size, np.float32)


@pytest.mark.slow
def test_cells_of_the_demo_are_not_marked():
    data = demo.make_demo("branching")
    assert falsely_marked(components(data), folds=1) <= MOST_FALSE


@pytest.mark.data
@pytest.mark.parametrize("name", ["eb_phate2d", "celegans_embryo_counts"])
def test_real_cells_are_not_marked(shared_data, name):
    adata = read_h5ad(shared_data / f"{name}.h5ad")
    picked = roles.detect(adata)
    states = components(adata) if picked.rep is None else snapshots.from_anndata(adata, picked).states
    assert falsely_marked(states) <= MOST_FALSE
