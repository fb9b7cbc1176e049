"""The start and the data page, on an empty workspace and on a data set."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from streamlit.testing.v1 import AppTest

from dynamics import read
from dynamics.errors import DataError
from dynamics.inspect import inspect
from jobs import shipped
from jobs.client import Jobs
from jobs.workspace import Workspace
from ui import cache

ROUTER = Path(__file__).resolve().parents[2] / "pages" / "_router.py"
PAGES = ("start", "data", "train", "library", "flow", "trajectories")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DRIFTSCOPE_DATA", raising=False)
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "no demos yet")
    return Workspace()


@pytest.fixture(scope="module")
def cells():
    """300 cells at three times, with states, a map, cell types and five genes of counts."""
    rng = np.random.default_rng(0)
    days = np.repeat(["day 3", "day 14", "day 1"], 100)
    obs = pd.DataFrame(
        {
            "stage": days,
            "cell_type": pd.Categorical(rng.choice(["stem", "![x](http://h/p.png)"], 300)),
            "donor": pd.Categorical(rng.choice(["a", "b"], 300)),
            "score": rng.normal(size=300),
        },
        index=[f"c{k}" for k in range(300)],
    )
    adata = AnnData(rng.poisson(2.0, (300, 5)).astype(np.float32), obs=obs)
    adata.var_names = ["Gata1", "Spi1", "stage", "Tal1", "Klf1"]
    adata.obsm["X_pca"] = rng.normal(size=(300, 4)).astype(np.float32)
    adata.obsm["X_umap"] = rng.normal(size=(300, 2)).astype(np.float32)
    return adata


def add(workspace, adata, *, name="my cells"):
    folder = workspace.home / "made"
    folder.mkdir()
    read.write_h5ad(adata, folder / "data.h5ad")
    report = inspect(adata)
    return workspace.add_dataset(
        folder, name=name, origin="a test", roles=report.roles.to_json(), report=report.to_json()
    )


@pytest.fixture
def dataset(workspace, cells):
    return add(workspace, cells)


def open_page(page="start", **query):
    app = AppTest.from_file(ROUTER, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return app if page == "start" else app.switch_page(f"{page}.py").run()


def words(app):
    """Return all text of a page, as it is sent to the browser."""
    parts = [str(getattr(element, "value", "")) for element in app.main]
    return " ".join([*parts, *(str(part.proto) for part in app.get("html"))])


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_workspace(workspace, page):
    app = open_page(page)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_a_data_set(dataset, page):
    app = open_page(page, dataset=dataset.id)
    assert not app.exception
    assert not app.error
    assert app.query_params["dataset"] in (dataset.id, [dataset.id])


def test_the_start_page_offers_one_main_step(workspace):
    app = open_page()
    kinds = [button.proto.type for button in app.button]
    assert kinds.count("primary") == 1
    assert [button.key for button in app.button if button.proto.type == "primary"] == ["open-demo-branching"]


def test_a_demo_is_one_click_and_is_opened_when_it_is_there(workspace, cells):
    app = open_page()
    app.button(key="open-demo-branching").click().run()
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.params) == ("demo", {"name": "branching"})
    dataset = add(workspace, cells, name="the demo")
    journal = Jobs(workspace.home).journal
    journal.change(job.id, if_in=("queued",), state="done", result=json.dumps({"dataset": dataset.id}))
    app.run()
    assert not app.exception
    assert "What we found" in [title.value for title in app.title]


def test_a_failed_opening_says_why_in_plain_words(workspace):
    app = open_page()
    app.button(key="open-demo-branching").click().run()
    (job,) = Jobs(workspace.home).list()
    Jobs(workspace.home).journal.change(
        job.id, if_in=("queued",), state="failed", error="This is a *Seurat* file. Convert it."
    )
    app.run()
    assert [error.value.replace("\\", "") for error in app.error] == ["This is a *Seurat* file. Convert it."]
    app.button(key="put-away").click().run()
    assert not app.error


@pytest.mark.parametrize("there", [True, False])
def test_a_refused_file_is_tried_again_only_while_it_is_there(workspace, there):
    source = workspace.home / "uploads" / "x.upload"
    if there:
        source.touch()
    jobs = Jobs(workspace.home)
    id = jobs.submit("ingest", {"source": str(source), "name": "x.h5ad"})
    jobs.journal.change(id, if_in=("queued",), state="failed", error="No.")
    app = open_page()
    app.session_state["memory"] = {"opening": id}
    app.run()
    assert [one.value.replace("\\", "") for one in app.error] == ["No."]
    assert any(one.key == f"resume-{id}" for one in app.button) == there


def test_an_unknown_data_set_in_the_address_is_said_and_dropped(workspace):
    app = open_page("start", dataset="0123456789abcdef")
    assert not app.exception
    assert "dataset" not in app.query_params
    assert any("not in the workspace" in toast.value for toast in app.toast)


def test_a_name_from_a_file_is_never_markdown(workspace, cells):
    dataset = add(workspace, cells, name="![](http://evil.example/p.png) <b>x</b>")
    for page in ("start", "data"):
        app = open_page(page, dataset=dataset.id)
        for element in (*app.markdown, *app.caption, *app.title, *app.subheader):
            assert "![" not in element.value
            assert "<b>" not in element.value or "\\<b" in element.value


def test_what_was_found_is_shown(dataset):
    app = open_page("data", dataset=dataset.id)
    said = words(app)
    for fact in ("300", "3 times, 1 to 14 days", "Raw counts", "X_umap", "X_pca"):
        assert fact in said, fact


def test_roles_say_what_they_were_detected_from(dataset):
    app = open_page("data", dataset=dataset.id)
    time = next(box for box in app.selectbox if box.label == "Time of sampling")
    assert time.value == "stage"
    assert "Detected" in time.help


def test_a_changed_role_is_kept_with_a_new_report(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    next(box for box in app.selectbox if box.label == "Cell type").select("donor").run()
    assert not app.exception
    now = workspace.dataset(dataset.id)
    assert now.roles["cell_type_key"] == "donor"
    assert now.roles["reasons"]["cell_type_key"] == "chosen by you"
    assert now.report["roles"]["cell_type_key"] == "donor"
    assert now.report["values"] == "counts", "what was said of the matrix stays"


def test_without_a_time_column_the_page_says_what_to_do(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    next(box for box in app.selectbox if box.label == "Time of sampling").select("—").run()
    assert not app.exception
    assert workspace.dataset(dataset.id).roles["time_key"] is None
    assert "choose the column that holds the time" in words(app)


def test_a_column_that_is_no_time_does_not_break_the_page(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    next(box for box in app.selectbox if box.label == "Time of sampling").select("score").run()
    assert not app.exception
    assert not app.error


def test_times_stand_in_their_order_with_their_cells(dataset):
    app = open_page("data", dataset=dataset.id)
    (table,) = app.get("arrow_data_frame") or app.dataframe
    assert table.value["label"].tolist() == ["day 1", "day 3", "day 14"]
    assert table.value["value"].tolist() == [1, 3, 14]
    assert table.value["cells"].tolist() == [100, 100, 100]


def test_times_can_be_counted_instead(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    app.toggle[0].set_value(True).run()
    assert workspace.dataset(dataset.id).roles["time_as"] == "index"
    assert [row["value"] for row in workspace.dataset(dataset.id).report["roles"]["times"]] == [0, 1, 2]


def test_the_unit_can_be_changed_and_comes_back(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    unit = next(box for box in app.text_input if box.label == "Unit")
    assert unit.value == "day"
    unit.set_value("dpi").run()
    assert workspace.dataset(dataset.id).report["roles"]["time_unit"] == "dpi"


@pytest.fixture
def counts(workspace, cells):
    """Raw counts of 300 cells in 40 genes, ten cells of which are nearly empty."""
    rng = np.random.default_rng(1)
    matrix = rng.poisson(5.0, (300, 40)).astype(np.float32)
    matrix[:10, 3:] = 0
    adata = AnnData(matrix, obs=cells.obs.copy())
    adata.var_names = [f"Gene{k}" for k in range(40)]
    return add(workspace, adata)


def test_what_preparing_will_do_is_told_beforehand(counts):
    app = open_page("data", dataset=counts.id)
    assert not app.exception
    said = words(app)
    for step in ("Quality control", "Normalise", "Principal components", "UMAP"):
        assert step in said
    assert "290 cells of 300 and 40 genes of 40 are kept" in " ".join(
        caption.value for caption in app.caption
    )
    assert [button.key for button in app.button if button.proto.type == "primary"] == ["prepare-now"]


def test_the_limits_of_quality_control_act_at_once(counts):
    app = open_page("data", dataset=counts.id)
    box = next(box for box in app.number_input if box.label.startswith("Fewest genes per cell"))
    box.set_value(41).run()
    assert "0 cells of 300" in " ".join(caption.value for caption in app.caption)


def test_preparing_is_a_job_with_the_changed_settings_only(workspace, counts):
    app = open_page("data", dataset=counts.id)
    box = next(box for box in app.number_input if box.label.startswith("Fewest genes per cell"))
    box.set_value(7).run()
    app.button(key="prepare-now").click().run()
    assert not app.exception
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.dataset) == ("prepare", counts.id)
    assert job.params == {"dataset": counts.id, "config": {"min_genes": 7}}
    assert app.button(key=f"stop-{job.id}").label == "Stop"


def test_a_ready_data_set_need_not_be_prepared(dataset):
    app = open_page("data", dataset=dataset.id)
    assert "nothing needs to be done" in words(app)
    assert [button.key for button in app.button if button.proto.type == "primary"] == ["next-train"]


def test_a_data_set_can_be_renamed_deleted_and_brought_back(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    next(box for box in app.text_input if box.label == "Name").set_value("better").run()
    assert workspace.dataset(dataset.id).name == "better"
    app.button(key="delete-dataset").click().run()
    assert workspace.datasets() == []
    assert any("better was deleted" in info.value for info in app.info)
    app.button(key="undo-delete").click().run()
    assert [known.name for known in workspace.datasets()] == ["better"]
    assert not app.exception


def test_a_long_name_is_not_cut_by_looking_at_it(workspace, cells):
    dataset = add(workspace, cells, name="long " * 50)
    assert not open_page("data", dataset=dataset.id).exception
    assert workspace.dataset(dataset.id).name == "long " * 50


def test_a_data_set_deleted_in_another_tab_does_not_break_this_one(workspace, dataset):
    app = open_page("data", dataset=dataset.id)
    workspace.delete_dataset(dataset.id)
    app.run()
    assert not app.exception
    assert not app.error


def test_a_file_of_states_alone_works(workspace, cells):
    bare = AnnData(obs=cells.obs[["stage"]].copy(), obsm={"X_latent": np.asarray(cells.obsm["X_pca"])})
    dataset = add(workspace, bare)
    app = open_page("data", dataset=dataset.id)
    assert not app.exception
    assert "states only" in words(app)


def test_a_damaged_report_does_not_hide_the_other_data_sets(workspace, dataset):
    (workspace.home / "datasets" / "broken00").mkdir()
    (workspace.home / "datasets" / "broken00" / "about.json").write_text("{")
    app = open_page("data")
    assert not app.exception
    assert json.loads((dataset.folder / "about.json").read_text())["name"] == "my cells"


def test_colours_come_from_columns_and_genes(dataset):
    stage, gene = cache.colour_values(dataset, "stage"), cache.colour_values(dataset, "stage (gene)")
    assert set(stage) == {"day 1", "day 3", "day 14"}
    assert gene.name == "stage"
    np.testing.assert_array_equal(gene, read.gene_values(dataset.file, "stage"))
    np.testing.assert_array_equal(
        cache.colour_values(dataset, "gata1"), read.gene_values(dataset.file, "Gata1")
    )
    with pytest.raises(DataError, match="no column and no gene called 'nothing'"):
        cache.colour_values(dataset, "nothing")
