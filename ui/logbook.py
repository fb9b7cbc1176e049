"""The log of the server: as lines for people, or one JSON object a line for a monitoring system."""

import json
import logging
import os
import time

VARIABLE = "DRIFTSCOPE_LOG"
OWN = ("error", "bytes", "who", "status")  # what is said beside the message


class Lines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message, and the story of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        said |= {name: getattr(record, name) for name in OWN if hasattr(record, name)}
        if record.exc_info:
            said["story"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


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
