"""Each alarm is raised where it should be, and stays quiet where it should not."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData, read_h5ad
from scipy import sparse

from dynamics import confounding
from dynamics.cell_cycle_genes import SYMBOLS
from dynamics.findings import CONFOUNDERS
from dynamics.inspect import inspect
from dynamics.roles import Roles
from dynamics.snapshots import from_anndata, from_arrays

CYCLE = [*SYMBOLS["S"], *SYMBOLS["G2/M"]]
N_OTHERS, N = 400, 150
ROLES = Roles(time_key="day", rep="X_pca", cell_type_key="type", counts_layer=None)


def course(rng, *, driver: str, names=None, form=np.asarray) -> AnnData:
    """Log values of three days; `driver` ("cycle" or "fate") is what changes between them.

    97 genes follow division, 100 others a fate, 100 more a third programme; the rest only vary by chance.
    """
    days = np.repeat([0.0, 1.0, 2.0], N)
    activity = {name: rng.normal(0, 1, len(days)) for name in ("cycle", "fate", "third")}
    activity[driver] = activity[driver] + 2 * days
    follows = np.r_[np.full(97, "cycle"), np.full(100, "fate"), np.full(100, "third"), np.full(200, "")]
    level = rng.uniform(2, 6, len(follows)) + rng.normal(0, 0.5, (len(days), len(follows)))
    for name, values in activity.items():
        level += 0.4 * np.outer(values, follows == name) * rng.uniform(0.5, 1.5, len(follows))
    genes = [*CYCLE, *(f"Gene{k}" for k in range(N_OTHERS))] if names is None else names
    obs = pd.DataFrame({"day": days, "type": "one"}, index=[f"c{k}" for k in range(len(days))])
    adata = AnnData(form(level.astype(np.float32)), obs=obs, var=pd.DataFrame(index=list(genes)))
    u, s, _ = np.linalg.svd(level - level.mean(axis=0), full_matrices=False)
    adata.obsm["X_pca"] = (u * s)[:, :10].astype(np.float32)
    return adata


def of_cycle(adata, roles=ROLES, **options):
    shots = from_anndata(adata, roles)
    motion = confounding.movement(shots, **options)
    return confounding.cell_cycle(adata, roles, shots, motion=motion)


class Constant:
    """The same velocity everywhere."""

    def __init__(self, velocity):
        self.velocity = torch.as_tensor(np.asarray(velocity), dtype=torch.float32)
        self.dim = len(self.velocity)

    def __call__(self, t, x):
        return self.velocity.expand(len(x), -1)


# motion


def test_shares_are_those_of_right_triangles():
    motion = confounding.Motion(np.array([[3.0, 4.0], [0.0, 5.0]]), np.array([0.5, 0.5]), "motion")
    axes = np.array([[1.0, 0.0, 7.0], [0.0, -2.0, 0.0]])
    np.testing.assert_allclose(motion.shares(axes), [9 / 50, 41 / 50, 9 / 50])
    assert motion.shares(np.zeros((2, 1))).tolist() == [0]
    assert confounding.Motion(np.zeros((2, 2)), np.ones(2) / 2, "").shares(axes).tolist() == [0, 0, 0]


def test_the_leading_direction_is_that_of_a_shift(rng):
    states = np.concatenate([rng.normal(size=(200, 5)) + k * np.array([3.0, 0, 4, 0, 0]) for k in range(3)])
    motion = confounding.movement(from_arrays(states, np.repeat([0, 1, 5], 200)))
    assert abs(motion.leading @ [0.6, 0, 0.8, 0, 0]) > 0.99
    assert motion.shares(motion.leading[:, None])[0] > 0.9
    assert motion.weight.sum() == pytest.approx(1)


def test_shares_do_not_depend_on_the_unit_or_the_order_of_cells(rng):
    states = np.concatenate([rng.normal(size=(80, 4)) + k * np.array([1.0, 0, 2, 0]) for k in range(3)])
    times, order = np.repeat([0, 1, 2], 80), rng.permutation(240)
    first = confounding.movement(from_arrays(states, times)).shares(np.eye(4))
    for other in (
        from_arrays(1e3 * states, times),
        from_arrays(states[order], times[order]),
        from_arrays(states, 24 * times),
    ):
        np.testing.assert_allclose(confounding.movement(other).shares(np.eye(4)), first, atol=1e-3)


def test_a_field_is_asked_at_the_cells(rng):
    shots = from_arrays(rng.normal(size=(60, 3)), np.repeat([0, 1], 30))
    motion = confounding.movement(shots, field=Constant([0.0, 2.0, 0.0]))
    np.testing.assert_allclose(motion.shares(np.eye(3)), [0, 1, 0])
    assert motion.what == "learned motion"


def test_velocities_that_are_not_finite_are_left_out(rng):
    shots = from_arrays(rng.normal(size=(60, 2)), np.repeat([0, 1], 30))
    motion = confounding.movement(shots, field=Constant([np.nan, 1.0]))
    assert motion.shares(np.eye(2)).tolist() == [0, 0]


# the cell cycle


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_motion_by_division_is_told(rng, form):
    (finding,) = of_cycle(course(rng, driver="cycle", form=form))
    assert (finding.level, finding.code) == ("warning", "cell-cycle-motion")
    assert "motion between neighbouring times" in finding.message
    assert "genes of the G2/M phase" in finding.message or "genes of the S phase" in finding.message


def test_division_beside_a_motion_is_not(rng):
    assert of_cycle(course(rng, driver="fate")) == ()


def test_other_genes_under_the_names_are_not(rng):
    names = np.r_[CYCLE, [f"Gene{k}" for k in range(N_OTHERS)]]
    assert of_cycle(course(rng, driver="cycle", names=rng.permutation(names))) == ()


def test_mouse_genes_and_counts_are_read_as_well(rng):
    adata = course(rng, driver="cycle")
    adata.var_names = [name.capitalize() for name in adata.var_names]
    adata.layers["counts"] = rng.poisson(np.exp(adata.X)).astype(np.float32)
    adata.X = (adata.X - adata.X.mean(axis=0)) / adata.X.std(axis=0)
    roles = Roles(time_key="day", rep="X_pca", counts_layer="counts")
    assert len(of_cycle(adata, roles)) == 1


def test_a_learned_motion_is_judged_by_its_own_direction(rng):
    adata = course(rng, driver="fate")
    values, states = adata.X, adata.obsm["X_pca"][:, : from_anndata(adata, ROLES).dim]
    for genes, expected in ((slice(97), 1), (slice(97, 197), 0)):
        score = values[:, genes].mean(axis=1) - values.mean(axis=1)
        direction = np.linalg.lstsq(states - states.mean(axis=0), score - score.mean(), rcond=None)[0]
        found = of_cycle(adata, field=Constant(direction))
        assert len(found) == expected
        if found:
            assert "learned motion" in found[0].message


def without_matrix(adata):
    return AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm))


def without_genes(adata):
    return AnnData(obs=adata.obs, obsm=dict(adata.obsm))


def few_genes(adata):
    return adata[:, [*CYCLE[:8], *adata.var_names[-30:]]].copy()


def other_names(adata):
    adata.var_names = [f"ENSDARG{k:011d}" for k in range(adata.n_vars)]
    return adata


def with_holes(adata):
    adata.X[3, 4] = np.nan
    return adata


def few_cells(adata):
    return adata[::40].copy()


def yes_or_no(adata):
    adata.X = adata.X > 4
    return adata


def constant(adata):
    adata.X = np.ones_like(adata.X)
    return adata


ODD = [without_matrix, without_genes, few_genes, other_names, with_holes, few_cells, yes_or_no, constant]


@pytest.mark.parametrize("change", ODD)
def test_where_division_cannot_be_scored_nothing_is_said(rng, change):
    assert of_cycle(change(course(rng, driver="cycle"))) == ()


def test_a_backed_file_is_read_alike(rng, tmp_path):
    adata = course(rng, driver="cycle", form=sparse.csr_matrix)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert of_cycle(backed) == of_cycle(adata)
    backed.file.close()


# depth


def with_depth(rng, *, slope: float, factor: float) -> AnnData:
    """States that move along the first axis, with depth that rises `slope`-fold along it within a time."""
    days = np.repeat([0.0, 1.0, 2.0], N)
    states = rng.normal(size=(len(days), 5)).astype(np.float32)
    depth = 1000 * factor ** (days / 2) * np.exp(slope * states[:, 0] + rng.normal(0, 0.1, len(days)))
    states[:, 0] += 2 * days
    obs = pd.DataFrame({"day": days, "type": "one", "total_counts": depth})
    return AnnData(obs=obs.set_axis([f"c{k}" for k in range(len(days))]), obsm={"X_pca": states})


@pytest.mark.parametrize(
    ("slope", "factor", "levels"),
    [
        (0.5, 3.0, {"depth-differs": "warning", "depth-motion": "warning"}),
        (0.5, 1.8, {"depth-motion": "note"}),
        (0.5, 1.0, {}),
        (0.0, 3.0, {"depth-differs": "warning"}),
        (0.0, 1.0, {}),
    ],
)
def test_depth_is_told_where_it_differs_and_goes_along_with_the_motion(rng, slope, factor, levels):
    adata = with_depth(rng, slope=slope, factor=factor)
    found = confounding.alarms(adata, ROLES, from_anndata(adata, ROLES))
    assert {one.code: one.level for one in found} == levels


# all together


def test_every_alarm_is_a_known_one_and_says_what_to_do(rng):
    adata = course(rng, driver="cycle")
    adata.obs["sample"] = [f"day{day}_{k % 2}" for k, day in enumerate(adata.obs["day"])]
    adata.obs["n_counts"] = 1000.0 * 3 ** adata.obs["day"]
    adata.X[-20:] = adata.X[:20]
    roles = Roles(time_key="day", rep="X_pca", batch_key="sample", cell_type_key="type")
    found = confounding.alarms(adata, roles, from_anndata(adata, roles))
    codes = {finding.code for finding in found}
    assert codes == {
        "batch-is-time",
        "depth-differs",
        "duplicate-cells",
        "cells-at-two-times",
        "cell-cycle-motion",
    }
    assert codes <= CONFOUNDERS
    assert all(finding.fix.endswith((".", ").")) for finding in found)


def test_a_sound_course_raises_none(rng):
    adata = course(rng, driver="fate")
    assert confounding.alarms(adata, ROLES, from_anndata(adata, ROLES)) == ()
    assert confounding.alarms(adata, ROLES) == ()


@pytest.mark.parametrize("change", ODD)
def test_odd_data_do_no_harm(rng, change):
    adata = change(course(rng, driver="cycle"))
    assert {one.code for one in confounding.alarms(adata, ROLES, from_anndata(adata, ROLES))} <= CONFOUNDERS


def test_one_time_and_no_states_do_no_harm(rng):
    adata = course(rng, driver="cycle")
    adata.obs["day"] = 1
    assert confounding.alarms(adata, ROLES) == ()
    assert confounding.alarms(adata, Roles()) == ()


def test_single_cells_at_a_time_do_no_harm(rng):
    adata = course(rng, driver="cycle")[[0, 150, 151, 300]].copy()
    found = confounding.alarms(adata, ROLES, from_anndata(adata, ROLES))
    assert [one.code for one in found] == ["few-cells-at-time"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("eb_phate2d", set()),
        ("emt_latent10", set()),
        ("larry_clones_small", {"small-time"}),
    ],
)
def test_alarms_on_real_data(shared_data, file, expected):
    adata = read_h5ad(shared_data / f"{file}.h5ad")
    roles = inspect(adata).roles
    assert {one.code for one in confounding.alarms(adata, roles, from_anndata(adata, roles))} == expected
