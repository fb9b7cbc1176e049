"""Faults on purpose: named places at which a test lets the disk fail or the process die, drawn from one seed.

Off, as it is outside of tests, a place costs one comparison. On, every place is active with a probability of
25 %; an active one fires with 25 % at each pass, or once, at a drawn pass.

References
----------
Zhou et al., FoundationDB: A Distributed Unbundled Transactional Key Value Store, SIGMOD 2021 (buggification).
"""

import errno
import os
import random
import signal
from dataclasses import dataclass, field
from typing import BinaryIO

VARIABLE = "DRIFTSCOPE_FAULTS"
"""Environment variable that holds the seed; where it is missing, there are no faults."""

RECORD = "DRIFTSCOPE_FAULTS_RECORD"
"""Environment variable with the path of a file to which each fault is added as a line "place kind"."""

SITES = ("read", "write", "fsync", "rename", "journal commit", "worker start", "step", "send")
ACTIVE = FIRES = 0.25
LATEST = {"step": 80, "send": 40, "journal commit": 60, "fsync": 60, "write": 40, "rename": 40}
LATEST_USUAL = 12
"""The pass at which a place fires at the latest, where it fires once."""
KINDS = {"worker start": ("kill",), "step": ("kill",), "send": ("kill", "io")}
USUAL_KINDS = ("full", "io", "kill")
NUMBERS = {"full": errno.ENOSPC, "io": errno.EIO, "torn": errno.EIO}


@dataclass
class Site:
    """One place: when it fires, and how often it was passed."""

    name: str
    rng: random.Random
    once: int | None
    passed: int = 0

    def kind(self, only: str | None = None) -> str | None:
        """Return the fault of this pass, or None; `only` one kind where another makes no sense."""
        self.passed += 1
        fires = self.passed == self.once if self.once else self.rng.random() < FIRES
        if only:
            return only if fires else None
        kinds = (*KINDS.get(self.name, USUAL_KINDS), *(("torn",) if self.name == "write" else ()))
        return self.rng.choice(kinds) if fires else None


@dataclass
class Plan:
    """The active places of a seed."""

    seed: str
    sites: dict[str, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SITES:
            rng = random.Random(f"{self.seed} {name}")
            if rng.random() < ACTIVE:
                once = rng.randint(1, LATEST.get(name, LATEST_USUAL)) if rng.random() < 0.5 else None
                self.sites[name] = Site(name, rng, once)


_plan = Plan(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def use(seed: str | None) -> None:
    """Draw the faults of this process anew from a seed; None for no faults."""
    global _plan
    _plan = None if seed is None else Plan(seed)


def at(site: str, *, as_error: type[Exception] = OSError, only: str | None = None) -> None:
    """Pass a named place: nothing, an error of the disk, or the end of the process by a kill.

    Parameters
    ----------
    as_error
        What the layer at this place raises where the disk fails.
    only
        The one kind of fault that makes sense here.
    """
    if _plan is not None and (kind := _drawn(site, only)):
        _strike(kind, site, as_error)


def write(file: BinaryIO, content: bytes) -> None:
    """Write to a file; a torn write leaves half of the content there and fails."""
    if _plan is not None and (kind := _drawn("write")):
        file.write(content[: len(content) // 2])
        file.flush()
        _strike(kind, "write", OSError)
    file.write(content)


def _drawn(site: str, only: str | None = None) -> str | None:
    place = _plan.sites.get(site)
    return place.kind(only) if place else None


def _strike(kind: str, site: str, as_error: type[Exception]) -> None:
    if path := os.environ.get(RECORD):
        with open(path, "a") as file:
            file.write(f"{site}\t{kind}\n")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    number = NUMBERS[kind]
    raise OSError(number, os.strerror(number)) if as_error is OSError else as_error(os.strerror(number))
