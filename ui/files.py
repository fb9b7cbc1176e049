"""Files on their way in: the upload route, which streams to disk, and the folder open on the server.

A page gives its browser an unguessable token; only with it, and only from that browser, may a file be sent.
It goes to the workspace of the person the page belongs to, and counts against their share from its first
byte. The client's name for the file is never used as a path, nothing is kept in memory, and a file that did
not arrive whole is removed.
"""

import errno
import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamics import disk
from dynamics.errors import DynamicsError, FileError
from jobs import people, quotas, workspace
from ui import counters, identity, keys, share
from ui.text import size

ROUTE = "/api/upload"
HEADER = "x-upload-token"
BLOCK = 4 * 2**20  # bytes gathered before each write
TOKENS, TOKENS_EACH = 10_000, 200  # tabs that may hold a token at the same time: everybody's, one person's
WAITING = 3  # files of one tab that have arrived and that its page has not taken
STALE_S = 24 * 3600.0
ENDINGS = (".h5ad", ".h5", ".hdf5")
MOST_LISTED = 500
LOG = logging.getLogger("driftscope")


class Refused(DynamicsError):
    """An upload that is not accepted, with the HTTP status to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Grant:
    """Leave to send files: whose workspace they go to, and which browser may send them."""

    owner: str = ""
    browser: str = ""


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
        self._tokens: OrderedDict[str, Grant] = OrderedDict()
        self._coming: dict[str, tuple[str, int]] = {}  # token → whose file is on its way, and its bytes
        self._arrived: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def new_token(self, grant: Grant | None = None) -> str:
        """Return a new token; the oldest one (of the same person) stops working where there are too many."""
        token, grant = secrets.token_urlsafe(24), grant or Grant()
        with self._lock:
            own = [one for one, given in self._tokens.items() if given.owner == grant.owner]
            for one in own[: len(own) + 1 - TOKENS_EACH]:
                del self._tokens[one]
            self._tokens[token] = grant
            while len(self._tokens) > TOKENS:
                self._tokens.popitem(last=False)
        return token

    def knows(self, token: str) -> bool:
        """Tell whether a token was given out by this server."""
        return token in self._tokens

    def begin(self, token: str, browser: str | None = "") -> Grant:
        """Note that a file is on its way; one at a time for each token."""
        with self._lock:
            grant = self._tokens.get(token)
            if grant is None or grant.browser != browser:
                raise Refused(403, "This page is too old to send files. Reload it and try again.")
            if token in self._coming:
                raise Refused(
                    429, "Another file is still on its way from this page. Wait for it, or cancel it."
                )
            self._coming[token] = grant.owner, 0
            return grant

    def reserve(self, token: str, n_bytes: int, *, left: int) -> bool:
        """Set bytes aside for the file on its way, out of those its owner has left; False: too few."""
        with self._lock:
            owner = self._coming[token][0]
            others = [n for one, (whose, n) in self._coming.items() if one != token and whose == owner]
            if n_bytes + sum(others) > left:
                return False
            self._coming[token] = owner, n_bytes
            return True

    def end(self, token: str, upload: Upload | None) -> list[Upload]:
        """Note that the file arrived (or not); return earlier ones that the page will not take any more."""
        with self._lock:
            self._coming.pop(token, None)
            if upload is None:
                return []
            self._arrived[upload.id] = upload
            left = [one for one in self._arrived.values() if one.token == token][:-WAITING]
            for one in left:
                del self._arrived[one.id]
            return left

    def take(self, id: str, token: str) -> Upload:
        """Hand an arrived file over to the page it was sent from; it can be taken once."""
        with self._lock:
            upload = self._arrived.get(id)
            if upload is None or upload.token != token:
                raise FileError("The uploaded file is not here any more. Upload it again.")
            return self._arrived.pop(id)


class Ending:
    """The uploads on their way, to be ended when the server ends: it would wait for them otherwise."""

    def __init__(self) -> None:
        self._open: set[anyio.CancelScope] = set()
        self._ending = False

    @contextmanager
    def open(self) -> Iterator[anyio.CancelScope]:
        """Hold a scope that is cancelled when the server ends."""
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            try:
                if self._ending:
                    scope.cancel()
                yield scope
            finally:
                self._open.discard(scope)

    def end(self) -> None:
        """End what is on its way, and what comes from now on; called in the server's own thread."""
        self._ending = True
        for scope in list(self._open):
            scope.cancel()

    def begin(self) -> None:
        """Let uploads in (again)."""
        self._ending = False


REGISTER = Register()
ENDING = Ending()


def limit_bytes() -> int:
    """Return the largest upload that is accepted: `$DRIFTSCOPE_UPLOAD_GB`, by default 4 GB."""
    return int(float(os.environ.get("DRIFTSCOPE_UPLOAD_GB") or 4) * 1e9)


def new_token() -> str:
    """Return a token for this tab: its person's workspace, its browser."""
    return REGISTER.new_token(Grant(identity.owner(), identity.browser()))


def room_bytes() -> int:
    """Return the largest file that this tab's person may send now."""
    owner = identity.owner()
    return min(limit_bytes(), share.left(_workspace(owner))) if owner else limit_bytes()


def folder(owner: str = "") -> Path:
    """Return where a person's uploads are kept until they have been read."""
    path = _workspace(owner) / "uploads"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def sweep(older_than_s: float = STALE_S) -> int:
    """Remove what earlier uploads left behind, parts of broken off ones at once; return how many things."""
    places = [folder(owner) for owner in ("", *people.all_owners(workspace.default_home().absolute()))]
    before = time.time() - older_than_s
    found = [path for place in places for path in place.iterdir()]
    old = [path for path in found if _is_broken_off(path) or path.stat().st_mtime < before]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)


def _is_broken_off(path: Path) -> bool:
    """Say whether nobody writes this part any more: whoever does holds a lock on it."""
    if path.suffix != ".part" or not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def receive(request: Request) -> Response:
    """Take one file: the body of a POST is streamed to disk as it comes."""
    token = request.headers.get(HEADER, "")
    try:
        _check_origin(request)
        grant = REGISTER.begin(token, keys.asker(request))
    except Refused as no:
        return _refusal(no)
    upload = None
    try:
        with ENDING.open() as scope:
            most = await anyio.to_thread.run_sync(_check_room, request, grant, token)
            upload = await _store(request, token, folder(grant.owner), most=most)
        if scope.cancelled_caught:
            raise Refused(503, "The server is being restarted. Upload the file again in a minute.")
    except Refused as no:
        return _refusal(no)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full:  # read-only, or failing
            LOG.error("An upload could not be kept", exc_info=error)
        why = "is full" if full else "does not take the file"
        return _refusal(Refused(507, f"The disk of the server {why}. Tell whoever runs it, then try again."))
    except ClientDisconnect:
        counters.add("uploads", outcome="broken off")
        return Response(status_code=499)  # nobody is there to read it
    finally:
        for left in REGISTER.end(token, upload):
            left.path.unlink(missing_ok=True)
    counters.add("uploads", outcome="accepted")
    counters.add("upload_bytes", upload.n_bytes)
    LOG.info("An upload arrived", extra={"bytes": upload.n_bytes, "who": grant.owner[:8]})
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
        It is none of those that are listed: leads out of the folder, also by a link, or is another file.
    """
    root = server_folder()
    if root is None:
        raise FileError("No folder of this server is open to the app. Upload the file instead.")
    if relative not in server_files():
        raise FileError(f"{relative[:200]!r} is not a file in the server's folder. Choose one from the list.")
    return (root / relative).resolve()


def _is_offered(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin and origin.partition("://")[2] != request.headers.get("host"):
        raise Refused(403, "Files are only accepted from the app's own pages.")


def _workspace(owner: str) -> Path:
    return people.folder(workspace.default_home().absolute(), owner)


def _check_room(request: Request, grant: Grant, token: str) -> int:
    """Return how many bytes may come, after making sure that those announced may."""
    n_bytes = int(request.headers.get("content-length") or 0)
    if n_bytes > limit_bytes():
        raise Refused(413, f"The file has {size(n_bytes)}; this server takes up to {size(limit_bytes())}.")
    free = shutil.disk_usage(folder(grant.owner)).free
    if 2 * n_bytes > free:
        raise Refused(
            507, f"The file has {size(n_bytes)}; only {size(free)} are free where the server keeps its data."
        )
    if not grant.owner:
        return limit_bytes()
    left = quotas.left(_workspace(grant.owner))
    most = min(limit_bytes(), left)
    if not REGISTER.reserve(token, n_bytes or most, left=left):
        total = quotas.from_environment().disk
        raise Refused(
            413,
            f"The file has {size(n_bytes) if n_bytes else 'an unknown size'}; of your {size(total)} on this "
            f"server {size(left)} are left. Delete data sets or models that you do not need, then upload "
            "again.",
        )
    return most


async def _store(request: Request, token: str, place: Path, *, most: int) -> Upload:
    """Write the body to a new file; whatever ends this early takes the file with it."""
    id = secrets.token_hex(16)
    part = place / f"{id}.part"
    declared = request.headers.get("content-length")
    try:
        n_bytes = await _write(request, part, most=most)
        if declared is not None and n_bytes != int(declared):
            raise Refused(400, f"{size(n_bytes)} of {size(int(declared))} arrived. Upload the file again.")
        if not n_bytes:
            raise Refused(400, "The file is empty. Choose another one.")
        whole = part.with_suffix(".upload")
        await anyio.to_thread.run_sync(disk.move, part, whole)
    finally:
        part.unlink(missing_ok=True)
    return Upload(id, token, whole, n_bytes)


async def _write(request: Request, part: Path, *, most: int) -> int:
    n_bytes, gathered = 0, bytearray()
    with part.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # `sweep` sees by it that somebody writes
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > most:
                raise Refused(413, f"The file is larger than the {size(most)} that may be sent.")
            gathered += chunk
            if len(gathered) >= BLOCK:
                await anyio.to_thread.run_sync(file.write, bytes(gathered))
                gathered.clear()
        await anyio.to_thread.run_sync(file.write, bytes(gathered))
        file.flush()
        await anyio.to_thread.run_sync(os.fsync, file.fileno())
    return n_bytes


def _refusal(no: Refused) -> JSONResponse:
    counters.add("uploads", outcome="refused")
    LOG.info("An upload was refused", extra={"status": no.status})
    return JSONResponse({"error": str(no)}, status_code=no.status, headers={"Connection": "close"})
