"""The door of the server: who comes in, with which key, and what every answer tells the browser to forbid."""

import asyncio
import hmac
import html
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from ui import downloads, identity, keys, sayings, sign_in, tabs

ENTER = "/enter"
SIGN_OUT = "/auth/logout"
PROTOCOL = "sec-websocket-protocol"  # in which Streamlit names the session to go on with, third
DENIAL = "websocket.http.response"  # a server that can answer a socket with a refusal in words
HEALTH = ("/healthz", "/_stcore/health")  # asked for under whatever name the machine has
OPEN_TO_ALL = (ENTER, "/healthz", "/_stcore/health", "/metrics")
KEEP_S = 400 * 86_400  # the longest that browsers keep a cookie
MOST_BYTES = 4096
PASSED_OVER = re.compile(r"[\x00-\x20]")  # in addresses, by browsers
PAGE = Template((Path(__file__).parent / "enter.html").read_text("utf-8"))
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Nothing is loaded from elsewhere, whatever a name in a file says. Plotly and Vega make functions from text.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "frame-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)


class Attempts:
    """Wrong answers by address: after a few, each further one has to wait twice as long as the last.

    All addresses together are slowed too, later, so that many of them do not help.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._wrong = clock, dict[str, tuple[int, float]]()

    def wait_s(self, address: str) -> float:
        """Return for how many seconds this address has to wait before it may try again."""
        return max(self._wait(address, free=5, most_s=300.0), self._wait("", free=100, most_s=2.0))

    def wrong(self, address: str) -> None:
        """Note a wrong answer."""
        now = self._clock()
        self._wrong = {one: found for one, found in self._wrong.items() if now - found[1] < 3600.0}
        for one in (address, ""):
            self._wrong[one] = (self._wrong.get(one, (0, 0.0))[0] + 1, now)

    def right(self, address: str) -> None:
        """Note that an address has come in."""
        self._wrong.pop(address, None)

    def _wait(self, address: str, *, free: int, most_s: float) -> float:
        n_wrong, last = self._wrong.get(address, (0, 0.0))
        pause = min(2.0 ** min(n_wrong - free, 20), most_s) if n_wrong >= free else 0.0
        return max(0.0, last + pause - self._clock())


ATTEMPTS = Attempts()
ONE_AT_A_TIME = asyncio.Lock()


class Door:
    """Middleware around the app: headers on every answer; on a shared server a key for every browser."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = refused(connection)
        if refusal is None:
            heard = sayings.heard(receive) if scope["type"] == "websocket" else receive
            with downloads.sending(connection), _counted(connection):
                await self.app(_noted(connection), heard, _dressed(connection, send))
        elif scope["type"] == "http" or _says_why(scope, refusal):
            await refusal(scope, receive, _dressed(connection, send))
        else:
            await send({"type": "websocket.close", "code": 1008})


def _says_why(scope: Scope, refusal: Response) -> bool:
    """Tell whether a socket is answered in words: who has too many open is told; others are not spoken to."""
    return refusal.status_code in (429, 503) and DENIAL in scope.get("extensions", {})


def refused(connection: HTTPConnection) -> Response | None:
    """Return the answer to who may not have what they ask for; None where they may."""
    path, websocket = connection.scope["path"], connection.scope["type"] == "websocket"
    if not is_host_allowed(connection.headers.get("host")) and not path.endswith(HEALTH):
        return PlainTextResponse("This server does not answer to that name.", status_code=421)
    if websocket and not _from_own_page(connection):
        return PlainTextResponse("Only the app's own pages may connect.", status_code=403)
    if path.endswith("/_stcore/metrics") and not local(connection):
        return PlainTextResponse("not found", status_code=404)
    if not keys.shared() or path in OPEN_TO_ALL or path in [base_path() + one for one in OPEN_TO_ALL]:
        return None
    known = keys.current()
    if known.gated and not known.passed(connection):
        if not websocket and _wants_page(connection):
            asked = quote(path + (f"?{connection.url.query}" if connection.url.query else ""), safe="")
            return RedirectResponse(f"{base_path()}{ENTER}?next={asked}", status_code=303)
        return PlainTextResponse("Enter the passphrase first: reload the page.", status_code=403)
    seat = keys.asker(connection)
    if websocket or (seat is not None and _wants_page(connection)):
        return tabs.refusal(seat)
    return _refused_file(connection)


def _counted(connection: HTTPConnection) -> AbstractContextManager[None]:
    """Return what counts an open page, where people share the server and this is the socket of one."""
    of_page = connection.scope["type"] == "websocket" and keys.shared()
    return tabs.one_more(keys.asker(connection)) if of_page else nullcontext()


def _refused_file(connection: HTTPConnection) -> Response | None:
    """Return the answer to who asks for a file that was made for another, or sends too many."""
    if not downloads.may(connection.scope["path"], keys.asker(connection)):
        return PlainTextResponse("not found", status_code=404)
    if not downloads.has_room(connection):
        return PlainTextResponse("Too many files at once. Wait a moment, then try again.", status_code=429)
    return None


def _noted(connection: HTTPConnection) -> Scope:
    """Return the request as the app gets it: a browser goes on with no session but one of its own.

    Who signs out has left all pages that are open at this browser.
    """
    scope = connection.scope
    if not keys.shared():
        return scope
    if scope["type"] == "http":
        seat = keys.asker(connection) if connection.url.path.endswith(SIGN_OUT) else None
        if seat and sign_in.of_cookies(connection.cookies):
            sign_in.LEFT.note(seat, sign_in.signed(connection.cookies)[0])
        return scope
    asked = [word.strip() for word in connection.headers.get(PROTOCOL, "").split(",")]
    if len(asked) < 3 or identity.may_go_on(asked[2], keys.asker(connection)):
        return scope
    name = PROTOCOL.encode()
    kept = [(key, value) for key, value in scope["headers"] if key != name]
    return {
        **scope,
        "headers": [*kept, (name, ", ".join(asked[:2]).encode("latin-1"))],
        "subprotocols": asked[:2],
    }


def base_path() -> str:
    """Return what stands before all addresses of the app, such as "/driftscope"; mostly nothing."""
    given = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{given}" if given else ""


def local(connection: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy on it."""
    passed_on = any(
        name in connection.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip", "via")
    )
    host = connection.client.host if connection.client else ""
    return host in ("127.0.0.1", "::1", "::ffff:127.0.0.1") and not passed_on


def same_origin(connection: HTTPConnection) -> bool:
    """Tell whether a browser says that a page of this server asks."""
    origin = connection.headers.get("origin", "")
    return "://" in origin and origin.partition("://")[2] == connection.headers.get("host")


def _from_own_page(connection: HTTPConnection) -> bool:
    """Tell whether no page of another origin connects, not even one of this machine; programs name none."""
    origin = connection.headers.get("origin")
    return origin is None or same_origin(connection) or origin in st.get_option("server.corsAllowedOrigins")


def show(request: Request) -> Response:
    """Ask for the passphrase, or whether to go on here with the work of another device."""
    return _page(request, code=request.query_params.get("code", "") if keys.shared() else "")


async def enter(request: Request) -> Response:
    """Take the passphrase, or the code of another device, and give the browser its key."""
    if not keys.shared():
        return RedirectResponse(base_path() + "/", status_code=303)
    given = await _form(request)
    address = request.client.host if request.client else ""
    if not same_origin(request):
        return _page(request, wrong="Open this page from its own address, and try again.", status=403)
    async with ONE_AT_A_TIME:  # many at once neither pass the count nor fill the memory
        if wait_s := ATTEMPTS.wait_s(address):
            said = f"Too many wrong answers. Try again in {wait_s:.0f} s."
            return _page(request, code=given.get("code", ""), wrong=said, status=429)
        key = await asyncio.to_thread(_key_for, request, given)
        if key is None:
            ATTEMPTS.wrong(address)
    if key is None:
        old = "This link was used already or is older than ten minutes. Make a new one on the other device."
        return _page(request, wrong=old if "code" in given else "That is not the passphrase.", status=403)
    ATTEMPTS.right(address)
    answer = RedirectResponse(_inside(given.get("next", "")), status_code=303)
    _give(answer, request, key)
    return answer


def routes() -> list[Route]:
    """Return the routes for `st.App(routes=…)`, also below a base path."""
    pages = [(show, ["GET"]), (enter, ["POST"])]
    return [
        Route(base + ENTER, endpoint, methods=methods)
        for endpoint, methods in pages
        for base in ("", "/{base:path}")
    ]


def _dressed(connection: HTTPConnection, send: Send) -> Send:
    """Return a `send` that puts our headers, and a key for a new browser, on the answer."""

    async def dress(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if connection.url.scheme == "https":
                _keep_to_tls(headers)
            if headers.get("content-type", "").startswith("text/html"):
                headers.setdefault("Content-Security-Policy", POLICY)
                _give_key(connection, headers, status=message["status"])
        await send(message)

    return dress


def _keep_to_tls(headers: MutableHeaders) -> None:
    """Let cookies of Streamlit's sign-in go over TLS only, where they were given over it."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for value in cookies:
        secure = value.startswith("_streamlit") and "secure" not in value.lower()
        headers.append("set-cookie", f"{value}; Secure" if secure else value)


def _give_key(connection: HTTPConnection, headers: MutableHeaders, *, status: int) -> None:
    """Give a browser that opens a page its key, and let the one it has last longer."""
    known = keys.current() if keys.shared() else None
    if known is None or status != 200 or (known.gated and not known.passed(connection)):
        return
    key = connection.cookies.get(known.cookie, "")
    answer = Response()
    _give(answer, connection, key if known.browser(key) else known.issue())
    for value in answer.headers.getlist("set-cookie"):
        headers.append("set-cookie", value)


def _give(answer: Response, connection: HTTPConnection, key: str) -> None:
    known, secure = keys.current(), connection.url.scheme in ("https", "wss")
    about = {"max_age": KEEP_S, "httponly": True, "samesite": "lax", "secure": secure}
    answer.set_cookie(known.cookie, key, **about)
    if known.gated:
        answer.set_cookie(known.gate, known.proof(key), **about)


def _key_for(request: Request, given: dict[str, str]) -> str | None:
    known = keys.current()
    if "code" in given:
        return keys.CODES.take(given["code"])
    if not known.opens(given.get("passphrase", "")):
        return None
    own = request.cookies.get(known.cookie, "")
    return own if known.browser(own) else known.issue()


def _page(request: Request, *, code: str = "", wrong: str = "", status: int = 200) -> Response:
    if not code and not (keys.shared() and keys.current().gated):
        code, wrong = "", wrong or "There is nothing to enter here."
    words = {"wrong": html.escape(wrong), "code": html.escape(code), "next": html.escape(_next(request))}
    shown = {"by_code": "" if code else "hidden", "by_phrase": "hidden" if code or not _gated() else ""}
    page = PAGE.substitute(words, **shown, wrong_hidden="" if wrong else "hidden")
    return HTMLResponse(page, status_code=status, headers={"Cache-Control": "no-store"})


def _gated() -> bool:
    return keys.shared() and keys.current().gated


def _next(request: Request) -> str:
    return request.query_params.get("next", base_path() + "/")


def _inside(address: str) -> str:
    """Return an address on this server: what leads elsewhere becomes the start page."""
    plain = PASSED_OVER.sub("", address.replace("\\", "/"))
    return address if plain.startswith("/") and not plain.startswith("//") else base_path() + "/"


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _wants_page(connection: HTTPConnection) -> bool:
    return connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", "")


def bearer(connection: HTTPConnection, token: str) -> bool:
    """Tell whether a request carries this token; never where there is none."""
    given = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())
