"""The simulator against closed forms, and the built-in examples."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dynamics import blood
from dynamics.blood_genes import FATES, build_blood
from dynamics.demo import DEMOS, make_demo
from dynamics.errors import SettingsError
from dynamics.simulator import Edge, Population, Sequencer, build_network, fate_probabilities, live, step


@pytest.fixture(scope="module")
def demo():
    return blood.simulate(seed=3, n_cells=900)


def one_gene(*, noise: float, basal: float = 1.0, rate: float = 0.7):
    return build_network({"A": basal}, {"A": rate}, [], regulators=["A"], noise=noise)


def test_an_unregulated_gene_relaxes_exponentially():
    network = one_gene(noise=0.0)
    x = np.array([[0.0], [2.0]], np.float32)
    for _ in range(400):
        x = step(network, x, np.random.default_rng(0), dt=0.005)
    expected = 0.5 + (np.array([[0.0], [2.0]]) - 0.5) * np.exp(-0.7 * 2.0)
    np.testing.assert_allclose(x, expected, atol=2e-3)


def test_noise_has_the_variance_of_the_linear_theory(rng):
    """Ornstein–Uhlenbeck: noise² · rate · (p + x) / (2 rate) = noise² · p at the steady state x = p."""
    network = one_gene(noise=0.05)
    x = np.full((4000, 1), 0.5, np.float32)
    for _ in range(200):
        x = step(network, x, rng)
    assert x.mean() == pytest.approx(0.5, abs=0.005)
    assert x.var() == pytest.approx(0.05**2 * 0.5, rel=0.1)


def test_activation_and_repression_have_their_signs_and_half_levels():
    edges = [Edge("A", "B", +1, 3.0, 0.5), Edge("A", "C", -1, 3.0, 0.5)]
    network = build_network(
        {"A": 0.1, "B": 0.0, "C": 1.0}, dict.fromkeys("ABC", 1.0), edges, regulators=["A"]
    )
    made = network.production(np.array([[0.0, 0, 0], [0.5, 0, 0], [5.0, 0, 0]], np.float32))
    np.testing.assert_allclose(made[:, 1], [0, 3 / 4, 300 / 301], rtol=1e-5)
    np.testing.assert_allclose(made[:, 2], [1 / 2, 1 / 5, 1 / 302], rtol=1e-5)


def test_a_population_grows_at_birth_minus_death(rng):
    cells = Population(np.full((4000, 1), 0.5, np.float32), np.arange(4000))
    later = live(one_gene(noise=0.1), cells, lambda x: np.full(len(x), 0.5), death=0.2, days=2.0, rng=rng)
    assert len(later.x) == pytest.approx(4000 * np.exp(0.3 * 2.0), rel=0.05)
    assert set(later.founder) <= set(range(4000))
    assert len(later.x) == len(later.founder)


def test_fate_probabilities_of_a_fair_and_of_a_decided_state(rng):
    network = one_gene(noise=0.5, basal=1.0)

    def decided(x):
        return np.select([x[:, 0] > 0.9, x[:, 0] < 0.1], [0, 1], -1)

    x = np.array([[0.95], [0.05], [0.5]], np.float32)
    found = fate_probabilities(network, x, decided, n_fates=2, n_replicates=400, days=50, rng=rng)
    np.testing.assert_allclose(found[:2], [[1, 0], [0, 1]])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert 0.2 < found[2, 0] < 0.8


def test_expected_log_count_agrees_with_drawn_counts(rng):
    sequencer = Sequencer()
    mean = np.array([0.05, 0.5, 3.0, 40.0])
    value, slope = sequencer.mean_log(mean)
    drawn = np.log1p(sequencer.draw(np.tile(mean, (60_000, 1)), rng)).mean(axis=0)
    np.testing.assert_allclose(value, drawn, rtol=0.03, atol=0.002)
    up, _ = sequencer.mean_log(mean * 1.05)
    np.testing.assert_allclose(slope, (up - value) / (0.05 * mean), rtol=0.08)


def test_true_velocity_is_the_change_of_true_expression_along_the_drift(rng):
    made = build_blood()
    x = made.start * rng.uniform(0.5, 1.5, (20, len(made.start))).astype(np.float32)
    h = 1e-3
    before, velocity = blood.log_expression(made, x.astype(np.float64))
    after, _ = blood.log_expression(made, x + h * made.network.drift(x.astype(np.float64)))
    change = (after.astype(np.float64) - before) / h
    cosine = (change * velocity).sum() / np.linalg.norm(change) / np.linalg.norm(velocity)
    assert cosine > 0.99
    assert np.linalg.norm(velocity) / np.linalg.norm(change) == pytest.approx(1, abs=0.05)


def test_the_same_seed_gives_the_same_data():
    one, two = (blood.simulate(seed=5, n_cells=120) for _ in range(2))
    assert (one.X != two.X).nnz == 0
    np.testing.assert_array_equal(one.obsm["true_fate"], two.obsm["true_fate"])
    other = blood.simulate(seed=6, n_cells=120)
    assert (one.X != other.X).nnz > 0


def test_the_example_is_a_time_course_of_counts(demo):
    assert demo.shape == (900, 200)
    assert demo.var_names.is_unique
    values = demo.layers["counts"].data
    assert values.min() > 0
    np.testing.assert_array_equal(values, np.round(values))
    days = demo.obs["day"].value_counts().sort_index()
    assert list(days.index) == [0, 1, 2.5, 4, 7]
    assert days.min() >= 100
    assert 0.15 < 1 - demo.X.nnz / np.prod(demo.shape) < 0.6
    assert set(demo.obs["cell_type"].cat.categories) == set(blood.CELL_TYPES)
    assert len(demo.uns["cell_type_colors"]) == len(blood.CELL_TYPES)


def test_replicates_are_crossed_with_time_and_clones_span_days(demo):
    table = demo.obs.groupby(["day", "replicate"], observed=True).size().unstack()
    assert (abs(table["A"] - table["B"]) <= 1).all()
    spans = demo.obs.groupby("clone", observed=True)["day"].nunique()
    assert (spans > 1).sum() > 50


def test_the_true_network_names_regulators_and_targets_of_the_data(demo):
    network = demo.uns["true_network"]
    assert set(network["sign"]) == {-1, 1}
    assert set(network["target"]) <= set(demo.var_names)
    assert set(network["regulator"]) == set(demo.var_names[demo.var["is_regulator"]])
    gata1 = network.query("regulator == 'Gata1' and target == 'Spi1'")
    assert list(gata1["sign"]) == [-1]


def test_fates_commit_with_time_and_agree_with_cell_types(demo):
    fate, day = demo.obsm["true_fate"], demo.obs["day"].to_numpy()
    np.testing.assert_allclose(fate.sum(axis=1), 1, atol=1e-5)
    committed = fate.max(axis=1) >= blood.COMMITTED
    share = [committed[day == d].mean() for d in blood.DAYS]
    assert share == sorted(share)
    assert share[0] < 0.25
    assert share[-1] > 0.9
    for k, name in enumerate(FATES):
        mature = (demo.obs["cell_type"] == name).to_numpy()
        assert mature.sum() > 30
        assert fate[mature, k].mean() > 0.9


def test_growth_differs_between_states_and_changes_the_shares_of_fates(demo):
    growth = demo.obs.groupby("cell_type", observed=True)["true_growth"].mean()
    assert growth["Erythroid"] > growth["Neutrophil"] + 0.05
    assert growth["Multipotent progenitor"] > growth["Stem cell"] + 0.1


def test_neighbouring_days_overlap(demo):
    states, day = demo.layers["true_expression"], demo.obs["day"].to_numpy()
    for first, second in zip(blood.DAYS[:-1], blood.DAYS[1:], strict=True):
        a, b = states[day == first], states[day == second]
        within = NearestNeighbors(n_neighbors=2).fit(a).kneighbors(a)[0][:, 1]
        across = NearestNeighbors(n_neighbors=1).fit(b).kneighbors(a)[0][:, 0]
        assert np.median(across) < 2.5 * np.median(within)


def test_true_velocity_points_to_the_next_day(demo):
    states, velocity = demo.layers["true_expression"], demo.layers["true_velocity"]
    day = demo.obs["day"].to_numpy()
    for first, second in zip(blood.DAYS[:-1], blood.DAYS[1:], strict=True):
        moved = states[day == second].mean(axis=0) - states[day == first].mean(axis=0)
        mean = velocity[day == first].mean(axis=0)
        assert moved @ mean / np.linalg.norm(moved) / np.linalg.norm(mean) > 0.7


def test_too_small_an_example_is_refused():
    with pytest.raises(SettingsError, match="at least 50"):
        blood.simulate(n_cells=20)


def test_an_unknown_example_lists_the_known_ones():
    with pytest.raises(SettingsError, match="branching, krumsiek11, pbmc68k_reduced"):
        make_demo("branched")


@pytest.mark.parametrize("name", ["krumsiek11", "pbmc68k_reduced"])
def test_bundled_examples_open_without_a_network(name, monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("an example asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    adata = DEMOS[name].make()
    assert adata.obs_names.is_unique
    adata.write_h5ad(tmp_path / "example.h5ad")


def test_krumsiek11_has_runs_from_the_stem_state_in_five_windows():
    adata = make_demo("krumsiek11")
    assert adata.obs.groupby(["run", "time"], observed=True).size().tolist() == [32] * 20
    first = adata[adata.obs_names.str.endswith("step000")].X
    np.testing.assert_allclose(first, np.tile(first[:1], (4, 1)), atol=0.01)


def test_listing_the_examples_loads_no_data_library():
    code = "import sys, dynamics.demo; print([m for m in ('numpy', 'anndata', 'scanpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
