"""The cell map in headless Chromium: it draws, keeps the view, tells Python what was chosen, moves cells."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Playwright

from tests.serving import QUIET, SOFTWARE_GL, chromium, serve

pytestmark = pytest.mark.browser

NO_GL = ["--disable-gpu", "--disable-3d-apis", "--disable-software-rasterizer"]
PATIENCE = 60_000
APP = """
import streamlit as st
from ui.cellmap import routes
app = st.App("page.py", routes=routes())
"""
PAGE = """
import numpy as np
import streamlit as st
from ui.cellmap import Categories, Layers, Levels, Paths, cell_map

st.set_page_config(layout="wide")
rng = np.random.default_rng(0)
n = 3000
group = rng.integers(0, 3, n)
xy = (np.array([[-6, 0], [0, 5], [6, 0]])[group] + rng.normal(0, 1, (n, 2))).astype(np.float32)
xy[:7] = np.nan
names = ("<img src=x onerror=alert(1)>", "B & C", "T")
by_type = Categories(group, names, label="type")
paths = Paths(np.array([0.0, 1.0, 3.0]), np.stack([xy[10:60], xy[10:60] + 1, xy[10:60] + 4]), unit="day")
gene = st.checkbox("Gene")
if gene:
    st.info("an element above the map")
event = cell_map(
    "map",
    xy=xy,
    colour=Levels(xy[:, 0], "Gata1") if gene else by_type,
    layers=Layers(paths=paths),
    selection="lasso",
    alt="three groups of cells",
    height=480,
)
st.write(f"Python has {event.n} cells of {event.names}" if event else "Python has no cells")
"""
DATA = "({...document.querySelector('.ds-map').dataset})"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small app with one map, on a port of its own."""
    folder = tmp_path_factory.mktemp("map")
    (folder / "app.py").write_text(APP)
    (folder / "page.py").write_text(PAGE)
    server = serve(folder, cwd=folder)
    yield server.url
    server.stop()


@contextmanager
def browse(playwright: Playwright, address: str, flags: list[str]) -> Iterator[Page]:
    """Open the app; afterwards nothing may have failed in the page or been asked of another host."""
    errors, hosts = [], set()
    browser = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, *flags])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
    page.goto(address)
    page.wait_for_function("document.querySelector('.ds-map')?.dataset.ready === '1'", timeout=PATIENCE)
    yield page
    browser.close()
    assert not errors
    assert {host for host in hosts if host.startswith(("http", "ws"))} <= {
        address,
        address.replace("http", "ws"),
    }


def until(page: Page, condition: str) -> dict[str, str]:
    """Wait for a condition on the map's data, `d`, and return the data."""
    test = (
        f"(() => {{ const d = document.querySelector('.ds-map')?.dataset ?? {{}}; return {condition}; }})()"
    )
    page.wait_for_function(test, timeout=PATIENCE)
    return page.evaluate(DATA)


def lasso(page: Page, *, left: float, right: float) -> None:
    """Draw a lasso from top to bottom between two shares of the width."""
    page.get_by_role("button", name="Choose cells with a lasso").click()
    page.locator(".ds-plot").scroll_into_view_if_needed()
    box = page.locator(".ds-plot").bounding_box()
    x = [box["x"] + share * box["width"] for share in (left, right)]
    y = [box["y"] + 5, box["y"] + box["height"] - 30]
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for at in ((x[1], y[0]), (x[1], y[1]), (x[0], y[1])):
        page.mouse.move(*at, steps=4)
    page.mouse.up()


def view(shown: str) -> tuple[float, float, float]:
    """The middle in x and the range in y: what zooming sets; the width follows that of the page."""
    left, right, bottom, top = map(float, shown.split(","))
    return (left + right) / 2, bottom, top


def test_view_and_choice_stay_while_colour_and_page_change(playwright: Playwright, address: str) -> None:
    with browse(playwright, address, SOFTWARE_GL) as page:
        first = page.evaluate(DATA)
        assert (first["points"], first["renderer"]) == ("2993", "webgl")
        assert page.locator(".ds-row", has_text="<img src=x onerror=alert(1)>").count() == 1
        page.get_by_role("button", name="Zoom in").click()
        zoomed = until(page, f"d.range !== '{first['range']}'")["range"]

        lasso(page, left=0.02, right=0.5)
        chosen = until(page, "+d.selected > 0")["selected"]
        page.get_by_text(f"Python has {chosen} cells of ()").wait_for()

        page.get_by_text("Gene", exact=True).click()
        recoloured = until(page, "d.colour === 'Gata1'")
        assert view(recoloured["range"]) == pytest.approx(view(zoomed), abs=1e-3)
        assert recoloured["selected"] == chosen
        page.get_by_text(f"Python has {chosen} cells").wait_for()

        page.locator(".ds-plot").press("Escape")  # leaves the lasso
        page.locator(".ds-plot").press("Escape")  # drops the choice
        until(page, "d.selected === '0'")
        page.get_by_text("Python has no cells").wait_for()

        page.get_by_text("Gene", exact=True).click()
        until(page, "d.colour === 'type'")
        page.locator(".ds-row", has_text="B & C").focus()
        page.keyboard.press("Enter")
        named = until(page, "+d.selected > 0")["selected"]
        page.get_by_text(f"Python has {named} cells of ('B & C',)").wait_for()


def test_play_moves_the_predicted_cells_without_the_server(playwright: Playwright, address: str) -> None:
    with browse(playwright, address, SOFTWARE_GL) as page:
        start = until(page, "d.cloud")["cloud"]
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda socket: requests.append(socket.url))
        page.get_by_role("button", name="Play", exact=True).click()
        moved = until(page, "+d.time > 0.3")
        assert moved["cloud"] != start
        page.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_role("slider", name="Time").press("End")
        end = until(page, "+d.time === 3")["cloud"]
        shift = [float(b) - float(a) for a, b in zip(start.split(","), end.split(","), strict=True)]
        assert shift == pytest.approx([4, 4], abs=1e-3)
        assert page.locator(".ds-clock").inner_text() == "day 3"
        assert requests == []


def test_without_webgl_the_map_is_painted_and_says_so(playwright: Playwright, address: str) -> None:
    with browse(playwright, address, NO_GL) as page:
        first = page.evaluate(DATA)
        assert (first["points"], first["renderer"]) == ("2993", "raster")
        page.get_by_text("draws without WebGL").wait_for()
        painted = "[...new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)]"
        colours = page.evaluate(f"(c => new Set({painted}).size)(document.querySelector('.ds-raster'))")
        assert colours > 3
        lasso(page, left=0.02, right=0.5)
        chosen = until(page, "+d.selected > 0")["selected"]
        page.get_by_text(f"Python has {chosen} cells").wait_for()
        answers: list[int] = []
        page.on("response", lambda answer: "/array/" in answer.url and answers.append(answer.status))
        forgotten = {"status": 404, "body": "not here any more"}
        page.route("**/api/map/array/*", lambda route: route.fulfill(**forgotten), times=1)
        page.get_by_text("Gene", exact=True).click()
        until(page, "d.colour === 'Gata1'")
        assert answers[0] == 404
        assert answers[-1] == 200
