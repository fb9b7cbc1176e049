"""Every page with hostile names: nothing that Streamlit or Plotly reads holds a name in its raw form.

What a browser makes of it is seen in tests/browser/test_text.py.
"""

import json
from collections.abc import Iterator

import pytest

from jobs import work_models, work_regulation
from jobs.client import Jobs
from models.config import TrainConfig
from tests.hostile import names
from tests.hostile.names import NAMES, STREAMLIT, TEMPLATES
from tests.ui.test_pages_models import with_model
from tests.ui.test_pages_start_data import open_page
from ui import following

PAGES = (
    *("start", "data", "train", "library", "validate", "flow", "trajectories", "fates", "genes"),
    *("regulation", "perturb", "landscape"),
)
READ = {
    "body",
    "label",
    "help",
    "text",
    "captions",
    "content",
    "title",
    "options",
    "tooltip",
    "error",
    "format",
}
"""Fields of the messages to the browser that are read as Markdown there."""
PLAIN = {
    ("Selectbox", "options"),
    ("Json", "body"),
    ("MultiSelect", "options"),
    ("Code", "code_text"),
    ("Html", "body"),
}
DRAWN = {"text", "name", "title", "hovertext", "hovertemplate", "ticktext", "label", "customdata", "x", "y"}
ALL = {*NAMES, *TEMPLATES, *STREAMLIT}
MARKDOWN = {name for name in ALL if set(name) & set("\\`*_[]<>!$#~|:&@") or "www." in name}
PLOTLY = {name for name in ALL if set(name) & set("<&{$")}


def strings(message, *, within="") -> Iterator[tuple[str, str]]:
    """Walk through a message and give what is read as Markdown, with where it stands."""
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        many = value if field.is_repeated else [value]
        for one in many:
            if field.type == field.TYPE_MESSAGE:
                yield from strings(one, within=f"{within}.{kind}")
            elif isinstance(one, str) and field.name in READ and (kind, field.name) not in PLAIN:
                yield f"{within}.{kind}.{field.name}", one


def drawn(part, *, within="") -> Iterator[tuple[str, str]]:
    """Walk through a figure and give what Plotly reads as text, with where it stands."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from drawn(value, within=f"{within}.{key}")
    elif isinstance(part, list):
        for value in part:
            yield from drawn(value, within=within)
    elif isinstance(part, str) and set(within.split(".")) & DRAWN:
        yield within, part


def nodes(block) -> Iterator:
    for child in block.children.values():
        if hasattr(child, "children"):
            yield child
            yield from nodes(child)
        else:
            yield child


def raw_names(app) -> list[tuple[str, str]]:
    """Return where a hostile name stands as it is in something that is read."""
    found = []
    for node in nodes(app._tree):
        if node.type == "plotly_chart":
            texts, known = drawn(json.loads(node.proto.spec)), PLOTLY
        elif node.type == "table":
            table = node.value
            texts = [("table", str(one)) for one in [*table.to_numpy().ravel(), *table.index, *table.columns]]
            known = MARKDOWN
        else:
            texts, known = strings(node.proto) if node.proto is not None else (), MARKDOWN
        found += [(where, name) for where, text in texts for name in known if name in text]
    return [(where, name) for where, name in found if not (where.endswith("template") and name[:2] == "%{")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return a function that opens a page with a data set, a model, a report and networks, all hostile."""
    from jobs.workspace import Workspace

    patch = pytest.MonkeyPatch()
    patch.setenv("DRIFTSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
    home = Workspace()
    config = TrainConfig("ot-cfm", {"steps": 20}, members=2)
    columns = {"cell_type": "<b>type</b>", "batch": ":red[batch]", "condition": "%{y}", "clone": "![x](y)"}
    adata = names.cells(names.MARKUP[:3], columns=columns, times=names.TIMES)
    roles = {"time_key": "day", "cell_type_key": columns["cell_type"], "batch_key": columns["batch"]}
    roles |= {"condition_key": columns["condition"], "clone_key": columns["clone"]}
    roles |= {"time_values": dict(zip(names.TIMES, (0.0, 1.0, 2.0), strict=True)), "time_unit": "$x^2$"}
    query = with_model(home, adata, config=config, **roles)
    home.rename_dataset(query["dataset"], names.MARKUP[4])
    home.rename_model(query["model"], names.MARKUP[0])
    folder = home.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    work = {"params": query, "folder": folder, "progress": lambda *_, **__: True}
    work_models.validate(**work)
    work_regulation.regulation(**work)
    title, source = names.FILE_NAMES[1], {"source": "x", "name": names.FILE_NAMES[1]}
    Jobs(home.home).submit("ingest", source, title=f"Open {title}")
    yield lambda page: open_page(page, **query)
    patch.undo()


@pytest.mark.parametrize("page", PAGES)
def test_no_name_is_read_as_anything_but_text(hostile, page):
    app = hostile(page)
    assert not app.exception
    assert not app.error
    assert raw_names(app) == []


def look_at(view):
    return lambda app: app.segmented_control(key="genes-view").set_value(view).run()


def by_type(app):
    app.segmented_control[0].set_value(following.KINDS).run()
    app.multiselect[0].set_value(app.multiselect[0].options[:2]).run()


def change_a_gene(app):
    next(one for one in app.multiselect if "perturb-genes" in one.key).set_value([names.MARKUP[3]]).run()


def choose_states(app):
    first, second = (box for box in app.selectbox if box.label in ("Path from", "to"))
    first.set_value(names.MARKUP[0])
    second.set_value(names.MARKUP[1]).run()


def paste_names(app):
    look_at("Gene sets")(app)
    app.text_area[0].set_value(", ".join([*names.MARKUP[:3], "<b>unknown</b>", "![u](http://x/u)"])).run()


ACTS = {
    "heat map": ("genes", look_at("Heat map")),
    "drivers": ("genes", look_at("Drivers")),
    "on the map": ("genes", look_at("On the map")),
    "pasted set": ("genes", paste_names),
    "paths by type": ("trajectories", by_type),
    "a gene changed": ("perturb", change_a_gene),
    "least action": ("landscape", choose_states),
}


@pytest.mark.parametrize("act", ACTS)
def test_no_name_is_read_as_anything_but_text_after(hostile, act, monkeypatch):
    monkeypatch.setattr("dynamics.action.STEPS", 6)
    page, do = ACTS[act]
    app = hostile(page)
    do(app)
    assert not app.exception
    assert raw_names(app) == []
