"""Keys: how a shared server knows a browser again, without accounts and with nothing in any address.

A key is a random token in a cookie that scripts cannot read, signed by this server. On the disk stands its
hash only: as the name of the folder with the person's work.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from starlette.requests import HTTPConnection

from dynamics.errors import SettingsError
from jobs import workspace
from ui import passphrase, sign_in

SHARED = "DRIFTSCOPE_SHARED"
PASSPHRASE = "DRIFTSCOPE_PASSPHRASE"
LEAST_LETTERS = 8
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SECRET_FILE = "server.secret"
SECRET_BYTES = 32
CODE_S = 600.0
MOST_CODES = 10_000
_passphrase: list[str] = []


def shared() -> bool:
    """Tell whether several people use this server, each with a workspace of their own."""
    return os.environ.get(SHARED, "") not in ("", "0")


class Keys:
    """The keys of one server: they hold as long as the secret file in its home is there.

    Attributes
    ----------
    cookie, gate
        Names of the two cookies: the key, and the proof that the passphrase was given with it. They carry the
        server's mark, since a browser sends its cookies to all ports of a host.
    """

    def __init__(self, home: Path, phrase: str = "") -> None:
        self._secret, self._passphrase = _secret(home), phrase
        mark = self._mac("mark", "")[:8]
        self.cookie, self.gate = f"driftscope-key-{mark}", f"driftscope-gate-{mark}"

    def issue(self) -> str:
        """Return a new key of 256 random bits."""
        token = secrets.token_urlsafe(32)
        return f"{token}.{self._mac('key', token)}"

    def browser(self, key: str | None) -> str | None:
        """Return the name of the browser that sends this key, 40 hexadecimal digits; None: not our key."""
        token, _, mark = (key or "").partition(".")
        if not token or not hmac.compare_digest(mark.encode(), self._mac("key", token).encode()):
            return None
        return hashlib.sha256(token.encode()).hexdigest()[:40]

    def person(self, identity: str) -> str:
        """Return the name under which the work of somebody who signed in is kept; it says nothing of them."""
        return self._mac("person", identity)[:40]

    def seat(self, browser: str, person: str) -> str:
        """Return the name of a browser while this person has signed in at it; "" for nobody."""
        return self._mac("seat", f"{browser}\n{person}")[:40] if person else browser

    @property
    def gated(self) -> bool:
        """A passphrase is asked for."""
        return bool(self._passphrase)

    def opens(self, given: str) -> bool:
        """Tell whether this is the passphrase; takes the same time whatever is given."""
        return self.gated and passphrase.matches(given, self._passphrase)

    def proof(self, key: str) -> str:
        """Return the proof that the present passphrase was given with this key."""
        return self._mac("gate", f"{key}\n{self._passphrase}")

    def passed(self, connection: HTTPConnection) -> bool:
        """Tell whether who asks has a key and, where a passphrase is asked for, gave it."""
        key = connection.cookies.get(self.cookie, "")
        if self.browser(key) is None:
            return False
        proof = connection.cookies.get(self.gate, "")
        return not self.gated or hmac.compare_digest(proof.encode(), self.proof(key).encode())

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()


class Codes:
    """One-time codes that bring a key to another device; kept in memory only, and not for long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._kept: dict[bytes, tuple[str, float]] = {}

    def issue(self, key: str) -> str:
        """Return a code for a key; an earlier code for the same key ends."""
        code = secrets.token_urlsafe(12)
        with self._lock:
            self._forget(key)
            self._kept[_hash(code)] = (key, self._clock() + CODE_S)
            while len(self._kept) > MOST_CODES:
                del self._kept[next(iter(self._kept))]
        return code

    def take(self, code: str) -> str | None:
        """Return the key that a code stands for, once; None for no code of ours, a used or an old one."""
        with self._lock:
            key, until = self._kept.pop(_hash(code), ("", 0.0))
        return key if key and self._clock() < until else None

    def _forget(self, key: str) -> None:
        now = self._clock()
        self._kept = {code: kept for code, kept in self._kept.items() if kept[0] != key and kept[1] > now}


CODES = Codes()


def current() -> Keys:
    """Return the keys of the home that this process serves."""
    return _keys(workspace.default_home().absolute(), _passphrase[0] if _passphrase else "")


def asker(connection: HTTPConnection) -> str | None:
    """Return the seat that asks, "" where one person has the server to themself; None for a stranger."""
    if not shared():
        return ""
    return seat(connection.cookies) if current().passed(connection) else None


def seat(cookies: Mapping[str, str]) -> str | None:
    """Return a browser with who has signed in at it, as one name: what is made there is for nobody else."""
    known = current()
    browser = known.browser(cookies.get(known.cookie))
    person = sign_in.of_cookies(cookies)
    if not browser or not person:
        return browser
    found = known.seat(browser, person)
    return browser if sign_in.LEFT.has(found, cookies) else found


def take_passphrase() -> None:
    """Read the passphrase, once, and take it out of the environment that child processes get.

    Raises
    ------
    SettingsError
        The file is not there, the passphrase too short, its hash not whole, or nobody would be asked.
    """
    given, path = os.environ.pop(PASSPHRASE, ""), os.environ.get(f"{PASSPHRASE}_FILE")
    if path:
        if not Path(path).is_file():
            raise SettingsError(
                f"There is no file {path}; {PASSPHRASE}_FILE names the one with the passphrase."
            )
        given = Path(path).read_text("utf-8").strip()
    if passphrase.is_hash(given) and not passphrase.is_sound(given):
        raise SettingsError(
            "The hash of the passphrase is not whole, or costs too much. Make it again with "
            "`.venv/bin/python -m ui.passphrase`."
        )
    if (given or path) and len(given) < LEAST_LETTERS:
        raise SettingsError(
            f"The passphrase has {len(given)} letters; it needs at least {LEAST_LETTERS}. Use four words."
        )
    if given and not shared():
        raise SettingsError(
            "A passphrase is set, but without --shared (DRIFTSCOPE_SHARED=1) nobody is asked for it. Share "
            "the server, or leave the passphrase out."
        )
    _passphrase[:] = [given] if given else []


def check_sign_in(address: str) -> None:
    """Make sure that a server which others reach asks for the sign-in that was set up.

    Raises
    ------
    SettingsError
        People would share one workspace, or nobody be asked, or anybody could sign in as another.
    """
    if shared():
        sign_in.check()
    if sign_in.offered() and not shared() and address not in LOOPBACK:
        raise SettingsError(
            "Sign-in is set up, but without --shared (DRIFTSCOPE_SHARED=1) nobody is asked to sign in, and "
            "others reach this server. Share it, or let it answer on this machine only."
        )


@lru_cache(maxsize=8)
def _keys(home: Path, phrase: str) -> Keys:
    return Keys(home, phrase)


def _secret(home: Path) -> bytes:
    """Return the server's secret, made at the first start; readable by the server's user only."""
    path = home / SECRET_FILE
    if not path.exists():
        workspace.write_whole(path, secrets.token_bytes(SECRET_BYTES))
        path.chmod(0o600)
    found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise SettingsError(
            f"The file {path.name} in the server's home has {len(found)} bytes, not {SECRET_BYTES}. Bring it "
            "back from a backup; a new one would cut everybody off from their work."
        )
    return found


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
