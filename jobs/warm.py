"""Warm-up: load and compile on each worker what the first click needs, in steps that let jobs go first."""

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

log = logging.getLogger(__name__)


def load_torch() -> None:
    """Load what training needs."""
    _load("torch", "models.train", "models.checkpoint")


def load_scanpy() -> None:
    """Load what opening and preparing data, and using models, need."""
    _load("anndata", "sklearn.neighbors", "scanpy", "jobs.work", "jobs.work_models")
    importlib.import_module("jobs.sandbox").nursery().warm()


def load_umap() -> None:
    """Load what the embedding needs."""
    _load("umap")


def compile_umap() -> None:
    """Embed a small random cloud, which compiles all that the embedding of a data set runs."""
    importlib.import_module("dynamics.embedding").warm_up()


def _load(*modules: str) -> None:
    for name in modules:
        importlib.import_module(name)


STEPS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "loading torch": load_torch,
        "loading scanpy": load_scanpy,
        "loading umap": load_umap,
        "compiling umap": compile_umap,
    }
)
EXCLUSIVE = frozenset({"loading umap", "compiling umap"})
"""Steps that compile: half a minute for the first worker, which keeps the result for the others.

Where there are several workers, one at least is kept free of them.
"""


def run(step: str) -> float:
    """Do one step on this worker and return the seconds that it took."""
    started = time.monotonic()
    STEPS[step]()
    return time.monotonic() - started


class WarmUp:
    """Which steps each worker still has to do.

    A worker that dies during a step twice is taken as warm: better slow at first than never ready.
    """

    def __init__(self, *, on: bool) -> None:
        self._steps = tuple(STEPS) if on else ()
        self._todo: dict[str, list[str]] = {}
        self._doing: dict[str, str] = {}
        self._deaths = 0

    def follow(self, workers: set[str]) -> None:
        """Take note of the workers that are there."""
        for gone in set(self._todo) - workers:
            del self._todo[gone]
            if self._doing.pop(gone, None):
                self._deaths += 1
        for new in workers - set(self._todo):
            self._todo[new] = list(self._steps) if self._deaths < 2 else []

    def next_step(self, worker: str) -> str | None:
        """Return what an idle worker should do now; None for nothing."""
        todo = self._todo.get(worker)
        if not todo or worker in self._doing:
            return None
        step = todo[0]
        others = [doing for doing in self._doing.values() if doing in EXCLUSIVE]
        if step in EXCLUSIVE and others and len(others) + 1 >= len(self._todo):
            return None
        self._doing[worker] = todo.pop(0)
        return step

    def done(self, worker: str) -> None:
        """Take note that a worker ended its step."""
        self._doing.pop(worker, None)

    @property
    def busy(self) -> set[str]:
        """Workers with a step under way."""
        return set(self._doing)

    @property
    def warm(self) -> bool:
        """All workers that are there have done all steps."""
        return bool(self._todo) and not self._doing and not any(self._todo.values())

    def message(self) -> str:
        """Return one sentence for the user."""
        total = len(self._steps) * len(self._todo)
        left = sum(map(len, self._todo.values())) + len(self._doing)
        doing = ", ".join(sorted(set(self._doing.values())))
        return f"Getting ready, {total - left} of {total} steps done ({doing})" if left else "Ready"

    def rank(self, worker: str) -> int:
        """Return how far a worker is from being warm, for choosing the best one."""
        return len(self._todo.get(worker, ()))
