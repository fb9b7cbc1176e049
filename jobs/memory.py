"""Memory of a worker: bounded by the kernel, so that a large request fails at once, and told in words.

Dask looks at a worker's memory five times a second and ends one that is over its limit. What is asked for
between two looks is bounded here; and should the machine run out all the same, the kernel takes a worker,
not the server.
"""

import contextlib
import re
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None

SPARE = 500_000_000
"""Bytes beyond the limit of a worker: libraries set more aside than they use."""
FIRST_TO_GO = 500
"""Of 1,000: how readily the kernel ends this process when the machine runs out of memory."""
PROC = Path("/proc/self")
ADVICE = "Try fewer cells or genes, or a machine with more memory."
TORCH = "can't allocate memory"
_limit: list[int] = []


def bound(n_bytes: int | None) -> None:
    """Bound the memory of this process to its limit and some to spare; what the system cannot do is left."""
    with contextlib.suppress(OSError):
        (PROC / "oom_score_adj").write_text(str(FIRST_TO_GO))
    if n_bytes is None:
        return
    _limit[:] = [n_bytes]
    if resource is None or not sys.platform.startswith("linux"):
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes + SPARE, most))


def limit() -> float | None:
    """Return the limit of this process in GB; None where it has none."""
    return _limit[0] / 1e9 if _limit else None


def forget_peak() -> None:
    """Have `peak` count from now on."""
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def peak() -> float | None:
    """Return the most memory that this process held, in GB; None where the system does not tell."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (PROC / "status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e9 if found else None


def is_lack(error: BaseException) -> bool:
    """Say whether an error means that memory ran out."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and TORCH in str(error))


def words(limit_gb: float | None, held_gb: float | None, *, asked: str = "", advice: str = ADVICE) -> str:
    """Say that a job ran out of memory: the limit, about what it held, and what it asked for besides."""
    told = [f"limit {limit_gb:.1f} GB"] if limit_gb else []
    told += [f"it held about {held_gb:.2g} GB"] if held_gb else []
    if found := re.search(r"allocate ([\d.]+ [KMGTP]?i?B)", asked) or re.search(
        r"allocate (\d+ bytes)", asked
    ):
        told.append(f"and asked for {_plain(found[1])} more")
    figures = f" ({', '.join(told)})" if told else ""
    return f"The job ran out of memory{figures} and was ended; other jobs were not touched. {advice}"


def _plain(asked: str) -> str:
    number, unit = asked.split()
    return f"{int(number) / 1e9:.1f} GB" if unit == "bytes" else asked
