"""Sign-in by OpenID Connect, from end to end: a provider, the app, and several browsers."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from jobs import client, people
from jobs.workspace import Workspace
from tests.browser import provider as openid
from tests.hostile.names import cells
from tests.serving import free_port, serve
from tests.ui.test_pages_start_data import add
from ui.keys import Keys

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
expect.set_options(timeout=90_000)  # patience on a busy machine


@dataclass(frozen=True)
class Signing:
    url: str
    folder: Path
    issuer: str


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    """A shared server that only members of the lab may enter, by sign-in."""
    folder, port = tmp_path_factory.mktemp("signing"), free_port()
    file = folder / "secrets.toml"
    with openid.running() as service:
        file.write_text(openid.secrets_for(service, port))
        shared = {"DRIFTSCOPE_SHARED": "1", "DRIFTSCOPE_MEMBERS": "@lab.example"}
        server = serve(folder, port=port, env={**shared, "STREAMLIT_SECRETS_FILES": str(file)})
        yield Signing(server.url, folder, service.url)
        server.stop()
    client.stop_service(folder)


@pytest.fixture
def sign_in(browser, signing):
    """Return `sign_in(who)`: a new browser in which somebody has signed in; `page` stays in that browser."""
    opened = []

    def go(who, *, page=None):
        if page is None:
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.set_default_timeout(60_000)
            opened.append(context)
            page = context.new_page()
        page.goto(signing.url)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name=who).click()
        page.wait_for_url(f"{signing.url}/**")
        return page

    yield go
    for context in opened:
        context.close()


def owner_of(subject, signing):
    return Keys(signing.folder).person(f"{signing.issuer}\n{subject}")


def status(url, cookies=(), **headers):
    headers["Cookie"] = "; ".join(f"{one['name']}={one['value']}" for one in cookies)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as no:
        return no.code


def work_of(page, signing, owner):
    """Put a data set into somebody's workspace and open it; return its id and the arrays asked for."""
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/array/" in request.url else None)
    kept = add(Workspace(people.folder(signing.folder, owner)), cells(genes=("a", "b")), name="own course")
    page.goto(f"{signing.url}/data?dataset={kept.id}")
    page.locator("[data-ready='1']").first.wait_for()
    assert asked
    return kept.id, asked


def nothing_open(page):
    page.get_by_text("Open your data").wait_for()
    expect(page.locator("[data-testid=app-status]")).to_have_count(0)
    assert "own course" not in page.locator("body").inner_text()


def test_people_who_sign_in_have_their_own_work_on_every_device(sign_in, signing):
    ann = sign_in("ann")
    ann.get_by_text("Open your data").wait_for()
    owner = owner_of("1", signing)
    assert people.all_owners(signing.folder) == [owner]
    dataset, asked = work_of(ann, signing, owner)
    cookies = ann.context.cookies()
    assert all(status(url, cookies) == 200 for url in asked)
    for name in ("_streamlit_user", "_streamlit_user_tokens", "_streamlit_session"):
        about = [one for one in cookies if one["name"] == name]
        assert all(one["httpOnly"] and one["sameSite"] == "Lax" for one in about), name

    again = sign_in("ann")
    again.goto(f"{signing.url}/data?dataset={dataset}")
    again.locator("[data-ready='1']").first.wait_for()
    assert people.all_owners(signing.folder) == [owner]

    bob = sign_in("bob")
    bob.get_by_text("Open your data").wait_for()
    assert len(people.all_owners(signing.folder)) == 2
    bob.goto(f"{signing.url}/data?dataset={dataset}")
    nothing_open(bob)
    assert all(status(url, bob.context.cookies()) == 404 for url in asked)


def test_the_next_person_at_a_browser_finds_nothing_of_the_one_before(sign_in, signing):
    page = sign_in("ann")
    page.get_by_text("Open your data").wait_for()
    dataset, asked = work_of(page, signing, owner_of("1", signing))
    other = page.context.new_page()
    other.goto(f"{signing.url}/data?dataset={dataset}")
    other.locator("[data-ready='1']").first.wait_for()
    before = page.context.cookies()
    page.get_by_role("button", name="Your workspace").click()
    page.get_by_text("Signed in as ann@lab.example").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    assert all(status(url, page.context.cookies()) == 404 for url in asked)
    assert all(status(url, [one for one in before if "user" not in one["name"]]) == 404 for url in asked)
    other.get_by_role("link", name="Library").first.click()  # a page that was left open
    other.get_by_text("You have signed out").wait_for()
    expect(other.locator("[data-testid=app-status]")).to_have_count(0)

    sign_in("bob", page=page)
    page.get_by_text("Open your data").wait_for()
    assert all(status(url, page.context.cookies()) == 404 for url in asked)
    page.goto(f"{signing.url}/data?dataset={dataset}")
    nothing_open(page)


@pytest.mark.parametrize(
    ("who", "said"),
    [("eve", "not among the people"), ("mal", "verified your e-mail")],
)
def test_who_is_no_member_is_refused(sign_in, signing, who, said):
    before = people.all_owners(signing.folder)
    page = sign_in(who)
    page.get_by_text(said).wait_for()
    expect(page.get_by_text("Open your data")).to_have_count(0)
    assert people.all_owners(signing.folder) == before


def test_a_forged_cookie_opens_nothing(sign_in, signing, browser):
    page = sign_in("bob")
    page.get_by_text("Open your data").wait_for()
    (real,) = (one for one in page.context.cookies() if one["name"] == "_streamlit_user")
    place = len(real["value"]) // 3
    changed = (
        real["value"][:place] + ("A" if real["value"][place] != "A" else "B") + real["value"][place + 1 :]
    )
    other_server = create_signed_value("f" * 64, "_streamlit_user", real["value"]).decode()
    for value in (changed, other_server):
        context = browser.new_context()
        context.add_cookies([{**real, "value": value}])
        other = context.new_page()
        other.goto(signing.url)
        other.get_by_role("button", name="Sign in").wait_for()
        expect(other.get_by_text("Open your data")).to_have_count(0)
        context.close()
