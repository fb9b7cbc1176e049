"""The load script drives real pages over real sockets, and counts what goes wrong."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import load, load_session
from benchmarks.load_session import Browser, Failed, Session
from jobs import client
from tests.serving import awaited, serve

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = serve(tmp_path_factory.mktemp("load"), env={"DRIFTSCOPE_SHARED": "1"})
    yield running
    running.stop()
    client.stop_service(running.folder)


@pytest.fixture(scope="module")
def found(server, tmp_path_factory):
    """Two people on a shared server, for a few seconds, on a small data set."""
    options = load.parse(["--minutes", "0.1", "--every", "0.6", "--genes", "12"])
    place = tmp_path_factory.mktemp("made")
    made = load.load_course.make(place, n_cells=300, n_genes=12, settings={"steps": 20})
    return [awaited(load.go(server, load.furnish(server, made, n=2, shared=True), options))]


def test_two_sessions_act_without_an_error(found):
    (one,) = found
    assert one.errors == []
    assert len(one.seconds["opening"]) == 2
    assert len(one.all) >= 4
    assert one.n_bytes > 300 * 2 * 4  # at least the map itself came
    assert max(one.rss_mb) > 50


def test_the_table_has_every_figure_beside_its_target(found):
    lines = "\n".join(load.report(found, 100.0))
    assert "| 2 | " in lines
    assert "≤ 254 MB" in lines  # 100 + 150 + 2 × 2
    assert "| opening | 2 |" in lines


def test_an_error_on_the_page_and_a_file_that_is_not_there_count_as_errors(server):
    async def go():
        session = Session(Browser("127.0.0.1", server.port))
        await session.open("start")
        assert "flow" in session.pages
        with pytest.raises(Failed, match="404"):
            await session.browser.get("/api/map/array/none")
        await session.go("library")
        with pytest.raises(KeyError):
            await session.choose("no-such-widget", "x")
        session._draw(_error("Something went wrong"))
        assert session.alerts == ["Something went wrong"]
        await session.close()

    awaited(go())


def _error(text):
    from streamlit.proto.Alert_pb2 import Alert
    from streamlit.proto.Delta_pb2 import Delta

    delta = Delta()
    delta.new_element.alert.body, delta.new_element.alert.format = text, Alert.ERROR
    return delta


def test_what_the_map_fetches_is_what_its_code_fetches():
    code = (Path(load_session.__file__).parents[1] / "ui/cellmap/js/main.js").read_text()
    for layer, names in load_session.ARRAYS.items():
        words = ", ".join(f'"{name}"' for name in names)
        assert f"all(layers.{layer}, {words})" in code


def test_the_course_has_times_types_and_counts():
    adata = load.load_course.course(400, 10)
    assert adata.obs["day"].nunique() == 5
    assert adata.obs["cell_type"].nunique() == 5
    assert np.isfinite(adata.obsm["X_umap"]).all()
    assert (adata.layers["counts"].data % 1 == 0).all()
