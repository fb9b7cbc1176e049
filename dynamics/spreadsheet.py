"""Table cells that a spreadsheet shows as text, never takes for a formula."""

import re

FORMULA = re.compile(r"'*[\t\r\n]|[\s'\"\x00-\x20\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠﹢﹣﹦﹫]")
"""What a text begins with that a spreadsheet calculates, also behind blanks, quotes and unseen signs."""
NUMBER = re.compile(r"-\d+(\.\d+)?")
LINE_END = "\r\n"
"""End of a row; with it the writer quotes a cell that holds either sign, so that no name begins a new row."""


def as_text(value: object) -> object:
    """Return a text with an apostrophe before it where it could be taken for a formula; all else as it is.

    A text that is a negative number, such as a time before birth, stays as it is.
    """
    acts = isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value)
    return f"'{value}" if acts else value
