"""The landscape page, on data of several kinds."""

import numpy as np
import pytest

from models.config import TrainConfig
from tests.ui.test_pages_models import course, with_model, workspace
from tests.ui.test_pages_start_data import open_page, words
from ui import landscape_ways

__all__ = ["workspace"]
TRIO = TrainConfig(settings={"steps": 20}, members=3)


@pytest.fixture(autouse=True)
def short_searches(monkeypatch):
    monkeypatch.setattr("dynamics.action.STEPS", 6)


def pick(app, first, second):
    """Choose the two states of a path."""
    boxes = {box.label: box for box in app.selectbox}
    boxes["Path from"].set_value(first)
    boxes["to"].set_value(second).run()


def test_a_landscape_and_the_paths_between_two_types_with_an_ensemble(workspace):
    app = open_page("landscape", **with_model(workspace, course(), config=TRIO))
    assert not app.exception
    said = words(app)
    assert "potential closest to the flow" in said
    assert "is an illustration" in said
    assert "3 members of the ensemble" in said
    assert "Not validated" in said
    assert "Choose two states above" in said
    pick(app, "up*", "down")
    assert not app.exception
    said = words(app)
    assert "candidates for how a change could go" in said
    assert list(app.table[-1].value.columns) == ["Action", "80 % range", "Off the measured cells"]
    assert app.table[-1].value.index[0] == "up\\* → down"
    app.segmented_control(key="landscape-view").set_value("From above").run()
    app.pills(key="landscape-shown").set_value(["Paths of cells", "Least-action paths"]).run()
    assert not app.exception
    pick(app, "up*", "up*")
    assert "choose two different states" in words(app)


KINDS = {
    "no cell types, two times, a map in space": {"types": False, "times": (0.0, 1.0), "axes": 3},
    "no genes, cells without a time": {"genes": 0, "untimed": 5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_shown(workspace, kind):
    app = open_page("landscape", **with_model(workspace, course(**KINDS[kind])))
    pick(app, "all of day 0", "all of day 1")
    assert not app.exception
    assert not app.error
    said = words(app)
    assert "No ensemble was trained" in said
    assert ("Only the first two axes" in said) == ("axes" in KINDS[kind])
    assert ("trained without genes" in said) == ("genes" in KINDS[kind])


def test_a_learned_landscape_is_read_at_one_time(workspace):
    config = TrainConfig("action-matching", {"steps": 20})
    app = open_page("landscape", **with_model(workspace, course(), config=config))
    assert not app.exception
    assert "potential that “a" in words(app)
    assert "has learned" in words(app)
    source = next(box for box in app.selectbox if box.label == "Height from")
    source.set_value("density").run()
    assert not app.exception
    assert "population at rest" in words(app)


def test_a_flow_without_a_landscape_is_refused_and_paths_stay(workspace, monkeypatch):
    monkeypatch.setattr("dynamics.landscape.LEAST_EXPLAINED", 1.1)
    app = open_page("landscape", **with_model(workspace, course()))
    assert "No landscape is drawn" in words(app)
    pick(app, "up*", "down")
    assert not app.exception
    assert "no height along the paths" in words(app)


def test_cells_chosen_on_the_map_can_be_an_end(workspace, monkeypatch):
    chosen = type("Event", (), {"n": 10, "rows": np.arange(10)})()
    query = with_model(workspace, course())
    monkeypatch.setattr("ui.cellmap.selected", lambda *_: chosen)
    app = open_page("landscape", **query)
    app.button(key="landscape-keep").click().run()
    assert not app.exception
    pick(app, f"{landscape_ways.FROM_MAP} 1", "down")
    assert not app.exception
    assert app.table[-1].value.index[0].endswith("down")
