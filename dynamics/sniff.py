"""Name what a file is from its first bytes and its outline, and say how to make an h5ad of it."""

import stat
from pathlib import Path

import h5py

from dynamics.errors import FileError

HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 4096
SAVE = 'adata.write_h5ad("data.h5ad")'

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"PK\x03\x04",
        "a zip archive. Unpack it and open the .h5ad file inside; a zipped zarr store is converted in "
        f'Python: adata = anndata.read_zarr("FILE"); {SAVE}.',
    ),
    (b"PK\x05\x06", "an empty zip archive. Open the .h5ad file itself."),
    (b"BZh", "a bzip2-compressed file. Unpack it (bunzip2 FILE) and open what comes out."),
    (b"\xfd7zXZ\x00", "an xz-compressed file. Unpack it (unxz FILE) and open what comes out."),
    (b"\x28\xb5\x2f\xfd", "a zstd-compressed file. Unpack it (unzstd FILE) and open what comes out."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive. Unpack it and open the .h5ad file inside."),
    (b"Rar!", "a rar archive. Unpack it and open the .h5ad file inside."),
    (b"RDX", 'an R data file. In R: anndataR::write_h5ad(object, "data.h5ad").'),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV, then convert it in Python."),
    (b"%PDF", "a PDF document. Open the .h5ad file that holds the cells."),
    (b"\x93NUMPY", f'a NumPy array. In Python: adata = anndata.AnnData(numpy.load("FILE")); {SAVE}.'),
    (b"PAR1", f'a Parquet table. In Python: adata = anndata.AnnData(pandas.read_parquet("FILE")); {SAVE}.'),
    (b"ARROW1", f'a Feather table. In Python: adata = anndata.AnnData(pandas.read_feather("FILE")); {SAVE}.'),
    (b"SQLite format 3", "a SQLite database. Open the .h5ad file that holds the cells."),
)
_PICKLE = "a Python pickle. It can run code when opened, so it is not opened here; save the data as h5ad."
_R_GZIP = (
    "a gzip-compressed file (.gz or .rds). If it is an h5ad.gz, unpack it (gunzip FILE). If it is an R "
    'object, in R: anndataR::write_h5ad(readRDS("FILE"), "data.h5ad").'
)


def sniff(path: str | Path) -> str:
    """Name a file; only "h5ad" comes back, everything else is refused with the way to convert it.

    Raises
    ------
    FileError
        The file is something else, empty or cut short; the message names it and says how to convert it.
    """
    path = Path(path)
    head = _read_head(path)
    if head.startswith(HDF5) or _after_user_block(path):
        return _outline(path)
    raise FileError(_named(head))


def _read_head(path: Path) -> bytes:
    """The first bytes of a regular file.

    Raises
    ------
    FileError
        There is no such file, it is not a regular file, or it is empty.
    """
    try:
        kind = path.stat()
    except OSError as problem:
        raise FileError("The file cannot be found or read. Check that it is still there.") from problem
    if stat.S_ISDIR(kind.st_mode):
        what = (
            "a zarr store" if any((path / name).exists() for name in (".zgroup", "zarr.json")) else "a folder"
        )
        fix = f' In Python: adata = anndata.read_zarr("FOLDER"); {SAVE}.' if "zarr" in what else ""
        raise FileError(f"This is {what}, not an h5ad file.{fix or ' Open the .h5ad file inside it.'}")
    if not stat.S_ISREG(kind.st_mode):
        raise FileError("This is a device or a pipe, not a file. Open an .h5ad file.")
    if kind.st_size == 0:
        raise FileError("The file is empty (0 bytes). Copy or download it again.")
    with path.open("rb") as file:
        return file.read(HEAD)


def _after_user_block(path: Path) -> bool:
    """Whether HDF5 starts after a user block, whose length is 512 bytes or a doubling of that."""
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        at = 512
        while at < n_bytes:
            file.seek(at)
            if file.read(len(HDF5)) == HDF5:
                return True
            at *= 2
    return False


def _outline(path: Path) -> str:
    """Tell an h5ad from other HDF5 files by the names at its root.

    Raises
    ------
    FileError
        The file is cut short, or is another kind of HDF5 file.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = set(file)
    except (OSError, RuntimeError, KeyError, ValueError) as problem:
        raise FileError(
            "The file starts like an h5ad file but cannot be opened: it was cut short or damaged, as happens "
            "when a download or copy stops early. Copy or download it again."
        ) from problem
    if "obs" in names and "mod" not in names:
        return "h5ad"
    raise FileError(_other_hdf5(names))


def _other_hdf5(names: set[str]) -> str:
    """What an HDF5 file without `obs` at its root is."""
    for needed, what, fix in (
        ({"mod"}, "a MuData file (h5mu)", f'mdata = mudata.read("FILE"); adata = mdata.mod["rna"]; {SAVE}'),
        ({"matrix", "row_attrs"}, "a loom file", f'adata = scanpy.read_loom("FILE"); {SAVE}'),
        ({"matrix"}, "a 10x Genomics matrix (.h5)", f'adata = scanpy.read_10x_h5("FILE"); {SAVE}'),
        ({"assays", "meta.data"}, "an h5Seurat file", 'in R: SeuratDisk::Convert("FILE", dest = "h5ad")'),
        ({"X"}, "an h5ad file without its table of cells (obs)", f"add the table and save it again: {SAVE}"),
    ):
        if needed <= names:
            where = "In Python: " if not fix.startswith(("in R", "add")) else ""
            text = fix if where else fix[0].upper() + fix[1:]
            return f"This is {what}, not an h5ad file. Convert it first. {where}{text}."
    if names & {"GRCh38", "mm10", "hg19", "GRCm38"}:
        return (
            "This is an old 10x Genomics matrix (.h5), not an h5ad file. Convert it first. "
            f'In Python: adata = scanpy.read_10x_h5("FILE", genome="{sorted(names)[0]}"); {SAVE}.'
        )
    listed = ", ".join(f'"{name[:40]}"' for name in sorted(names)[:6]) or "nothing"
    return (
        f"This is an HDF5 file but not an h5ad: it holds {listed}, and no table of cells (obs). "
        f"Make an AnnData object of it in Python and save that: {SAVE}."
    )


def _named(head: bytes) -> str:
    """What a file that is not HDF5 is."""
    if head.startswith(b"\x1f\x8b"):
        return f"This is {_R_GZIP}"
    if head.startswith(b"PK\x03\x04") and (b"xl/" in head or b"[Content_Types].xml" in head):
        return (
            f"This is an Excel workbook, not an h5ad file. Save the sheet as CSV, then in Python: {_csv()}."
        )
    for magic, text in _MAGIC:
        if head.startswith(magic):
            return f"This is {text}"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"This is {_PICKLE}"
    if len(set(head)) == 1:
        return "The file holds nothing but one repeated byte: the copy or download failed. Do it again."
    return _text_or_unknown(head)


def _csv() -> str:
    return f'adata = anndata.AnnData(pandas.read_csv("FILE", index_col=0)); {SAVE}'


def _text_or_unknown(head: bytes) -> str:
    try:
        text = head[: len(head) - 4].decode("utf-8") if len(head) == HEAD else head.decode("utf-8")
    except UnicodeDecodeError:
        return (
            "This is not an h5ad file, nor any kind that is known here. Save the data anew from Python "
            'with adata.write_h5ad("cells.h5ad"), and open that file.'
        )
    start = text.lstrip("\ufeff \r\n\t").lower()
    if start.startswith(("<!doctype html", "<html", "<?xml", "<head")):
        return (
            "This is a web page, not an h5ad file: the download saved a login or error page in place of the "
            "data. Download it again, logged in if the site asks for it."
        )
    if start.startswith("version https://git-lfs"):
        return "This is a Git LFS pointer, not the data. Fetch the file itself: git lfs pull."
    if start.startswith("%%matrixmarket"):
        return (
            "This is a MatrixMarket matrix (.mtx), not an h5ad file. In Python, with its genes and barcodes "
            f'beside it: adata = scanpy.read_10x_mtx("FOLDER"); {SAVE}.'
        )
    if start.startswith(("{", "[")):
        return "This is a JSON text, not an h5ad file. Open the .h5ad file that holds the cells."
    line = start.splitlines()[0] if start else ""
    for mark, name in (
        ("\t", "a tab-separated table (TSV)"),
        (",", "a comma-separated table (CSV)"),
        (";", "a CSV table"),
    ):
        if mark in line:
            return f"This is {name}, not an h5ad file. In Python, with cells in rows: {_csv()}."
    return (
        "This is a text file, not an h5ad file. Save the data anew from Python "
        'with adata.write_h5ad("cells.h5ad"), and open that file.'
    )
