"""The what-if page: on data of every kind, with genes changed, other starting cells, and a screen."""

import numpy as np
import pytest

from dynamics import screen, terminal
from jobs import work_perturb
from jobs.client import Jobs
from models.config import TrainConfig
from tests.ui.test_page_fates import apart, opened
from tests.ui.test_pages_models import with_model, workspace
from tests.ui.test_pages_start_data import open_page, words
from ui import perturbing

__all__ = ["workspace"]
PAIR = TrainConfig("ot-cfm", {"steps": 20}, members=2)

KINDS = {
    "usual": {},
    "no cell types, in space": {"types": False, "axes": 3},
    "no genes, two times, cells without a time": {"genes": 0, "times": (0.0, 1.0), "untimed": 5},
}


def picked(app, beginning, kind="multiselect"):
    return next(one for one in getattr(app, kind) if str(one.key).startswith(beginning))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_opens_on_every_kind_of_data(workspace, kind):
    app = open_page("perturb", **with_model(workspace, apart(**KINDS[kind])))
    assert not app.exception
    assert not app.error
    said = words(app)
    if "no genes" in kind:
        assert "only starting from other cells" in said
        assert "Nothing in particular" in said or "The interval holds zero" in said
    else:
        assert "Choose a gene to change" in said
        assert "All genes" in [one.value for one in app.subheader]


def test_a_gene_is_changed_and_the_result_comes_first(workspace):
    app = open_page("perturb", **with_model(workspace, apart(), config=PAIR))
    picked(app, "perturb-genes").set_value(["Gene1"]).run()
    app.segmented_control(key="perturb-kind").set_value("shift").run()
    app.slider(key="perturb-sd").set_value(1.0).run()
    assert not app.exception
    said = words(app)
    assert "Shifting Gene1 by +1 sd" in said
    assert "2 members of the ensemble" in said
    assert "Not validated" in said
    assert "Over the dose" in [one.value for one in app.subheader]
    app.toggle(key="perturb-loading").set_value(True).run()
    app.slider(key="perturb-dose").set_value(0.5).run()
    assert not app.exception
    assert "(dose 50%)" in words(app)


def test_a_change_far_from_the_data_is_refused(workspace):
    app = open_page("perturb", **with_model(workspace, apart()))
    picked(app, "perturb-genes").set_value(["Gene1", "Gene2"]).run()
    app.segmented_control(key="perturb-kind").set_value("shift").run()
    app.toggle(key="perturb-loading").set_value(True).run()
    app.slider(key="perturb-sd").set_value(-4.0).run()
    assert not app.exception
    assert "nowhere near measured cells" in words(app)


def test_other_cells_are_compared(workspace):
    app = open_page("perturb", **with_model(workspace, apart()))
    app.segmented_control(key="what-if").set_value(perturbing.CELLS).run()
    picked(app, "instead-from", "segmented_control").set_value(perturbing.KINDS).run()
    picked(app, "instead-types").set_value(["up*"]).run()
    assert not app.exception
    assert "Starting from the other cells instead" in words(app)


def test_without_two_states_only_displacement_is_told(workspace, monkeypatch):
    query = with_model(workspace, apart())
    _, shots = opened(workspace, query)
    monkeypatch.setattr(perturbing.fating_states, "current", lambda work: terminal.empty(shots.n_cells))
    app = open_page("perturb", **query)
    picked(app, "perturb-genes").set_value(["Gene1"]).run()
    assert not app.exception
    said = words(app)
    assert "only how far paths are displaced" in said or "nowhere near" in said
    assert "fewer than two terminal states" in said


def test_a_screen_is_a_job_and_its_ranking_is_shown(workspace, monkeypatch):
    monkeypatch.setattr(screen, "FEWEST_GENES", 3)
    query = with_model(workspace, apart())
    entry, shots = opened(workspace, query)
    app = open_page("perturb", **query)
    app.button(key=f"screen-{entry.id}").click().run()
    assert not app.exception
    (job,) = Jobs(workspace.home).list()
    assert job.task == "screen"
    Jobs(workspace.home).stop(job.id)
    folder = workspace.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    params = {
        **query,
        "rows": shots.cells[:30].tolist(),
        "words": "<b>cells</b>",
        "fate": "up*",
        "perturbation": {"changes": [{"gene": "any", "kind": "shift", "sd": 1.0}]},
    }
    told = work_perturb.screen_genes(params=params, folder=folder, progress=lambda *_, **__: True)
    assert "4 genes tried on 30 cells" in told["message"]
    found, of = work_perturb.kept(entry.path, key=shots.fingerprint)
    assert of == "<b>cells</b>"
    assert set(found.genes) == {f"Gene{k}" for k in range(4)}
    assert np.isfinite(found.effect).all()
    assert work_perturb.kept(entry.path, key="other") is None
    said = words(open_page("perturb", **query))
    assert "4 genes tried on 30 cells" in said
    assert "passenger" in said
