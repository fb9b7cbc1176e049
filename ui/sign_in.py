"""Who has signed in: what Streamlit's sign-in says of a page's session, and of a request by its cookie."""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import streamlit as st
from itsdangerous import BadData, URLSafeTimedSerializer
from streamlit.auth_util import get_cookie_with_chunks, get_secrets_auth_section
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import (
    AUTH_COOKIE_MAX_AGE_SECONDS,
    USER_COOKIE_NAME,
)

from dynamics.disk import write_whole
from dynamics.errors import SettingsError

MOST = 20_000
LONGEST_S = AUTH_COOKIE_MAX_AGE_SECONDS + 2 * 86_400.0  # after which Streamlit takes no cookie any more
FILE = "left.json"
LOG = logging.getLogger("driftscope")
NAMED = "STREAMLIT_SECRETS_FILES"
LEAST_LETTERS = 16  # of the secret that signs who has signed in


@cache
def offered() -> bool:
    """Tell whether this server asks people to sign in. Looked up once: it cannot change while it runs."""
    return bool(get_secrets_auth_section())


def check() -> None:
    """Make sure that a sign-in which was meant to be asked for is, and that nobody can forge one.

    Raises
    ------
    SettingsError
        The file with its settings was not understood, or what signs the cookies is easily guessed.
    """
    files = [path for path in st.get_option("secrets.files") if os.path.exists(path)]
    if not offered() and (os.environ.get(NAMED) or (files and not secrets_singleton.load_if_toml_exists())):
        raise SettingsError(
            f"Nobody would be asked to sign in: {', '.join(files) or os.environ[NAMED]} is not there, is not "
            f"TOML, or has no part [auth]. Mend it, or leave out {NAMED} and the file."
        )
    known = get_secrets_auth_section() if offered() else {}
    n_letters = len(str(known.get("cookie_secret", LEAST_LETTERS * "-")))
    if n_letters < LEAST_LETTERS:
        raise SettingsError(
            f"cookie_secret has {n_letters} letters; it needs at least {LEAST_LETTERS}, or others sign in as "
            'anybody. Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
        )


def name_of(claims: Mapping[str, object]) -> str:
    """Return whom the service speaks of: issuer and subject, which never change; "" where it does not say."""
    about = [str(claims.get(name) or "") for name in ("iss", "sub")]
    return "\n".join(about) if all(about) else ""


def of_cookies(cookies: Mapping[str, str]) -> str:
    """Return who has signed in by the cookie of a request; "" for nobody, or a cookie that is not ours."""
    if not offered():
        return ""
    secret = get_cookie_secret()

    def one(name: str) -> bytes | None:
        return decode_signed_value(secret, name, cookies[name].encode("latin-1")) if name in cookies else None

    try:
        claims = json.loads(get_cookie_with_chunks(one, USER_COOKIE_NAME) or b"{}")
    except (UnicodeError, json.JSONDecodeError):
        return ""
    signed_in = isinstance(claims, dict) and claims.get("is_logged_in")
    return name_of(claims) if signed_in else ""


def signed(cookies: Mapping[str, str]) -> tuple[str, float]:
    """Return a name for the cookie of a sign-in, and when it was given; ("", 0) where none is ours."""
    maker = URLSafeTimedSerializer(get_cookie_secret(), salt=USER_COOKIE_NAME)
    try:
        said, given = maker.loads(cookies.get(USER_COOKIE_NAME, ""), return_timestamp=True)
    except (BadData, UnicodeError):
        return "", 0.0
    return hashlib.sha256(f"{given.timestamp()}\n{said}".encode()).hexdigest()[:40], given.timestamp()


class Left:
    """Who signed out at a browser: pages that were open there, and cookies given before, are theirs no more.

    A copy of a cookie would open new pages until it is too old by itself. In a file, where
    one is named, this outlasts the server.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock, self._file = clock, threading.Lock(), list[Path]()
        self._when = dict[str, float]()  # by seat, and by cookie

    def keep(self, file: Path) -> None:
        """Take in what was kept in a file, and keep it there from now on."""
        try:
            found = json.loads(file.read_text("utf-8")) if file.exists() else {}
            self._when = {str(name): float(when) for name, when in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            LOG.warning("%s cannot be read: cookies from before a sign-out may be taken again", file.name)
        self._file[:] = [file]

    def note(self, seat: str, cookie: str) -> None:
        """Note that who sat there, with this cookie, has signed out."""
        with self._lock:
            now = self._clock()
            kept = {name: when for name, when in self._when.items() if now - when < LONGEST_S}
            self._when = dict([*kept.items(), (seat, now), (cookie, now)][-MOST:])
            try:
                for file in self._file:
                    write_whole(file, json.dumps(self._when).encode())
            except OSError as why:
                LOG.warning("A sign-out is known until the server ends, but not kept: %s", why.strerror)

    def has(self, seat: str, cookies: Mapping[str, str]) -> bool:
        """Tell whether who shows these cookies there has signed out since they were given."""
        cookie, given = signed(cookies)
        return cookie in self._when or given < int(self._when.get(seat, 0.0))


LEFT = Left()
