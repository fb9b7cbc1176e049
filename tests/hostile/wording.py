"""Whether a refusal helps."""

import re

RAW = re.compile(
    r"Traceback|Error\b|Exception|h5py|errno|0x[0-9a-f]+|\bdtype\b|NoneType|site-packages|/tmp/|object at|"
    r"Unable to|Can't|No such file|\bself\b"
)
DO = re.compile(
    r"\b(Copy|Download|download|Save|save|Open|open|Write|write|Unpack|unpack|Fetch|Convert|In R|In Python|"
    r"Take|Count|Make|Do it again|Add)\b"
)


def helps(text: str, folder: str) -> None:
    """Raise AssertionError where a refusal leaks or leaves the user alone."""
    assert folder not in text
    bare = re.sub(r"h5py\.File\(|with h5py", "", text)
    assert not RAW.search(bare), text
    assert DO.search(text), text
    assert text.isprintable()
    assert text.endswith((".", ")")), text
    assert len(text) < 600
    assert len(text.split(". ")) >= 2, text
