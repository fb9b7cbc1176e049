"""Downloads and small uploads through Streamlit's own routes: only for the browser they were made for.

Streamlit serves them to everybody who has the address. Here it is noted which browser each was made for, and
each has a name of all of its bytes. What browsers send through Streamlit lies in memory, so it is bounded.
"""

import hashlib
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import HTTPConnection
from streamlit import runtime
from streamlit.runtime import memory_media_file_storage
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from ui import identity, keys

MEDIA = re.compile(r"(?<!/static)/media/([^/.]+)")  # the app's own fonts stand in /static/media
UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/")
MOST = 50_000
MOST_SENT, MOST_HELD, MOST_HELD_BY_ALL = 3, 200_000_000, 1_000_000_000
"""Small uploads at a time from one browser, and the bytes of them in memory: its own, and everybody's."""

_made_for: dict[str, set[str]] = {}
_sent: Counter[str] = Counter()  # small uploads on their way, by browser
_lock = threading.Lock()
_secret = secrets.token_bytes(32)


def watch() -> None:
    """Note from now on which browser a download is made for; called when the server starts."""
    manager = runtime.get_instance().media_file_mgr
    add, run = manager.add, manager.execute_deferred

    def noted_add(*args: Any, **kwargs: Any) -> str:
        return note(add(*args, **kwargs), identity.browser())

    def noted_run(file_id: str) -> str:
        session = manager._deferred_callables.get(file_id, {}).get("session_id", "")
        return note(hold(manager, run(file_id), session), _browser_of(session) or "")

    manager.add, manager.execute_deferred = noted_add, noted_run
    memory_media_file_storage._calculate_file_id = name_of


def name_of(data: bytes, mimetype: str, filename: str | None = None) -> str:
    """Return the name under which a download is served: of all its bytes, and only this process can make it.

    Streamlit looks at parts of what is larger than a megabyte, and serves the first of those with one name.
    """
    digest = hashlib.blake2b(key=_secret, digest_size=28)
    for part in (mimetype.encode(), (filename or "").encode("utf-8", "surrogatepass"), data):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def hold(manager: Any, address: str, session: str) -> str:
    """Hold a file that was made on a press of the button, and return its address.

    Streamlit drops what no page names as soon as anybody's page has run: on a busy server before it was
    fetched. It is held until the page that made it runs again.
    """
    if (found := MEDIA.search(address)) and session:
        with manager._lock:
            manager._files_by_session_and_coord[session][f"pressed {found[1]}"] = found[1]
    return address


def note(address: str, browser: str) -> str:
    """Note that a download was made for a browser, and return its address."""
    if found := MEDIA.search(address):
        with _lock:
            _made_for.setdefault(found[1], set()).add(browser)
            while len(_made_for) > MOST:
                del _made_for[next(iter(_made_for))]
    return address


def may(path: str, browser: str | None) -> bool:
    """Tell whether a browser may ask for an address; True for all that belongs to nobody."""
    if found := MEDIA.search(path):
        return browser is not None and browser in _made_for.get(found[1], ())
    if found := UPLOAD.search(path):
        return browser is not None and browser == _browser_of(found[1])
    return True


@contextmanager
def sending(connection: HTTPConnection) -> Iterator[None]:
    """Count a small upload as on its way while the app takes it in."""
    browser = _sender(connection)
    if browser is None:
        yield
        return
    with _lock:
        _sent[browser] += 1
    try:
        yield
    finally:
        with _lock:
            _sent[browser] -= 1
            if not _sent[browser]:
                del _sent[browser]


def has_room(connection: HTTPConnection) -> bool:
    """Tell whether a browser may send what it asks to send; True for all that is no small upload."""
    browser = _sender(connection)
    if browser is None:
        return True
    own, everybodys = _held(browser)
    return _sent[browser] < MOST_SENT and own < MOST_HELD and everybodys < MOST_HELD_BY_ALL


def drop(file_id: str) -> None:
    """Let go of a small upload that a page has taken: it would stay in memory as long as the tab."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, file_id)


def _sender(connection: HTTPConnection) -> str | None:
    """Return the browser that sends a small upload to a shared server; None for any other request."""
    if connection.scope.get("method") != "PUT" or not keys.shared():
        return None
    return keys.asker(connection) if UPLOAD.search(connection.scope["path"]) else None


def _held(browser: str) -> tuple[int, int]:
    """Return how many bytes of small uploads wait in memory: those of a browser, and everybody's."""
    manager = runtime.get_instance().uploaded_file_mgr
    with manager._lock:
        held = {
            session: sum(len(file.data) for file in files.values())
            for session, files in manager.file_storage.items()
        }
    own = sum(n for session, n in held.items() if identity.may_go_on(session, browser))
    return own, sum(held.values())


def _browser_of(session: str) -> str | None:
    client = runtime.get_instance().get_client(session)
    return keys.seat(client.client_context.cookies) if client else None
