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


def _with_blocks(path, **how):
    """A file with an array in three blocks; returns its values."""
    honest(path)
    values = np.random.default_rng(0).integers(0, 3, (30, 7)).astype("f4")
    with h5py.File(path, "a") as file:
        file["uns"].create_dataset("x", data=values, chunks=(10, 7), **how)
        file["uns"].create_dataset("y", data=values, chunks=(10, 7), **how)
    return values


def _entries(path, name):
    """Where the index of an array keeps its three entries, of 40 bytes each."""
    with h5py.File(path) as file:
        blocks = [file[name].id.get_chunk_info(k) for k in range(3)]
    content = path.read_bytes()
    return [content.index(block.byte_offset.to_bytes(8, "little")) - 32 for block in blocks], blocks


def _patch(path, at, value, width=8):
    content = bytearray(path.read_bytes())
    content[at : at + width] = value.to_bytes(width, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("compression", ["gzip", None])
@pytest.mark.parametrize("row", [10 * 2**36, 40, 0])
def test_a_block_listed_at_another_place_is_named(tmp_path, compression, row):
    _with_blocks(tmp_path / "a.h5ad", compression=compression)
    entries, _ = _entries(tmp_path / "a.h5ad", "uns/x")
    _patch(tmp_path / "a.h5ad", entries[1] + 8, row)
    assert set(check(tmp_path / "a.h5ad")) == {"/uns/x"}


def test_a_block_that_is_listed_but_not_found_is_named(tmp_path):
    _with_blocks(tmp_path / "a.h5ad")
    entries, _ = _entries(tmp_path / "a.h5ad", "uns/x")
    _patch(tmp_path / "a.h5ad", entries[2] + 40 + 8, 0)  # where the last block ends
    damaged = check(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        is_wrong = (file["uns/x"][()] != file["uns/y"][()]).any()
    assert is_wrong
    assert set(damaged) == {"/uns/x"}


@pytest.mark.parametrize("compression", ["gzip", None])
def test_arrays_that_share_bytes_are_named(tmp_path, compression):
    _with_blocks(tmp_path / "a.h5ad", compression=compression)
    _, others = _entries(tmp_path / "a.h5ad", "uns/y")
    entries, _ = _entries(tmp_path / "a.h5ad", "uns/x")
    _patch(tmp_path / "a.h5ad", entries[1] + 32, others[1].byte_offset)
    _patch(tmp_path / "a.h5ad", entries[1], others[1].size, width=4)
    assert set(check(tmp_path / "a.h5ad")) == {"/uns/x", "/uns/y"}


def test_an_array_in_one_piece_that_begins_in_another_is_named(tmp_path):
    honest(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["uns/x"], file["uns/y"] = np.arange(100.0), np.arange(100.0) + 7
        start = file["uns/x"].id.get_offset()
    content = (tmp_path / "a.h5ad").read_bytes()
    assert content.count(start.to_bytes(8, "little")) == 1
    _patch(tmp_path / "a.h5ad", content.index(start.to_bytes(8, "little")), start + 8)
    assert set(check(tmp_path / "a.h5ad")) == {"/uns/x", "/uns/y"}


def test_a_block_that_says_it_was_not_shuffled_is_named(tmp_path):
    _with_blocks(tmp_path / "a.h5ad", compression="gzip", shuffle=True)
    entries, _ = _entries(tmp_path / "a.h5ad", "uns/x")
    _patch(tmp_path / "a.h5ad", entries[1] + 4, 1, width=4)
    assert set(check(tmp_path / "a.h5ad")) == {"/uns/x"}


def test_an_array_shuffled_by_another_width_is_named(tmp_path):
    _with_blocks(tmp_path / "a.h5ad", compression="gzip", shuffle=True)
    content = (tmp_path / "a.h5ad").read_bytes()
    step = b"shuffle\0" + (4).to_bytes(4, "little")  # the filter's name and its setting
    at = content.rindex(step) + 8
    _patch(tmp_path / "a.h5ad", at, 2, width=4)
    assert len(check(tmp_path / "a.h5ad").keys() & {"/uns/x", "/uns/y"}) == 1


def test_blocks_stored_as_they_are_and_gaps_are_sound(tmp_path):
    honest(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        made = file["uns"].create_dataset("x", (30,), "f4", chunks=(10,), compression="gzip", shuffle=True)
        made.id.write_direct_chunk((0,), np.arange(10, dtype="f4").tobytes(), filter_mask=3)
        made[20:] = 5
    assert check(tmp_path / "a.h5ad") == {}
