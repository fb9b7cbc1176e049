"""The data sets that come with the app, one click each; nothing is downloaded.

Importing this module loads no data library, so the start page can list the examples at once.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from dynamics.errors import SettingsError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Demo:
    """A built-in data set.

    Parameters
    ----------
    title, sentence
        What it is, for a list; what one can learn from it.
    source
        The function that makes it, as "module:function".
    """

    title: str
    sentence: str
    source: str

    def make(self, seed: int = 0) -> "AnnData":
        """Make the data set; the same seed gives the same data."""
        module, function = self.source.split(":")
        return getattr(import_module(module), function)(seed=seed)


DEMOS = {
    "branching": Demo(
        "Branching blood formation (simulated)",
        "6,000 cells, 200 genes, five days from stem cell to three fates; the true velocity, growth, fates "
        "and network are known, so every result can be checked.",
        "dynamics.blood:simulate",
    ),
    "krumsiek11": Demo(
        "Myeloid progenitors, Boolean network (simulated differentiation)",
        "640 states, 11 genes, from four simulated runs cut into five time windows; small and quick, and few "
        "runs: the states of one run follow one another.",
        "dynamics.bundled:krumsiek11",
    ),
    "pbmc68k_reduced": Demo(
        "Blood cells of one donor (no time column)",
        "700 real cells, 765 genes, sampled once: shows what the app says and what can still be done when "
        "nothing was followed over time.",
        "dynamics.bundled:pbmc68k_reduced",
    ),
}


def make_demo(name: str, *, seed: int = 0) -> "AnnData":
    """Make the built-in data set of this name.

    Raises
    ------
    SettingsError
        There is none; the message lists the names.
    """
    if name not in DEMOS:
        raise SettingsError(f"There is no example called {name!r}; there are {', '.join(DEMOS)}.")
    return DEMOS[name].make(seed)
