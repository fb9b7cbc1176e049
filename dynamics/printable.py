"""Names from files as one line that can be printed: whatever characters they hold, none of them acts."""

import re

PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
NOTHING = dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)
SIGNS = {**PICTURES, **NOTHING}
"""Control characters, which neither XML nor JSON takes everywhere, by the sign that is shown for them."""
EMBEDDINGS, ISOLATES = re.compile("[\u202a\u202b\u202d\u202e]"), re.compile("[\u2066-\u2068]")
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Marks that turn the direction of writing, also of what comes after the name."""


def printable(name: object, *, limit: int | None = None) -> str:
    """Return a name as one line: blanks for line breaks, signs for control characters.

    What is longer than `limit` characters is cut, and ends in "…". Marks for the direction of writing act
    within the name, and are closed at its end.
    """
    flat = " ".join(str(name).split()).translate(SIGNS)
    if limit is not None and len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    if not TURNING.search(flat):
        return flat
    closed = "\u2069" * len(ISOLATES.findall(flat)) + "\u202c" * len(EMBEDDINGS.findall(flat))
    return f"\u2068{flat}{closed}\u2069"
