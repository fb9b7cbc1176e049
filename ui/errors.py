"""The one place where an error becomes text: plain words for what can be mended, a number for the rest."""

import logging
import secrets
import threading
import time
from collections.abc import Callable

import streamlit as st

from dynamics.errors import DynamicsError
from dynamics.printable import printable
from ui import counters
from ui.text import escape

LOG = logging.getLogger("driftscope")
TOLD = (DynamicsError, OSError)
"""What is told in its own words to whoever starts the server."""
STREAMLITS = "streamlit.error_util"  # its log, which has the story of every error that stops a page
UVICORNS = "uvicorn.error"
ANSWERED = "ASGI callable returned without completing handshake."
"""What uvicorn calls an error whenever a socket is answered with a refusal in words."""
MINUTE_S = 60.0


class Few:
    """Lines of the log of which strangers could ask for any number: so many a minute, the rest is counted."""

    def __init__(self, most: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock, self._lock = most, clock, threading.Lock()
        self._begun, self._written, self._passed_over = clock(), 0, 0

    def next(self) -> int | None:
        """Return how many lines were passed over before this one; None where this one is, too."""
        with self._lock:
            if self._clock() - self._begun >= MINUTE_S:
                self._begun, self._written = self._clock(), 0
            if self._written == self._most:
                self._passed_over += 1
                return None
            n, self._passed_over, self._written = self._passed_over, 0, self._written + 1
        return n


STOPPED = Few()


def begin() -> None:
    """Keep out of the logs of others what is told to the user in its own words, however often."""
    for name in (STREAMLITS, UVICORNS):
        logging.getLogger(name).addFilter(has_a_story)


def has_a_story(record: logging.LogRecord) -> bool:
    """Tell whether a line of the log is not about an error that speaks for itself, or a refusal."""
    told = record.exc_info and isinstance(record.exc_info[1], DynamicsError)
    return not told and record.msg != ANSWERED


def show(error: Exception) -> bool:
    """Show an error that stopped a page; the hook of `st.App(on_script_error=…)`.

    A `DynamicsError` speaks for itself. Anything else gets a number, under which the story is in the log.

    Returns
    -------
    True: Streamlit is not to draw its own box.
    """
    if isinstance(error, DynamicsError):
        counters.add("errors", kind="told")
        n = STOPPED.next()
        if n is not None:
            more = f" ({n} more before it)" if n else ""
            LOG.warning("A page was stopped: %s: %s%s", type(error).__name__, printable(error), more)
        st.error(escape(error, limit=2000), icon=":material/info:")
        return True
    counters.add("errors", kind="unexpected")
    number = secrets.token_hex(2).upper()
    LOG.error("Error %s", number, exc_info=error, extra={"error": number})
    st.error(
        f"Something unexpected went wrong (error {number}). Your data and your jobs are safe. "
        f"Reload the page; if it happens again, report error {number} with the server's log."
    )
    return True
