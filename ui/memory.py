"""Memory that is not needed any more goes back to the system."""

import ctypes
import gc
import threading
import time
from functools import cache

EVERY_S = 5.0
ARENA_MAX, MMAP_THRESHOLD = -8, -3
ARENAS = 2
ALONE_BYTES = 1 << 20
"""From this size on an array is a piece of its own, which leaves no hole when it goes."""

_lock = threading.Lock()
_next = 0.0


def tidy() -> None:
    """Tell the C library to keep few pools and to give large pieces back; called once, at the start."""
    if _library() is not None:
        _library().mallopt(ARENA_MAX, ARENAS)
        _library().mallopt(MMAP_THRESHOLD, ALONE_BYTES)


def settle() -> None:
    """Leave what is loaded by now out of every later search for what nobody uses, which becomes quick."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Find what nobody uses any more and give its memory back to the system, at most every few seconds."""
    global _next
    with _lock:
        now = time.monotonic()
        if now < _next:
            return
        _next = now + EVERY_S
    gc.collect()
    if _library() is not None:
        _library().malloc_trim(0)


@cache
def _library() -> ctypes.CDLL | None:
    """Return the C library where it is GNU's; None elsewhere, where there is nothing to be told."""
    try:
        found = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return found if hasattr(found, "malloc_trim") and hasattr(found, "mallopt") else None
