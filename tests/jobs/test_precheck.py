"""Nothing that lies, leaks, hangs or explodes passes; everything honest does."""

import tracemalloc

import h5py
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from dynamics.errors import FileError
from dynamics.read import write_h5ad
from jobs import precheck
from jobs.precheck import Limits, check
from tests.hostile.battery import honest, named


def refusal(path, **limits):
    with pytest.raises(FileError) as caught:
        check(path, limits=Limits(**limits))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absolute, at obsm/X_pca", r'"/obsm/X_pca" is a link to another file'),
        ("soft, at uns/params/x", r'"/uns/params/x" is a soft link'),
        ("a text, at uns/params/x", r'"/uns/params/x" keeps its values in another file'),
        ("other file, at uns/params/x", r'"/uns/params/x" is a window on other arrays'),
        ("a group in itself", r'"/uns/self" leads to a group that is listed elsewhere'),
        ("200 levels", "more than 16 levels deep"),
        ("56 GB, none written", "claims 56 GB but only 0 bytes are stored"),
        ("blocks of 153 MB", "blocks of 153 MB, more than the 64 MB allowed"),
        ("gzip twice", "compressed more than once"),
        ("texts of 500 KB", "488 KB each, more than the 4.0 KB allowed"),
        ("filter 32015, in uns/x", r'compressed with zstd.*adata\.write_h5ad\(path, compression="gzip"\)'),
        ("index far outside, in X", "points to position 2,000,000,000, outside 0 to 29"),
        ("falling starts, in X", "starts that fall"),
        ("too few starts, in X", "lists 40 starts where 41 are needed"),
    ],
)
def test_refusals_name_the_element_and_the_reason(tmp_path, name, words):
    with pytest.raises(FileError, match=words):
        check(named(name).make(tmp_path))


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_honest_files_pass(tmp_path, layout, compression):
    matrix = sparse.random(50, 20, density=0.2, format="csr", random_state=0)
    made = AnnData(matrix.toarray() if layout == "dense" else matrix.asformat(layout))
    made.uns["words"] = {"a": np.array(["x", "y"]), "b": "text", "none": None}
    made.obs["group"] = ["a", "b"] * 25
    made.obsm["X"] = sparse.csr_matrix((50, 3))
    made.write_h5ad(tmp_path / "a.h5ad", compression=compression)
    check(tmp_path / "a.h5ad")
    write_h5ad(made, tmp_path / "b.h5ad")
    check(tmp_path / "b.h5ad")


def test_categories_by_reference_as_in_anndata_0_7_pass(tmp_path):
    path = honest(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["obs/__categories/day"] = np.array([b"x", b"y"])
        file["obs/day"].attrs["categories"] = file["obs/__categories/day"].ref
    check(path)


def test_wide_records_of_anndata_0_6_pass(tmp_path):
    path = honest(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["uns"].create_dataset("x", (3,), [(f"group{k}", "S200") for k in range(40)])
    check(path)


def test_short_addresses_make_short_pointers(tmp_path):
    settings = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    settings.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(bytes(tmp_path / "a.h5ad"), fcpl=settings)) as file:
        file["obs/_index"] = np.array(["a", "b"] * 50, dtype=object)
    assert check(tmp_path / "a.h5ad") == {}


def test_limits_can_be_set(tmp_path):
    path = honest(tmp_path / "a.h5ad")
    assert "more than 3 elements" in refusal(path, objects=3)
    assert "more than the 1.0 KB allowed" in refusal(path, declared=1024)
    assert "attributes larger" in refusal(path, attribute=4)


def test_many_empty_groups_are_refused_before_they_are_walked(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file.create_group("obs")
        for k in range(300):
            file.create_group(f"uns/{k}")
    assert "more than 200 elements" in refusal(tmp_path / "a.h5ad", objects=200)


def test_names_are_shown_short_and_harmless(tmp_path):
    path = honest(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["uns/" + "x" * 500 + "\n\x1b[31m"] = h5py.SoftLink("/obs")
    text = refusal(path)
    assert len(text) < 300
    assert text.isprintable()


def test_large_index_arrays_are_checked_block_by_block(tmp_path, monkeypatch):
    matrix = sparse.random(3_000, 400, density=0.25, format="csr", dtype=np.float32, random_state=0)
    AnnData(matrix).write_h5ad(tmp_path / "a.h5ad")
    check(tmp_path / "a.h5ad", limits=Limits(block=1000))
    tracemalloc.start()
    check(tmp_path / "a.h5ad", limits=Limits(block=10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < matrix.indices.nbytes
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["X/indices"][-1] = 400
    assert "outside 0 to 399" in refusal(tmp_path / "a.h5ad", block=1000)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_cut_files_are_said_to_be_cut(tmp_path, share):
    whole = honest(tmp_path / "a.h5ad").read_bytes()
    (tmp_path / "b.h5ad").write_bytes(whole[: int(share * len(whole))])
    assert "cut short" in refusal(tmp_path / "b.h5ad")


def test_flipped_bits_end_in_a_refusal_or_pass(tmp_path):
    whole = bytearray(honest(tmp_path / "a.h5ad").read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        spoilt = bytearray(whole)
        for position in rng.integers(0, 4000, 3):
            spoilt[position] ^= 1 << rng.integers(8)
        (tmp_path / "b.h5ad").write_bytes(spoilt)
        try:
            check(tmp_path / "b.h5ad")
        except FileError:
            refused += 1
    assert refused > 5


def test_every_number_in_a_size_is_readable():
    assert precheck.in_words(512) == "512 bytes"
    assert precheck.in_words(4.6 * 1024**3) == "4.6 GB"
    assert precheck.in_words(10**16) == "9,095 TB"


@pytest.mark.data
def test_real_data_pass(shared_data):
    for path in sorted(shared_data.glob("*.h5ad")):
        check(path)
