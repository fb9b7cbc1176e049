"""Choosing a colouring, a time, genes and cells; and a job as the user sees it."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dynamics import read
from dynamics.inspect import inspect
from dynamics.times import TimeAxis
from jobs.client import Jobs, ServiceState
from jobs.workspace import Workspace
from ui import pickers


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    return Workspace()


@pytest.fixture
def dataset(workspace):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "day": np.repeat([0.0, 2.0], 30),
            "cell_type": pd.Categorical(np.tile(["stem", "blood", "bone"], 20)),
            "barcode": [f"AACG{k}" for k in range(60)],
        },
        index=[f"c{k}" for k in range(60)],
    )
    adata = AnnData(rng.poisson(2.0, (60, 3)).astype(np.float32), obs=obs)
    adata.var_names = ["ENSG1", "ENSG2", "ENSG3"]
    adata.var["gene_symbols"] = ["Gata1", "Spi1", "day"]
    folder = workspace.home / "made"
    folder.mkdir()
    read.write_h5ad(adata, folder / "data.h5ad")
    report = inspect(adata)
    return workspace.add_dataset(
        folder, name="cells", origin="a test", roles=report.roles.to_json(), report=report.to_json()
    )


def draw(name, dataset):
    import streamlit as st

    from ui import pickers, state

    state.open_dataset(dataset)
    st.session_state["answer"] = getattr(pickers, name)(state.current())


def drawn(name, dataset, **address):
    app = AppTest.from_function(draw, args=(name, dataset.id), default_timeout=30)
    for parameter, value in address.items():
        app.query_params[parameter] = value
    return app.run()


def draw_one_of():
    import streamlit as st

    from ui import pickers

    st.session_state["answer"] = pickers.one_of("Way", ("Up", "Down"), key="way")


@pytest.mark.parametrize("said", ["Down", "", "down", "zzz", "\x00", "[]", "nan", "A" * 5000])
def test_an_address_that_names_no_choice_means_the_first(said):
    app = AppTest.from_function(draw_one_of)
    app.query_params["way"] = said
    app.run()
    assert not app.exception
    assert app.session_state["answer"] == ("Down" if said == "Down" else "Up")


def test_cells_can_be_coloured_by_what_says_something(dataset):
    app = drawn("colour_by", dataset)
    assert app.session_state["answer"] == "cell_type"
    assert app.selectbox[0].options == ["cell_type", "day", "Gata1", "Spi1", "day (gene)"]


def test_any_gene_can_be_typed_in_any_case(dataset):
    app = drawn("colour_by", dataset, colour="ensg2")
    assert app.session_state["answer"] == "ensg2"
    assert not app.caption


def test_an_unknown_gene_falls_back_and_proposes_others(dataset):
    app = drawn("colour_by", dataset, colour="Gata2")
    assert app.session_state["answer"] == "cell_type"
    assert "Did you mean Gata1" in app.caption[0].value


def test_genes_come_back_as_the_data_set_names_them(dataset):
    app = drawn("genes", dataset)
    app.multiselect[0].set_value(["spi1", "ENSG1", "Nothing1"]).run()
    assert app.session_state["answer"] == ["ENSG2", "ENSG1"]
    assert "Not in this data set: Nothing1" in app.caption[0].value


def test_cells_of_a_type_are_rows_of_the_table(dataset):
    app = drawn("cells_of_type", dataset)
    assert app.session_state["answer"] is None
    app.multiselect[0].set_value(["blood"]).run()
    np.testing.assert_array_equal(app.session_state["answer"], np.arange(1, 60, 3))


def test_without_models_there_is_nothing_to_pick(dataset):
    app = drawn("model", dataset)
    assert app.session_state["answer"] is None
    assert not app.selectbox


def draw_time(n, all_times):
    import numpy as np
    import streamlit as st

    from dynamics.times import TimeAxis
    from ui import pickers

    axis = TimeAxis(tuple(f"E{k}.5" for k in range(n)), np.arange(n) * 1.5, "day", (9,) * n)
    st.session_state["answer"] = pickers.time(axis, all_times=all_times)


@pytest.mark.parametrize("n", [3, 12])
def test_a_time_is_chosen_by_its_name_and_comes_back_in_its_unit(n):
    app = AppTest.from_function(draw_time, args=(n, True), default_timeout=30).run()
    assert app.session_state["answer"] is None, "all times"
    picker = app.select_slider[0] if n > 6 else app.segmented_control[0]
    picker.set_value("E2.5").run()
    assert app.session_state["answer"] == 3.0


def test_a_single_time_can_be_asked_for():
    app = AppTest.from_function(draw_time, args=(3, False), default_timeout=30).run()
    assert app.session_state["answer"] == 0.0


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=8))
@settings(max_examples=40, deadline=None)
def test_equal_names_are_told_apart(names):
    told = pickers.unique_names(names)
    assert len(set(told)) == len(names)
    assert [label.split(" (")[0] for label in told] == names


def show(id):
    import streamlit as st

    from ui import jobs_panel

    st.session_state["answer"] = jobs_panel.show(id).state


@pytest.fixture
def job(workspace):
    """A training job that has run for ten seconds and is 40 % done."""
    jobs = Jobs(workspace.home)
    id = jobs.submit("train", {}, title="Train *my* model")
    now = time.time()
    jobs.journal.change(
        id,
        if_in=("queued",),
        state="running",
        started=now - 10,
        first_fraction=0.0,
        fraction=0.4,
        message="step 400 of 1000",
    )
    return jobs, id


def test_a_waiting_job_says_how_many_are_before_it(job, monkeypatch):
    jobs, _ = job
    ready = ServiceState(alive=True, warm=True, workers=1, scheduler=None, message="Ready")
    monkeypatch.setattr(Jobs, "service", lambda self: ready)
    ids = [jobs.submit("train", {}) for _ in range(3)]
    told = ["next in line", "1 job before yours", "2 jobs before yours"]
    for id, words in zip(ids, told, strict=True):
        app = AppTest.from_function(show, args=(id,), default_timeout=30).run()
        (bar,) = app.get("progress")
        assert words in bar.proto.text


def test_an_interrupted_job_says_why(job):
    jobs, id = job
    jobs.journal.finish(id, "interrupted", error="The job service ended during this job.")
    app = AppTest.from_function(show, args=(id,), default_timeout=30).run()
    assert "The job service ended" in app.info[0].value
    assert app.button(key=f"resume-{id}").label == "Resume"


def test_a_running_job_says_how_far_it_is_and_how_long_it_takes(job):
    jobs, id = job
    app = AppTest.from_function(show, args=(id,), default_timeout=30).run()
    assert not app.exception
    assert app.session_state["answer"] == "running"
    (bar,) = app.get("progress")
    assert bar.proto.value == 40
    assert "step 400 of 1000" in bar.proto.text
    assert re.search(r"about 1[0-5] s left", bar.proto.text)
    assert "*my*" not in app.markdown[0].value
    app.button(key=f"stop-{id}").click().run()
    assert jobs.get(id).state == "stopping"


@pytest.mark.parametrize(("end", "word"), [("failed", "Try again"), ("interrupted", "Resume")])
def test_a_job_that_did_not_finish_can_go_on(job, end, word):
    jobs, id = job
    jobs.journal.change(id, if_in=("running",), state=end, error="The disk was full.")
    app = AppTest.from_function(show, args=(id,), default_timeout=30).run()
    assert app.session_state["answer"] == end
    assert [error.value for error in app.error] == ([r"The disk was full\."] if end == "failed" else [])
    assert app.button(key=f"resume-{id}").label == word
    app.button(key=f"resume-{id}").click().run()
    assert jobs.get(id).state == "queued"


def test_times_keep_their_names():
    axis = TimeAxis(("1", "3"), np.array([1.0, 3.0]), "day", (5, 5))
    assert [axis.name(k) for k in range(2)] == ["day 1", "day 3"]
