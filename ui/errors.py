"""The one place where an error becomes text: plain words for what can be mended, a number for the rest."""

import logging
import secrets

import streamlit as st

from dynamics.errors import DynamicsError
from ui import counters
from ui.text import escape

LOG = logging.getLogger("driftscope")
TOLD = (DynamicsError, OSError)
"""What is told in its own words to whoever starts the server."""


def show(error: Exception) -> bool:
    """Show an error that stopped a page; the hook of `st.App(on_script_error=…)`.

    A `DynamicsError` speaks for itself. Anything else gets a number, under which the story is in the log.

    Returns
    -------
    True: Streamlit is not to draw its own box.
    """
    if isinstance(error, DynamicsError):
        counters.add("errors", kind="told")
        LOG.info("A page was stopped: %s: %s", type(error).__name__, error)
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
