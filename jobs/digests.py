"""What files hold, by SHA-256: two people who open the same file share one copy in the server's memory.

A digest is made by us, from the bytes as they lie on the disk, when a data set is taken over or prepared;
never by the process that read an upload, which is not trusted. It counts only as long as the file has the
size and the time of change that it was made for.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from pathlib import Path

from dynamics.disk import write_whole

FILE = "digests.json"
AT_ONCE = 64_000_000
"""Bytes up to which the digest of a file without a note is made when it is asked for; a tenth of a second."""

REMEMBERED = 4096
_known: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()
_lock = threading.Lock()


def note(folder: Path, *, anew: bool = False) -> None:
    """Write down the digests of a data set's files; of files that changed since, and of all where `anew`."""
    before = {} if anew else _noted(folder)
    now = {}
    for path in sorted(folder.glob("*.h5ad")):
        noted = before.get(path.name, {})
        now[path.name] = noted if _holds(noted, path) else {**_about(path), "sha256": _sha256(path)}
    if now != before:
        write_whole(folder / FILE, json.dumps(now).encode())


def of(path: Path) -> str | None:
    """Return the digest of a file; None for a large one that nothing was noted of."""
    about = path.stat()
    place = (str(path), about.st_size, about.st_mtime_ns, about.st_ino)
    with _lock:
        if place in _known:
            _known.move_to_end(place)
            return _known[place]
    noted = _noted(path.parent).get(path.name, {})
    if _holds(noted, path):
        found = str(noted["sha256"])
    elif about.st_size <= AT_ONCE:
        found = _sha256(path)
    else:
        return None
    with _lock:
        _known[place] = found
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return found


def _noted(folder: Path) -> dict[str, dict]:
    try:
        found = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    told = found.items() if isinstance(found, dict) else ()
    return {name: about for name, about in told if isinstance(about, dict)}


def _holds(noted: dict, path: Path) -> bool:
    return "sha256" in noted and {key: noted.get(key) for key in ("size", "changed")} == _about(path)


def _about(path: Path) -> dict[str, int]:
    about = path.stat()
    return {"size": about.st_size, "changed": about.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
