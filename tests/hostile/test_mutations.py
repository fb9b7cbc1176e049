"""Whatever a faulty program leaves out, moves or changes, the file opens or is refused in words that help."""

import h5py
import pytest

from dynamics.errors import FileError
from dynamics.inspect import inspect
from dynamics.read import read_h5ad, write_h5ad
from jobs.precheck import check
from tests.hostile import mutations
from tests.hostile.compare import dense
from tests.hostile.honest import CELLS, COUNTS
from tests.hostile.wording import helps


@pytest.mark.parametrize("seed", range(40))
def test_a_changed_file_opens_or_is_refused(seed, tmp_path):
    path = tmp_path / "a.h5ad"
    with h5py.File(path, "w") as file:
        mutations.rich(file)
        done = mutations.change(file, seed)
    try:
        read = read_h5ad(path, damaged=check(path))
    except FileError as refusal:
        helps(str(refusal), str(tmp_path))
        return
    assert inspect(read).n_cells == read.n_obs
    touched = " ".join(done)
    if "/X" not in touched.replace("raw/X", "") and " X" not in touched and "obs" not in touched:
        assert (dense(read.X) == COUNTS).all()
        assert list(read.obs_names) == CELLS
    write_h5ad(read, tmp_path / "b.h5ad")
    assert read_h5ad(tmp_path / "b.h5ad").shape == read.shape
