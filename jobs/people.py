"""People who share a server: each has a workspace below the one home, named by the hash of who they are.

A home that one person has to themself belongs to the owner "".
"""

import re
from pathlib import Path

PEOPLE = "people"
OWNER = re.compile(r"[0-9a-f]{40}")


def folder(home: Path, owner: str) -> Path:
    """Return the folder of a person's workspace; the home itself where the owner is "".

    Raises
    ------
    ValueError
        The owner is not a hash: our own mistake, and nothing to make a path of.
    """
    if not owner:
        return home
    if not OWNER.fullmatch(owner):
        raise ValueError("an owner is 40 hexadecimal digits")
    return home / PEOPLE / owner


def all_owners(home: Path) -> list[str]:
    """Return everybody who has a workspace below this home; "" is not among them."""
    place = home / PEOPLE
    found = (path.name for path in place.iterdir()) if place.is_dir() else ()
    return sorted(name for name in found if OWNER.fullmatch(name))


def base(workspace: Path) -> Path:
    """Return the home that a workspace's folder belongs to."""
    return workspace.parents[1] if workspace.parent.name == PEOPLE else workspace
