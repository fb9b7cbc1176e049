"""Files on their way in: the upload route, which streams to disk, and the folder open on the server.

A page gives its browser an unguessable token; only with it may a file be sent. The client's name for the file
is never used as a path, nothing is kept in memory, and a file that did not arrive whole is removed.
"""

import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamics.errors import DynamicsError, FileError
from jobs import workspace
from ui.text import size

ROUTE = "/api/upload"
HEADER = "x-upload-token"
BLOCK = 4 * 2**20  # bytes gathered before each write
TOKENS = 1000  # tabs that may hold a token at the same time
STALE_S = 24 * 3600.0
ENDINGS = (".h5ad", ".h5", ".hdf5")
MOST_LISTED = 500


class Refused(DynamicsError):
    """An upload that is not accepted, with the HTTP status to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """A file that has arrived."""

    id: str
    token: str
    path: Path
    n_bytes: int


class Register:
    """The tokens given out, and the files that arrived with them; shared by the route and the pages."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, bool] = OrderedDict()  # token → whether a file is on its way
        self._arrived: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def new_token(self) -> str:
        """Return a new token; the oldest one stops working where there are too many."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[token] = False
            while len(self._tokens) > TOKENS:
                self._tokens.popitem(last=False)
        return token

    def knows(self, token: str) -> bool:
        """Tell whether a token was given out by this server."""
        return token in self._tokens

    def begin(self, token: str) -> None:
        """Note that a file is on its way; one at a time for each token."""
        with self._lock:
            if token not in self._tokens:
                raise Refused(403, "This page is too old to send files. Reload it and try again.")
            if self._tokens[token]:
                raise Refused(
                    429, "Another file is still on its way from this page. Wait for it, or cancel it."
                )
            self._tokens[token] = True

    def end(self, token: str, upload: Upload | None) -> None:
        """Note that the file arrived (or not)."""
        with self._lock:
            if token in self._tokens:
                self._tokens[token] = False
            if upload is not None:
                self._arrived[upload.id] = upload

    def take(self, id: str, token: str) -> Upload:
        """Hand an arrived file over to the page it was sent from; it can be taken once."""
        with self._lock:
            upload = self._arrived.get(id)
            if upload is None or upload.token != token:
                raise FileError("The uploaded file is not here any more. Upload it again.")
            return self._arrived.pop(id)


REGISTER = Register()


def limit_bytes() -> int:
    """Return the largest upload that is accepted: `$DRIFTSCOPE_UPLOAD_GB`, by default 4 GB."""
    return int(float(os.environ.get("DRIFTSCOPE_UPLOAD_GB") or 4) * 1e9)


def folder() -> Path:
    """Return where uploads are kept until they have been read."""
    path = workspace.default_home().absolute() / "uploads"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def sweep(older_than_s: float = STALE_S) -> int:
    """Remove what earlier uploads left behind and return how many things that were."""
    old = [path for path in folder().iterdir() if path.stat().st_mtime < time.time() - older_than_s]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)


async def receive(request: Request) -> Response:
    """Take one file: the body of a POST is streamed to disk as it comes."""
    token = request.headers.get(HEADER, "")
    try:
        _check_origin(request)
        REGISTER.begin(token)
    except Refused as no:
        return _refusal(no)
    upload = None
    try:
        _check_room(int(request.headers.get("content-length") or 0))
        upload = await _store(request, token)
    except Refused as no:
        return _refusal(no)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody is there to read it
    finally:
        REGISTER.end(token, upload)
    return JSONResponse({"upload": upload.id, "bytes": upload.n_bytes})


def routes() -> list[Route]:
    """Return the routes for `st.App(routes=…)`, also below a base path."""
    return [Route(base + ROUTE, receive, methods=["POST"]) for base in ("", "/{base:path}")]


def server_folder() -> Path | None:
    """Return the folder whose files the app may open, `$DRIFTSCOPE_DATA`; None where none is set."""
    given = os.environ.get("DRIFTSCOPE_DATA")
    path = Path(given).expanduser().resolve() if given else None
    return path if path and path.is_dir() else None


def server_files() -> list[str]:
    """Return the h5ad files below the server's folder, as paths relative to it; at most 500."""
    root = server_folder()
    if root is None:
        return []
    found: list[str] = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(place) / name for name in sorted(names) if _is_offered(name)]
        found += [path.relative_to(root).as_posix() for path in paths if path.resolve().is_relative_to(root)]
        if len(found) >= MOST_LISTED:
            break
    return found[:MOST_LISTED]


def server_path(relative: str) -> Path:
    """Return the file below the server's folder that a relative path names.

    Raises
    ------
    FileError
        The path leads out of the folder (also by a link), or is not a file.
    """
    root = server_folder()
    if root is None:
        raise FileError("No folder of this server is open to the app. Upload the file instead.")
    path = (root / relative).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise FileError(f"{relative!r} is not a file in the server's folder. Choose one from the list.")
    return path


def _is_offered(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, "Files are only accepted from the app's own pages.")


def _check_room(n_bytes: int) -> None:
    if n_bytes > limit_bytes():
        raise Refused(413, f"The file has {size(n_bytes)}; this server takes up to {size(limit_bytes())}.")
    free = shutil.disk_usage(folder()).free
    if 2 * n_bytes > free:
        raise Refused(
            507, f"The file has {size(n_bytes)}; only {size(free)} are free where the server keeps its data."
        )


async def _store(request: Request, token: str) -> Upload:
    """Write the body to a new file; whatever ends this early takes the file with it."""
    id = secrets.token_hex(16)
    part = folder() / f"{id}.part"
    declared = request.headers.get("content-length")
    try:
        n_bytes = await _write(request, part)
        if declared is not None and n_bytes != int(declared):
            raise Refused(400, f"{size(n_bytes)} of {size(int(declared))} arrived. Upload the file again.")
        if not n_bytes:
            raise Refused(400, "The file is empty. Choose another one.")
        whole = part.with_suffix(".upload")
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)
    return Upload(id, token, whole, n_bytes)


async def _write(request: Request, part: Path) -> int:
    n_bytes, gathered = 0, bytearray()
    with part.open("xb") as file:
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > limit_bytes():
                raise Refused(413, f"The file is larger than the {size(limit_bytes())} this server takes.")
            gathered += chunk
            if len(gathered) >= BLOCK:
                await anyio.to_thread.run_sync(file.write, bytes(gathered))
                gathered.clear()
        await anyio.to_thread.run_sync(file.write, bytes(gathered))
    return n_bytes


def _refusal(no: Refused) -> JSONResponse:
    return JSONResponse({"error": str(no)}, status_code=no.status, headers={"Connection": "close"})
