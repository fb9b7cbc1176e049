"""Likelihood and density: closed forms on linear flows, agreement of training and read-out, refusals."""

import numpy as np
import pytest
import torch
from clouds import drifting
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from dynamics import growth
from dynamics.errors import DataError, ModelError, TrainingError
from dynamics.snapshots import from_arrays
from models import checkpoint, networks
from models.config import TrainConfig
from models.density import carried_back, log_density
from models.networks import Architecture
from models.objectives.base import Problem
from models.objectives.cnf import Likelihood, LikelihoodSettings, value_and_jacobian
from models.train import fit


class Linear:
    """dx/dt = a x."""

    def __init__(self, a):
        self.dim, self.a = len(a), torch.from_numpy(a)

    def __call__(self, t, x):
        return x @ self.a.T


@pytest.mark.parametrize("t", [0.3, 1.0, 2.5])
def test_the_density_under_a_linear_field_is_that_of_a_gaussian(rng, t):
    a = 0.5 * rng.standard_normal((3, 3))
    x = rng.standard_normal((6, 3))
    times = np.array([0.0, 1.0, 4.0])
    x0, grown = carried_back(Linear(a), torch.from_numpy(x), t=t, times=times)
    flow = expm(t * a)
    known = multivariate_normal(np.zeros(3), flow @ flow.T).logpdf(x)
    found = multivariate_normal(np.zeros(3)).logpdf(x0.numpy()) - grown.numpy()
    np.testing.assert_allclose(found, known, rtol=1e-4)
    np.testing.assert_allclose(grown, t * np.trace(a), rtol=1e-6)


def test_the_jacobian_in_closed_form_is_that_of_torch():
    net = networks.fresh(Architecture(3, 16, 2, {"velocity": 3}), seed=0)
    features, z = torch.linspace(-1, 1, 6), torch.linspace(-2, 2, 15).reshape(5, 3)
    v, jacobian = value_and_jacobian(net, net.heads["velocity"], features, z)
    one = torch.func.vmap(torch.func.jacrev(lambda row: net(features, row)["velocity"]))(z)
    torch.testing.assert_close(v, net(features.expand(5, -1), z)["velocity"])
    torch.testing.assert_close(jacobian, one)


def likelihood(states, **settings):
    arrays = tuple(np.asarray(one, np.float32) for one in states)
    return Likelihood(Problem(arrays, np.arange(len(arrays), dtype=float), 0), LikelihoodSettings(**settings))


def test_a_still_network_gives_the_likelihood_of_the_base(rng):
    states = rng.standard_normal((3, 32, 2)) * 1.5
    objective = likelihood(states, batch=96)
    net = networks.fresh(Architecture(2, 8, 1, {"velocity": 2, "base": 2}), seed=0)
    for head in net.heads.values():
        head.weight.data.zero_()
    batch = {name: value[0] for name, value in objective.draw(rng, steps=1, batch=0).items()}
    known = -multivariate_normal(np.zeros(2)).logpdf(states.reshape(-1, 2)).mean() / 2
    assert float(objective.loss(net, batch).detach()) == pytest.approx(known, rel=1e-5)


def test_training_and_read_out_agree_on_the_likelihood():
    """The solver's few steps in training against many of fourth order, with the trace by torch."""
    snapshots = drifting(100)
    model = fit(snapshots, TrainConfig("cnf", {"steps": 60, "energy": 0.0, "smoothness": 0.0}))
    z = [(snapshots.states[snapshots.rows(k)] - model.shift) / model.scale for k in range(3)]
    found = [
        log_density(model, float(t), snapshots.states[snapshots.rows(k)])
        for k, t in enumerate((0.0, 1.0, 3.0))
    ]
    objective = likelihood(z, batch=300, solver_steps=20, energy=0.0, smoothness=0.0)
    objective.clock = model.clock
    objective.problem = Problem(objective.problem.states, np.array([0.0, 1.0, 3.0]), 0)
    with torch.no_grad():
        for k in range(3):
            y = torch.nn.functional.pad(torch.from_numpy(z[k]).float(), (0, 2))
            for interval in range(k - 1, -2, -1):
                y = objective._back(model.net, y, interval)
            base = multivariate_normal(np.zeros(3)).logpdf(y[:, :3].numpy())
            known = base - y[:, 3].numpy() - np.log(model.scale).sum()
            np.testing.assert_allclose(found[k], known, atol=0.05)


def test_the_density_of_a_moving_cloud_is_found():
    model = fit(drifting(), TrainConfig("cnf", {"steps": 150}))
    rng = np.random.default_rng(1)
    for t in (0.0, 1.0, 3.0):
        x = rng.standard_normal((200, 3)) + np.array([2 * t, 0, 0])
        known = multivariate_normal([2 * t, 0, 0]).logpdf(x)
        assert np.mean(log_density(model, t, x)) == pytest.approx(np.mean(known), abs=0.4)


def test_a_density_integrates_to_one():
    model = fit(from_arrays(drifting(dim=1).states, drifting(dim=1).times), TrainConfig("cnf", {"steps": 60}))
    x = np.linspace(-30, 40, 3000)
    for t in (0.0, 2.0):
        assert np.trapezoid(np.exp(log_density(model, t, x[:, None])), x) == pytest.approx(1, abs=2e-3)


def test_a_density_needs_a_base_and_a_measured_time():
    model = fit(drifting(), TrainConfig("ot-cfm", {"steps": 10}))
    x = np.zeros((2, 3))
    with pytest.raises(ModelError, match="Train one with cnf"):
        log_density(model, 1.0, x)
    with pytest.raises(ModelError, match="from 0 to 3 day; asked for 4"):
        log_density(model, 4.0, x)
    given = log_density(model, 0.0, x, base=lambda rows: rows.sum(dim=1) + 2)
    np.testing.assert_allclose(given, 2.0)


def test_what_cannot_be_learned_is_refused(rng):
    wide = from_arrays(rng.standard_normal((20, 101)), np.repeat([0.0, 1.0], 10))
    with pytest.raises(DataError, match="up to 100 dimensions"):
        fit(wide, TrainConfig("cnf"))
    objective = likelihood(rng.standard_normal((2, 20, 2)))
    net = networks.fresh(Architecture(2, 8, 1, {"velocity": 2, "base": 2}), seed=0)
    net.heads["base"].bias.data.fill_(torch.inf)
    batch = {name: value[0] for name, value in objective.draw(rng, steps=1, batch=0).items()}
    with pytest.raises(TrainingError, match="ran away"):
        objective.loss(net, batch)


def groups(times=(0.0, 1.0)):
    """Two groups at rest; the second doubles in every interval."""
    rng = np.random.default_rng(0)
    clouds = [rng.standard_normal((80 + 80 * 2**k, 2)) for k in range(len(times))]
    for cloud in clouds:
        cloud[80:, 0] += 5
    return from_arrays(np.concatenate(clouds), np.repeat(times, [len(one) for one in clouds]), unit="day")


@pytest.fixture(scope="module", params=["ignore", "counts"])
def grown(request):
    return fit(groups(), TrainConfig("cnf", {"steps": 150, "growth": True, "numbers": request.param}))


def test_growth_of_two_groups_at_rest_is_found(grown):
    """Log 2 between the groups within 0.15; the whole population where numbers count."""
    rest, double = growth.growth_rate(grown, 0.5, np.array([[0.0, 0.0], [5.0, 0.0]]))
    assert double - rest == pytest.approx(np.log(2), abs=0.15)
    counted = grown.settings["numbers"] == "counts"
    assert rest == pytest.approx(0.0 if counted else -np.log(1.5), abs=0.15)
    figures = grown.summary["figures"]
    np.testing.assert_allclose(figures["total_mass"], [1, 1.5 if counted else 1], rtol=0.05)
    assert ("relative_mass_error" in figures) == counted
    assert grown.summary["final_loss"] < grown.summary["reference_loss"]


def test_without_growth_a_network_has_no_such_part():
    still = fit(groups(), TrainConfig("cnf", {"steps": 10}))
    assert not still.has_growth
    assert set(still.architecture.heads) == {"velocity", "base"}
    assert not still.architecture.tables
    assert still.summary["figures"] == {}


def test_with_growth_cells_stay_where_they_are(grown):
    x = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    assert grown(0.5, x).abs().max() < 0.8


def test_a_density_with_growth_integrates_to_one_and_shifts_its_share(grown):
    across, along = np.linspace(-7, 12, 60), np.linspace(-5, 5, 40)
    x = np.stack(np.meshgrid(across, along, indexing="ij"), axis=-1).reshape(-1, 2)
    pixel = (across[1] - across[0]) * (along[1] - along[0])
    for t, share in ((0.0, 0.5), (1.0, 2 / 3)):
        density = np.exp(log_density(grown, t, x, steps=4)) * pixel
        assert density.sum() == pytest.approx(1, abs=0.02)
        assert density[x[:, 0] > 2.5].sum() == pytest.approx(share, abs=0.1)


def test_growth_is_kept_in_the_file(grown, tmp_path):
    checkpoint.save(grown, tmp_path / "m")
    again = checkpoint.load(tmp_path / "m")
    x = torch.linspace(-2, 8, 12).reshape(6, 2)
    assert again.has_growth
    assert torch.equal(again.growth(0.3, x), grown.growth(0.3, x))
    checkpoint.save(again, tmp_path / "n")
    assert (tmp_path / "n").read_bytes() == (tmp_path / "m").read_bytes()


def test_growth_follows_the_unit_of_time():
    hours = fit(groups((0.0, 32.0)), TrainConfig("cnf", {"steps": 20, "growth": True}))
    days = fit(groups(), TrainConfig("cnf", {"steps": 20, "growth": True}))
    x = np.linspace(-2, 8, 12).reshape(6, 2)
    np.testing.assert_allclose(
        32 * growth.growth_rate(hours, 16.0, x), growth.growth_rate(days, 0.5, x), atol=2e-3
    )
