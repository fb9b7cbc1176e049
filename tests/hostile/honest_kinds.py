"""Files of other kinds that people take for an h5ad, each with words that its refusal must hold."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from tests.hostile import honest

HDF5 = b"\x89HDF\r\n\x1a\n"


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 40)
    return buffer.getvalue()


def _tar(name: str, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


BYTES: dict[str, tuple[bytes, Sequence[str]]] = {
    "empty": (b"", ["empty", "again"]),
    "zeros": (bytes(5000), ["repeated byte"]),
    "h5ad.gz": (gzip.compress(HDF5 + bytes(100)), ["HDF5", "gunzip"]),
    "rds": (gzip.compress(b"X\n\0\0\0\3" + bytes(50)), ["R object", "readRDS"]),
    "rds, not compressed": (b"X\n\0\0\0\3" + bytes(50), ["R object", "readRDS"]),
    "rds in text form": (b"A\n3\n262657\n", ["R object"]),
    "rda": (gzip.compress(b"RDX3\nX\n\0\0"), ["R data file"]),
    "rda, not compressed": (b"RDX3\nX\n\0\0", ["R data file"]),
    "csv.gz": (gzip.compress(b"cell,gene1\nc1,0\n"), ["comma-separated", "gzip"]),
    "mtx.gz": (gzip.compress(b"%%MatrixMarket matrix coordinate\n"), ["MatrixMarket", "gzip"]),
    "tar.gz": (gzip.compress(_tar("a.h5ad")), ["tar archive", "Unpack"]),
    "fastq.gz": (gzip.compress(b"@read1\nACGT\n+\nIIII\n"), ["FASTQ"]),
    "bam": (gzip.compress(b"BAM\1" + bytes(50)), ["BAM"]),
    "gz that is cut short": (gzip.compress(b"x" * 5000)[:12], ["gzip"]),
    "gz of a gz": (gzip.compress(gzip.compress(b"abc")), ["gzip"]),
    "tar": (_tar("a.h5ad"), ["tar archive", "Unpack"]),
    "bz2": (bz2.compress(b"abc"), ["bunzip2"]),
    "xz": (lzma.compress(b"abc"), ["unxz"]),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), ["unzstd"]),
    "zip of an h5ad": (_zip("cells.h5ad"), ["zip archive", "Unpack"]),
    "zarr zip": (_zip(".zgroup", "X/.zarray"), ["zarr", "read_zarr"]),
    "zarr 3 zip": (_zip("zarr.json"), ["zarr", "read_zarr"]),
    "empty zip": (_zip(), ["empty zip"]),
    "npz": (_zip("data.npy", "indices.npy"), ["NumPy", "load_npz"]),
    "torch": (_zip("model/data.pkl", "model/version"), ["PyTorch", "not opened"]),
    "xlsx": (_zip("[Content_Types].xml", "xl/workbook.xml"), ["Excel", "CSV"]),
    "docx": (_zip("[Content_Types].xml", "word/document.xml"), ["Word"]),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["old Excel"]),
    "pickle": (pickle.dumps({"a": np.arange(3)}), ["pickle", "not opened"]),
    "pickle, protocol 2": (pickle.dumps({"a": 1}, protocol=2), ["pickle"]),
    "pickle, protocol 0": (pickle.dumps({"a": np.arange(3)}, protocol=0), ["pickle"]),
    "npy": (b"\x93NUMPY\x01\x00", ["NumPy array"]),
    "parquet": (b"PAR1\x15\x04", ["Parquet"]),
    "feather": (b"ARROW1\0\0", ["Feather"]),
    "pdf": (b"%PDF-1.7", ["PDF"]),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(30), ["image"]),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(30), ["image"]),
    "tiff": (b"II*\0" + bytes(30), ["image"]),
    "sqlite": (b"SQLite format 3\0", ["SQLite"]),
    "matlab": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200), ["MATLAB"]),
    "netcdf": (b"CDF\x01" + bytes(30), ["NetCDF"]),
    "hdf4": (b"\x0e\x03\x13\x01" + bytes(30), ["HDF4"]),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32"}}'.ljust(64), ["safetensors"]),
    "program": (b"\x7fELF\x02\x01\x01" + bytes(30), ["program"]),
    "csv": (b"cell,gene1,gene2\nc1,0,3\n", ["comma-separated", "read_csv"]),
    "csv with quotes": (b'"","gene1"\n"c1",0\n', ["comma-separated"]),
    "csv of Windows": ("\ufeffcell,gène\r\nc1,0\r\n".encode("utf-16"), ["UTF-16"]),
    "tsv": (b"cell\tgene1\nc1\t0\n", ["tab-separated"]),
    "semicolons": (b"cell;gene1\nc1;0,5\n", ["CSV"]),
    "latin-1 csv": ("cell,gène\nc1,0\n".encode("latin-1"), ["comma-separated"]),
    "mtx": (b"%%MatrixMarket matrix coordinate integer general\n3 3 1\n", ["MatrixMarket", "read_10x_mtx"]),
    "html": (b"\n<!DOCTYPE html><html><head><title>Log in</title>", ["web page", "again"]),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', ["web page"]),
    "json": (b'{"message": "Not Found"}', ["JSON"]),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        ["Git LFS", "git lfs pull"],
    ),
    "annex": (b"/annex/objects/MD5E-s1234--abc.h5ad\n", ["git-annex"]),
    "text": (b"hello there", ["text file"]),
    "python": (b"import anndata\nprint(1)\n", ["text file"]),
    "noise": (bytes(range(128, 256)), ["nor any kind"]),
    "cut short": (HDF5 + bytes(100), ["cut short"]),
    "only the start": (HDF5, ["cut short"]),
    "half a start": (HDF5[:5], ["cut short"]),
}


def _groups(*names: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        for name in names:
            file.require_group(name)

    return make


def _h5mu(file: h5py.File) -> None:
    honest.modern(file)
    file.require_group("mod/rna")
    file.require_group("mod/prot")


def _one_mod(file: h5py.File) -> None:
    file.require_group("mod/atac")


def _scdior(file: h5py.File) -> None:
    honest.modern(file, has_x=False)
    file.require_group("data/X")
    file.require_group("dimR")


def _nested(file: h5py.File) -> None:
    file.require_group("study1/obs")
    file.require_group("study1/var")


HDF5_KINDS: dict[str, tuple[Callable[[h5py.File], None], Sequence[str]]] = {
    "h5mu": (_h5mu, ["MuData", '"prot"', 'mdata.mod["rna"]']),
    "h5mu of one": (_one_mod, ["MuData", 'mdata.mod["atac"]']),
    "loom": (_groups("matrix", "row_attrs", "col_attrs", "layers"), ["loom", "read_loom"]),
    "10x": (_groups("matrix/barcodes", "matrix/features"), ["10x", "read_10x_h5"]),
    "10x, old": (_groups("GRCh38/barcodes"), ["10x", 'genome="GRCh38"']),
    "10x, other genome": (_groups("my_genome/barcodes", "my_genome/indptr"), ["10x", 'genome="my_genome"']),
    "10x molecules": (
        _groups("barcodes", "umi", "count", "feature_idx"),
        ["molecule", "filtered_feature_bc_matrix.h5"],
    ),
    "h5Seurat": (_groups("assays", "meta.data", "reductions"), ["h5Seurat", "Convert"]),
    "scDIOR": (_scdior, ["scDIOR", "diopy"]),
    "SingleCellExperiment in HDF5": (_groups("assay001"), ["HDF5Array"]),
    "pandas": (_groups("df/block0_values", "df/axis0"), ["pandas", "read_hdf"]),
    "Keras": (_groups("model_weights", "optimizer_weights"), ["Keras"]),
    "MATLAB 7.3": (_groups("#refs#", "data"), ["MATLAB"]),
    "cooler": (_groups("bins", "chroms", "pixels", "indexes"), ["cooler"]),
    "without cells": (_groups("X", "var"), ["without its table of cells"]),
    "nested": (_nested, ['"study1"', "inside"]),
    "other": (_groups("my_stuff"), ['"my_stuff"']),
    "nothing": (_groups(), ["holds nothing"]),
}


def write_bytes(name: str, path: Path) -> Sequence[str]:
    """Write a file of that kind; returns the words that its refusal must hold."""
    content, words = BYTES[name]
    path.write_bytes(content)
    return words


def write_hdf5(name: str, path: Path) -> Sequence[str]:
    """Write an HDF5 file of that kind; returns the words that its refusal must hold."""
    make, words = HDF5_KINDS[name]
    with h5py.File(path, "w") as file:
        make(file)
    return words
