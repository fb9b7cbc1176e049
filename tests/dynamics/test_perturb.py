"""What perturbations change, on a double well whose fates are known."""

import numpy as np
import pytest

from dynamics import fate_readout, perturb, perturb_null, perturb_told, perturbation, terminal
from dynamics.basis import StateBasis
from dynamics.errors import DataError, SettingsError
from dynamics.perturbation import GeneChange, Perturbation
from dynamics.perturbed_field import ManyPerturbed, PerturbedField
from dynamics.snapshots import from_arrays
from dynamics.velocity import evaluate

N = 400


class DoubleWell:
    """Cells left of zero go to -1, those right of it to +1; across, nothing moves."""

    dim = 3

    def __call__(self, t, x):
        v = -x * 0.0
        v[:, 0] = x[:, 0] - x[:, 0] ** 3
        return v


class Pair(DoubleWell):
    """Two trainings that agree on all but where the watershed lies."""

    def __init__(self):
        self.members = (DoubleWell(), Tilted())


class Tilted(DoubleWell):
    def __call__(self, t, x):
        v = super().__call__(t, x)
        v[:, 0] += 0.15
        return v


def well_and_cells(genes=("Drive", "Idle")):
    """Cells spread evenly over the watershed at 0, and in both wells at 8; genes along axes."""
    rng = np.random.default_rng(0)
    start = np.column_stack([np.linspace(-0.8, 0.8, N), rng.normal(0, 0.3, (N, 2))])
    end = np.column_stack(
        [np.repeat([-1.0, 1.0], N // 2) + rng.normal(0, 0.05, N), rng.normal(0, 0.3, (N, 2))]
    )
    shots = from_arrays(np.concatenate([start, end]), np.repeat([0.0, 8.0], N))
    states = terminal.pick(terminal.empty(2 * N), "left", N + np.arange(N // 2))
    states = terminal.pick(states, "right", N + N // 2 + np.arange(N // 2))
    loadings = np.zeros((3, len(genes)), np.float32)
    loadings[0, 0] = loadings[1, 1] = 1
    for k in range(2, len(genes)):
        loadings[1:, k] = np.cos(k), np.sin(k)
    ones = np.ones(len(genes), np.float32)
    return shots, states, StateBasis(tuple(genes), loadings, 2 * ones, ones)


@pytest.fixture(scope="module")
def well():
    shots, states, basis = well_and_cells(("Drive", "Idle", *(f"Other{k}" for k in range(28))))
    field = DoubleWell()
    return field, shots, fate_readout.readout(field, shots, states), perturbation.surroundings(shots, basis)


def asked(well, change, *, rows=None, **options):
    field, shots, told, around = well
    states, times = perturb.chosen(shots, np.arange(N) if rows is None else rows, most=N)
    given = {"states": states, "times": times, "perturbation": Perturbation((change,), **options)}
    return (field, told, around), given


def shift(gene, by, well):
    """A shift by so many units of expression."""
    around = well[3]
    return GeneChange(gene, "shift", float(by / around.sd(around.basis.columns([gene]))[0]))


def test_a_shift_across_the_watershed_flips_as_many_cells_as_lie_within_it(well):
    place, given = asked(well, shift("Drive", 0.4, well), move="loading", held=False)
    found = perturb.effect(*place, **given)
    assert found.names == ("left", "right")
    assert found.change[1] == pytest.approx(0.4 / 1.6, abs=0.02)
    assert found.change.sum() == pytest.approx(0, abs=1e-9)
    assert found.low[1] < found.change[1] < found.high[1]
    assert found.high[1] - found.low[1] == pytest.approx(2 * 1.2816 * np.sqrt(0.25 * 0.75 / N), rel=0.15)
    assert found.jump * place[1].width == pytest.approx(0.4, rel=1e-4)


def test_a_held_gene_stays_where_it_is_put(well):
    place, given = asked(well, shift("Drive", 0.3, well), move="loading")
    level = given["states"] @ place[2].basis.loadings[:, :1]
    moved = perturbation.perturbed_states(
        place[2], given["states"], given["perturbation"], time_index=np.zeros(N, int)
    )
    field = PerturbedField(place[0], perturbation.held_axes(place[2], given["perturbation"]))
    path = fate_readout.follow(field, place[1], moved, begin=0)
    np.testing.assert_allclose(path[-1] @ place[2].basis.loadings[:, :1], level + 0.3, atol=1e-5)


@pytest.mark.parametrize("dose", [0.0, 0.5])
def test_a_field_with_genes_held_is_the_field_less_a_part(well, dose):
    axes = np.array([[0.6, 0.8, 0]])
    states = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    v = evaluate(well[0], 0.0, states)
    held = evaluate(PerturbedField(well[0], axes, dose=dose), 0.0, states)
    np.testing.assert_allclose(held, v - dose * (v @ axes.T) @ axes, atol=1e-6)
    numbered = np.column_stack([states, np.zeros(7)]).astype(np.float32)
    many = evaluate(ManyPerturbed(well[0], 3 * axes, dose=dose), 0.0, numbered)
    np.testing.assert_allclose(many[:, :3], held, atol=1e-6)


def test_dose_zero_changes_nothing_at_all(well):
    place, given = asked(well, GeneChange("Drive"), dose=0.0)
    found = perturb.effect(*place, **given)
    assert not found.change.any()
    assert found.jump == found.displacement == 0


def test_dose_response_grows_from_nothing(well):
    place, given = asked(well, shift("Drive", 0.4, well), move="loading", held=False)
    curve = [one.change[1] for one in perturb.dose_response(*place, **given)]
    assert curve[0] == 0
    assert (np.diff(curve) > 0.03).all()


def test_a_gene_without_influence_has_no_effect(well):
    place, given = asked(well, shift("Idle", 0.3, well), move="loading")
    found = perturb.effect(*place, **given)
    assert np.abs(found.change).max() < 0.01
    random = perturb_null.null(*place, **given)
    assert random.p.min() > 0.1
    assert perturb_null.verdict(found, random)[0] != "good"


def test_the_gene_that_drives_stands_out_from_random_ones(well):
    place, given = asked(well, shift("Drive", 0.5, well), move="loading", held=False)
    found, random = perturb.effect(*place, **given), perturb_null.null(*place, **given)
    assert (random.p == 1 / (len(random.genes) + 1)).all()
    assert "Drive" not in random.genes
    assert perturb_null.verdict(found, random)[0] == "good"
    np.testing.assert_allclose(random.observed, found.change, atol=0.15)


def test_several_genes_are_compared_with_random_single_ones(well):
    field, shots, told, around = well
    states, times = perturb.chosen(shots, np.arange(N), most=40)
    both = Perturbation((shift("Drive", 0.4, well), shift("Idle", 0.1, well)), move="loading", held=False)
    random = perturb_null.null(field, told, around, states=states, times=times, perturbation=both)
    assert random.observed[1] > 0.1
    assert not {"Drive", "Idle"} & set(random.genes)


def test_states_far_from_the_data_allow_no_conclusion(well):
    place, given = asked(well, GeneChange("Idle", "shift", 20.0), move="loading")
    found = perturb.effect(*place, **given)
    assert found.off_start == 1
    assert found.refused
    level, said = perturb_null.verdict(found, None)
    assert level == "warning"
    assert "No conclusion: 100%" in said


def test_the_plausible_state_takes_the_correlated_axis_along():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 1))
    states = np.column_stack([x, 2 * x + rng.normal(0, 0.5, (4000, 1)), rng.normal(size=(4000, 1))])
    _, _, basis = well_and_cells()
    shots = from_arrays(np.concatenate([states, states]), np.repeat([0.0, 1.0], 4000))
    around = perturbation.surroundings(shots, basis)
    ask = Perturbation((GeneChange("Drive", "shift", 1.0),))
    here = np.zeros((1, 3), np.float32)
    moved = perturbation.perturbed_states(around, here, ask, time_index=np.zeros(1, int))
    np.testing.assert_allclose(moved[0], [1, 2, 0], atol=0.07)


def test_knock_out_and_over_expression_reach_their_levels(well):
    _, shots, _, around = well
    index = np.zeros(N, int)
    for kind, level in (("knockout", 0.0), ("up", around.top[0])):
        ask = Perturbation((GeneChange("Drive", kind),), move="loading")
        moved = perturbation.perturbed_states(around, shots.at(0), ask, time_index=index)
        reached = around.basis.to_genes(moved, ["Drive"])[:, 0]
        np.testing.assert_allclose(reached, level, atol=1e-4)


def test_members_widen_the_interval(well):
    _, shots, states, basis = (None, *well_and_cells())
    field = Pair()
    told = fate_readout.readout(field, shots, states)
    around = perturbation.surroundings(shots, basis)
    alone, given = asked(well, shift("Drive", 0.4, well), move="loading", held=False)
    one = perturb.effect(*alone, **given)
    two = perturb.effect(field, told, around, **given)
    assert two.n_members == 2
    assert (two.high - two.low > 1.2 * (one.high - one.low)).all()


def test_another_population_is_compared_by_its_own_fates(well):
    field, shots, told, _ = well
    left, right = (perturb.chosen(shots, rows) for rows in (np.arange(100), np.arange(300, 400)))
    found = perturb.start_population(field, told, first=left, second=right)
    np.testing.assert_allclose(found.change, [-1, 1], atol=0.01)
    assert found.by_cell is None
    assert perturb_null.verdict(found, None)[0] == "good"
    assert perturb_told.sentence(found, None).startswith("Starting from other cells moves fates")
    assert np.isnan(found.displacement)


def test_without_two_terminal_states_only_displacement_is_told(well):
    field, shots, _, around = well
    told = fate_readout.readout(field, shots, terminal.empty(shots.n_cells), labels=np.repeat(["a", "b"], N))
    _, given = asked(well, shift("Drive", 0.4, well), move="loading", held=False)
    found = perturb.effect(field, told, around, **given)
    assert found.names == ()
    assert found.displacement > 0.2
    assert found.types_after.tolist() == [0, 1]
    assert perturb_null.null(field, told, around, **given) is None
    assert "displaced" in perturb_null.verdict(found, None)[1]


def test_cells_of_the_last_time_are_read_where_they_are(well):
    place, given = asked(well, shift("Idle", 0.0, well), rows=np.arange(N, 2 * N), held=False)
    found = perturb.effect(*place, **given)
    np.testing.assert_allclose(found.before, [0.5, 0.5], atol=0.01)
    assert not found.change.any()


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("Gata1", GeneChange("Gata1")),
        ("Gata1=up", GeneChange("Gata1", "up")),
        ("HLA=A=knockout", GeneChange("HLA=A")),
        ("Gata1=down", GeneChange("Gata1", "shift", -2.0)),
        ("Gata1=-1.5", GeneChange("Gata1", "shift", -1.5)),
    ],
)
def test_words_of_the_command_line_are_read(word, change):
    assert perturbation.parsed(word) == change


def test_a_perturbation_comes_back_from_json_and_bad_ones_are_refused(well):
    ask = Perturbation((GeneChange("A"), GeneChange("B", "shift", 1.5)), dose=0.5, held=False)
    assert perturbation.from_json(ask.to_json()) == ask
    for bad in ("Gata1=often", "=up", "Gata1=+1e9"):
        with pytest.raises(SettingsError):
            perturbation.parsed(bad)
    with pytest.raises(SettingsError):
        Perturbation((GeneChange("A"), GeneChange("A", "up")))
    with pytest.raises(SettingsError):
        GeneChange("A", "shift", 99)
    with pytest.raises(DataError, match="not among"):
        perturbation.known_columns(well[3], ["Nobody"])
    with pytest.raises(DataError, match="No cell is chosen"):
        perturb.chosen(well[1], np.empty(0))
