"""The page on candidate regulation, on data of several kinds."""

import numpy as np
import pytest

from dynamics import fixed_points
from jobs import work_regulation
from models.config import TrainConfig
from tests.ui.test_pages_models import course, with_model, workspace  # noqa: F401
from tests.ui.test_pages_start_data import open_page, words

QUICK = TrainConfig(settings={"steps": 20})
PAIR = TrainConfig(settings={"steps": 20}, members=2)


@pytest.fixture(autouse=True)
def short_searches(monkeypatch):
    monkeypatch.setattr(fixed_points, "STEPS", 4)


def worked_out(home, query, **params):
    """Do the job of the page at once."""
    folder = home.home / "jobs" / "a1b2c3d4"
    folder.mkdir(parents=True, exist_ok=True)
    given = {**query, **params}
    return work_regulation.regulation(params=given, folder=folder, progress=lambda *_, **__: True)


def test_before_the_work_is_done_it_is_offered(workspace):  # noqa: F811
    app = open_page("regulation", **with_model(workspace, course()))
    assert not app.exception
    assert "Look for candidate regulators" in [button.label for button in app.button]


def test_networks_of_regions_are_shown_beside_correlation(workspace):  # noqa: F811
    query = with_model(workspace, course(cells=60), config=PAIR)
    assert (
        worked_out(workspace, query, regulators=["Gene0", "Gene1"], prior=[["Gene0", "Gene2", 1]])["networks"]
        > 3
    )
    app = open_page("regulation", **query)
    assert not app.exception
    said = words(app)
    assert "candidate" in said
    assert "Correlation alone" in said
    assert "2 named regulators" in said
    assert "1 edge of the prior network" in said
    assert "between the 2 members" in said
    assert "Not validated" in said
    app.segmented_control(key="regulation-cells").set_value("type").run()
    assert not app.exception
    app.segmented_control(key="regulation-table").set_value("effect").run()
    app.segmented_control(key="stability-colour").set_value("fastest").run()
    assert not app.exception


@pytest.mark.parametrize("kind", [{"genes": 0}, {"types": False, "times": (0.0, 1.0), "axes": 3}])
def test_every_kind_of_data_is_shown(workspace, kind):  # noqa: F811
    query = with_model(workspace, course(**kind), config=QUICK)
    worked_out(workspace, query)
    app = open_page("regulation", **query)
    assert not app.exception
    assert not app.error
    assert ("needs genes" in words(app)) == (kind == {"genes": 0})
    assert "No ensemble was trained" in words(app)


def test_what_is_kept_comes_back_as_it_was(workspace):  # noqa: F811
    query = with_model(workspace, course(), config=PAIR)
    worked_out(workspace, query)
    entry = workspace.model(query["model"])
    key = work_regulation.checkpoint.load(entry.path).fingerprint
    found = work_regulation.kept(entry.path, key=key)
    assert found.kinds[0] == "all"
    assert {"type", "time"} <= set(found.kinds)
    assert np.isnan(np.diag(found.networks[0].score)).all()
    assert len(found.points) == len(found.about)
    assert "correlation" in found.added["sentence"]
    assert work_regulation.kept(entry.path, key="other") is None
