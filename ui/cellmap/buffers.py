"""Arrays and code for the browser, over HTTP: beside Streamlit's socket, compressed, and kept by the browser.

An array is asked for by a name that only this process can make (a keyed hash of its content), so nobody can
guess one, equal arrays are sent once, and the browser may keep what it has for ever. On a shared server only
the browsers it was drawn for may have it. The store is bounded: what was not used for longest goes first, and
the map asks for a rerun when it misses something.
"""

import functools
import gzip
import hashlib
import hmac
import secrets
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ui import identity, keys

LIMIT_BYTES = 1_000_000_000
FREE_BYTES = 40_000_000
KEEP_S = 300.0
PREFIX = "/api/map"
FOREVER = "private, max-age=31536000, immutable"
CODE_FOLDER = Path(__file__).parent / "js"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
DTYPES = {"f4": np.float32, "u1": np.uint8, "u2": np.uint16, "i4": np.int32}


@dataclass
class Blob:
    """Bytes that are sent, compressed on first request if that makes them smaller by a tenth."""

    data: bytes | memoryview
    packed: bytes | None = None
    browsers: set[str] = field(default_factory=set)
    tried: bool = False
    used: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        return len(self.data) + len(self.packed or b"")

    def pack(self, level: int = 1) -> bytes | None:
        """The compressed form, or None where compressing does not pay."""
        with self.lock:
            if not self.tried:
                self.tried = True
                sample = self.data[: 1 << 17]
                if len(gzip.compress(sample, level)) < 0.9 * len(sample):
                    self.packed = gzip.compress(self.data, level, mtime=0)
            return self.packed


class Store:
    """Arrays that maps may ask for, at most `limit` bytes of them; the least recently used go first.

    Above `free` bytes, what no page has shown for some minutes goes too: the browsers that want it have it.
    """

    def __init__(
        self,
        limit: int = LIMIT_BYTES,
        *,
        free: int = FREE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit, self.free, self._clock = limit, min(free, limit), clock
        self._secret = secrets.token_bytes(32)
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._names: dict[int, tuple[weakref.ref, str]] = {}
        self._lock = threading.Lock()

    def put(self, array: np.ndarray, browser: str = "") -> str:
        """Keep an array and return the name under which this browser can ask for it.

        One that can never change is not copied, and its bytes are looked at once only.
        """
        for_ever = (
            array.base is None and not array.flags.writeable and array.flags.c_contiguous and array.size
        )
        known = self._names.get(id(array)) if for_ever else None
        if known is not None and known[0]() is array:
            name = known[1]
            if self._use(name, browser):
                return name
        data = memoryview(array).cast("B") if for_ever else np.ascontiguousarray(array).tobytes()
        name = hmac.new(self._secret, data, hashlib.sha256).hexdigest()
        if for_ever:
            self._remember(array, name)
        with self._lock:
            if name not in self._blobs:
                self._blobs[name] = Blob(data)
        self._use(name, browser)
        return name

    def get(self, name: str, browser: str | None = "") -> Blob | None:
        """The bytes kept under a name for a browser, None if they are not (or no longer) here."""
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None or browser not in blob.browsers:
                return None
            self._touch(name, blob)
            return blob

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._blobs.clear()

    @property
    def size(self) -> int:
        return sum(blob.size for blob in self._blobs.values())

    def _use(self, name: str, browser: str) -> bool:
        with self._lock:
            blob = self._blobs.get(name)
            if blob is None:
                return False
            blob.browsers.add(browser)
            self._touch(name, blob)
            self._shrink()
            return True

    def _touch(self, name: str, blob: Blob) -> None:
        blob.used = self._clock()
        self._blobs.move_to_end(name)

    def _shrink(self) -> None:
        size, long_ago = self.size, self._clock() - KEEP_S
        while size > self.free and len(self._blobs) > 1:
            name, oldest = next(iter(self._blobs.items()))
            if size <= self.limit and oldest.used > long_ago:
                return
            size -= oldest.size
            del self._blobs[name]

    def _remember(self, array: np.ndarray, name: str) -> None:
        place = id(array)

        def forget(gone: weakref.ref) -> None:
            if place in self._names and self._names[place][0] is gone:
                del self._names[place]

        self._names[place] = (weakref.ref(array, forget), name)


STORE = Store()


def reference(array: np.ndarray, kind: str) -> dict[str, object]:
    """What the browser is told of an array: its name, its type ("f4", "u1", "u2", "i4") and its length."""
    typed = np.ascontiguousarray(array, dtype=DTYPES[kind])
    return {"id": STORE.put(typed, identity.browser()), "type": kind, "length": int(typed.size)}


def array(name: str, kind: str) -> np.ndarray | None:
    """The array kept under a name for this tab's browser, flat and read-only; None if it is not here."""
    blob = STORE.get(name, identity.browser())
    if blob is None or len(blob.data) % np.dtype(DTYPES[kind]).itemsize:
        return None
    return np.frombuffer(blob.data, dtype=DTYPES[kind])


@functools.cache
def _code() -> dict[str, Blob]:
    names = sorted(p for p in CODE_FOLDER.iterdir() if p.suffix in MEDIA_TYPES)
    return {path.name: Blob(path.read_bytes()) for path in names}


@functools.cache
def code_version() -> str:
    """Hash of the map's own code, part of its address."""
    digest = hashlib.sha256()
    for name, blob in _code().items():
        digest.update(name.encode())
        digest.update(blob.data)
    return digest.hexdigest()[:16]


@functools.cache
def _plotly() -> Blob:
    source = resources.files("plotly") / "package_data" / "plotly.min.js"
    return Blob(source.read_bytes())


@functools.cache
def plotly_version() -> str:
    """Version of the plotly package, whose plotly.js is sent."""
    return metadata.version("plotly")


def _respond(request: Request, blob: Blob | None, media_type: str) -> Response:
    if blob is None:
        return Response("not here any more", status_code=404, headers={"Cache-Control": "no-store"})
    headers = {
        "Cache-Control": FOREVER,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
        "Content-Encoding": "identity",  # keeps the server's own, slower compression away
    }
    packed = blob.pack() if "gzip" in request.headers.get("accept-encoding", "") else None
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(packed or blob.data, media_type=media_type, headers=headers)


def send_array(request: Request) -> Response:
    """One array, as it lies in memory."""
    blob = STORE.get(request.path_params["name"], keys.asker(request))
    return _respond(request, blob, "application/octet-stream")


def send_code(request: Request) -> Response:
    """One file of the map's own code."""
    name, version = request.path_params["name"], request.path_params["version"]
    blob = _code().get(name) if version == code_version() else None
    return _respond(request, blob, MEDIA_TYPES.get(Path(name).suffix, "text/plain"))


def send_plotly(request: Request) -> Response:
    """plotly.js, from the installed plotly package."""
    blob = _plotly() if request.path_params["version"] == plotly_version() else None
    return _respond(request, blob, "text/javascript")


def routes() -> list[Route]:
    """Routes for `st.App(routes=...)`; also found below any base path or proxy prefix."""
    endpoints = {
        "/array/{name}": send_array,
        "/code/{version}/{name}": send_code,
        "/plotly/{version}.js": send_plotly,
    }
    return [
        Route(base + PREFIX + path, endpoint)
        for path, endpoint in endpoints.items()
        for base in ("", "/{base:path}")
    ]
