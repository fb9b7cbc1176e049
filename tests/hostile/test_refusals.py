"""Every refusal says what the file is or what is wrong with it, and what to do, in plain words."""

import re

import pytest

from dynamics.errors import FileError
from dynamics.read import read_h5ad
from jobs.precheck import check
from tests.hostile import honest_kinds, refused

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


@pytest.mark.parametrize("name", honest_kinds.BYTES)
def test_other_kinds_are_named(name, tmp_path):
    words = honest_kinds.write_bytes(name, tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", words)


@pytest.mark.parametrize("name", honest_kinds.HDF5_KINDS)
def test_other_kinds_of_hdf5_are_named(name, tmp_path):
    words = honest_kinds.write_hdf5(name, tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", words)


@pytest.mark.parametrize("name", refused.CASES)
def test_what_cannot_be_right_is_refused(name, tmp_path):
    words = refused.write(name, tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", words)


def _refused(path, words):
    with pytest.raises(FileError) as caught:
        read_h5ad(path, damaged=check(path))
    text = str(caught.value)
    helps(text, str(path.parent))
    for word in words:
        assert word in text, text
