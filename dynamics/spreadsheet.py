"""Table cells that a spreadsheet shows as text, never takes for a formula."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet would calculate."""
LINE_END = "\r\n"
"""End of a row; with it the writer quotes a cell that holds either sign, so that no name begins a new row."""


def as_text(value: object) -> object:
    """Return a text with an apostrophe before it where it could be taken for a formula; all else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
