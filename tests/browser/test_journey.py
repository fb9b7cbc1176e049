"""The app as a biologist uses it: from a demo or a file to trajectories, and back after things went away."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dynamics import read
from jobs.client import Jobs
from models.config import TrainConfig
from tests.serving import Server, serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

LONG = 240_000  # ms; the first demo on a cold machine
USUAL = 90_000
expect.set_options(timeout=USUAL)


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Return `visit(address)`: a fresh browser profile on that page; its complaints fail the test."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def go(address: str = "/", *, base: str = server.url, width: int = 1440, height: int = 900) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(USUAL)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if foreign(request.url) else None)
        page.goto(base + address)
        return page

    yield go
    for context in opened:
        context.close()
    assert not complaints


def foreign(url: str) -> bool:
    """Tell whether an address is not on this machine."""
    return not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:|about:", url)


def settled(page: Page) -> None:
    """Wait until the script has run, and make sure that it said nothing of an error."""
    page.wait_for_timeout(300)
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def drawn_map(page: Page):
    """Return the map once its cells are drawn."""
    found = page.locator("[data-ready='1']").first
    found.wait_for()
    return found


def open_demo(page: Page) -> None:
    page.locator(".st-key-demo-branching button").click(timeout=LONG)
    page.wait_for_url("**/data?**", timeout=LONG)
    settled(page)


def train(page: Page) -> None:
    page.get_by_role("link", name="Train").first.click()
    page.wait_for_url("**/train?**")
    page.get_by_text(
        "Flow matching with optimal transport", exact=True
    ).click()  # the quickest with a network
    page.wait_for_url(re.compile("method=ot-cfm"))
    settled(page)
    set_steps(page, 300)
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("button", name="See the flow").wait_for(timeout=LONG)


def set_steps(page: Page, steps: int) -> None:
    box = page.get_by_role("spinbutton", name="Training steps")
    box.fill(str(steps))
    box.press("Enter")
    settled(page)


@pytest.fixture(scope="module")
def trained(browser: Browser, server: Server) -> str:
    """The query of the demo with a model trained on it, both through the app."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(USUAL)
    page = context.new_page()
    page.goto(server.url)
    open_demo(page)
    train(page)
    page.get_by_role("button", name="See the flow").click()
    page.wait_for_url("**/flow?**")
    query = page.url.split("?", 1)[1]
    context.close()
    return "&".join(part for part in query.split("&") if part.startswith(("dataset=", "model=")))


def test_flow_is_drawn_and_redrawn(visit, trained):
    page = visit(f"/flow?{trained}")
    cells = drawn_map(page)
    settled(page)
    assert int(cells.get_attribute("data-points")) > 5000
    expect(page.get_by_text("Where the model")).to_be_visible()
    page.get_by_text("Arrows", exact=True).click()
    settled(page)
    page.wait_for_url(re.compile("drawn=Arrows"))
    page.get_by_role("button", name="Play flow").click()
    expect(cells).to_have_attribute("data-flow", "playing")


def test_cells_are_chosen_and_followed(visit, trained):
    page = visit(f"/trajectories?{trained}")
    drawn_map(page)
    settled(page)
    expect(page.get_by_text("Paths predicted by the model")).to_be_visible()
    before = drawn_map(page).get_attribute("data-time")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(
        "before => document.querySelector('[data-ready=\"1\"]').dataset.time !== before", arg=before
    )
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.get_by_text("Chosen on the map", exact=True).click()
    expect(page.get_by_text("Draw around cells")).to_be_visible()
    page.get_by_role("button", name="Choose cells with a box").click()
    box = page.locator("[data-ready='1'] .ds-plot").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6, steps=5)
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] * 0.7, steps=5)
    page.mouse.up()
    expect(page.get_by_text("cells chosen on the map (400 of them drawn)")).to_be_visible(timeout=USUAL)
    settled(page)
    assert int(drawn_map(page).get_attribute("data-selected")) > 0


def test_the_library_renames_deletes_and_restores(visit, trained):
    page = visit(f"/library?{trained}")
    settled(page)
    page.get_by_role("button", name="More").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".safetensors")
    saved = Path(download.value.path()).read_bytes()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    settled(page)
    expect(page.get_by_role("button", name="More")).to_have_count(1)
    place = page.locator("[data-testid=stFileUploader] input[type=file]")
    before = place.element_handle()
    place.set_input_files(
        files=[{"name": "mine.safetensors", "mimeType": "application/octet-stream", "buffer": saved}]
    )
    expect(page.get_by_role("button", name="More")).to_have_count(2)
    page.wait_for_function("before => !before.isConnected", arg=before)  # a new, empty place for the next
    place.set_input_files(
        files=[{"name": "bad.safetensors", "mimeType": "application/octet-stream", "buffer": b"not a model"}]
    )
    expect(page.get_by_role("alert").first).to_be_visible()


def test_a_training_outlives_the_browser(visit, server, trained):
    dataset = trained.split("dataset=")[1].split("&")[0]
    page = visit(f"/train?dataset={dataset}&method=ot-cfm")
    settled(page)
    set_steps(page, 500)
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("button", name="Stop").wait_for()
    page.context.close()
    again = visit(f"/train?dataset={dataset}")
    expect(again.get_by_role("button", name="Stop")).to_be_visible()
    again.reload()
    expect(again.get_by_role("button", name="Stop")).to_be_visible()
    jobs = Jobs(server.folder)
    job = jobs.active(dataset)[0]
    assert job.task == "train"
    assert jobs.wait(job.id, 240).state == "done"
    expect(again.get_by_role("button", name="See the flow")).to_be_visible()
    undisturbed = jobs.submit("train", job.params, dataset=dataset)
    assert jobs.wait(undisturbed, 240).state == "done"
    made = [server.folder / "models" / f"{id}.safetensors" for id in (job.id, undisturbed)]
    assert made[0].read_bytes() == made[1].read_bytes()


def arc(folder: Path, *, n_times: int) -> Path:
    """Write cells that run along an arc: straight lines between two times cut the corner."""
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(n_times), 80)
    states = 0.3 * rng.normal(size=(len(days), 3)).astype(np.float32)
    states[:, 0] += 4 * np.cos(np.pi * days / 4)
    states[:, 1] += 4 * np.sin(np.pi * days / 4)
    kinds = np.where(states[:, 2] > 0, "upper", "lower")
    obs = pd.DataFrame({"day": days, "cell_type": kinds}, index=[f"c{k}" for k in range(len(days))])
    read.write_h5ad(AnnData(obs=obs, obsm={"X_pca": states, "X_umap": states[:, :2]}), folder / "arc.h5ad")
    return folder / "arc.h5ad"


def opened(server: Server, file: Path) -> str:
    """Open a file as the app does, and return the id of the data set."""
    jobs = Jobs(server.folder)
    job = jobs.submit("ingest", {"source": str(file), "name": file.name})
    return jobs.wait(job, LONG / 1000).result["dataset"]


def test_models_are_trained_side_by_side_tested_and_compared(visit, server, tmp_path):
    dataset = opened(server, arc(tmp_path, n_times=4))
    page = visit(f"/train?dataset={dataset}")
    settled(page)
    page.get_by_text("An answer at once, without a network").click()
    settled(page)
    page.wait_for_url(re.compile("method=ot"))
    expect(page.get_by_text(re.compile("Takes about .* of memory on this machine"))).to_be_visible()
    page.get_by_role("button", name="Compare several").click()
    page.get_by_role("spinbutton", name="Trainings of each").fill("2")
    page.get_by_role("spinbutton", name="Trainings of each").press("Enter")
    settled(page)
    page.get_by_role("button", name="Start 2 trainings").click()
    expect(page.get_by_role("button", name="Start 2 trainings")).to_have_count(0)
    page.get_by_role("button", name="Compare them").wait_for(timeout=LONG)
    expect(page.get_by_role("button", name="See the flow")).to_have_count(2)
    page.get_by_role("button", name="Compare them").click()
    drawn_map(page)
    settled(page)
    expect(page.get_by_text("They disagree most in")).to_be_visible()
    page.get_by_role("button", name="Save figure").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Page (HTML)").click()
    assert "plotly" in Path(download.value.path()).read_text()[:200_000].lower()
    page.get_by_role("button", name="Back to the library").click()
    settled(page)
    page.get_by_role("button", name="Test on held-out times").first.click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_text("Tested without the times")).to_be_visible(timeout=LONG)
    settled(page)


def test_a_file_is_uploaded_checked_and_opened(visit, tmp_path):
    rng = np.random.default_rng(0)
    times = np.repeat(["day 2", "day 10"], 80)
    names = [f"cell{k}" for k in range(160)]
    columns = {"sampled": times, "<b>type</b>": ["![x](http://a.example/b)"] * 160}
    adata = AnnData(obs=pd.DataFrame(columns, index=names))
    adata.obsm["X_latent"] = rng.normal(size=(160, 5)) + 3.0 * (times == "day 10")[:, None]
    read.write_h5ad(adata, tmp_path / "course.h5ad")
    (tmp_path / "page.h5ad").write_text("<!doctype html><title>Sign in</title>")
    page = visit()
    chooser = page.locator("[data-testid=upload-input]")
    chooser.set_input_files(tmp_path / "page.h5ad")
    expect(page.get_by_text("web page").first).to_be_visible(timeout=USUAL)
    chooser.set_input_files(tmp_path / "course.h5ad")
    page.wait_for_url("**/data?**")
    settled(page)
    expect(page.get_by_text("course.h5ad").first).to_be_visible()
    text = page.locator("body").inner_text()
    assert text.index("day 2") < text.index("day 10")


def test_a_deep_link_opens_on_a_fresh_server(visit, server, trained):
    fresh = serve(server.folder)
    try:
        page = visit(f"/flow?{trained}", base=fresh.url)
        drawn_map(page)
        settled(page)
        expect(page.get_by_role("link", name="Trajectories").first).to_be_visible()
        page.reload()
        drawn_map(page)
    finally:
        fresh.stop(signal.SIGKILL)
    assert Jobs(server.folder).service().alive


def test_a_missing_data_set_is_said(visit):
    page = visit("/flow?dataset=0123456789abcdef0123")
    settled(page)
    expect(page.get_by_text("No data set is open")).to_be_visible()


def test_the_app_is_readable_on_a_phone(visit, trained):
    for address in ("/", *(f"/{page}?{trained}" for page in ("data", "train", "library", "flow"))):
        page = visit(address, width=390, height=844)
        settled(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{address} is {wide} px wide"


@pytest.mark.parametrize(
    ("n_times", "said"), [(5, "Times dealt out at random: passed"), (2, "only two time points")]
)
def test_a_report_is_made_and_read(visit, server, tmp_path, n_times, said):
    jobs = Jobs(server.folder)
    dataset = opened(server, arc(tmp_path, n_times=n_times))
    config = TrainConfig("ot-cfm", {"steps": 100}, members=3).to_json()
    trained = jobs.submit("train", {"dataset": dataset, "config": config, "name": "arc"}, dataset=dataset)
    model = jobs.wait(trained, LONG / 1000).result["model"]
    page = visit(f"/validate?dataset={dataset}&model={model}")
    page.get_by_role("button", name="Make the report").click()
    page.get_by_text(said).first.wait_for(timeout=LONG)
    settled(page)
    expect(page.get_by_role("button", name="Download the report (JSON)")).to_be_visible()
    page.goto(page.url.replace("/validate?", "/flow?"))
    expect(page.get_by_text("Tested without" if n_times > 2 else said).first).to_be_visible()
