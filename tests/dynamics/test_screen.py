"""The screen over all genes: who stands out, and who is left out."""

from dataclasses import replace

import numpy as np
import pytest

from dynamics import fate_readout, perturb, perturbation, screen
from dynamics.errors import DataError
from dynamics.perturbation import GeneChange, Perturbation
from tests.dynamics.test_perturb import DoubleWell, N, well_and_cells


@pytest.fixture(scope="module")
def place():
    shots, states, basis = well_and_cells(("Drive", *(f"Other{k}" for k in range(39))))
    r2 = basis.r2.copy()
    r2[5] = 0.01
    around = perturbation.surroundings(shots, replace(basis, r2=r2))
    field = DoubleWell()
    return (field, fate_readout.readout(field, shots, states), around), perturb.chosen(shots, np.arange(N))


def screened(place, *, fate="right", change=None, **options):
    (field, told, around), (states, times) = place
    ask = Perturbation((change or GeneChange("any", "shift", 0.8),), move="loading", held=False)
    given = {"states": states, "times": times, "fate": fate, "perturbation": ask, "paths": 4000, **options}
    return screen.screen(field, told, around, **given)


def test_the_driver_is_first_and_called_and_nobody_else(place):
    found = screened(place)
    assert found.genes[found.order[0]] == "Drive"
    assert [found.genes[k] for k in np.flatnonzero(found.called)] == ["Drive"]
    assert found.n_left_out == 1
    assert "Other4" not in found.genes
    assert found.n_cells == 102
    table = found.table()
    assert table["gene"][0] == "Drive"
    assert table["conclusion"][0] == "candidate"
    assert "passenger" in found.message


def test_the_screen_says_of_a_gene_what_the_gene_alone_is_told(place):
    (field, told, around), (states, times) = place
    found = screened(place)
    some = np.sort(np.random.default_rng(0).choice(len(states), found.n_cells, replace=False))
    ask = Perturbation((GeneChange("Drive", "shift", 0.8),), move="loading", held=False)
    alone = perturb.effect(field, told, around, states=states[some], times=times[some], perturbation=ask)
    assert found.effect[0] == pytest.approx(alone.change[1], abs=1e-6)


def test_genes_thrown_off_the_data_get_no_conclusion(place):
    found = screened(place, change=GeneChange("any", "shift", 20.0))
    assert not found.known.any()
    assert not found.called.any()
    assert (found.table()["conclusion"] == "off the data").all()


def test_equal_effects_stand_out_at_the_nominal_rate():
    rng = np.random.default_rng(3)
    sd, level = rng.random(2000), rng.random(2000)
    effect = rng.normal(0, sd)
    z = screen.standing_out(effect, np.zeros(2000), sd=sd, level=level, usable=np.ones(2000, bool))
    p = np.mean(np.abs(z) > 1.645)
    assert 0.07 < p < 0.14


def test_what_cannot_be_screened_is_refused(place):
    with pytest.raises(DataError, match="There is no fate"):
        screened(place, fate="nowhere")
    (field, told, around), cells = place
    poor = replace(around, basis=replace(around.basis, r2=np.zeros(40, np.float32)))
    with pytest.raises(DataError, match="0 genes vary enough"):
        screened(((field, told, poor), cells))
