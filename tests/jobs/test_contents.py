"""Blocks of an array that do not unpack to what the array says."""

import zlib

import h5py
import numpy as np
import pytest

from dynamics.read import read_h5ad, read_notes
from jobs.precheck import check
from tests.hostile.battery import honest


@pytest.mark.parametrize("n_bytes", [8, 792, 808, 100_000])
def test_a_block_that_unpacks_to_another_size_is_named(tmp_path, n_bytes):
    path = honest(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        made = file["uns"].create_dataset("x", (100,), "f8", chunks=(100,), compression="gzip")
        made.id.write_direct_chunk((0,), zlib.compress(bytes(n_bytes)))
    damaged = check(path)
    assert "/uns/x" in damaged
    read = read_h5ad(path, damaged=damaged)
    assert "x" not in read.uns
    assert ['uns["x"] is damaged' in note.message for note in read_notes(read)] == [True]


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
@pytest.mark.parametrize("fletcher32", [True, False])
def test_honest_blocks_are_sound(tmp_path, compression, fletcher32):
    path = honest(tmp_path / "a.h5ad")
    values = np.random.default_rng(0).integers(0, 3, (90, 7))
    with h5py.File(path, "a") as file:
        file["uns"].create_dataset(
            "x", data=values, chunks=(40, 7), compression=compression, shuffle=True, fletcher32=fletcher32
        )
    assert check(path) == {}
