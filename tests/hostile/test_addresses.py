"""Addresses that somebody typed: whatever stands in them, a page says what is missing, or leaves it out."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from jobs.workspace import Workspace
from tests.ui.test_pages_models import course, with_model
from tests.ui.test_pages_start_data import PAGES, ROUTER

ODD = {
    "a path": "../../../etc/passwd",
    "nothing": "",
    "Python": "__class__",
    "markup": "<script>alert(1)</script>![](http://host/p.png)",
    "no number": "nan",
    "NUL": "a\0b",
    "much": "0" * 100_000,  # what is longer than half a megabyte, Streamlit leaves out
    "another's id": "0123456789abcdef0123",
    "twice": ["a", "../b"],
}
OURS = (
    "compare",
    "method",
    "colour",
    "direction",
    "genes-view",
    "drawn",
    "landscape-view",
    "only-open",
    "time",
)
SECONDS = 20.0


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIFTSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield with_model(Workspace(), course(cells=20))


def opened(page: str, **query) -> AppTest:
    app = AppTest.from_file(ROUTER, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return app if page == "start" else app.switch_page(f"{page}.py").run()


def assert_said(app: AppTest, what: str) -> None:
    """No page broke: what stopped it, if anything did, speaks for itself."""
    for one in app.exception:
        assert one.proto.type in ("DataError", "ModelError", "SettingsError"), (what, one.proto.type)


@pytest.mark.parametrize("name", ODD)
def test_an_id_that_is_none_is_left_out_and_said(query, name):
    for page in ("start", "flow") if name == "a path" else ("library",):
        began = time.process_time()
        app = opened(page, dataset=ODD[name], model=ODD[name])
        assert not app.exception, page
        assert app.query_params.get("dataset") is None
        assert app.query_params.get("model") is None
        assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("page", PAGES)
def test_other_parts_of_an_address_never_break_a_page(query, page):
    names = list(ODD)
    for k in (0, 4):  # each value in another part of the address
        parts = {part: ODD[names[(k + at) % len(names)]] for at, part in enumerate(OURS)}
        assert_said(opened(page, **query, **parts), names[k])


def test_models_that_cannot_be_compared_are_left_out_of_a_comparison(query, tmp_path):
    store = Workspace()
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(store.model(query["model"]).path.read_bytes())
    stranger = store.add_model(copy, name="from a file", dataset=None)
    other = with_model(store, course(cells=20))
    for ids in (
        [stranger.id, query["model"]],
        [query["model"], other["model"], stranger.id],
        [query["model"], query["model"], "../../x"],
    ):
        app = opened("library", **query, compare=",".join(ids))
        assert not app.exception, ids
        assert "Compare models" not in [one.value for one in app.title], ids
