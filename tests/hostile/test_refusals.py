"""Every refusal says what the file is or what is wrong with it, and what to do, in plain words."""

import pytest

from dynamics.errors import FileError
from dynamics.read import read_h5ad
from jobs.precheck import check
from tests.hostile import honest_kinds, refused
from tests.hostile.wording import helps


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
