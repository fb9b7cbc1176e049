"""Who has signed in by the cookie of a request, who may come in, and what the door makes of sessions."""

import json
import time

import pytest
from starlette.requests import HTTPConnection
from streamlit import auth_util, config
from streamlit.runtime.secrets import Secrets
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from dynamics.errors import SettingsError
from tests.serving import awaited
from ui import door, identity, keys, sign_in

SECRET = "s" * 64
ANN = {"iss": "https://login.example", "sub": "1", "is_logged_in": True, "email": "ann@lab.example"}


@pytest.fixture(autouse=True)
def asked_anew():
    sign_in.offered.cache_clear()
    yield
    sign_in.offered.cache_clear()


@pytest.fixture
def offered(monkeypatch):
    monkeypatch.setattr(sign_in, "get_secrets_auth_section", lambda: {"cookie_secret": SECRET})
    monkeypatch.setattr(sign_in, "get_cookie_secret", lambda: SECRET)


def cookie(claims, *, secret=SECRET, name="_streamlit_user"):
    return create_signed_value(
        secret, name, claims if isinstance(claims, str) else json.dumps(claims)
    ).decode()


def test_the_cookie_of_a_request_says_who_has_signed_in(offered):
    assert sign_in.of_cookies({"_streamlit_user": cookie(ANN)}) == "https://login.example\n1"


FORGED = {
    "none": {},
    "empty": {"_streamlit_user": ""},
    "no text": {"_streamlit_user": "ü\x00"},
    "another secret": {"_streamlit_user": cookie(ANN, secret="t" * 64)},
    "another cookie": {"_streamlit_user": cookie(ANN, name="_streamlit_user_tokens")},
    "not json": {"_streamlit_user": cookie("no json")},
    "a list": {"_streamlit_user": cookie("[1]")},
    "signed out": {"_streamlit_user": cookie({**ANN, "is_logged_in": False})},
    "no subject": {"_streamlit_user": cookie({**ANN, "sub": ""})},
    "no issuer": {"_streamlit_user": cookie({**ANN, "iss": None})},
}


@pytest.mark.parametrize("case", FORGED)
def test_any_other_cookie_says_nobody(offered, case):
    assert sign_in.of_cookies(FORGED[case]) == ""


def test_an_old_cookie_says_nobody(offered, monkeypatch):
    old = cookie(ANN)
    now = __import__("time").time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 40 * 86_400)
    assert sign_in.of_cookies({"_streamlit_user": old}) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Nobody would be asked"),
        ("[auth\n", "Nobody would be asked"),
        ("[Auth]\nclient_id = 'x'\n", "Nobody would be asked"),
        ("[auth]\ncookie_secret = '…'\n", "at least 16"),
        ("[auth]\ncookie_secret = ''\n", "at least 16"),
        (f"[auth]\ncookie_secret = '{SECRET}'\n", None),
        ("[auth]\nclient_id = 'x'\n", None),
    ],
)
def test_a_sign_in_that_would_not_keep_people_out_is_said_at_the_start(tmp_path, monkeypatch, text, said):
    path = tmp_path / "secrets.toml"
    if text is not None:
        path.write_text(text, "utf-8")
    known = Secrets()
    monkeypatch.setattr(auth_util, "secrets_singleton", known)
    monkeypatch.setattr(sign_in, "secrets_singleton", known)
    monkeypatch.setattr(config, "get_option", lambda name: {"secrets.files": [str(path)]}.get(name))
    monkeypatch.setattr(sign_in.st, "get_option", config.get_option)
    monkeypatch.setenv(sign_in.NAMED, str(path))
    monkeypatch.setenv(keys.SHARED, "1")
    if said is None:
        keys.check_sign_in("0.0.0.0")
        assert sign_in.offered()
    else:
        with pytest.raises(SettingsError, match=said):
            keys.check_sign_in("0.0.0.0")


def test_without_sign_in_no_cookie_is_looked_at(monkeypatch):
    monkeypatch.setattr(sign_in, "get_secrets_auth_section", dict)
    assert sign_in.of_cookies({"_streamlit_user": cookie(ANN)}) == ""


@pytest.mark.parametrize(
    ("claims", "trusted", "enters"),
    [
        ({"email": "ann@lab.example", "email_verified": True}, "", True),
        ({"email": "ANN@LAB.example", "email_verified": "true"}, "", True),
        ({"email": "guest@other.example", "email_verified": True}, "", True),
        ({"email": "ann@lab.example"}, "", False),
        ({"email": "ann@lab.example"}, "1", True),
        ({"email": "ann@lab.example", "email_verified": False}, "", False),
        ({"email": "ann@evil.example", "email_verified": True}, "1", False),
        ({"email": "ann@lab.example.evil", "email_verified": True}, "", False),
        ({"email": "ann@evil.example@lab.example", "email_verified": False}, "", False),
        ({"email": "ann@\u212aab.example", "email_verified": True}, "1", False),
        ({"email": "@lab.example\u200b", "email_verified": True}, "1", False),
        ({"email_verified": True}, "1", False),
    ],
)
def test_only_verified_members_enter(monkeypatch, claims, trusted, enters):
    monkeypatch.setenv(identity.MEMBERS, " @lab.example, guest@other.example,@kab.example")
    monkeypatch.setenv(identity.TRUSTED, trusted)
    monkeypatch.setattr(identity.st, "user", claims)
    if enters:
        identity._check_member()
    else:
        with pytest.raises(identity.AccessError, match="Ask whoever runs it"):
            identity._check_member()


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path))
    monkeypatch.setenv(keys.SHARED, "1")
    monkeypatch.setattr(keys, "_passphrase", [])
    return keys.current()


def connection(known, key, *, type="websocket", path="/_stcore/stream", session=""):
    headers = [(b"cookie", f"{known.cookie}={key}".encode()), (b"host", b"localhost")]
    if session:
        headers.append((b"sec-websocket-protocol", f"streamlit, token, {session}".encode()))
    scope = {"type": type, "path": path, "headers": headers, "query_string": b"", "server": ("localhost", 80)}
    scope |= {"scheme": "ws" if type == "websocket" else "http", "method": "GET", "subprotocols": []}
    return HTTPConnection(scope)


def named(scope):
    return dict(scope["headers"]).get(b"sec-websocket-protocol", b"").decode()


def test_a_browser_goes_on_with_no_session_but_its_own(shared, monkeypatch):
    mine, other = shared.issue(), shared.issue()
    monkeypatch.setattr(identity, "_seats", {"session-a": shared.browser(mine)})
    own = door._noted(connection(shared, mine, session="session-a"))
    assert named(own) == "streamlit, token, session-a"
    for key, session in ((other, "session-a"), ("forged.key", "session-a"), (mine, "session-b")):
        scope = door._noted(connection(shared, key, session=session))
        assert named(scope) == "streamlit, token"
        assert scope["subprotocols"] == ["streamlit", "token"]
    assert door._noted(connection(shared, mine))["type"] == "websocket"


@pytest.fixture
def left(monkeypatch, tmp_path):
    """Who has left, at a moment that a test sets; kept in a file."""
    kept = sign_in.Left(lambda: time.time() + 5.0)
    kept.keep(tmp_path / sign_in.FILE)
    monkeypatch.setattr(sign_in, "LEFT", kept)
    return kept


def signing_out(known, key, user=""):
    scope = connection(known, f"{key}; _streamlit_user={user}", type="http", path="/auth/logout").scope
    door._noted(HTTPConnection(scope))


def later(monkeypatch, seconds=60):
    """Let cookies be given so much later."""
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + seconds)


def test_a_copy_of_a_cookie_opens_nothing_after_signing_out(shared, offered, left, monkeypatch, tmp_path):
    key, other = shared.issue(), shared.issue()
    old, older_one = cookie(ANN), cookie({**ANN, "at": "an earlier sign-in"})
    cookies = {shared.cookie: key, "_streamlit_user": old}
    seat = keys.seat(cookies)
    assert seat != shared.browser(key)
    signing_out(shared, key, old)
    assert keys.seat(cookies) == shared.browser(key)
    assert keys.seat({**cookies, "_streamlit_user": older_one}) == shared.browser(key)
    assert keys.seat({**cookies, shared.cookie: other}) == shared.browser(other)
    again = sign_in.Left()
    again.keep(tmp_path / sign_in.FILE)
    assert again.has(seat, cookies)
    later(monkeypatch)
    assert keys.seat({**cookies, "_streamlit_user": cookie(ANN)}) == seat


def test_who_signs_out_ends_nothing_of_others(shared, offered, left):
    key, other = shared.issue(), shared.issue()
    ann, bob, phone = cookie(ANN), cookie({**ANN, "sub": "2"}), cookie({**ANN, "at": "her phone"})
    before = keys.seat({shared.cookie: key, "_streamlit_user": bob})
    signing_out(shared, key, ann)
    signing_out(shared, key)  # nobody has signed in: nothing to note
    assert keys.seat({shared.cookie: key, "_streamlit_user": bob}) == before
    assert keys.seat({shared.cookie: other, "_streamlit_user": phone}) != shared.browser(other)
    assert len(left._when) == 2


def test_a_page_that_was_open_stays_shut_after_signing_out(shared, offered, left, monkeypatch):
    key, user = shared.issue(), cookie(ANN)
    monkeypatch.setattr(identity.st, "user", ANN)
    context = type("Context", (), {"cookies": {shared.cookie: key, "_streamlit_user": user}})
    monkeypatch.setattr(identity.st, "context", context)
    monkeypatch.setattr(identity.st, "session_state", {})
    assert identity.owner() == shared.person("https://login.example\n1")
    signing_out(shared, key, user)
    for _ in range(3):
        with pytest.raises(identity.AccessError, match="You have signed out"):
            identity.owner()


@pytest.mark.parametrize("content", ["", "[]", '{"a": "b"}', '{"a": null}', "\ud800"])
def test_a_file_of_sign_outs_that_is_damaged_keeps_nobody_out(tmp_path, offered, content, caplog):
    file = tmp_path / sign_in.FILE
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    left = sign_in.Left()
    left.keep(file)
    assert "cannot be read" in caplog.text
    left.note("seat", "cookie")
    assert sorted(json.loads(file.read_text())) == ["cookie", "seat"]


def test_a_seat_is_a_browser_with_a_person(shared, offered):
    key = shared.issue()
    alone = keys.seat({shared.cookie: key})
    ann = keys.seat({shared.cookie: key, "_streamlit_user": cookie(ANN)})
    bob = keys.seat({shared.cookie: key, "_streamlit_user": cookie({**ANN, "sub": "2"})})
    assert len({alone, ann, bob}) == 3
    assert keys.seat({"_streamlit_user": cookie(ANN)}) is None


def answered(known, *, scheme, cookies):
    """Return the cookies that the door lets out."""
    scope = {**connection(known, "", type="http", path="/oauth2callback").scope, "scheme": scheme}
    sent = []

    async def app(scope, receive, send):
        headers = [(b"set-cookie", one.encode()) for one in cookies]
        await send({"type": "http.response.start", "status": 302, "headers": headers})

    async def note(message):
        sent.append(message)

    awaited(door.Door(app)(scope, None, note))
    return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]


def test_cookies_of_the_sign_in_keep_to_tls_where_they_were_given_over_it(shared):
    given = ["_streamlit_user=x; HttpOnly; Path=/", "other=y"]
    assert answered(shared, scheme="http", cookies=given) == given
    assert answered(shared, scheme="https", cookies=given) == [given[0] + "; Secure", "other=y"]
