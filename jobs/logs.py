"""Logs as lines for people, or one JSON object a line for a monitoring system (`DRIFTSCOPE_LOG=json`)."""

import json
import logging
import os
import time

VARIABLE = "DRIFTSCOPE_LOG"
OWN = ("error", "bytes", "who", "status", "story")  # what is said beside the message
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"


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


class Text(logging.Formatter):
    """A line for people, followed by the story of an error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        story = getattr(record, "story", None)
        return super().format(record) + (f"\n{story}" if story else "")


def formatter() -> logging.Formatter:
    """Return the form of log that is asked for."""
    return Lines() if os.environ.get(VARIABLE) == "json" else Text(PLAIN)


def begin() -> None:
    """Write the log of the job service to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
