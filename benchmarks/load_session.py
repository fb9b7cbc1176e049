"""One browser without a browser: Streamlit's protocol over a WebSocket, and what a page fetches besides."""

import asyncio
import gzip
import http.client
import json
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
import websockets
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

PATIENCE_S = 60.0
MAP = "driftscope.cellmap"
ARRAYS = {
    "streamlines": ("xy", "starts", "speed", "agreement"),
    "arrows": ("xy", "uv", "agreement"),
    "particles": ("u", "v", "mask"),
    "paths": ("xy", "inside", "apart", "codes"),
}
"""What the map fetches of each layer before it draws: `arraysOf` in ui/cellmap/js/main.js."""

DTYPES = {"f4": np.float32, "u1": np.uint8, "u2": np.uint16, "i4": np.int32}
LONGEST_AGE = 2  # runs for which Streamlit's page keeps a message that it was sent


class Failed(Exception):
    """A page, a file or the socket did not do what a person expects."""


@dataclass
class Element:
    """A widget or figure on the page now: its kind, what the server said of it, and its fragment."""

    kind: str
    proto: Any
    fragment: str


@dataclass
class Browser:
    """What a browser keeps between pages: cookies, files for ever, and how much it has fetched."""

    host: str
    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    n_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connection: http.client.HTTPConnection | None = None

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    async def get(self, path: str, *, keep: bool = False) -> bytes:
        """Fetch a file; what may be kept is fetched once.

        Raises
        ------
        Failed
            The answer is not 200.
        """
        if path in self.files:
            return self.files[path]
        body = await asyncio.to_thread(self._get, path)
        if keep:
            self.files[path] = body
        return body

    def _get(self, path: str) -> bytes:
        with self._lock:
            answer, body = self._ask(path)
        self.n_bytes += len(body)
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self.cookies[name.strip()] = value.strip()
        if answer.status != 200:
            raise Failed(f"HTTP {answer.status} for {path.split('?')[0]}")
        return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body

    def _ask(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {"Cookie": self.cookie, "Accept": "text/html,*/*", "Accept-Encoding": "gzip"}
        for last in (False, True):  # a connection that was idle may have been closed by the server
            self._connection = self._connection or http.client.HTTPConnection(
                self.host, self.port, timeout=PATIENCE_S
            )
            try:
                self._connection.request("GET", path, headers=headers)
                answer = self._connection.getresponse()
                return answer, answer.read()
            except (http.client.HTTPException, OSError) as gone:
                self._connection.close()
                self._connection = None
                if last:
                    raise Failed(f"no answer to {path.split('?')[0]}: {gone!r}") from gone
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()


class Session:
    """A tab: the page it shows, its widgets, and the way to use them.

    Attributes
    ----------
    elements
        Widgets on the page now, by the key that the app gave them.
    maps
        What each map on the page was told, by its key.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.elements: dict[str, Element] = {}
        self.maps: dict[str, dict[str, Any]] = {}
        self.pages: dict[str, str] = {}
        self.page, self.query = "", ""
        self.alerts: list[str] = []
        self._page_hash = self._main_hash = self._id = ""
        self._states: dict[str, WidgetState] = {}
        self._cached: dict[str, tuple[ForwardMsg, int]] = {}
        self._run, self._media = 0, set[str]()
        self._socket: Any = None

    async def open(self, page: str, **query: str) -> None:
        """Open a page by its address, as typed into the browser."""
        self.query, self.page = urlencode(query), page
        await self.browser.get(f"/{page}?{self.query}")
        for path in ("/_stcore/health", "/_stcore/host-config"):
            await self.browser.get(path)
        xsrf = self.browser.cookies.get("_streamlit_xsrf", "").strip('"')
        self._socket = await websockets.connect(
            f"ws://{self.browser.host}:{self.browser.port}/_stcore/stream",
            subprotocols=["streamlit", *([xsrf] if xsrf else [])],
            additional_headers={"Cookie": self.browser.cookie},
            origin=self.browser.origin,
            max_size=None,
            open_timeout=PATIENCE_S,
        )
        await self._rerun(page_name=page)

    async def go(self, page: str) -> None:
        """Change to a page by the navigation."""
        self._page_hash, self.page, self.query = self.pages[page], page, ""
        await self._rerun()

    async def choose(self, key: str, value: Any) -> None:
        """Give a widget another value, as a click does."""
        element = self.elements[key]
        state = self._states[element.proto.id] = WidgetState(id=element.proto.id)
        if element.kind in ("button_group", "multiselect"):
            state.string_array_value.data[:] = [value] if isinstance(value, str) else list(value)
        elif element.kind == "slider":
            state.double_array_value.data[:] = [value]
        elif element.kind == "bidi_component":
            state.json_value = json.dumps(value)
        else:
            setattr(state, {"selectbox": "string_value", "checkbox": "bool_value"}[element.kind], value)
        self._bind(element, value)
        await self._rerun(fragment=element.fragment)

    async def lasso(self, key: str, rng: np.random.Generator) -> None:
        """Draw around cells of a map: a quadrangle around one of them."""
        told = self.maps[key]
        places = self._array(told["xy"]).reshape(told["n"], told["dims"])[:, :2]
        centre, reach = places[rng.integers(len(places))], 0.12 * np.ptp(places, axis=0)
        corners = centre + reach * np.array([[-1, -1], [1, -1.2], [1.1, 1], [-1, 0.9]])
        chosen = {"kind": "lasso", "polygon": corners.tolist(), "space": told["xy"]["id"], "n": 1}
        await self.choose(key, {"selection": chosen})

    async def download(self, key: str) -> int:
        """Press a download button and return the number of bytes that came."""
        proto = self.elements[key].proto
        address = proto.url
        if proto.deferred_file_id:
            message, asked = BackMsg(), str(uuid.uuid4())
            message.backend_operation_request.request_id = asked
            message.backend_operation_request.session_id = self._id
            message.backend_operation_request.deferred_file.file_id = proto.deferred_file_id
            await self._socket.send(message.SerializeToString())
            answer = await self._until("backend_operation_response")
            if answer.backend_operation_response.error_msg:
                raise Failed(answer.backend_operation_response.error_msg)
            address = answer.backend_operation_response.deferred_file.url
        return len(await self.browser.get(address))

    def options(self, key: str) -> list[str]:
        """Return what a choice offers, as written on the page."""
        element = self.elements[key]
        listed = element.proto.options
        return [one.content for one in listed] if element.kind == "button_group" else list(listed)

    def find(self, prefix: str, kind: str = "") -> str | None:
        """Return the key of the first widget whose key begins so; None where there is none."""
        found = (key for key, one in self.elements.items() if key.startswith(prefix) and kind in one.kind)
        return next(found, None)

    async def close(self) -> None:
        """Close the tab."""
        if self._socket is not None:
            await self._socket.close()
        self.browser.close()

    def _bind(self, element: Element, value: Any) -> None:
        """Put the value into the address, where the widget is bound to it."""
        name = getattr(element.proto, "query_param_key", "")
        if name:
            self.query = urlencode({**dict(parse_qsl(self.query)), name: value})

    async def _rerun(self, *, fragment: str = "", page_name: str = "") -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash, asked.page_name = self.query, self._page_hash, page_name
        asked.fragment_id = fragment
        present = {one.proto.id for one in self.elements.values()}
        asked.widget_states.widgets.extend(one for id, one in self._states.items() if id in present)
        asked.cached_message_hashes.extend(self._cached)
        about = asked.context_info
        about.timezone, about.locale, about.url = "UTC", "en-GB", f"{self.browser.origin}/{self.page}"
        self.alerts = []
        await self._socket.send(message.SerializeToString())
        await self._until("script_finished")
        await self._fetch()
        if self.alerts:
            raise Failed("; ".join(self.alerts))

    async def _until(self, wanted: str) -> ForwardMsg:
        """Take messages in until one of this kind has come."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    message = ForwardMsg()
                    message.ParseFromString(await self._socket.recv())
                    kind = message.WhichOneof("type")
                    self._take(kind, message)
                    early = ForwardMsg.FINISHED_EARLY_FOR_RERUN
                    if kind == wanted and not (
                        kind == "script_finished" and message.script_finished == early
                    ):
                        return message
        except TimeoutError as late:
            raise Failed(f"nothing for {PATIENCE_S:g} s") from late
        except websockets.ConnectionClosed as gone:
            raise Failed("the socket was closed") from gone

    def _take(self, kind: str, message: ForwardMsg) -> None:
        if kind == "ref_hash":
            kept = ForwardMsg()
            kept.CopyFrom(self._cached[message.ref_hash][0])
            kept.metadata.CopyFrom(message.metadata)
            self._take("delta", kept)
            self._cached[message.ref_hash] = (self._cached[message.ref_hash][0], self._run)
        elif kind == "delta":
            if message.metadata.cacheable:
                self._cached[message.hash] = (message, self._run)
            self._draw(message.delta)
        elif kind == "new_session":
            self._begin(message)
        elif kind == "navigation":
            self.pages = {one.url_pathname: one.page_script_hash for one in message.navigation.app_pages}
            self._page_hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "script_finished":
            self._end(message)

    def _begin(self, message: ForwardMsg) -> None:
        self._id = message.new_session.initialize.session_id or self._id
        self._run += 1
        if not message.metadata.run.fragment_ids:
            self.elements, self.maps, self._media = {}, {}, set()

    def _end(self, message: ForwardMsg) -> None:
        if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.alerts.append("the script does not compile")
        for name in [one for one, (_, run) in self._cached.items() if self._run - run > LONGEST_AGE]:
            del self._cached[name]

    def _draw(self, delta: Any) -> None:
        if delta.WhichOneof("type") != "new_element":
            return
        kind = delta.new_element.WhichOneof("type")
        proto = getattr(delta.new_element, kind) if kind else None
        if kind == "exception":
            self.alerts.append(f"{proto.type}: {proto.message}")
        elif kind == "alert" and proto.format == Alert.ERROR:
            self.alerts.append(proto.body)
        elif kind == "imgs":
            self._media.update(one.url for one in proto.imgs)
        if getattr(proto, "id", ""):
            key = proto.id.split("-", 2)[-1]
            self.elements[key] = Element(kind, proto, delta.fragment_id)
            if kind == "bidi_component" and proto.component_name.endswith(MAP):
                self.maps[key] = json.loads(proto.json or proto.mixed.json)

    async def _fetch(self) -> None:
        """Fetch what the page now shows: arrays of maps, pictures; nothing twice."""
        wanted = {url: False for url in self._media if url.startswith("/")}
        for told in self.maps.values():
            wanted |= {f"/api/map/array/{one['id']}": True for one in _arrays(told)}
            wanted[f"/api/map/code/{told['code']}/main.js"] = True
            wanted[f"/api/map/plotly/{told['plotly']}.js"] = True
        for path, keep in wanted.items():
            await self.browser.get(path, keep=keep)

    def _array(self, told: dict[str, Any]) -> np.ndarray:
        return np.frombuffer(self.browser.files[f"/api/map/array/{told['id']}"], DTYPES[told["type"]])


def _arrays(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the references of the arrays that a map fetches before it draws."""
    found = [told["xy"], told["colour"]["codes"], told["highlight"]]
    for layer, names in ARRAYS.items():
        found += [(told["layers"][layer] or {}).get(name) for name in names]
    return [one for one in found if one]
