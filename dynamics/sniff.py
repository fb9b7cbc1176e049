"""Name what a file is from its first bytes and its outline, and say how to make an h5ad of it."""

import re
import stat
import zlib
from pathlib import Path

import h5py

from dynamics.errors import FileError
from dynamics.findings import quoted

HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 4096
TAR_MARK = slice(257, 262)
SAVE = 'adata.write_h5ad("data.h5ad")'
OPEN = "Open the .h5ad file that holds the cells."
_IMAGE = f"an image. {OPEN}"
_R = 'Convert it first. In R: anndataR::write_h5ad(readRDS("FILE"), "data.h5ad").'
_CSV = f'adata = anndata.AnnData(pandas.read_csv("FILE", index_col=0)); {SAVE}'

_PICKLE = "a Python pickle. It can run code when opened, so it is not opened here; save the data as h5ad."
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x05\x06", "an empty zip archive. Open the .h5ad file itself."),
    (b"BZh", "a bzip2-compressed file. Unpack it (bunzip2 FILE) and open what comes out."),
    (b"\xfd7zXZ\x00", "an xz-compressed file. Unpack it (unxz FILE) and open what comes out."),
    (b"\x28\xb5\x2f\xfd", "a zstd-compressed file. Unpack it (unzstd FILE) and open what comes out."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive. Unpack it and open the .h5ad file inside."),
    (b"Rar!", "a rar archive. Unpack it and open the .h5ad file inside."),
    (b"RDX", 'an R data file. Load it in R and save it as h5ad: anndataR::write_h5ad(object, "data.h5ad").'),
    (b"RDA", 'an R data file. Load it in R and save it as h5ad: anndataR::write_h5ad(object, "data.h5ad").'),
    (b"X\n\x00\x00", f"an R object (.rds). {_R}"),
    (b"A\n2\n", f"an R object (.rds). {_R}"),
    (b"A\n3\n", f"an R object (.rds). {_R}"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV, then convert it in Python."),
    (b"%PDF", f"a PDF document. {OPEN}"),
    (b"\x93NUMPY", f'a NumPy array. In Python: adata = anndata.AnnData(numpy.load("FILE")); {SAVE}.'),
    (b"PAR1", f'a Parquet table. In Python: adata = anndata.AnnData(pandas.read_parquet("FILE")); {SAVE}.'),
    (b"ARROW1", f'a Feather table. In Python: adata = anndata.AnnData(pandas.read_feather("FILE")); {SAVE}.'),
    (b"SQLite format 3", f"a SQLite database. {OPEN}"),
    (b"\x89PNG", _IMAGE),
    (b"\xff\xd8\xff", _IMAGE),
    (b"II*\x00", _IMAGE),
    (b"MM\x00*", _IMAGE),
    (b"GIF8", _IMAGE),
    (
        b"MATLAB 5",
        f"a MATLAB file. In Python, scipy.io.loadmat reads it; make an AnnData object of it: {SAVE}.",
    ),
    (b"CDF\x01", f"a NetCDF file. In Python, xarray reads it; make an AnnData object of it: {SAVE}."),
    (b"CDF\x02", f"a NetCDF file. In Python, xarray reads it; make an AnnData object of it: {SAVE}."),
    (b"\x0e\x03\x13\x01", f"an HDF4 file, which is not HDF5. Make an AnnData object of it: {SAVE}."),
    (b"\x7fELF", f"a program. {OPEN}"),
    (b"MZ\x90", f"a program. {OPEN}"),
    (
        b"BAM\x01",
        "a BAM file of aligned reads. Count them per cell and gene (such as with STARsolo), and open the "
        "h5ad made of that.",
    ),
    (b"\xff\xfe", f"a text in UTF-16. Save it as UTF-8 CSV, then in Python: {_CSV}."),
    (b"\xfe\xff", f"a text in UTF-16. Save it as UTF-8 CSV, then in Python: {_CSV}."),
    *((start, _PICKLE) for start in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(dp", b"(lp")),
)
_ZIPPED: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"xl/",), f"an Excel workbook, not an h5ad file. Save the sheet as CSV, then in Python: {_CSV}."),
    ((b"word/",), f"a Word document, not an h5ad file. {OPEN}"),
    ((b"[Content_Types].xml",), f"an Excel workbook or other Office document. {OPEN}"),
    (
        (b"data.pkl",),
        "a PyTorch file. It can run code when opened, so it is not opened here; save the data as h5ad.",
    ),
    (
        (b".npy",),
        "a NumPy archive (.npz). In Python, numpy.load or scipy.sparse.load_npz reads it: "
        f'adata = anndata.AnnData(scipy.sparse.load_npz("FILE")); {SAVE}.',
    ),
    (
        (b".zgroup", b".zattrs", b".zarray", b".zmetadata", b"zarr.json"),
        f'a zipped zarr store. In Python: adata = anndata.read_zarr("FILE"); {SAVE}.',
    ),
)
_ZIP = (
    "a zip archive. Unpack it and open the .h5ad file inside; a zipped zarr store is converted in "
    f'Python: adata = anndata.read_zarr("FILE"); {SAVE}.'
)
_GZIP = (
    "a gzip-compressed file (.gz or .rds). If it is an h5ad.gz, unpack it (gunzip FILE). If it is an R "
    f"object: {_R}"
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
    if head.startswith(HDF5) or HDF5.startswith(head) or _after_user_block(path):
        return _outline(path)
    raise FileError(named(head))


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
            names = {name if isinstance(name, str) else name.decode("utf-8", "replace") for name in file}
            is_h5ad = (
                "obs" in names and "mod" not in names and ("X" in names or not {"data", "dimR"} <= names)
            )
            below = {} if is_h5ad else _below(file, names)
    except (OSError, RuntimeError, KeyError, ValueError) as problem:
        raise FileError(
            "The file starts like an h5ad file but cannot be opened: it was cut short or damaged, as happens "
            "when a download or copy stops early, or the program that writes it has not closed it. Copy or "
            "download it again."
        ) from problem
    if is_h5ad:
        return "h5ad"
    raise FileError(_other_hdf5(names, below))


def _below(file: h5py.File, names: set[str]) -> dict[str, set[str]]:
    """Names one level below the root, without following a link to elsewhere."""
    kinds = {name: file.get(name, getlink=True, default=None) for name in sorted(names)[:50]}
    plain = [name for name, link in kinds.items() if isinstance(link, h5py.HardLink)]
    groups = [name for name in plain if file.get(name, getclass=True) is h5py.Group]
    return {name: _first_names(file[name]) for name in groups}


def _first_names(group: h5py.Group) -> set[str]:
    """A few names of a group, however many it has."""
    found: set[str] = set()

    def remember(name: bytes) -> bool | None:
        found.add(name.decode("utf-8", "replace"))
        return len(found) >= 50 or None

    group.id.links.iterate(remember)
    return found


_OUTLINES: tuple[tuple[set[str], str, str], ...] = (
    ({"matrix", "row_attrs"}, "a loom file", f'In Python: adata = scanpy.read_loom("FILE"); {SAVE}'),
    ({"matrix"}, "a 10x Genomics matrix (.h5)", f'In Python: adata = scanpy.read_10x_h5("FILE"); {SAVE}'),
    (
        {"barcodes", "umi"},
        "a 10x Genomics file of molecules (molecule_info.h5)",
        f'Take filtered_feature_bc_matrix.h5 instead; in Python: adata = scanpy.read_10x_h5("FILE"); {SAVE}',
    ),
    ({"assays", "meta.data"}, "an h5Seurat file", 'In R: SeuratDisk::Convert("FILE", dest = "h5ad")'),
    (
        {"data", "dimR"},
        "a scDIOR file",
        f'In Python: adata = diopy.input.read_h5("FILE"); {SAVE}',
    ),
    ({"assay001"}, "matrices of an R package (HDF5Array)", "In R: zellkonverter::writeH5AD(object, FILE)"),
    ({"model_weights"}, 'a model of Keras ("model_weights")', OPEN.rstrip(".")),
    ({"bins", "chroms", "pixels"}, "a cooler file of contacts", OPEN.rstrip(".")),
    ({"#refs#"}, "a MATLAB file", f"In Python, read it with h5py, make an AnnData object of it: {SAVE}"),
    ({"X"}, "an h5ad file without its table of cells (obs)", f"Add the table and save it again: {SAVE}"),
)


def _other_hdf5(names: set[str], below: dict[str, set[str]]) -> str:
    """What an HDF5 file without `obs` at its root is."""
    if "mod" in names:
        inside = sorted(below.get("mod", ()))
        part = "rna" if "rna" in inside or not inside else inside[0]
        listed = ", ".join(quoted(name) for name in inside[:6])
        return (
            f"This is a MuData file (h5mu){f' with {listed}' if listed else ''}, not an h5ad file. Convert "
            f'it first. In Python: mdata = mudata.read("FILE"); adata = mdata.mod[{quoted(part)}]; {SAVE}.'
        )
    for needed, what, fix in _OUTLINES:
        if needed <= names:
            return f"This is {what}, not an h5ad file. Convert it first. {fix}."
    for name, inside in below.items():
        if "barcodes" in inside:
            return (
                "This is an old 10x Genomics matrix (.h5), not an h5ad file. Convert it first. In Python: "
                f'adata = scanpy.read_10x_h5("FILE", genome={quoted(name)}); {SAVE}.'
            )
        if "axis0" in inside:
            fix = f'In Python: adata = anndata.AnnData(pandas.read_hdf("FILE", key={quoted(name)})); {SAVE}.'
            return f"This is a table of pandas (HDF5), not an h5ad file. Convert it first. {fix}"
        if "obs" in inside:
            part = f'anndata.io.read_elem(h5py.File("FILE")[{quoted(name)}])'
            return (
                f"This is an HDF5 file with an h5ad inside: it lies under {quoted(name)}. Save that part as "
                f"a file of its own. In Python: adata = {part}; {SAVE}."
            )
    listed = ", ".join(quoted(name[:40]) for name in sorted(names)[:6]) or "nothing"
    return (
        f"This is an HDF5 file but not an h5ad: it holds {listed}, and no table of cells (obs). "
        f"Make an AnnData object of it in Python and save that: {SAVE}."
    )


def named(head: bytes) -> str:
    """What a file that is not HDF5 is, from its first bytes."""
    if head.startswith(b"\x1f\x8b"):
        return _gzipped(head)
    if head.startswith(b"PK\x03\x04"):
        return "This is " + next((text for marks, text in _ZIPPED if any(m in head for m in marks)), _ZIP)
    if head[TAR_MARK] == b"ustar":
        return (
            "This is a tar archive, not an h5ad file. Unpack it (tar xf FILE) and open the .h5ad file inside."
        )
    known = next((text for magic, text in _MAGIC if head.startswith(magic)), None)
    if known is not None:
        return f"This is {known}"
    if head[8:10] == b'{"' and head[5:8] == b"\0\0\0":
        return f"This is a model file (safetensors), not an h5ad file. {OPEN}"
    if len(set(head)) == 1:
        return "The file holds nothing but one repeated byte: the copy or download failed. Do it again."
    return _text_or_unknown(head)


def _gzipped(head: bytes) -> str:
    """What lies in a gzip-compressed file."""
    stream = zlib.decompressobj(wbits=31)
    try:
        inside = stream.decompress(head, HEAD)
    except zlib.error:
        inside = b""
    if inside.startswith(HDF5):
        return "This is a gzip-compressed HDF5 file (such as h5ad.gz). Unpack it (gunzip FILE) and open that."
    if not inside or inside.startswith(b"\x1f\x8b"):
        return f"This is {_GZIP}"
    text = named(inside)
    known = text.startswith("This is ") and "not an h5ad file, nor" not in text
    if known and not inside.startswith((b"X\n", b"RDX", b"RDA", b"A\n", b"BAM")):
        return f"{text} It is packed with gzip: unpack it first (gunzip FILE)."
    return text if known else f"This is {_GZIP}"


def _text_or_unknown(head: bytes) -> str:
    text = _as_text(head)
    if text is None:
        return (
            "This is not an h5ad file, nor any kind that is known here. Save the data anew from Python "
            'with adata.write_h5ad("cells.h5ad"), and open that file.'
        )
    start = text.lstrip("\ufeff \r\n\t")
    for begins, said in (
        (
            r"(<!doctype html|<html|<\?xml|<head)",
            "This is a web page, not an h5ad file: the download saved a login or error page in place of the "
            "data. Download it again, logged in if the site asks for it.",
        ),
        (
            "version https://git-lfs",
            "This is a Git LFS pointer, not the data. Fetch the file itself: git lfs pull.",
        ),
        (
            r"[./]*(\.git)?/annex/objects",
            "This is a pointer of git-annex, not the data. Fetch the file itself: git annex get FILE.",
        ),
        (
            "%%matrixmarket",
            "This is a MatrixMarket matrix (.mtx), not an h5ad file. In Python, with its genes and barcodes "
            f'beside it: adata = scanpy.read_10x_mtx("FOLDER"); {SAVE}.',
        ),
        (
            r"@\S+.*\n[ACGTN]+\r?\n\+",
            "This is a FASTQ file of reads. Count them per cell and gene, and open the h5ad made of that.",
        ),
        (r"[\[{]", f"This is a JSON text, not an h5ad file. {OPEN}"),
        (r"c(copy_reg|numpy|builtins|__builtin__)", f"This is {_PICKLE}"),
    ):
        if re.match(begins, start, re.IGNORECASE):
            return said
    return _table_or_text(start)


def _as_text(head: bytes) -> str | None:
    """The first bytes as text; None where they are not one."""
    whole = head[: len(head) - 4] if len(head) == HEAD else head
    try:
        return whole.decode("utf-8")
    except UnicodeDecodeError:
        text = whole.decode("latin-1")
        is_plain = sum(c.isprintable() or c in "\r\n\t" for c in text) == len(text)
        return text if is_plain and "\n" in text else None


def _table_or_text(start: str) -> str:
    line = start.splitlines()[0] if start else ""
    for mark, name in (
        ("\t", "a tab-separated table (TSV)"),
        (",", "a comma-separated table (CSV)"),
        (";", "a CSV table"),
    ):
        if mark in line:
            return f"This is {name}, not an h5ad file. In Python, with cells in rows: {_CSV}."
    return (
        "This is a text file, not an h5ad file. Save the data anew from Python "
        'with adata.write_h5ad("cells.h5ad"), and open that file.'
    )
