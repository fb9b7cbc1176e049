"""The genes page: every view on data of every kind, with fates and without."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics import terminal
from jobs import work_fates
from models.config import TrainConfig
from tests.hostile.names import plain
from tests.ui.test_page_fates import apart, keep, opened
from tests.ui.test_pages_models import with_model, workspace
from tests.ui.test_pages_start_data import open_page, words

__all__ = ["workspace"]
TRIO = TrainConfig("ot-cfm", {"steps": 20}, members=3)


def named(layers=False, **kwargs):
    """Return a course with fifty genes under identifiers and symbols; the first goes with the branch."""
    adata = apart(genes=0, cells=60, **kwargs)
    rng = np.random.default_rng(1)
    n = adata.n_obs
    counts = rng.poisson(4, (n, 50)).astype(np.float32)
    counts[:, 0] += rng.poisson(4 * (adata.obsm["X_pca"][:, 1] > 0) * (1 + adata.obsm["X_pca"][:, 0].clip(0)))
    symbols = ["Gata1", "<b>Spi1</b>", *(f"Gene{k}" for k in range(2, 50))]
    var = pd.DataFrame({"gene_symbols": symbols}, index=[f"ENS{k}" for k in range(50)])
    made = type(adata)(sparse.csr_matrix(counts), obs=adata.obs, var=var, obsm=dict(adata.obsm))
    if layers:
        made.layers["spliced"], made.layers["unspliced"] = made.X.copy(), made.X.copy()
    return made


def view(query, name):
    return open_page("genes", **query, **{"genes-view": name})


@pytest.fixture
def branching(workspace):
    """Return the query of a course with genes, layers, three members and two kept terminal states."""
    query = with_model(workspace, named(layers=True), config=TRIO)
    keep(workspace, query)
    return query


@pytest.mark.parametrize("name", ["Trends", "Heat map", "On the map", "Phase portrait"])
def test_every_view_is_drawn_with_fates_an_ensemble_and_layers(branching, name):
    app = view(branching, name)
    assert not app.exception
    assert not app.error
    said = words(app)
    if name == "Trends":
        assert "3 members of the ensemble" in said
    if name in ("Trends", "Heat map"):
        assert "Not validated" in said
        assert "straight lines between the measured times" in said


def test_the_planted_driver_comes_first_and_the_table_can_be_narrowed(branching):
    app = view(branching, "Drivers")
    assert next(one for one in app.selectbox if one.label == "On the way to").options == ["down", "up*"]
    next(one for one in app.selectbox if one.label == "On the way to").set_value("up*").run()
    table = app.dataframe[0].value
    assert table["gene"].iloc[0] == "Gata1"
    assert table["holds_up"].iloc[0]
    assert {"effect", "low", "high", "q", "matched_null_p"} <= set(table)
    said = words(app)
    assert "3 members of the ensemble" in said
    assert "need not cause it" in said
    app.text_area[0].set_value("gene7, ENS8 nothing").run()
    assert sorted(app.dataframe[0].value["gene"]) == ["Gene7", "Gene8"]
    assert "nothing" in words(app)
    next(one for one in app.segmented_control if one.label == "Cells").set_value("Undecided cells").run()
    assert not app.exception


def test_a_pasted_set_is_scored_and_names_that_are_missing_are_told(branching):
    app = view(branching, "Gene sets")
    assert "Paste names of genes" in words(app)
    app.text_area[0].set_value("gata1, GENE2 Gene3x; zzz").run()
    assert not app.exception
    said = words(app)
    assert "2 of 4 genes found" in said
    assert "Gene3x, zzz" in said
    assert "Did you mean Gene3x" in plain(said)
    assert "Score of 2 genes" in said


def test_a_gmt_file_is_read_and_a_bad_one_is_told(branching):
    app = view(branching, "Gene sets")
    next(one for one in app.segmented_control if one.label == "Gene set").set_value("Upload GMT").run()
    app.file_uploader[0].set_value(("sets.gmt", b"only words", "text/plain")).run()
    assert "line 1" in app.warning[0].value
    app.file_uploader[0].set_value(("sets.gmt", b"MINE\tx\tGata1\tGene4\nbad\n", "text/plain")).run()
    assert not app.exception
    said = words(app)
    assert "Score of 2 genes" in said
    assert "line 2" in said


def test_without_genes_the_page_says_so(workspace):
    app = open_page("genes", **with_model(workspace, apart(genes=0)))
    assert not app.exception
    assert "No genes in this data set" in words(app)


@pytest.mark.parametrize("name", ["Trends", "Drivers", "On the map"])
def test_with_one_terminal_state_all_cells_count_alike(workspace, name):
    query = with_model(workspace, named(times=(0.0, 1.0)), embedding=None)
    entry, shots = opened(workspace, query)
    codes = np.where(shots.time_index == 1, 0, -1)
    work_fates.keep_states(entry, terminal.from_codes(codes, ["all"], source="hand"), shots)
    app = view(query, name)
    assert not app.exception
    assert not app.error
    said = words(app)
    assert "no fates to weight cells by" in said
    if name == "On the map":
        assert "no map to draw on" in said
