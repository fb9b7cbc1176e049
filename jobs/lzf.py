"""The length of LZF-compressed blocks, which the HDF5 library does not check."""

import ctypes

from h5py import h5z

_LONG, _LONGEST = 7, 32


def _library() -> ctypes.CDLL | None:
    """h5py's own decompressor, where this build lets others call it."""
    library = ctypes.CDLL(h5z.__file__)
    if not hasattr(library, "lzf_decompress"):
        return None
    library.lzf_decompress.argtypes = (ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint)
    library.lzf_decompress.restype = ctypes.c_uint
    return library


_FAST = _library()


def length(data: bytes | memoryview, size: int) -> int:
    """How many bytes a block unpacks to; 0 where that is more than `size`, or where it is damaged."""
    if _FAST is None:
        return slow_length(data, size)
    return int(_FAST.lzf_decompress(bytes(data), len(data), ctypes.create_string_buffer(size), size))


def slow_length(data: bytes | memoryview, size: int) -> int:
    """The same without the library: the lengths are read, the values are not."""
    at = made = 0
    while at < len(data):
        head = data[at]
        if head < _LONGEST:  # so many bytes as they are
            at, run = at + 2 + head, head + 1
        else:  # bytes that came before
            is_long = head >> 5 == _LONG
            if at + 1 + is_long >= len(data):
                return 0
            back = ((head & 31) << 8 | data[at + 1 + is_long]) + 1
            if back > made:
                return 0
            run = (head >> 5) + 2 + (data[at + 1] if is_long else 0)
            at += 2 + is_long
        made += run
        if made > size:
            return 0
    return made if at == len(data) else 0
