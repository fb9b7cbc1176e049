"""Who has signed in: what Streamlit's sign-in says of a page's session, and of a request by its cookie."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache

from streamlit.auth_util import get_cookie_with_chunks, get_secrets_auth_section
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

MOST = 20_000


@cache
def offered() -> bool:
    """Tell whether this server asks people to sign in. Looked up once: it cannot change while it runs."""
    return bool(get_secrets_auth_section())


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
