"""What a training will cost, told before it starts."""

import math

import pytest

from dynamics import prior_growth
from models import estimate
from models.config import TrainConfig
from models.estimate import Sizes
from models.methods import METHODS

PASS_S = 2e-3
SMALL, LARGE = Sizes((200, 250, 300), 5), Sizes((4_000, 5_000, 6_000), 5)


def seconds(config, sizes=SMALL, pass_s=PASS_S):
    return estimate.estimate(sizes, config, pass_s=pass_s)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [SMALL, LARGE, Sizes((1, 2), 1), Sizes((50,) * 40, 50)])
def test_every_method_has_a_finite_estimate_whose_parts_add_up(method, sizes):
    found = seconds(TrainConfig(method), sizes)
    assert 0 < found.least_seconds <= found.seconds < math.inf
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert all(part >= 0 for part in found.parts.values())
    assert found.bytes > 4 * sizes.n_cells * sizes.dim


@pytest.mark.parametrize("method", METHODS)
def test_more_costs_more(method):
    few, many = seconds(TrainConfig(method)), seconds(TrainConfig(method), LARGE)
    assert many.parts["pairing"] + many.parts["preparing"] >= few.parts["pairing"] + few.parts["preparing"]
    assert many.bytes > few.bytes
    if METHODS[method].objective.evaluations:
        short, long = (seconds(TrainConfig(method, {"steps": steps})) for steps in (100, 5_000))
        assert long.parts["training"] > 5 * short.parts["training"]
        assert short.least_seconds == short.seconds  # too short to end early
        slow = seconds(TrainConfig(method), pass_s=10 * PASS_S)
        assert slow.parts["training"] > 5 * few.parts["training"]


def test_settings_that_cost_are_counted():
    def training(method, **settings):
        return seconds(TrainConfig(method, settings)).parts

    assert training("neural-ode", solver_steps=6)["training"] > 1.8 * training("neural-ode")["training"]
    assert training("neural-ode", solver="rk4")["training"] > training("neural-ode")["training"]
    assert training("ot-cfm", fine_tune=100)["fine-tuning"] > training("ot-cfm")["fine-tuning"] == 0
    assert training("growth-cfm", reg_m=1.0)["preparing"] < training("growth-cfm")["preparing"]


@pytest.mark.parametrize(
    "name", ["auto", "bisection", "entropic", "unbalanced", "semi-relaxed", "independent"]
)
def test_pairing_costs_more_for_more_cells(name):
    costs = [estimate.pairing_seconds(name, n, n, dim=10) for n in (10, 100, 1_000, 10_000, 100_000)]
    assert costs == sorted(costs)
    assert costs[-1] < 300


def test_memory_counts_the_big_arrays():
    exact, near = (
        seconds(TrainConfig("ot-cfm", {"pairing": pairing}), LARGE) for pairing in ("exact", "bisection")
    )
    assert exact.bytes > 24 * 5_000 * 6_000  # three matrices of float64
    assert near.bytes < exact.bytes / 4
    with_data = Sizes(SMALL.counts, SMALL.dim, data_bytes=10**9)
    assert seconds(TrainConfig(), with_data).bytes - seconds(TrainConfig()).bytes == 10**9


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].objective.evaluations])
@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_an_ensemble_costs_more_and_less_than_its_members_apart(method, sizes):
    alone, few, many = (seconds(TrainConfig(method, members=n), sizes) for n in (1, 3, 5))
    assert alone.parts["ensemble"] == 0
    assert alone.seconds < few.seconds < many.seconds < 5 * alone.seconds
    assert alone.least_seconds < many.least_seconds <= many.seconds
    assert alone.bytes < few.bytes < many.bytes
    assert sum(many.parts.values()) == pytest.approx(many.seconds)
    if method in ("auto", "ot-cfm"):
        assert many.seconds < 2 * alone.seconds
    if method == "neural-ode":
        assert many.parts["ensemble"] > 3.9 * alone.parts["training"]


def test_a_pass_is_measured_in_seconds():
    network, batch = estimate.network(SMALL, TrainConfig())
    assert 1e-6 < estimate.pass_seconds(network, batch) < 10
    assert estimate.network(SMALL, TrainConfig("ot"))[0] is None


@pytest.mark.parametrize(
    ("config", "sizes", "said"),
    [
        (TrainConfig("cnf"), Sizes((50, 50), 200), "up to 100 dimensions; there are 200"),
        (TrainConfig("ot-cfm", {"pairing": "exact"}), Sizes((20_000, 20_000), 5), "needs 10 GB"),
        (TrainConfig("ot-cfm"), Sizes((50, 50), 5, data_bytes=10**15), "needs about 1000000.0 GB of memory"),
        (TrainConfig("ot-cfm", {"fine_tune": 10}), SMALL, ""),
        (TrainConfig("action-matching", {"growth": True, "fine_tune": 10}), SMALL, "Set fine_tune to 0"),
        (TrainConfig("action-matching", {"growth": True}), SMALL, ""),
        (TrainConfig("ot", members=2), SMALL, "Set members to 1"),
        (TrainConfig("ot-cfm", members=32), SMALL, ""),
        *((TrainConfig(method), SMALL, "") for method in METHODS),
    ],
)
def test_what_cannot_work_is_said_before_the_start(config, sizes, said):
    found = estimate.obstacle(sizes, config)
    assert said in found if said else not found


def test_a_worker_with_less_memory_refuses_more():
    assert not estimate.obstacle(SMALL, TrainConfig(), room=10**9)
    assert "0.0 GB" in estimate.obstacle(SMALL, TrainConfig(), room=10**5)


def test_missing_genes_are_said_by_their_names(rng):
    from anndata import AnnData

    cells = AnnData(rng.random((3, 2)))
    assert "no genes" in prior_growth.missing_genes(AnnData(obs=cells.obs))
    assert "cell-cycle genes" in prior_growth.missing_genes(cells)
    cells = AnnData(rng.random((3, len(KNOWN))))
    cells.var_names = KNOWN
    assert prior_growth.missing_genes(cells) == ""


KNOWN = [*prior_growth.S_PHASE, *prior_growth.G2M_PHASE, *prior_growth.APOPTOSIS]
