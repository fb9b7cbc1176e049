"""The roles of a data set are told from names and contents, and each says from what."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from dynamics.errors import DataError
from dynamics.read import read_cells, read_h5ad
from dynamics.roles import Roles, check_roles, detect, embeddings, representations

N = 60
KEYS = (
    "time_key",
    "cell_type_key",
    "condition_key",
    "batch_key",
    "clone_key",
    "rep",
    "embedding",
    "counts_layer",
)


def cells(**columns):
    return AnnData(obs=pd.DataFrame(columns, index=[f"c{k}" for k in range(N)]))


def cycle(*values):
    return [values[k % len(values)] for k in range(N)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"day": cycle(0, 1, 2)}, "day"),
        ({"Timepoint": cycle("D0", "D10", "D3")}, "Timepoint"),
        ({"stage": cycle("E8.5", "E9.5")}, "stage"),
        ({"age": cycle("P0", "P7")}, "age"),
        ({"hpf": cycle(10, 24)}, "hpf"),
        ({"development_stage": cycle("Carnegie stage 9", "Carnegie stage 12")}, "development_stage"),
        ({"orig.ident": cycle("day0_rep1", "day3_rep1")}, "orig.ident"),
        ({"sample": cycle("12h", "24h", "0h")}, "sample"),
        ({"sample": cycle("WT_d5", "WT_d10", "KO_d5")}, "sample"),
        ({"sample": cycle("WT_E8.5", "KO_E8.5", "WT_E9.5")}, "sample"),
        ({"samples": cycle(0, 1, 2, 3)}, "samples"),
        ({"time": np.linspace(0, 9, N), "time_bin": cycle("0-3", "3-6", "6-9")}, "time_bin"),
        ({"day": cycle(1), "orig.ident": cycle("D0", "D2", "D7")}, "orig.ident"),
        ({"day": cycle(3)}, "day"),
    ],
)
def test_the_time_is_found(columns, expected):
    roles = detect(cells(**columns))
    assert roles.time_key == expected
    assert expected in roles.reasons["time_key"]


@pytest.mark.parametrize(
    "columns",
    [
        {"dpt_pseudotime": cycle(0, 1, 2)},
        {"latent_time": np.linspace(0, 1, N)},
        {"pseudotime": np.linspace(0, 1, N)},
        {"velocity_pseudotime": cycle(0.1, 0.2)},
        {"n_counts": cycle(100, 200, 300), "n_genes": cycle(10, 20)},
        {"leiden": cycle("0", "1", "2")},
        {"phase": cycle("G1", "S", "G2M")},
        {"donor": cycle("P1", "P2", "P3")},
        {"sample": cycle("S1", "S2")},
        {"sample": cycle("ctrl_d1", "stim_d1", "ctrl_d2", "stim_d2")},
        {"sample": cycle("ctrl_D5", "stim_D10")},
        {"sample": cycle("WT_d5", "KO_d5")},
        {"sample": cycle("WT_d5", "WT_d10", "KO")},
        {"batch": cycle(0, 1)},
        {"time_expired": np.random.default_rng(0).normal(size=N)},
        {"condition": cycle("control", "treated")},
        {"treated": cycle(True, False)},
        {"percent.mito": np.linspace(0, 10, N)},
    ],
)
def test_what_is_no_time_is_not_taken_for_one(columns):
    assert detect(cells(**columns)).time_key is None


def test_groups_are_found():
    roles = detect(
        cells(
            leiden=cycle("0", "1", "2"),
            **{"cell.type": cycle("T", "B"), "Treatment": cycle("a", "b"), "Batch": cycle(1, 2, 3)},
            clone_id=cycle(*range(20)),
            barcode=[f"b{k}" for k in range(N)],
        )
    )
    assert (roles.cell_type_key, roles.condition_key, roles.batch_key) == ("cell.type", "Treatment", "Batch")
    assert roles.clone_key == "clone_id"
    assert "2 groups" in roles.reasons["cell_type_key"]


def test_clusters_serve_where_types_are_not_named():
    assert detect(cells(leiden_r1=cycle("0", "1"))).cell_type_key == "leiden_r1"
    roles = detect(cells(whatever=cycle("x", "y")))
    assert roles.cell_type_key == "whatever"
    assert "guess" in roles.reasons["cell_type_key"]


def test_no_column_has_two_roles():
    roles = detect(cells(sample=cycle("12h", "24h")))
    named = [roles.time_key, roles.cell_type_key, roles.condition_key, roles.batch_key, roles.clone_key]
    assert [name for name in named if name] == ["sample"]


def with_arrays(*, n_genes=0, **widths):
    made = (
        AnnData(np.ones((N, n_genes)))
        if n_genes
        else AnnData(obs=pd.DataFrame(index=[str(k) for k in range(N)]))
    )
    rng = np.random.default_rng(0)
    for name, width in widths.items():
        made.obsm[name] = rng.normal(size=(N, width))
    return made


@pytest.mark.parametrize(
    ("widths", "rep", "embedding"),
    [
        ({"X_umap": 2, "X_pca": 50, "X_scVI": 10}, "X_pca", "X_umap"),
        ({"X_tsne": 2, "X_scVI": 10, "X_diffmap": 15}, "X_scVI", "X_tsne"),
        ({"X_latent": 10}, "X_latent", None),
        ({"weird": 7, "X_spring": 2}, "weird", "X_spring"),
        ({"X_phate": 2}, "X_phate", "X_phate"),
        ({"X_phate": 3, "X_tsne": 2}, "X_phate", "X_phate"),
        ({"X_pca": 3}, "X_pca", "X_pca"),
        ({"X_pca": 20, "velocity_umap": 2, "X_draw_graph_fa": 2}, "X_pca", "X_draw_graph_fa"),
        ({"X_umap_harmony": 2, "X_pca_harmony": 30}, "X_pca_harmony", "X_umap_harmony"),
        ({"fate_probabilities": 4}, None, None),
        ({}, None, None),
    ],
)
def test_states_and_maps_are_found(widths, rep, embedding):
    roles = detect(with_arrays(**widths))
    assert (roles.rep, roles.embedding) == (rep, embedding)


def test_a_map_is_no_state_where_there_are_genes():
    assert detect(with_arrays(X_umap=2, n_genes=5)).rep is None


def test_sparse_and_text_arrays_are_not_offered():
    made = with_arrays(X_pca=5)
    made.obsm["X_clone"] = sparse.csr_matrix((N, 3))
    made.obsm["words"] = pd.DataFrame({"a": ["x"] * N}, index=made.obs_names)
    assert representations(made) == ["X_pca"]
    assert embeddings(made) == []
    assert detect(made).clone_key == "X_clone"


def test_counts_and_splicing_are_found(rng):
    counts = rng.poisson(2.0, (N, 30)).astype(np.float32)
    made = AnnData(np.log1p(counts / 3))
    assert detect(made).counts_layer is None
    made.raw = AnnData(counts)
    assert detect(made).counts_layer == "raw"
    made.layers["counts"] = counts
    made.layers["spliced"] = made.layers["unspliced"] = counts
    roles = detect(made)
    assert (roles.counts_layer, roles.spliced_layer, roles.unspliced_layer) == (
        "counts",
        "spliced",
        "unspliced",
    )


def test_roles_survive_json():
    roles = dataclasses.replace(
        detect(cells(day=cycle(0, 1, 2))), time_values={"0": 0.5}, time_unit="h", time_as="index"
    )
    known = json.loads(json.dumps(roles.to_json()))
    assert Roles.from_json({**known, "times": [], "from a later version": 1}) == roles


def test_roles_that_name_nothing_are_refused():
    made = with_arrays(X_pca=5, n_genes=4)
    made.obs["day"] = 1
    check_roles(made, Roles(time_key="day", rep="X_pca", counts_layer="X"))
    for wrong, text in (
        (Roles(time_key="dya"), 'time is set to "dya".*column.*"day"'),
        (Roles(rep="X_umap"), '"X_umap".*array.*"X_pca"'),
        (Roles(embedding="X_pca"), "embedding.*none"),
        (Roles(counts_layer="counts"), 'counts is set to "counts".*"X"'),
    ):
        with pytest.raises(DataError, match=text):
            check_roles(made, wrong)


REAL = {
    "celegans_embryo_counts": ("embryo.time.bin", "cell.type", None, "batch", None, None, None, "X"),
    "eb_phate2d": ("day", "cluster", None, None, None, "X_phate", "X_phate", None),
    "emt_latent10": ("samples", None, None, None, None, "X_latent", None, None),
    "ipsc_cardio_4d": ("time_index", None, None, None, None, "X_pca", None, None),
    "kang_ifnb_pbmc": (None, "cell_type", "condition", None, None, None, "X_umap", None),
    "larry_clones_small": ("time_info", "state_info", None, None, "X_clone", "X_pca", "X_emb", None),
    "pancreas_spliced_unspliced": (None, "clusters", None, None, None, "X_pca", None, "X"),
    "reprogramming_3day": ("day", "cell_type", None, None, None, None, None, None),
    "sim_boolode_gsd": ("snapshot", "branch", None, "simulation_run", None, None, None, None),
    "sim_dyngen_branching": ("snapshot", "true_from", None, "simulation_run", None, None, None, "X"),
    "sim_threegene_growth_2d": ("time", None, None, None, None, None, None, None),
    "sim_threegene_growth_3d": ("time", None, None, None, None, None, None, None),
}


@pytest.mark.data
@pytest.mark.parametrize("file", REAL)
def test_roles_of_real_data(shared_data, file):
    path = shared_data / f"{file}.h5ad"
    adata = read_h5ad(path)
    roles = detect(adata)
    assert tuple(getattr(roles, key) for key in KEYS) == REAL[file]
    assert {key for key in KEYS if getattr(roles, key)} <= set(roles.reasons)
    check_roles(read_cells(path), roles)
