"""Names that try to be more than text, in Chromium: shown as they are on every page, and doing nothing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dynamics import read
from dynamics.printable import printable
from jobs import client
from jobs.workspace import Workspace
from models.config import TrainConfig
from tests.hostile import names
from tests.serving import serve
from tests.ui.test_pages_models import with_model
from tests.ui.test_pages_start_data import add

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect.set_options(timeout=90_000)  # patience on a busy machine
PAGES = (
    *("Start", "Data", "Train", "Library", "Validate", "Flow", "Trajectories", "Fates", "Genes"),
    *("Regulation", "What if", "Landscape"),
)
ADDRESS = {"What if": "perturb"}
TYPES = (
    *(names.MARKUP[0], names.TEMPLATES[0], names.STREAMLIT[6], names.ADDRESSES[0]),
    *(names.MARKUP[3], names.ODD[0], names.MARKDOWN[0], names.SHEETS[0]),
)
WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.blockedURI));
"""
LIVE = f"""() => [...document.querySelectorAll("a, img, iframe, object, embed, source, link, script, use")]
  .flatMap((node) => ["href", "src", "xlink:href", "data", "srcdoc"].map((at) => node.getAttribute(at) ?? ""))
  .filter((address) => /{names.ELSEWHERE}|^javascript:|^x$/i.test(address))"""
HANDLERS = "() => document.querySelectorAll('main [onerror], main [onload], main [style*=\"url(\"]').length"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A server with data sets and a model whose names are hostile, and the query that opens them."""
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("hostile")
    patch.setenv("DRIFTSCOPE_HOME", str(home))
    store = Workspace(home)
    query = with_model(store, names.cells(TYPES), config=TrainConfig("ot-cfm", {"steps": 20}))
    store.rename_dataset(query["dataset"], names.FILE_NAMES[0])
    store.rename_model(query["model"], TYPES[0])
    for name in names.FILE_NAMES[1:]:
        add(store, names.cells(TYPES[:2], genes=("a", "b")), name=name)
    patch.undo()
    server = serve(home)
    yield server, {**query, "colour": "cell_type"}
    server.stop()
    client.stop_service(home)


@pytest.fixture
def visit(browser: Browser, hostile) -> Iterator[Callable[..., Page]]:
    """Return `visit(page, query)`; whatever a name did fails the test."""
    opened: list[BrowserContext] = []
    asked: list[str] = []
    done: list[str] = []
    server, _ = hostile

    def go(page: str = "", query: dict[str, str] | None = None, *, on: Page | None = None) -> Page:
        if on is None:
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.set_default_timeout(60_000)
            context.add_init_script(WATCH)
            opened.append(context)
            on = context.new_page()
            on.on("request", lambda request: asked.append(request.url))
            on.on("websocket", lambda socket: asked.append(socket.url))
            on.on("dialog", lambda dialog: done.append(dialog.message))
            on.on("popup", lambda other: done.append(other.url))
        words = "&".join(f"{key}={value}" for key, value in (query or {}).items())
        on.goto(f"{server.url}/{page}?{words}")
        settled(on)
        return on

    yield go
    for context in opened:
        context.close()
    own = re.compile(rf"(http|ws)://127\.0\.0\.1:{server.port}/|data:|blob:|about:")
    assert [url for url in asked if not own.match(url)] == []
    assert done == []


def settled(page: Page) -> None:
    page.get_by_role("link", name="Landscape").first.wait_for()
    page.wait_for_timeout(500)
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=60_000)


def harmless(page: Page) -> None:
    """Make sure that no name on this page ran, was refused by the browser, or became a link or an image."""
    assert page.evaluate(f"window.{names.MARK}") is None
    assert page.evaluate("window.refused") == []
    assert page.evaluate(LIVE) == []
    assert page.evaluate(HANDLERS) == 0
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def shown(page: Page, css: str) -> list[str]:
    return page.locator(css).evaluate_all("found => found.map((node) => node.textContent)")


def test_on_every_page_names_are_text_and_do_nothing(visit, hostile):
    page, seen = visit("data", hostile[1]), set()
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_url(f"**/{'' if name == 'Start' else ADDRESS.get(name, name.lower())}?**")
        settled(page)
        harmless(page)
        if name != "Start":
            status = shown(page, "[data-testid=app-status] b")
            assert {printable(names.FILE_NAMES[0]), printable(TYPES[0])} <= set(status)
        seen |= set(shown(page, ".ds-name, .legendtext, .gtitle, .annotation-text, .ytick text, .xtick text"))
    assert seen >= set(TYPES)
    assert {printable(name, limit=22) for name in TYPES if len(name) > 22} & seen


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(names.files()))
def test_every_hostile_file_on_every_page(visit, hostile, kind, monkeypatch):
    server, _ = hostile
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(server.folder))
    adata = names.files()[kind]
    roles = {"cell_type_key": str(adata.obs.columns[1])}
    if kind == "times":
        roles |= {"time_values": dict(zip(names.TIMES, (0.0, 1.0, 2.0), strict=True))}
    query = with_model(Workspace(server.folder), adata, config=TrainConfig("ot-cfm", {"steps": 20}), **roles)
    page, seen = visit("data", {**query, "colour": roles["cell_type_key"]}), set()
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).first.click()
        settled(page)
        harmless(page)
        seen |= set(shown(page, ".ds-name"))
    assert seen >= set(adata.obs[roles["cell_type_key"]].cat.categories)


@pytest.mark.slow
def test_names_of_files_are_shown_as_they_are(visit, tmp_path):
    page = visit("data")
    harmless(page)
    listed = shown(page, "[data-testid=stMarkdownContainer] strong")
    assert {printable(name, limit=200) for name in names.FILE_NAMES} <= set(listed)
    read.write_h5ad(names.cells(TYPES[:2], genes=names.MARKUP), tmp_path / "sent.h5ad")
    sent = {"name": names.FILE_NAMES[1], "mimeType": "application/octet-stream"}
    content = (tmp_path / "sent.h5ad").read_bytes()
    page.locator("[data-testid=upload-input]").set_input_files(files=[{**sent, "buffer": content}])
    page.wait_for_url("**/data?**dataset=**")
    page.locator("[data-testid=app-status] b").first.wait_for()
    settled(page)
    harmless(page)
    assert printable(names.FILE_NAMES[1]) in shown(page, "[data-testid=app-status] b")
    page.get_by_text("More columns").click()
    page.get_by_role("button", name="Data set").click()
    harmless(page)


def test_what_is_told_under_the_pointer_and_saved_is_text(visit, hostile, browser, tmp_path):
    query = hostile[1]
    page = visit("genes", query)
    plot = page.locator(".js-plotly-plot").first
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    page.locator(".hoverlayer text").first.wait_for(state="attached")
    told = " ".join(shown(page, ".hoverlayer text"))
    assert any(printable(name, limit=22) in told for name in TYPES)
    harmless(page)
    page.get_by_role("button", name="Save figure").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Page (HTML)").first.click()
    figure = tmp_path / "figure.html"
    download.value.save_as(figure)
    page = visit("data", query, on=page)
    page.locator("[data-ready='1']").first.wait_for()
    page.get_by_role("button", name="Save this map").click()
    with page.expect_download() as download:
        page.locator(".ds-save button", has_text="Page").click()
    saved = tmp_path / "map.html"
    download.value.save_as(saved)
    for file in (figure, saved):
        _opens_alone(browser, file)


def _opens_alone(browser: Browser, file: Path) -> None:
    """Open a saved page from the disk: it asks nobody, runs nothing of a name, and shows them as they are."""
    asked: list[str] = []
    page = browser.new_page()
    page.add_init_script(WATCH)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.locator(".legendtext").first.wait_for()
    harmless(page)
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {file.as_uri()}
    legend = shown(page, ".legendtext")
    assert legend
    assert set(legend) <= {*TYPES, *(printable(name, limit=22) for name in TYPES)}
    page.close()
