"""Files that are no h5ad are named, with the way to convert them."""

import gzip
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from dynamics.errors import FileError
from dynamics.sniff import sniff


def refusal(path):
    with pytest.raises(FileError) as caught:
        sniff(path)
    text = str(caught.value)
    assert str(path.parent) not in text
    assert text.endswith((".", ")."))
    return text


CONTENTS = {
    "empty (0 bytes)": b"",
    "gunzip": gzip.compress(b"x" * 100),
    "comma-separated": b"cell,gene1,gene2\nc1,0,3\n",
    "tab-separated": b"cell\tgene1\nc1\t0\n",
    "CSV table": b"cell;gene1\nc1;0\n",
    "MatrixMarket": b"%%MatrixMarket matrix coordinate integer general\n3 3 1\n1 1 5\n",
    "web page": b"\n<!DOCTYPE html><html><head><title>Log in</title>",
    "JSON": b'{"a": 1}',
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "pickle": pickle.dumps({"a": np.arange(3)}),
    "R data file": b"RDX3\nX\n\x00\x00",
    "zip archive": b"PK\x03\x04" + b"\x00" * 60,
    "Excel workbook": b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml",
    "old Excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "NumPy array": b"\x93NUMPY\x01\x00",
    "Parquet": b"PAR1\x15\x04",
    "PDF": b"%PDF-1.7",
    "one repeated byte": b"\x00" * 5000,
    "text file": b"hello there",
    "cut short or damaged": b"\x89HDF\r\n\x1a\n" + b"\x00" * 100,
    "nor any kind that is known": bytes(range(128, 256)),
}


@pytest.mark.parametrize("words", CONTENTS)
def test_other_kinds_of_files(tmp_path, words):
    path = tmp_path / "data.h5ad"
    path.write_bytes(CONTENTS[words])
    assert words in refusal(path)


def test_a_real_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.h5ad", "w") as archive:
        archive.writestr("a.h5ad", b"x")
    assert "Unpack it" in refusal(tmp_path / "a.h5ad")


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (["matrix/barcodes"], "scanpy.read_10x_h5"),
        (["GRCh38/barcodes"], 'scanpy.read_10x_h5("FILE", genome="GRCh38")'),
        (["matrix", "row_attrs", "col_attrs", "layers"], "scanpy.read_loom"),
        (["mod/rna", "obs", "var"], 'mdata.mod["rna"]'),
        (["assays", "meta.data", "reductions"], "SeuratDisk::Convert"),
        (["X", "var"], "without its table of cells"),
        (["model_weights"], '"model_weights"'),
        ([], "it holds nothing"),
    ],
)
def test_other_hdf5_files(tmp_path, groups, words):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in groups:
            file.require_group(name)
    assert words in refusal(tmp_path / "a.h5")


def test_names_that_are_no_utf8_do_not_look_like_damage(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5g.create(file.id, "größe".encode("latin-1"))
    said = refusal(tmp_path / "a.h5")
    assert "no table of cells" in said
    assert said.isprintable()


def test_an_h5ad_is_an_h5ad(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w", userblock_size=512) as file:
        file.create_group("obs")
    assert sniff(tmp_path / "a.h5ad") == "h5ad"


def test_folders_and_missing_files(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    assert "a folder" in refusal(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / ".zgroup").write_text("{}")
    assert "anndata.read_zarr" in refusal(tmp_path / "a.zarr")
    assert "cannot be found" in refusal(tmp_path / "gone.h5ad")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.h5ad")
    assert "a pipe" in refusal(tmp_path / "a.h5ad")
