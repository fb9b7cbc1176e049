"""Growth and unbalanced pairing: closed forms, invariances, and a simulation with known growth."""

import numpy as np
import pytest
import torch
from clouds import drifting
from scipy.stats import pearsonr, spearmanr

from dynamics import growth
from dynamics.errors import DataError, ModelError, SettingsError
from dynamics.snapshots import Snapshots, from_arrays
from models.config import TrainConfig
from models.inputs import complete, needs_genes
from models.objectives.unbalanced import _RowMasses, expected_masses
from models.train import fit

COUNTS = {"numbers": "counts", "steps": 300}


def doubling(times=(0.0, 1.0, 2.0), *, n: int = 100, apart: float = 8.0, seed: int = 0) -> Snapshots:
    """Two groups of cells at rest; the cells of the second double in every interval."""
    rng = np.random.default_rng(seed)
    states, labels = [], []
    for k, t in enumerate(times):
        cells = rng.normal(size=(n + n * 2**k, 2)) * 0.5
        cells[n:, 0] += apart
        states.append(cells)
        labels += [t] * len(cells)
    return from_arrays(np.concatenate(states), np.array(labels), unit="day")


def rates(model, t: float) -> tuple[float, float]:
    """Growth rate in the middle of either group."""
    return tuple(float(r) for r in growth.growth_rate(model, t, np.array([[0.0, 0.0], [8.0, 0.0]])))


def errors(model, snapshots) -> list[float]:
    sizes = snapshots.axis.n_cells
    weights = growth.follow(model, snapshots.at(0), snapshots.axis.values).weights / sizes[0]
    return [growth.relative_mass_error(row, n, sizes[0]) for row, n in zip(weights, sizes, strict=True)]


@pytest.fixture(scope="module")
def grown():
    return fit(doubling(), TrainConfig("growth-cfm", COUNTS))


def test_a_group_that_doubles_is_told_from_one_that_rests(grown):
    for t in (0.3, 1.0, 1.6):
        rest, double = rates(grown, t)
        assert rest == pytest.approx(0, abs=0.08)
        assert double == pytest.approx(np.log(2), abs=0.08)
    assert max(errors(grown, doubling())) < 0.03
    found = grown.summary["figures"]
    np.testing.assert_allclose(found["total_mass"], [1, 1.5, 2.5], rtol=0.03)
    np.testing.assert_allclose(found["relative_mass_error"], errors(grown, doubling()), atol=5e-3)
    assert found["knee"]["reg_m"][0] == pytest.approx(0.1)
    assert grown.summary["couplings"][0]["reg_m"] == found["reg_m"]


def test_cells_at_rest_stay_where_they_are(grown):
    x = torch.tensor([[0.0, 0.0], [8.0, 0.0]])
    assert grown(0.5, x).abs().max() < 0.25


def test_uniform_growth_is_exact_and_follows_uneven_gaps():
    """One cloud at rest that grows at 0.4 a day, measured after a quarter of a day and after two more."""
    rng = np.random.default_rng(0)
    times = np.array([0.0, 0.25, 2.25])
    sizes = np.round(200 * np.exp(0.4 * times)).astype(int)
    states = rng.normal(size=(sizes.sum(), 2))
    snapshots = from_arrays(states, np.repeat(times, sizes))
    model = fit(snapshots, TrainConfig("growth-cfm", {"numbers": "counts", "reg_m": 1e4, "steps": 200}))
    x = states[:50].astype(np.float32)
    for t in (0.1, 0.25, 0.3, 1.0, 2.0):
        np.testing.assert_allclose(growth.growth_rate(model, t, x), 0.4, atol=0.01)
    assert max(errors(model, snapshots)) < 0.01


def test_growth_follows_the_unit_of_time(grown):
    hours = fit(doubling((0.0, 32.0, 64.0)), TrainConfig("growth-cfm", COUNTS))
    np.testing.assert_allclose(np.array(rates(hours, 16.0)) * 32, rates(grown, 0.5), atol=1e-3)


def test_without_meaning_numbers_growth_is_relative():
    snapshots = doubling((0.0, 1.0))
    model = fit(snapshots, TrainConfig("growth-cfm", {"steps": 300}))
    rest, double = rates(model, 0.5)
    assert double - rest == pytest.approx(np.log(2), abs=0.1)
    assert model.summary["figures"]["numbers"] == "ignore"
    np.testing.assert_allclose(model.summary["figures"]["total_mass"], 1, atol=0.02)
    assert "relative_mass_error" not in model.summary["figures"]
    assert "relative" in model.summary["figures"]["growth_means"]


def test_captured_numbers_do_not_matter_where_they_are_ignored():
    snapshots = doubling((0.0, 1.0), n=200)
    half = np.flatnonzero((snapshots.times == 0) | (np.arange(snapshots.n_cells) % 2 == 0))
    fewer = from_arrays(snapshots.states[half], snapshots.times[half])
    whole, part = (fit(s, TrainConfig("growth-cfm", {"steps": 300})) for s in (snapshots, fewer))
    np.testing.assert_allclose(rates(part, 0.5), rates(whole, 0.5), atol=0.1)


def with_prior(snapshots: Snapshots) -> Snapshots:
    prior = np.where(snapshots.states[:, 0] > 4, np.log(2.0), 0.0)
    return Snapshots(
        snapshots.states.copy(),
        snapshots.time_index.copy(),
        snapshots.axis,
        snapshots.cells.copy(),
        snapshots.rep,
        prior,
    )


@pytest.mark.parametrize("numbers", ["counts", "ignore"])
def test_growth_from_genes_is_kept(numbers):
    snapshots = with_prior(doubling())
    config = TrainConfig("growth-cfm", {"numbers": numbers, "growth_from": "genes", "steps": 300})
    model = fit(snapshots, config)
    rest, double = rates(model, 0.5)
    assert double - rest == pytest.approx(np.log(2), abs=0.08)
    if numbers == "counts":
        assert rest == pytest.approx(0, abs=0.08)
        assert max(errors(model, snapshots)) < 0.03
    assert model.summary["figures"]["reg_m"] is None


def test_growth_from_genes_needs_genes():
    config = TrainConfig("growth-cfm", {"growth_from": "genes"})
    assert needs_genes(config)
    assert not needs_genes(TrainConfig("growth-cfm"))
    assert not needs_genes(TrainConfig("ot-cfm"))
    with pytest.raises(DataError, match="cell-cycle and apoptosis genes"):
        fit(doubling(), config)
    assert complete(doubling(), TrainConfig("growth-cfm"), adata=None, roles=None).prior_growth is None


def test_expected_masses_do_not_overflow_and_sum_to_the_numbers():
    class Given:
        times = np.array([0.0, 900.0])
        states = (np.zeros((3, 1)), np.zeros((6, 1)))
        prior_growth = (np.array([1.0, 1.0, -1.0]), None)
        n_intervals = 1

    np.testing.assert_allclose(expected_masses(Given, counted=True)[0], [3, 3, 0], atol=1e-9)
    np.testing.assert_allclose(expected_masses(Given, counted=False)[0], [1.5, 1.5, 0], atol=1e-9)


def test_weights_of_paths_follow_the_masses():
    """Weighted draws have the population's size at each position, and its mean growth."""
    mass = np.array([0.1, 1.0, 1.0, 4.0])
    rng = np.random.default_rng(0)
    n = 200_000
    for centred in (False, True):
        masses = _RowMasses(mass, centred=centred)
        rows = rng.choice(4, n, p=0.5 / 4 + 0.5 * mass / mass.sum())
        for s in (0.0, 0.4, 1.0):
            rate, weight = masses(rows, np.full(n, s))
            share = np.bincount(rows, weight, minlength=4) / n
            np.testing.assert_allclose(share, mass**s / (mass**s).sum(), atol=5e-3)
            assert weight.max() <= 2 * mass.size
            if centred:
                assert (weight * rate).mean() == pytest.approx(0, abs=0.02)
            else:
                np.testing.assert_allclose(rate, np.log(mass)[rows])


def test_a_model_without_growth_says_so():
    model = fit(drifting(60), TrainConfig("ot-cfm", {"steps": 10}))
    assert not model.has_growth
    with pytest.raises(ModelError, match=r"knows no growth.*growth-cfm"):
        model.growth(0.0, torch.zeros(2, 3))


def test_a_growing_model_is_asked_at_one_time_or_at_one_each(grown):
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(0, 2, 5)
    each = torch.cat([grown.growth(float(t), row[None]) for t, row in zip(times, x, strict=True)])
    torch.testing.assert_close(grown.growth(times, x), each)
    assert grown.growth(1.0, x).shape == (5,)


@pytest.mark.parametrize("method", ["growth-cfm", "uot-cfm"])
@pytest.mark.parametrize(
    ("sizes", "times"),
    [((1, 1), (0, 1)), ((1, 30, 1), (0, 1, 300)), ((40, 3, 60), (0, 0.01, 5)), ((5,) * 12, range(12))],
)
def test_odd_data_can_be_trained_on(method, sizes, times):
    rng = np.random.default_rng(0)
    snapshots = from_arrays(rng.normal(size=(sum(sizes), 2)), np.repeat(np.array(times, float), sizes))
    settings = {"steps": 20} | ({"numbers": "counts"} if method == "growth-cfm" else {})
    model = fit(snapshots, TrainConfig(method, settings))
    assert torch.isfinite(model(0.5, torch.zeros(3, 2))).all()


def test_unbalanced_pairs_leave_a_group_that_vanishes_behind():
    """A third of the early cells has no counterpart: balanced pairs carry them across the map."""
    rng = np.random.default_rng(0)
    x0, x1 = rng.normal(size=(300, 2)), rng.normal(size=(200, 2))
    x0[200:, 0] += 12
    snapshots = from_arrays(np.concatenate([x0, x1]), np.repeat([0.0, 1.0], [300, 200]))
    settings = {"uot-cfm": {"strictness": 0.3, "steps": 300}, "ot-cfm": {"steps": 300}}
    moved = {}
    for method, values in settings.items():
        model = fit(snapshots, TrainConfig(method, values))
        moved[method] = float(model(0.1, torch.tensor([[0.0, 0.0]])).norm())
    assert moved["uot-cfm"] < 0.6
    assert (
        fit(snapshots, TrainConfig("uot-cfm", settings["uot-cfm"])).summary["figures"]["paired_mass"][0] < 0.9
    )


@pytest.mark.parametrize(
    ("method", "why"), [("growth-cfm", "also learns growth"), ("uot-cfm", "leaves out cells")]
)
def test_fine_tuning_is_refused(method, why):
    """Simulated onto all cells alike, the velocity would again carry cells from group to group."""
    with pytest.raises(SettingsError, match=f"fine_tune = 10: this method {why}.*Set fine_tune to 0"):
        fit(doubling((0.0, 1.0)), TrainConfig(method, {"steps": 10, "fine_tune": 10}))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="choose one of ignore, counts"):
        fit(doubling(), TrainConfig("growth-cfm", {"numbers": "perhaps"}))


@pytest.mark.parametrize("dims", ["2d", "3d"])
def test_growth_of_a_simulation_is_recovered(shared_data, dims):
    """Division rises with gene X2; defaults only."""
    anndata = pytest.importorskip("anndata")
    data = anndata.read_h5ad(shared_data / f"sim_threegene_growth_{dims}.h5ad")
    values = np.asarray(data.X, float)
    snapshots = from_arrays(values, data.obs["time"].to_numpy(float))
    model = fit(snapshots, TrainConfig("growth-cfm", {"numbers": "counts"}))
    rate = growth.growth_rate(model, snapshots.times, snapshots.states)
    x2 = values[:, 1]
    assert spearmanr(rate, x2)[0] > 0.8
    assert pearsonr(rate, x2**2 / (1 + x2**2))[0] > 0.8
    assert max(errors(model, snapshots)) < 0.05
