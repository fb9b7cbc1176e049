"""Two browsers on one shared server: neither sees, guesses or opens what belongs to the other."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from playwright.sync_api import Page, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from dynamics import read
from dynamics.errors import DynamicsError
from jobs import client, people
from models.config import TrainConfig
from tests.serving import serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect.set_options(timeout=90_000)  # patience on a busy machine
PHRASE = "four words for tests"
GENERAL = re.compile(
    r"/(|start|data|library|flow|enter)(\?.*)?$|/_stcore/(health|host-config)|/static/|/favicon"
    r"|/api/map/(code|plotly|js)|/component|/api/upload$|/_stcore/bidi-components"
)
"""Addresses that are the same for everybody, and tell nothing of anybody."""
SHARED = {"DRIFTSCOPE_SHARED": "1", "DRIFTSCOPE_PASSPHRASE": PHRASE, "DRIFTSCOPE_METRICS_TOKEN": "told"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    running = serve(tmp_path_factory.mktemp("shared"), env=SHARED)
    yield running
    running.stop()
    client.stop_service(running.folder)


def come_in(context, shared):
    page = context.new_page()
    page.goto(shared.url)
    page.get_by_label("Passphrase").fill(PHRASE)
    page.get_by_role("button", name="Enter").click()
    page.get_by_text("Open your data").wait_for()
    return page


@dataclass(frozen=True)
class Owner:
    page: Page
    owner: str
    asked: list
    download: str
    dataset: str
    model: str
    job: str


@pytest.fixture
def enter(browser, shared):
    """Return `enter()`: a new browser that has given the passphrase, on the start page."""
    opened = []

    def go():
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        opened.append(context)
        return come_in(context, shared)

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


def status(url, *, cookies=(), method="GET", data=None, **headers):
    headers["Cookie"] = "; ".join(f"{one['name']}={one['value']}" for one in cookies)
    asked = urllib.request.Request(url, method=method, headers=headers, data=data)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as no:
        return no.code


def settled(page):
    page.wait_for_timeout(700)
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)


@pytest.fixture(scope="module")
def owner_s(browser, shared, tmp_path_factory):
    """The first person at work: their page, all they asked the server for, and the ids of what is theirs."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    page, asked = come_in(context, shared), []
    page.on("request", lambda request: asked.append(request))
    file = course(tmp_path_factory.mktemp("own") / "secret-course.h5ad")
    page.locator("[data-testid=upload-input]").set_input_files(file)
    page.wait_for_url("**/data?**")
    dataset = re.search("dataset=([0-9a-z]+)", page.url)[1]
    (owner,) = people.all_owners(shared.folder)
    jobs = client.Jobs(shared.folder, owner)
    config = TrainConfig(method="ot").to_json()
    job = jobs.submit("train", {"dataset": dataset, "config": config, "name": "mine"}, dataset=dataset)
    model = jobs.wait(job, 60).result["model"]
    page.goto(f"{shared.url}/flow?dataset={dataset}&model={model}")
    page.locator("[data-ready='1']").first.wait_for()
    page.goto(f"{shared.url}/library?dataset={dataset}&model={model}")
    page.locator(f".st-key-more-{model} button").first.wait_for()
    settled(page)
    place = page.locator("[data-testid=stFileUploaderDropzoneInput]")
    place.set_input_files(
        {"name": "m.safetensors", "mimeType": "application/octet-stream", "buffer": b"no model"}
    )
    page.get_by_role("alert").first.wait_for()
    settled(page)
    page.locator(f".st-key-more-{model} button").first.click()
    with page.expect_download() as download:
        page.locator(f".st-key-download-{model} button").click()
    yield Owner(page, owner, asked, download.value.url, dataset, model, job)
    context.close()


def test_what_one_browser_asked_for_is_refused_to_every_other(owner_s, enter, shared):
    second = enter()
    mine, theirs = owner_s.page.context.cookies(), second.context.cookies()
    urls = {request.url for request in owner_s.asked} | {owner_s.download}
    own = {
        url for url in urls if url.startswith(shared.url) and not GENERAL.search(url.removeprefix(shared.url))
    }
    for part in ("/api/map/array/", "/media/", "/_stcore/upload_file/"):
        assert any(part in url for url in own), part
    for url in own:
        method = "PUT" if "/upload_file/" in url else "GET"
        assert status(url, cookies=theirs, method=method, data=b"" if method == "PUT" else None) == 404, url
        assert status(url, method=method, data=b"" if method == "PUT" else None) in (403, 404), url
        assert method == "PUT" or status(url, cookies=mine) == 200, url
        changed = url[:-3] + ("abc" if url[-3:] != "abc" else "abd")
        assert status(changed, cookies=theirs) in (404, 405)
    (sent,) = (request for request in owner_s.asked if request.url.endswith("/api/upload"))
    token = {"x-upload-token": sent.headers["x-upload-token"], "Origin": shared.url}
    for cookies in (theirs, ()):
        assert status(sent.url, cookies=cookies, method="POST", data=b"x", **token) == 403


def test_ids_of_another_person_show_nothing(owner_s, enter, shared):
    second = enter()
    other = next(one for one in people.all_owners(shared.folder) if one != owner_s.owner)
    theirs = client.Jobs(shared.folder, other)
    assert theirs.list() == []
    with pytest.raises(DynamicsError):
        theirs.get(owner_s.job)
    for address in (
        f"flow?dataset={owner_s.dataset}&model={owner_s.model}",
        f"library?model={owner_s.model}&compare={owner_s.model}",
        f"data?dataset={owner_s.dataset}",
        f"data?dataset=../../{owner_s.owner}/datasets/{owner_s.dataset}",
    ):
        second.goto(f"{shared.url}/{address}")
        expect(second.get_by_text("Your workspace")).to_be_visible()
        settled(second)
        text = second.locator("body").inner_text()
        assert "secret-course" not in text
        assert "mine" not in text.split()
        expect(second.locator("[data-testid=app-status]")).to_have_count(0)


def test_no_connection_goes_on_with_the_session_of_another_browser(owner_s, enter, shared):
    second = enter()
    (session,) = {
        re.search("upload_file/([^/]+)/", request.url)[1]
        for request in owner_s.asked
        if "/upload_file/" in request.url
    }
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in second.context.cookies())
    with connect(
        shared.url.replace("http", "ws") + "/_stcore/stream",
        origin=shared.url,
        subprotocols=["streamlit", "token", session],
        additional_headers={"Cookie": cookies},
    ) as socket:
        socket.send(
            BackMsg(rerun_script=ClientState(query_string=f"dataset={owner_s.dataset}")).SerializeToString()
        )
        heard, ids = b"", set()
        while "script_finished" not in ids:
            raw = socket.recv(timeout=60)
            heard += raw
            message = ForwardMsg.FromString(raw)
            ids.add(message.WhichOneof("type"))
            if message.HasField("new_session"):
                assert message.new_session.initialize.session_id != session
    assert b"secret-course" not in heard
    owner_s.page.get_by_role("link", name="Data").first.click()  # the first person's page goes on as before
    owner_s.page.wait_for_url("**/data?**")
    expect(owner_s.page.get_by_text("secret-course").first).to_be_visible(timeout=60_000)


def test_a_link_for_another_device_brings_the_work_over_once(owner_s, browser, shared):
    page = owner_s.page
    page.get_by_role("button", name="Your workspace").click()
    page.get_by_role("button", name="Go on at another device").click()
    link = page.locator("[data-testid=stCode]", has_text="/enter?code=").inner_text().strip()
    device = browser.new_context()
    other = device.new_page()
    other.goto(link)
    other.get_by_role("button", name="Go on here").click()
    other.wait_for_url(f"{shared.url}/**")
    expect(other.get_by_text("secret-course").first).to_be_visible(timeout=60_000)
    stranger = browser.new_context()
    late = stranger.new_page()
    late.goto(link)
    late.get_by_role("button", name="Go on here").click()
    late.get_by_text("used already").wait_for()
    device.close()
    stranger.close()


def test_strangers_learn_nothing_without_the_passphrase(shared):
    assert status(f"{shared.url}/metrics") == 404
    assert status(f"{shared.url}/metrics", Authorization="Bearer told") == 200
    assert status(f"{shared.url}/healthz") == 200
    for path in ("/api/map/array/x", "/media/x.csv", "/_stcore/host-config", "/static/js/none.js"):
        assert status(shared.url + path) in (403, 404)
    assert status(f"{shared.url}/api/upload", method="POST") == 403
