"""Hostile model files through the library page: refused in words, leaving nothing, harming nothing."""

import json
from dataclasses import replace

import model_claims
import model_files
import numpy as np
import pytest
from streamlit import config

from dynamics.snapshots import from_arrays
from jobs import quotas
from jobs.workspace import Workspace
from models import checkpoint
from models.config import TrainConfig
from models.train import fit
from tests.ui.test_pages_models import course, with_model
from tests.ui.test_pages_start_data import open_page, words


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    told = config.get_option("client.showErrorDetails")
    config.set_option("client.showErrorDetails", "full")  # the hook that shows refusals is not run by AppTest
    yield Workspace()
    config.set_option("client.showErrorDetails", told)


@pytest.fixture
def query(workspace):
    return with_model(workspace, course())


@pytest.fixture
def sound(workspace, query) -> bytes:
    return workspace.model(query["model"]).path.read_bytes()


def upload(content: bytes, name: str = "model.safetensors", **query):
    app = open_page("library", **query)
    app.file_uploader[0].set_value((name, content, "application/octet-stream")).run()
    return app


def left(workspace) -> list[str]:
    return [path.name for path in (workspace.home / "uploads").iterdir()]


def test_a_refused_model_leaves_nothing_and_the_library_goes_on(workspace, query, sound, tmp_path):
    marker = tmp_path / "marker"
    for content in (
        model_files.programs(marker)["torch zip"],
        model_files.wrong_json(sound)["header number NaN"],
        model_claims.wrong_cards(sound)["card without n_cells"],
        model_claims.wrong_values(sound)["last weights 3e38"],
    ):
        app = upload(content, **query)
        assert "ModelError" in app.exception[0].proto.type
        assert left(workspace) == []
        assert [entry.id for entry in workspace.models()] == [query["model"]]
        app.run()
        assert not app.exception
        assert "Learned from" in words(app)
    assert not marker.exists()


def test_the_room_is_looked_at_before_anything_is_written(workspace, query, sound, monkeypatch):
    written = []
    monkeypatch.setattr(quotas, "ROOM_MB", 10**9)
    monkeypatch.setattr(checkpoint, "load", lambda path: written.append(path))
    app = upload(sound, **query)
    assert "disk is full" in app.exception[0].message
    assert not written
    assert left(workspace) == []


@pytest.mark.parametrize("name", ["markup", "labels of markup", "control characters", "no name"])
def test_a_strange_model_is_shown_as_text(workspace, query, sound, name):
    markup = "<b>![](http://host/p.png)"
    content = model_claims.strange_but_whole(sound)[name]
    app = upload(content, f"../../{markup}{'n' * 5000}.safetensors", **query)
    assert not app.exception
    assert not app.error
    new = next(entry for entry in workspace.models() if entry.id != query["model"])
    assert new.path.parent == workspace.home / "models"
    assert len(new.name) <= 200
    assert left(workspace) == []
    shown = open_page("library", **query)
    assert not any("![](" in one.value for one in [*shown.markdown, *shown.caption])
    assert not any("<img" in str(one.proto) for one in shown.get("html"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rep": "X_other"}, "was trained on X_other"),
        ({"dim": 9}, "needs 9 dimensions"),
        ({"scale": 1e6}, "another scale"),
        ({"unit": "hour"}, "counts time in"),
    ],
)
def test_a_model_of_other_data_is_refused_with_the_reason(workspace, change, match, tmp_path):
    dataset = with_model(workspace, course(genes=0))["dataset"]
    rng = np.random.default_rng(0)
    states = rng.standard_normal((60, change.get("dim", 5))) * change.get("scale", 1.0)
    shots = from_arrays(states, np.repeat([0.0, 1.0, 3.0], 20), unit=change.get("unit", "day"))
    shots = replace(shots, rep=change.get("rep", "X_pca"))
    made = tmp_path / "other.safetensors"
    recipe = TrainConfig("ot-cfm", {"steps": 10, "width": 8, "depth": 1})
    checkpoint.save(fit(shots, recipe, name="other"), made)
    entry = workspace.add_model(made, name="other", dataset=None)
    app = open_page("flow", dataset=dataset, model=entry.id)
    assert match in app.exception[0].message


def test_one_file_that_cannot_be_read_does_not_close_the_library(workspace, query):
    sound = workspace.model(query["model"])
    changed = bytearray(sound.path.read_bytes())
    changed[-1] ^= 1
    for id, content in (("0" * 20, b"nonsense"), ("1" * 20, changed)):
        (workspace.home / "models" / f"{id}.safetensors").write_bytes(content)
    app = open_page("library", **query)
    assert not app.exception
    assert len(app.error) == 1, "the second one is only found out when it is opened"
    assert "Learned from" in words(app)
    app.button(key=f"delete-{'0' * 20}").click().run()
    assert not app.error
    assert not workspace.has_model("0" * 20)
    opened = open_page("flow", dataset=query["dataset"], model="1" * 20)
    assert "not an intact" in opened.exception[0].message


NONSENSE = ([], 3, {"name": 3, "created": "x", "about": [], "dataset": 7}, "{", '"\\ud800"')


@pytest.mark.parametrize("told", NONSENSE)
def test_nonsense_beside_a_model_does_not_close_the_library(workspace, query, told):
    beside = workspace.model(query["model"]).path.with_suffix(".json")
    beside.write_text(told if isinstance(told, str) else json.dumps(told))
    app = open_page("library", dataset=query["dataset"])
    assert not app.exception
    assert not app.error
    assert len(workspace.models()) == 1


def test_a_model_that_learned_nothing_says_so_wherever_it_is_used(workspace, query, sound):
    header, tensors = model_files.parts(sound)
    summary = header["summary"] | {
        "final_loss": 9.0,
        "reference_loss": 1.0,
        "warnings": ["Nothing *learned*."],
    }
    useless = model_files.forged(header | {"summary": summary, "name": "useless"}, tensors)
    app = upload(useless, **query)
    assert any("Nothing" in one.value for one in app.warning)
    new = next(entry for entry in workspace.models() if entry.name == "useless")
    flow = open_page("flow", dataset=query["dataset"], model=new.id)
    assert "This model learned nothing" in words(flow)
    assert "This model learned nothing" not in words(open_page("flow", **query))
