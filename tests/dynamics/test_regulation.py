"""Candidate networks: closed forms first, then a simulated network."""

import numpy as np
import pytest
import torch

from dynamics import basis as bases
from dynamics import regulation, regulation_checks, regulators
from dynamics.errors import DataError
from dynamics.simulator import Edge
from dynamics.snapshots import from_arrays
from tests.dynamics import networks

EDGES = (
    *networks.EDGES,
    Edge("B", "A2", -1, 3.0, 0.4),
    Edge("A1", "T2", +1, 4.0, 0.5),
    Edge("B1", "T3", -1, 4.0, 0.4),
)
GENES = (*networks.GENES, "T2", "T3")
TRUE = {(one.regulator, one.target): one.sign for one in EDGES}


class Drift:
    """The true mean motion of a simulated network, as a field."""

    def __init__(self, network, *, off=0.0, members=None):
        self.network, self.dim, self.off = network, len(network.genes), off
        self.members = members or (self,)

    def __call__(self, t, x):
        drift = self.network.drift(np.maximum(x.detach().numpy(), 0)) * (1 + self.off)
        slope = torch.from_numpy(np.asarray(drift, np.float32))
        return slope + 0 * x


@pytest.fixture(scope="module")
def simulated():
    """Two genes that switch each other off, what follows each, and its cells at six times; true motion."""
    network, states, times = networks.course(GENES, EDGES, each=100, basal={"T3": 1.0}, rate={"T3": 0.7})
    shots = from_arrays(states, times, unit="day")
    basis = bases.fit_basis(shots.states, shots.states, GENES)
    members = (Drift(network), Drift(network, off=0.1), Drift(network, off=-0.1))
    return Drift(network, members=members), shots, basis


@pytest.fixture
def fields(simulated, monkeypatch):
    """The field of the simulation is numpy: its Jacobian is not asked for here."""
    monkeypatch.setattr(
        regulation,
        "mean_jacobian",
        lambda field, t, x, weights, progress: np.zeros((len(weights), field.dim, field.dim)),
    )
    return simulated


def whole(shots):
    return regulation.panel(shots.states, GENES, GENES, GENES)


def test_the_true_edges_rank_above_what_correlation_gives(fields):
    field, shots, basis = fields
    (found,) = regulation.regulate(field, shots, whole(shots), basis=basis)
    order = regulators.edges(found)
    true = [(row["regulator"], row["target"]) in TRUE for row in order]
    by_correlation = sorted(order, key=lambda row: -abs(row["correlation"]))
    other = [(row["regulator"], row["target"]) in TRUE for row in by_correlation]
    assert _precision(true) > _precision(other) + 0.1
    called = {(row["regulator"], row["target"]): 2 * row["call"].endswith("activator") - 1 for row in order}
    assert np.mean([called[edge] == sign for edge, sign in TRUE.items() if edge in called]) > 0.8


def test_members_agree_and_the_score_lies_between_them(fields):
    field, shots, basis = fields
    (found,) = regulation.regulate(field, shots, whole(shots), basis=basis)
    told = found.others
    assert found.n_members == 3
    assert (found.low[told] <= found.score[told] + 1e-6).all()
    assert (found.score[told] <= found.high[told] + 1e-6).all()
    assert (found.agree[told] == 1).mean() > 0.9
    assert np.isnan(np.diag(found.score)).all()
    (alone,) = regulation.regulate(field.members[0], shots, whole(shots), basis=basis)
    assert np.isnan(alone.agree).all()


@pytest.mark.parametrize(("scale", "slower"), [(100.0, 1.0), (1.0, 24.0)])
def test_scores_do_not_depend_on_units_or_on_the_order_of_cells(fields, scale, slower):
    field, shots, _ = fields
    genes = whole(shots)
    motion = field.members[0](0.0, torch.from_numpy(shots.states.copy())).numpy()
    before = regulation.production_scores(genes.levels, motion, genes)
    order = np.random.default_rng(1).permutation(len(motion))
    after = regulation.production_scores(scale * genes.levels[order], scale / slower * motion[order], genes)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_target_outside_the_regulators_keeps_its_own_level_in_the_regression():
    rng = np.random.default_rng(0)
    levels = rng.standard_normal((500, 3))
    motion = rng.standard_normal((500, 1))
    names = ("A", "B", "C")
    inside = regulation.Panel(names, levels, np.array([0, 1, 2]), np.array([2]))
    outside = regulation.Panel(names, levels, np.array([0, 1]), np.array([2]))
    with_it = regulation.production_scores(levels, motion, inside)
    np.testing.assert_allclose(regulation.production_scores(levels, motion, outside), with_it[:2], atol=1e-10)
    assert np.isnan(with_it[2, 0])


def test_the_jacobian_of_a_linear_field_in_spreads_per_time():
    matrix = torch.tensor([[-1.0, 0.5], [0.0, -2.0]])

    class Linear:
        dim = 2

        def __call__(self, t, x):
            return x @ matrix.T.to(x.dtype)

    states = np.random.default_rng(0).standard_normal((200, 2)) * [1.0, 4.0]
    shots = from_arrays(states, np.repeat([0.0, 1.0], 100))
    basis = bases.fit_basis(shots.states, shots.states, ["A", "B"])
    genes = regulation.panel(shots.states, ("A", "B"), ("A", "B"), ("A", "B"))
    (found,) = regulation.regulate(Linear(), shots, genes, basis=basis)
    spread = shots.states.std(axis=0)
    assert found.effect[1, 0] == pytest.approx(0.5 * spread[1] / spread[0], rel=1e-3)
    assert found.effect[0, 1] == pytest.approx(0, abs=1e-3)


def test_regions_are_networks_of_their_own_cells(fields):
    field, shots, basis = fields
    late = shots.time_index >= 3
    both = regulation.regulate(
        field, shots, whole(shots), basis=basis, regions=np.stack([np.ones(len(late), bool), late])
    )
    assert [one.n_cells for one in both] == [600, 300]
    assert not np.allclose(np.nan_to_num(both[0].score), np.nan_to_num(both[1].score))
    with pytest.raises(DataError, match="20 cells or more; there are 3"):
        regulation.regulate(field, shots, whole(shots), basis=basis, regions=[np.arange(600) < 3])


def test_named_regulators_are_all_that_regulates(simulated):
    basis = simulated[2]
    assert regulation.choose_genes(basis, ["B", "nobody"])[0] == ["B"]
    assert regulation.choose_genes(basis) == (list(GENES), list(GENES))
    assert len(regulation.choose_genes(basis, most=2)[1]) == 2
    with pytest.raises(DataError, match="None of the 1 named"):
        regulation.choose_genes(basis, ["nobody"])


def test_a_prior_network_is_read_and_marked(fields):
    field, shots, basis = fields
    edges = regulators.read_prior("regulator,target,sign\nA,A1,+\nB,A,repression\nB,B1\nX,Y,1\n")
    assert edges == [("A", "A1", 1), ("B", "A", -1), ("B", "B1", 2), ("X", "Y", 1)]
    prior = regulators.prior_table(edges, GENES, GENES)
    assert prior.sum() == 2
    (found,) = regulation.regulate(field, shots, whole(shots), basis=basis, prior=prior)
    marked = {
        (row["regulator"], row["target"]): row["prior"] for row in regulators.edges(found) if row["prior"]
    }
    assert marked == {("A", "A1"): "activation", ("B", "A"): "repression", ("B", "B1"): "edge"}
    for wrong, said in (("A\n", "Line 1"), ("A,B,up\n", "the sign 'up'"), ("", "no edges")):
        with pytest.raises(DataError, match=said):
            regulators.read_prior(wrong)


def test_names_are_read_from_any_list_and_tables_hold_no_formulas():
    assert regulators.read_names("Gata1, Spi1;Klf1\n'Myc' Gata1") == ["Gata1", "Spi1", "Klf1", "Myc"]
    written = regulators.to_csv([{"regulator": "=1+1", "score": -0.5, "low": None}])
    assert written.splitlines() == ["regulator,score,low", "'=1+1,-0.5,"]


def test_the_check_finds_that_true_regulators_explain_more_than_correlated_genes(fields):
    field, shots, basis = fields
    found = regulation_checks.added(field, shots, whole(shots), basis=basis)
    assert found.by_model > found.by_chance + 0.02
    assert found.repeat > 0.8
    assert found.n_cells == 300
    assert "correlation" in found.sentence()
    assert regulation_checks.to_json(found)["sentence"] == found.sentence()


def test_a_field_without_regulation_is_not_beyond_chance(fields):
    _, shots, basis = fields
    rng = np.random.default_rng(3)
    genes = regulation.panel(rng.standard_normal((600, len(GENES))), GENES, GENES, GENES)

    class Still(Drift):
        def __call__(self, t, x):
            return -x

    (found,) = regulation.regulate(Still(fields[0].network), shots, genes, basis=basis)
    beyond = found.strength[found.others] > found.chance
    assert beyond.mean() < 0.2


def _precision(true):
    """Average precision of a ranking."""
    hits = np.cumsum(true)
    return float(np.mean([hits[k] / (k + 1) for k, one in enumerate(true) if one]))
