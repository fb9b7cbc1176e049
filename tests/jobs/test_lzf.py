"""The length of LZF blocks, with the library and without."""

import h5py
import numpy as np
import pytest

from jobs import lzf


def packed(values: np.ndarray, folder) -> bytes:
    """What h5py makes of these bytes."""
    with h5py.File(folder / "a.h5", "w") as file:
        made = file.create_dataset("x", data=values, chunks=values.shape, compression="lzf")
        mask, content = made.id.read_direct_chunk((0,))
    assert mask == 0
    return content


@pytest.mark.parametrize("length", [lzf.length, lzf.slow_length])
@pytest.mark.parametrize("kind", ["zeros", "steps", "texts"])
def test_an_honest_block_has_its_length(tmp_path, length, kind):
    rng = np.random.default_rng(0)
    made = {
        "zeros": np.zeros(9001, "u1"),
        "steps": np.repeat(rng.integers(0, 255, 300), 30).astype("u1"),
        "texts": np.frombuffer(b"cell one, cell two; " * 400, "u1"),
    }[kind]
    assert length(packed(made, tmp_path), len(made)) == len(made)
    assert length(packed(made, tmp_path), len(made) - 1) == 0


@pytest.mark.parametrize("length", [lzf.length, lzf.slow_length])
def test_a_short_block_has_its_own_length(length):
    assert length(b"\x07" + bytes(8), 8000) == 8


def test_both_ways_agree_on_any_bytes():
    rng = np.random.default_rng(0)
    for _ in range(500):
        data = rng.integers(0, 256, int(rng.integers(1, 40)), "u1").tobytes()
        assert lzf.length(data, 2000) == lzf.slow_length(data, 2000)
