"""The log of the server: as lines for people, or one JSON object a line for a monitoring system."""

import logging
import os

from jobs.logs import VARIABLE, Lines


def begin() -> None:
    """Write the app's log as JSON to standard error where `DRIFTSCOPE_LOG=json` asks for it."""
    log = logging.getLogger("driftscope")
    if os.environ.get(VARIABLE) == "json" and not any(
        isinstance(one.formatter, Lines) for one in log.handlers
    ):
        handler = logging.StreamHandler()
        handler.setFormatter(Lines())
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
