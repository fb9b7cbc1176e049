"""Two browsers on one shared server: neither sees, guesses or opens what belongs to the other."""

import re
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from playwright.sync_api import expect

from dynamics import read
from jobs import client, people
from models.config import TrainConfig
from tests.serving import serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
PHRASE = "four words for tests"
OWN = re.compile(r"(?<!/static)/(api/map/array|media)/")
SHARED = {"DRIFTSCOPE_SHARED": "1", "DRIFTSCOPE_PASSPHRASE": PHRASE, "DRIFTSCOPE_METRICS_TOKEN": "told"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    running = serve(tmp_path_factory.mktemp("shared"), env=SHARED)
    yield running
    running.stop()
    client.stop_service(running.folder)


@pytest.fixture
def enter(browser, shared):
    """Return `enter()`: a new browser that has given the passphrase, on the start page."""
    opened = []

    def go():
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        opened.append(context)
        page = context.new_page()
        page.goto(shared.url)
        page.get_by_label("Passphrase").fill(PHRASE)
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("Open your data").wait_for()
        return page

    yield go
    for context in opened:
        context.close()


def course(path):
    rng = np.random.default_rng(0)
    days = np.repeat([0, 1, 2], 60)
    states = (rng.normal(size=(180, 3)) + 2.0 * days[:, None]).astype(np.float32)
    obs = pd.DataFrame({"day": days, "cell_type": "one"}, index=[f"c{k}" for k in range(180)])
    read.write_h5ad(AnnData(obs=obs, obsm={"X_pca": states, "X_umap": states[:, :2]}), path)
    return path


def status(url, *, cookies=(), method="GET", **headers):
    headers["Cookie"] = "; ".join(f"{one['name']}={one['value']}" for one in cookies)
    asked = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as no:
        return no.code


def test_two_browsers_do_not_meet(enter, shared, tmp_path):
    first, asked = enter(), []
    first.on("request", lambda request: asked.append(request.url) if OWN.search(request.url) else None)
    first.locator("[data-testid=upload-input]").set_input_files(course(tmp_path / "secret-course.h5ad"))
    first.wait_for_url("**/data?**")
    dataset = re.search("dataset=([0-9a-z]+)", first.url)[1]
    (owner,) = people.all_owners(shared.folder)
    jobs = client.Jobs(shared.folder, owner)
    config = TrainConfig(method="ot").to_json()
    job = jobs.submit("train", {"dataset": dataset, "config": config, "name": "mine"}, dataset=dataset)
    model = jobs.wait(job, 60).result["model"]
    first.goto(f"{shared.url}/flow?dataset={dataset}&model={model}")
    first.locator("[data-ready='1']").first.wait_for()
    second = enter()
    first.goto(f"{shared.url}/library?dataset={dataset}&model={model}")
    first.locator(f".st-key-more-{model} button").first.wait_for()
    first.wait_for_timeout(1500)
    expect(first.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    first.locator(f".st-key-more-{model} button").first.click()
    with first.expect_download() as download:
        first.locator(f".st-key-download-{model} button").click()
    asked.append(download.value.url)
    assert any("/api/map/array/" in url for url in asked)
    assert any("/media/" in url for url in asked)
    for url in {one for one in asked if one.startswith("http")}:
        assert status(url, cookies=first.context.cookies()) == 200, url
        assert status(url, cookies=second.context.cookies()) == 404, url
        assert status(url) in (403, 404), url

    assert len(people.all_owners(shared.folder)) == 2
    assert "secret-course" not in second.locator("body").inner_text()
    other = next(one for one in people.all_owners(shared.folder) if one != owner)
    assert client.Jobs(shared.folder, other).list() == []
    for address in (
        f"flow?dataset={dataset}&model={model}",
        f"library?model={model}",
        f"data?dataset={dataset}",
    ):
        second.goto(f"{shared.url}/{address}")
        expect(second.get_by_text("Your workspace")).to_be_visible()
        text = second.locator("body").inner_text()
        assert "secret-course" not in text
        assert "mine" not in text.split()


def test_strangers_learn_nothing_without_the_passphrase(shared):
    assert status(f"{shared.url}/metrics") == 404
    assert status(f"{shared.url}/metrics", Authorization="Bearer told") == 200
    assert status(f"{shared.url}/healthz") == 200
    for path in ("/api/map/array/x", "/media/x.csv", "/_stcore/host-config", "/static/js/none.js"):
        assert status(shared.url + path) in (403, 404)
    assert status(f"{shared.url}/api/upload", method="POST") == 403
