"""A small OpenID provider for the tests: who is to be signed in stands in the address of its own page."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PEOPLE = {
    "ann": {"sub": "1", "email": "ann@lab.example", "email_verified": True, "name": "Ann"},
    "bob": {"sub": "2", "email": "bob@lab.example", "email_verified": True, "name": "Bob"},
    "eve": {"sub": "3", "email": "eve@elsewhere.example", "email_verified": True, "name": "Eve"},
    "mal": {"sub": "4", "email": "ann@lab.example", "email_verified": False, "name": "Mal"},
    "ned": {"sub": "5", "email": "ned@lab.example", "name": "Ned"},
}


class Provider:
    """Discovery, authorisation, tokens and keys; every person signs in by a click on their name."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._key = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})
        self._codes: dict[str, tuple[str, str]] = {}

    def app(self) -> Starlette:
        """Return the provider as a web application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/authorize", self._ask),
                Route("/chosen", self._chosen),
                Route("/token", self._token, methods=["POST"]),
                Route("/jwks", lambda _: JSONResponse({"keys": [self._key.as_dict(private=False)]})),
            ]
        )

    def _about(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _ask(self, request: Request) -> Response:
        names = "".join(
            f'<a href="/chosen?{urlencode({**request.query_params, "who": who})}">{who}</a> '
            for who in PEOPLE
        )
        return HTMLResponse(names)

    def _chosen(self, request: Request) -> Response:
        asked, code = request.query_params, secrets.token_urlsafe(16)
        self._codes[code] = (asked["who"], asked.get("nonce", ""))
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = dict(part.split("=", 1) for part in (await request.body()).decode().split("&"))
        who, nonce = self._codes.pop(form["code"])
        now = int(time.time())
        claims = {"iss": self.url, "aud": "driftscope", "iat": now, "exp": now + 600, "nonce": nonce}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | PEOPLE[who], self._key)
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(8),
                "id_token": token,
                "token_type": "Bearer",
                "expires_in": 600,
            }
        )


@contextmanager
def running() -> Iterator[Provider]:
    """Run a provider on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = Provider(port)
    server = uvicorn.Server(uvicorn.Config(provider.app(), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield provider
    server.should_exit = True
    thread.join(10)


def secrets_for(provider: Provider, port: int) -> str:
    """Return the secrets file of an app on a port that signs people in there."""
    entries = {
        "redirect_uri": f"http://127.0.0.1:{port}/oauth2callback",
        "cookie_secret": secrets.token_hex(32),
        "client_id": "driftscope",
        "client_secret": "a secret of both",
        "server_metadata_url": f"{provider.url}/.well-known/openid-configuration",
    }
    return "[auth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in entries.items())
