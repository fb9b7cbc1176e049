"""Text for people: names from files shown as they are, numbers and times in a form that reads well."""

import re
import time
from itertools import pairwise

from dynamics.printable import printable

MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&^=@/%])")
BREAK = ":small[]"
"""Shown as nothing: parts a text, so that what is read across it (an address, an emoji, an arrow) is not."""
READ = re.compile(r"(?i)(https?|ftp|mailto|xmpp|www)(?=[.:])|(?<=\w)(?=@)|(?<=[<>~-])(?=[->=])|(?<=:)")


def escape(text: object, *, limit: int = 200) -> str:
    """Return text from a file so that Streamlit's Markdown shows it as it is: no link, image or formula.

    Line breaks become spaces, and what is longer than `limit` characters is cut.
    """
    parts = _parts(printable(text, limit=limit))
    return BREAK.join(MARKDOWN.sub(r"\\\1", part).replace("\ufeff", "&#xFEFF;") for part in parts)


def _parts(text: str) -> list[str]:
    """Return a text in the pieces between which something might be read that is not there."""
    ends = [0, *(found.end() for found in READ.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(ends)]


def count(number: int, noun: str) -> str:
    """Return "1 cell", "12,345 cells"."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of the nouns of this app."""
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + "s"


def duration(seconds: float) -> str:
    """Return a length of time in the words one would say: "a moment", "12 s", "3 min", "1 h 20 min"."""
    if seconds < 1:
        return "a moment"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def ago(moment: float, *, now: float | None = None) -> str:
    """Return how long ago a moment (seconds since 1970) was: "just now", "5 min ago", "3 days ago"."""
    passed = (time.time() if now is None else now) - moment
    if passed < 60:
        return "just now"
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if passed >= size:
            n = int(passed // size)
            return f"{n} {unit}{'s' if unit == 'day' and n > 1 else ''} ago"
    return "just now"


def size(n_bytes: int) -> str:
    """Return a file's size: "116 KB", "4.2 GB"."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n_bytes >= step:
            return f"{n_bytes / step:.3g} {unit}"
    return f"{n_bytes} bytes"
