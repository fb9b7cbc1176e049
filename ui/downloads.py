"""Downloads and small uploads through Streamlit's own routes: only for the browser they were made for.

Streamlit serves them to everybody who has the address. Here it is noted which browser each was made for.
"""

import re
import threading
from typing import Any

from streamlit import runtime

from ui import identity, keys

MEDIA = re.compile(r"(?<!/static)/media/([^/.]+)")  # the app's own fonts stand in /static/media
UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/")
MOST = 50_000
_made_for: dict[str, set[str]] = {}
_lock = threading.Lock()


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


def _browser_of(session: str) -> str | None:
    client = runtime.get_instance().get_client(session)
    return keys.seat(client.client_context.cookies) if client else None
