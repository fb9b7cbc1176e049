"""How the arrays of an HDF5 file are stored: in which blocks, and compressed in which way."""

import ctypes
from math import prod

from h5py import h5d, h5p, h5z

from dynamics.errors import FileError
from dynamics.findings import quoted
from jobs import kinds
from jobs.kinds import in_words

MB = 1024**2
DEFLATE, SHUFFLE, FLETCHER32, LZF = h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, 32000
COMPRESSORS = {DEFLATE, LZF}
ALLOWED_FILTERS = {DEFLATE, SHUFFLE, FLETCHER32, LZF}
FILTER_NAMES = {4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2", 32001: "blosc", 32004: "lz4"}
FILTER_NAMES |= {32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz", 32026: "blosc2"}
RESAVE = 'Save it again in Python: adata.write_h5ad(path, compression="gzip").'

_PLAIN_EDGES = 2  # H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS, in the newest form of HDF5 only
_LIBRARY = ctypes.CDLL(h5z.__file__)


def has_plain_edges(layout: h5p.PropDCID) -> bool:
    """Whether blocks that reach beyond the array are stored without filters; h5py itself does not tell."""
    if not hasattr(_LIBRARY, "H5Pget_chunk_opts"):
        return False
    options = ctypes.c_uint(0)
    done = _LIBRARY.H5Pget_chunk_opts(ctypes.c_int64(layout.id), ctypes.byref(options))
    return done >= 0 and bool(options.value & _PLAIN_EDGES)


def check_blocks(dataset: h5d.DatasetID, name: str, *, size: int, largest: int, most: int) -> None:
    """Refuse an array whose blocks are too large or too many.

    Parameters
    ----------
    size
        Bytes of one element.
    largest, most
        Bytes of one block, and how many blocks there may be.

    Raises
    ------
    FileError
        The message names the array.
    """
    chunk = dataset.get_create_plist().get_chunk()
    if prod(chunk) * size > largest:
        raise FileError(
            f"{quoted(name)} is stored in blocks of {in_words(prod(chunk) * size)}, more than the "
            f"{in_words(largest)} allowed. {RESAVE}"
        )
    if kinds.n_chunks(dataset, chunk) > most:
        raise FileError(
            f"{quoted(name)} is cut into more than {most:,} blocks, which a file of its size cannot hold. "
            f"{RESAVE}"
        )


def check_filters(layout: h5p.PropDCID, name: str, *, largest: int) -> None:
    """Refuse an array that is compressed in another way than anndata does.

    Raises
    ------
    FileError
        The message names the array and the filter.
    """
    filters = [layout.get_filter(k) for k in range(layout.get_nfilters())]
    codes = [code for code, *_ in filters]
    for code, _, settings, _ in filters:
        if code not in ALLOWED_FILTERS:
            kind = FILTER_NAMES.get(code, f"filter {code}")
            raise FileError(
                f"{quoted(name)} is compressed with {kind}, which cannot be opened safely here. Use gzip or "
                f"lzf. {RESAVE}"
            )
        if code == LZF and len(settings) > 2 and settings[2] > largest:
            raise FileError(
                f"{quoted(name)} is compressed in blocks of {in_words(settings[2])}, more than the "
                f"{in_words(largest)} allowed. {RESAVE}"
            )
    if sum(code in COMPRESSORS for code in codes) > 1 or len(set(codes)) < len(codes):
        raise FileError(f"{quoted(name)} is compressed more than once over. {RESAVE}")
