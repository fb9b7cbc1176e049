"""How much of the disk a person takes, looked up every few seconds at most: it is a walk over all files."""

import threading
import time
from collections import OrderedDict
from pathlib import Path

from jobs import quotas

HOLDS_S = 20.0
MOST = 1000
_known: OrderedDict[Path, tuple[int, float]] = OrderedDict()
_lock = threading.Lock()


def taken(place: Path) -> int:
    """Return the bytes that a workspace takes, as they were a moment ago; for showing, not for refusing."""
    with _lock:
        n_bytes, until = _known.get(place, (0, 0.0))
    if time.monotonic() < until:
        return n_bytes
    n_bytes = quotas.used(place)
    with _lock:
        _known[place] = (n_bytes, time.monotonic() + HOLDS_S)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return n_bytes


def left(place: Path) -> int:
    """Return the bytes of their share that a person has left, as they were a moment ago; at least 0."""
    return max(0, quotas.from_environment().disk - taken(place))


def forget(place: Path) -> None:
    """Look again at the next question."""
    with _lock:
        _known.pop(place, None)
