"""The report says what a data set is, and every finding says what to do."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics.inspect import inspect
from dynamics.read import read_cells, read_h5ad, write_h5ad
from dynamics.roles import Roles, detect

N, G = 150, 30


@pytest.fixture
def adata(rng):
    obs = pd.DataFrame(
        {"day": np.repeat([0, 2, 7], 50), "cell_type": np.tile(["a", "b"], 75)},
        index=[f"c{k}" for k in range(N)],
    )
    made = AnnData(rng.poisson(3.0, (N, G)).astype(np.float32), obs=obs)
    made.var_names = [f"Gene{k}" for k in range(G)]
    made.obsm["X_pca"] = rng.normal(size=(N, 6)).astype(np.float32)
    made.obsm["X_umap"] = rng.normal(size=(N, 2)).astype(np.float32)
    return made


def codes(report):
    return {finding.code for finding in report.findings}


def test_a_sound_data_set_has_no_findings(adata):
    report = inspect(adata)
    assert report.findings == ()
    assert report.values == "counts"
    assert (report.n_cells, report.n_genes) == (N, G)


def test_json_has_the_shape_that_scripts_expect(adata):
    report = json.loads(json.dumps(inspect(adata).to_json(), allow_nan=False))
    assert set(report) == {"n_cells", "n_genes", "roles", "values", "values_reason", "findings"}
    assert report["roles"]["times"][2] == {"label": "7", "value": 7.0, "n_cells": 50}
    assert report["roles"]["time_unit"] == "day"
    expected = {"time_key", "times", "time_unit", "cell_type_key", "condition_key", "batch_key", "clone_key"}
    expected |= {"rep", "embedding", "counts_layer", "spliced_layer", "unspliced_layer"}
    assert expected <= set(report["roles"])


def set_obs(name, values):
    def change(adata):
        adata.obs[name] = values

    return change


def set_obsm(name, values):
    def change(adata):
        adata.obsm[name] = values(adata)

    return change


def drop_obsm(*names):
    def change(adata):
        for name in names:
            del adata.obsm[name]

    return change


def with_hole(key, value):
    def change(adata):
        adata.obsm[key][3, 1] = value

    return change


def rename_genes(names):
    def change(adata):
        adata.var_names = names

    return change


def spoil_matrix(change):
    def spoil(adata):
        adata.X = change(adata.X)

    return spoil


def hole(x):
    x[3, 4] = np.nan
    x[5, 6] = np.inf
    return x


def empty(x):
    x[7:9] = 0
    return x


def z_scores(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


CASES = {
    "no-time": (lambda a: a.obs.pop("day"), "warning", "no motion between times"),
    "one-time": (set_obs("day", 3), "warning", "day 3"),
    "two-times": (set_obs("day", np.repeat([1, 2], 75)), "note", "held out"),
    "few-cells-at-time": (
        set_obs("day", np.repeat([0, 2, 7], [80, 60, 10])),
        "warning",
        r"day 7 \(10 cells\)",
    ),
    "time-order": (set_obs("day", np.repeat(["D0", "D10", "D2"], 50)), "note", "D0 → D2 → D10"),
    "time-reading": (set_obs("day", np.repeat(["E8.5", "E18.5", "P0"], 50)), "note", "19.5 days"),
    "cells-without-time": (
        set_obs("day", np.repeat(["d1", "d2", "wild"], 50)),
        "warning",
        '50 of 150 cells.*"wild"',
    ),
    "small-time": (
        set_obs("day", np.repeat([0, 2, 7], [80, 41, 29])),
        "warning",
        r"day 2 \(41 cells\), day 7 \(29 cells\)",
    ),
    "batch-is-time": (set_obs("batch", np.repeat(["x", "y", "z"], 50)), "warning", "cannot be told"),
    "no-cell-types": (lambda a: a.obs.pop("cell_type"), "note", "cell types"),
    "no-embedding": (drop_obsm("X_umap"), "warning", "no map"),
    "no-rep": (drop_obsm("X_pca"), "warning", "X_pca"),
    "array-not-finite": (with_hole("X_pca", np.nan), "error", '1 cells.*"X_pca"'),
    "array-constant": (set_obsm("X_umap", lambda a: np.ones((N, 2))), "warning", "same for all cells"),
    "duplicate-states": (
        set_obsm("X_pca", lambda a: np.tile(np.random.default_rng(0).normal(size=(75, 6)), (2, 1))),
        "warning",
        "75 of 150",
    ),
    "x-not-finite": (spoil_matrix(hole), "error", "2 values"),
    "empty-cells": (spoil_matrix(empty), "warning", "2 cells"),
    "x-scaled": (spoil_matrix(z_scores), "warning", "z-scores"),
    "x-not-logged": (spoil_matrix(lambda x: x / x.sum(axis=1, keepdims=True) * 1e4), "note", "total"),
    "not-expression": (spoil_matrix(lambda x: x > 1), "error", "yes/no"),
    "ensembl-ids": (rename_genes([f"ENSG{k:011d}" for k in range(G)]), "note", "ENSG00000000000"),
    "excel-genes": (
        rename_genes(["1-Mar", "2-Sep", *(f"g{k}" for k in range(G - 2))]),
        "note",
        "2 gene names",
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_findings(adata, code):
    change, level, text = CASES[code]
    change(adata)
    found = {finding.code: finding for finding in inspect(adata).findings}
    assert code in found
    assert found[code].level == level
    assert re.search(text, found[code].message)
    assert found[code].fix.endswith((".", ").", ".)"))


def test_orders_and_uneven_times(rng):
    obs = pd.DataFrame(
        {"time_index": np.repeat([0, 1, 2], [400, 30, 50])}, index=[str(k) for k in range(480)]
    )
    report = inspect(AnnData(obs=obs, obsm={"X_pca": rng.normal(size=(480, 4))}))
    assert {"time-is-order", "uneven-times", "no-genes"} <= codes(report)
    assert report.values == "none"


def test_unreadable_times_are_an_error_that_says_what_to_do(adata):
    adata.obs["day"] = np.repeat(["x", "y", "z"], 50)
    report = inspect(adata, roles=Roles(time_key="day"))
    finding = next(f for f in report.findings if f.code == "time-unreadable")
    assert '"x", "y", "z"' in finding.message
    assert finding.fix.startswith("Choose another time column")
    assert report.times is None


def test_many_times_propose_a_binned_column(rng):
    obs = pd.DataFrame(
        {"minutes": np.repeat(np.arange(100), 20), "time_bin": np.repeat(["0-50", "50-100"], 1000)},
        index=[str(k) for k in range(2000)],
    )
    report = inspect(AnnData(obs=obs), roles=Roles(time_key="minutes"))
    finding = next(f for f in report.findings if f.code == "continuous-time")
    assert '"time_bin"' in finding.fix


def test_a_batch_at_every_time_is_not_the_time(adata):
    adata.obs["batch"] = np.tile(["x", "y", "z"], 50)
    assert "batch-is-time" not in codes(inspect(adata))


def test_own_times_count(adata):
    roles = dataclasses.replace(detect(adata), time_values={"7": 3.5}, time_unit="h")
    report = inspect(adata, roles=roles)
    np.testing.assert_allclose(report.times.values, [0, 2, 3.5])
    assert report.to_json()["roles"]["time_unit"] == "h"


def test_notes_of_reading_reach_the_report(adata, tmp_path):
    adata.var_names = ["g", "g", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "a.h5ad")
    write_h5ad(read_h5ad(tmp_path / "a.h5ad"), tmp_path / "b.h5ad")
    assert "duplicate-gene-names" in codes(inspect(read_cells(tmp_path / "b.h5ad")))


def test_a_report_can_be_renewed_without_the_matrix(adata, tmp_path):
    adata.X[3, 4] = np.nan
    write_h5ad(adata, tmp_path / "a.h5ad")
    whole = inspect(read_h5ad(tmp_path / "a.h5ad"))
    again = inspect(read_cells(tmp_path / "a.h5ad"), roles=whole.roles, earlier=whole.to_json())
    assert again.findings == whole.findings
    assert (again.values, again.values_reason) == (whole.values, whole.values_reason)


def test_what_the_matrix_said_of_other_times_is_not_kept(adata, tmp_path):
    adata.X[100:] *= 4
    adata.obs["hour"] = np.tile([0, 5, 9], 50)
    write_h5ad(adata, tmp_path / "a.h5ad")
    whole, cells = inspect(read_h5ad(tmp_path / "a.h5ad")), read_cells(tmp_path / "a.h5ad")
    assert "depth-differs" in codes(whole)
    same, other = (dataclasses.replace(whole.roles, time_key=key) for key in ("day", "hour"))
    assert "depth-differs" in codes(inspect(cells, roles=same, earlier=whole.to_json()))
    assert "depth-differs" not in codes(inspect(cells, roles=other, earlier=whole.to_json()))


def test_the_worst_comes_first(adata):
    adata.X[3, 4] = np.nan
    del adata.obsm["X_umap"]
    adata.obs["day"] = np.repeat([1, 2], 75)
    assert [f.level for f in inspect(adata).findings] == ["error", "warning", "note"]


@pytest.mark.parametrize("n", [1, 2, 30])
def test_few_cells_are_said(n):
    report = inspect(AnnData(obs=pd.DataFrame({"day": [0] * n}, index=[str(k) for k in range(n)])))
    assert codes(report) & {"no-cells", "few-cells"}


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("pancreas_spliced_unspliced", {"no-time", "no-embedding"}),
        ("eb_phate2d", {"no-genes", "rep-is-map"}),
        ("larry_clones_small", {"x-not-logged", "time-unit", "uneven-times", "small-time"}),
        ("ipsc_cardio_4d", {"time-is-order", "no-embedding", "no-genes", "no-cell-types"}),
        ("celegans_embryo_counts", {"no-rep", "no-embedding", "time-reading", "depth-differs"}),
    ],
)
def test_findings_on_real_data(shared_data, file, expected):
    report = inspect(read_h5ad(shared_data / f"{file}.h5ad"))
    assert codes(report) == expected
    assert not any(finding.level == "error" for finding in report.findings)
