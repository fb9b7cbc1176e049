"""Drivers of one fate against another, or against each of the others in turn."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dynamics.drivers import DRAWS, Drivers, Matrix, drivers, false_discovery_rate, ranked
from dynamics.errors import DataError

EACH, ALL = "each other fate", "all others together"
"""What one fate is compared with, besides one other fate by its name."""

SHARED = 0.5
"""Cells count for two fates where these have so much of their probability together."""


def drivers_of(
    expression: Matrix,
    probabilities: np.ndarray,
    times: np.ndarray,
    *,
    fate: str,
    genes: Sequence[str],
    fates: Sequence[str],
    against: str = EACH,
    by_member: np.ndarray | None = None,
    method: str = "spearman",
    undecided: bool = False,
    ranks: Matrix | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Drivers:
    """Return how strongly each gene goes with one fate rather than with others.

    Where fates part one after the other, genes of a whole branch go with each of its fates when all others
    are put together; what sets a fate apart from its nearest sister is told by comparing it with each other
    fate alone, among the cells that may become one of the two. A gene then stands for the weakest of these
    comparisons: its effect is the one nearest to zero and its p-value the largest; 1 where signs differ.

    Parameters
    ----------
    against
        `EACH`, `ALL`, or the name of one other fate; the rest as for `dynamics.drivers.drivers`.

    Raises
    ------
    DataError
        An unknown fate, or no comparison has cells enough; a single one without them is left out of `EACH`.

    References
    ----------
    Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 1982 (intersection–union
    test: the largest p-value).
    """
    _check_names(fate, against, fates)
    if ranks is None and method == "spearman":
        ranks = ranked(expression)
    options = {"genes": genes, "method": method, "undecided": undecided, "ranks": ranks}
    options |= {"draws": draws, "seed": seed}
    if against == ALL or (against == EACH and len(fates) == 2):
        options |= {"fates": fates, "by_member": by_member}
        return _only(drivers(expression, probabilities, times, **options), fates.index(fate))
    others = [name for name in fates if name != fate] if against == EACH else [against]
    found, refusals = [], []
    for other in others:
        pair = fates.index(fate), fates.index(other)
        share = share_between(probabilities, *pair)
        members = None if by_member is None else np.stack([_share(one, *pair) for one in by_member])
        try:
            one = drivers(expression, share, times, fates=(fate, other), by_member=members, **options)
        except DataError as refusal:  # too few cells lie between these two; the others may still tell
            refusals.append(f"{fate} or {other}: {refusal}")
        else:
            found.append(_only(one, 0))
    if not found:
        raise DataError(" ".join(refusals))
    return found[0] if len(found) == 1 else _weakest(found)


def share_between(probabilities: np.ndarray, f: int, g: int) -> np.ndarray:
    """Return the share of each of two fates in both together, (n, 2); NaN where both have less than half."""
    both = probabilities[:, f] + probabilities[:, g]
    share = _share(probabilities, f, g)
    share[~(both >= SHARED)] = np.nan
    return share


def _check_names(fate: str, against: str, fates: Sequence[str]) -> None:
    for name in (fate, *([against] if against not in (EACH, ALL) else [])):
        if name not in fates:
            raise DataError(f"There is no fate called {name!r}; there are {', '.join(fates)}.")
    if fate == against:
        raise DataError(f"{fate} cannot be compared with itself. Choose another fate.")


def _share(probabilities: np.ndarray, f: int, g: int) -> np.ndarray:
    both = np.asarray(probabilities[:, f] + probabilities[:, g], np.float64)
    share = np.full(len(both), 0.5)
    np.divide(probabilities[:, f], both, out=share, where=both > 0)
    return np.column_stack([share, 1 - share])


def _only(found: Drivers, f: int) -> Drivers:
    """Return the drivers of one of the fates."""
    parts = {name: getattr(found, name)[f : f + 1].copy() for name in PARTS}
    return replace(found, fates=(found.fates[f],), **parts)


def _weakest(found: Sequence[Drivers]) -> Drivers:
    """Return the weakest of several comparisons, gene by gene."""
    stacked = {name: np.stack([getattr(one, name)[0] for one in found]) for name in PARTS}
    effect = stacked["effect"]
    known = np.isfinite(effect).all(axis=0)
    agree = known & ((effect > 0).all(axis=0) | (effect < 0).all(axis=0))
    weakest = np.where(known, np.abs(np.nan_to_num(effect)).argmin(axis=0), 0)
    columns = np.arange(effect.shape[1])
    parts = {name: np.where(known, stacked[name][weakest, columns], np.nan) for name in BOUNDS}
    for name in ("p", "null_p"):
        largest = np.where(agree, stacked[name].max(axis=0), 1.0)
        parts[name] = np.where(known, largest, np.nan)
    parts["q"] = false_discovery_rate(parts["p"])
    fewest = min(found, key=lambda one: one.n_cells)
    return replace(fewest, **{name: values[None] for name, values in parts.items()})


BOUNDS = ("effect", "low", "high")
PARTS = (*BOUNDS, "p", "q", "null_p")
