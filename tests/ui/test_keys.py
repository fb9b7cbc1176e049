"""Keys, codes, the passphrase, and how often one may try."""

import pytest
from starlette.requests import HTTPConnection

from dynamics.errors import SettingsError
from ui import door, keys, passphrase, share


@pytest.fixture
def known(tmp_path):
    return keys.Keys(tmp_path, "four words of mine")


def test_a_key_names_its_browser_and_no_other_text_does(known, tmp_path):
    key = known.issue()
    assert known.browser(key) == keys.Keys(tmp_path).browser(key)
    assert len(known.browser(key)) == 40
    assert known.browser(key) not in key
    token, mark = key.split(".")
    for other in (
        None,
        "",
        ".",
        token,
        f"{token}.",
        f"{token}x.{mark}",
        f"{token}.{mark[:-1]}",
        f".{mark}",
        "ü.ü",
    ):
        assert known.browser(other) is None


def test_another_server_does_not_know_the_key(known, tmp_path):
    (tmp_path / "other").mkdir()
    assert keys.Keys(tmp_path / "other").browser(known.issue()) is None


def test_a_lost_secret_is_said_and_not_replaced(known, tmp_path):
    (tmp_path / keys.SECRET_FILE).write_bytes(b"short")
    with pytest.raises(SettingsError, match="backup"):
        keys.Keys(tmp_path)


def test_the_secret_is_for_the_server_only(known, tmp_path):
    assert (tmp_path / keys.SECRET_FILE).stat().st_mode & 0o077 == 0


def test_the_proof_of_one_passphrase_is_none_of_the_next(known, tmp_path):
    key = known.issue()
    assert known.opens("four words of mine")
    assert not known.opens("four words of min")
    assert known.proof(key) != keys.Keys(tmp_path, "other words of mine").proof(key)
    assert not keys.Keys(tmp_path).opens("")


def test_a_code_works_once_and_not_for_long():
    now = [0.0]
    codes = keys.Codes(lambda: now[0])
    code = codes.issue("key")
    assert codes.take("x") is None
    assert codes.take(code) == "key"
    assert codes.take(code) is None
    late = codes.issue("key")
    now[0] = keys.CODE_S + 1
    assert codes.take(late) is None


def test_wrong_answers_have_to_wait_longer_and_longer():
    now = [0.0]
    attempts = door.Attempts(lambda: now[0])
    for _ in range(5):
        assert attempts.wait_s("a") == 0
        attempts.wrong("a")
    assert attempts.wait_s("a") == 1
    attempts.wrong("a")
    assert attempts.wait_s("a") == 2
    assert attempts.wait_s("b") == 0
    now[0] = 2.0
    assert attempts.wait_s("a") == 0
    attempts.right("a")
    assert attempts.wait_s("a") == 0


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "/\\/evil.example",
        "/\t/evil.example",
        "/\n//evil.example",
        " //evil.example",
        "//[",
        "https://evil.example/",
        "https://[",
        "javascript:x",
        "",
    ],
)
def test_the_way_on_stays_on_this_server(address):
    assert door._inside(address) == "/"


@pytest.mark.parametrize("address", ["/", "/data?dataset=1&next=//x", "/a//b", "/enter?code=x#y"])
def test_the_way_on_leads_to_the_page_that_was_asked_for(address):
    assert door._inside(address) == address


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://cells.example", True),
        ("https://cells.example", True),
        ("http://cells.example:1", False),
        ("http://[", False),
        ("cells.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_what_is_asked_from_a_page_of_this_server(origin, own):
    headers = [(b"host", b"cells.example"), (b"origin", origin.encode())]
    assert door.same_origin(HTTPConnection({"type": "http", "headers": headers})) is own


def test_a_short_passphrase_is_refused_and_none_is_left_in_the_environment(monkeypatch):
    monkeypatch.setenv(keys.SHARED, "1")
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.setenv(keys.PASSPHRASE, "short")
    with pytest.raises(SettingsError, match="at least 8"):
        keys.take_passphrase()
    monkeypatch.setenv(keys.PASSPHRASE, "long enough")
    keys.take_passphrase()
    assert keys.PASSPHRASE not in keys.os.environ
    assert keys._passphrase == ["long enough"]


def test_a_hash_stands_for_the_passphrase_and_does_not_hold_it(tmp_path, monkeypatch):
    line = passphrase.hashed("four words of mine")
    assert "mine" not in line
    assert line != passphrase.hashed("four words of mine")
    known = keys.Keys(tmp_path, line)
    assert known.gated
    assert known.opens("four words of mine")
    for other in ("four words of min", "", line):
        assert not known.opens(other)
    (tmp_path / "phrase").write_text(line + "\n")
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.setenv(keys.SHARED, "1")
    monkeypatch.setenv(f"{keys.PASSPHRASE}_FILE", str(tmp_path / "phrase"))
    keys.take_passphrase()
    assert keys._passphrase == [line]


SALT, FOUND = "A" * 24, "B" * 44


@pytest.mark.parametrize(
    "line",
    [
        "scrypt$",
        f"scrypt$32768$8$1${SALT}",
        f"scrypt$32767$8$1${SALT}${FOUND}",
        f"scrypt$4194304$8$1${SALT}${FOUND}",
        f"scrypt$32768$0$1${SALT}${FOUND}",
        f"scrypt$x$8$1${SALT}${FOUND}",
    ],
)
def test_a_hash_that_is_not_whole_is_said_at_the_start(monkeypatch, line):
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.setenv(keys.PASSPHRASE, line)
    with pytest.raises(SettingsError, match="Make it again"):
        keys.take_passphrase()


def test_the_share_is_looked_up_now_and_then_only(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(share.quotas, "used", lambda place: looked.append(place) or 7)
    monkeypatch.setattr(share, "_known", share.OrderedDict())
    assert [share.taken(tmp_path) for _ in range(3)] == [7, 7, 7]
    assert share.left(tmp_path) == share.quotas.from_environment().disk - 7
    assert len(looked) == 1
    share.forget(tmp_path)
    share.taken(tmp_path)
    assert len(looked) == 2


def test_what_nobody_would_be_asked_for_is_said_at_the_start(monkeypatch):
    monkeypatch.setattr(keys, "_passphrase", [])
    monkeypatch.delenv(keys.SHARED, raising=False)
    monkeypatch.setenv(keys.PASSPHRASE, "four words of mine")
    with pytest.raises(SettingsError, match="--shared"):
        keys.take_passphrase()
    monkeypatch.setattr(keys.sign_in, "offered", lambda: True)
    keys.check_sign_in("127.0.0.1")
    with pytest.raises(SettingsError, match="--shared"):
        keys.check_sign_in("0.0.0.0")
    monkeypatch.setenv(keys.SHARED, "1")
    keys.check_sign_in("0.0.0.0")
