"""Who has signed in: what Streamlit's sign-in says of a page's session, and of a request by its cookie."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache

import streamlit as st
from streamlit.auth_util import get_cookie_with_chunks, get_secrets_auth_section
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from dynamics.errors import SettingsError

MOST = 20_000
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


class Left:
    """When somebody signed out at a browser: pages that were open there before are theirs no more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock, self._when = clock, threading.Lock(), dict[str, float]()

    def now(self) -> float:
        """Return the moment."""
        return self._clock()

    def note(self, seat: str) -> None:
        """Note that who sat there has signed out."""
        with self._lock:
            self._when.pop(seat, None)
            self._when[seat] = self._clock()
            while len(self._when) > MOST:
                del self._when[next(iter(self._when))]

    def since(self, seat: str, moment: float) -> bool:
        """Tell whether somebody signed out there after a moment."""
        return self._when.get(seat, -1.0) >= moment


LEFT = Left()
