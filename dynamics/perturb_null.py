"""What random genes would do: the same perturbation of genes that vary as much, to compare an effect with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynamics.ensemble import members_of
from dynamics.errors import Stopped
from dynamics.fate_readout import Outcome, Readout, follow, outcome, read_path
from dynamics.field import Progress, no_progress
from dynamics.perturb import CALLED, Effect, effect
from dynamics.perturbation import FEWEST_R2, IDLE, PLAUSIBLE, Perturbation, Surroundings, wanted_changes
from dynamics.perturbed_field import ManyPerturbed, OneMember

if TYPE_CHECKING:
    from dynamics.field import VelocityField

N_RANDOM = 40
"""Random genes that an effect is compared with."""

FEWEST_RANDOM = 10
"""With fewer genes of equal variance there is no comparison."""

MOST_CELLS = 60
"""Cells that each of them is tried on."""

AT_ONCE = 16_000
"""Paths followed at once."""

LEVEL = 0.5
"""Weight of a gene's expression level against its variance, both as ranks, in finding genes alike."""


@dataclass(frozen=True, eq=False)
class Null:
    """Effects of random genes.

    Attributes
    ----------
    genes
        Their names; none where too few vary as much.
    change : (n_random, n_fates)
    observed : (n_fates,)
        Effect of the perturbation itself, on the same cells and by the same member.
    p : (n_fates,)
        Share of random genes whose effect is at least as large; 1 / (n_random + 1) at least.
    low, high : (n_fates,)
        Between these are the effects of 8 of 10 random genes.
    """

    genes: tuple[str, ...] = field(repr=False)
    change: np.ndarray = field(repr=False)
    observed: np.ndarray
    p: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def typical(self) -> np.ndarray:
        """Median size of the effects of random genes, (n_fates,)."""
        return np.nanmedian(np.abs(self.change), axis=0)


@dataclass(frozen=True, eq=False)
class Moves:
    """One perturbation for each of several genes.

    Attributes
    ----------
    columns : (g,)
        Of the basis.
    delta : (g, n)
        Change of the gene in each cell, in log expression.
    """

    columns: np.ndarray
    delta: np.ndarray


def null(
    velocity_field: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    states: np.ndarray,
    times: np.ndarray,
    perturbation: Perturbation,
    n_random: int = N_RANDOM,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Null | None:
    """Do the same to random genes that vary as much among cells of one time and are expressed as highly.

    Each random gene is changed, in each cell, by as many standard deviations as the gene in question, and
    held likewise; by the model itself (the first member), on at most 60 of the cells. With several genes the
    random ones are compared with the one that is moved furthest, at the combined distance.

    Returns
    -------
    None where fewer than 10 genes are alike, or there are fewer than two terminal states.
    """
    if not told.names:
        return None
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(states), min(len(states), MOST_CELLS), replace=False))
    states, times = states[some], times[some]
    columns = around.basis.columns(perturbation.genes)
    delta = perturbation.dose * wanted_changes(around, states, perturbation)
    in_sd = np.abs(delta) / np.maximum(around.sd(columns), IDLE)
    lead = int(in_sd.mean(axis=0).argmax())
    alike = matched(around, int(columns[lead]), n=n_random, besides=columns)
    if len(alike) < FEWEST_RANDOM:
        return None
    size = np.sqrt(np.square(in_sd).sum(axis=1)) * np.sign(delta[:, lead])
    tried = np.concatenate([columns[[lead]], alike]) if len(columns) == 1 else alike
    moves = Moves(tried, size[None] * around.sd(tried)[:, None])
    member = members_of(velocity_field)[0]
    before = outcome(OneMember(member), told, states, times=times)
    given = {"states": states, "times": times, "before": before, "progress": progress}
    changes, _, _ = many(member, told, around, moves=moves, perturbation=perturbation, **given)
    if len(columns) == 1:
        observed, changes = changes[0], changes[1:]
    else:
        given = {"states": states, "times": times, "before": before, "perturbation": perturbation}
        observed = effect(OneMember(member), told, around, **given).change
    return _null(tuple(around.basis.genes[k] for k in alike), changes, observed)


def matched(around: Surroundings, column: int, *, n: int, besides: np.ndarray) -> np.ndarray:
    """Return the columns of the genes most alike in variance and level, (≤ n,), of those the states know."""
    pool = eligible(around)
    pool = np.union1d(pool, [column])
    sd, level = around.sd(pool), around.mean[pool]
    place = np.stack([_rank(sd), LEVEL * _rank(level)], axis=1)
    apart = np.linalg.norm(place - place[np.flatnonzero(pool == column)[0]], axis=1)
    order = np.argsort(apart, kind="stable")
    found = pool[order]
    return found[~np.isin(found, besides)][:n]


def eligible(around: Surroundings) -> np.ndarray:
    """Return the columns of the genes that vary and that the states know, (m,)."""
    columns = np.flatnonzero(around.basis.r2 >= FEWEST_R2)
    return columns[around.sd(columns) > IDLE]


def many(
    member: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    moves: Moves,
    states: np.ndarray,
    times: np.ndarray,
    perturbation: Perturbation,
    before: Outcome,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Perturb many single genes in the same cells by one field, some thousand paths at once.

    Parameters
    ----------
    perturbation
        Says how cells are moved and whether genes are held; which gene, and by how much, is in `moves`.

    Returns
    -------
    Mean change of the fates, (g, n_fates), its standard error over the cells, and the share of paths off the
    data, (g,).
    """
    at, n = np.searchsorted(told.times, times - 1e-9), len(states)
    step = max(1, AT_ONCE // n)
    parts = []
    for first in range(0, len(moves.columns), step):
        if not progress(first / len(moves.columns), f"trying {len(moves.columns):,} genes"):
            raise Stopped
        some = Moves(moves.columns[first : first + step], moves.delta[first : first + step])
        given = {"moves": some, "states": states, "at": at, "perturbation": perturbation}
        parts.append(_tried(member, told, around, base=before.fates[0], **given))
    return tuple(np.concatenate([part[k] for part in parts]) for k in range(3))


def _tried(
    member: "VelocityField",
    told: Readout,
    around: Surroundings,
    *,
    moves: Moves,
    states: np.ndarray,
    at: np.ndarray,
    perturbation: Perturbation,
    base: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    g, n = moves.delta.shape
    loadings = around.basis.loadings[:, moves.columns].T.astype(np.float64)
    dose = perturbation.dose if perturbation.held else 0.0
    field = ManyPerturbed(member, loadings, dose=dose)
    changes, off = np.full((g, n, len(told.names)), np.nan), np.zeros((g, n), bool)
    for k in np.unique(at):
        mine = np.flatnonzero(at == k)
        spread = loadings @ around.covariance[k] if perturbation.move == PLAUSIBLE else loadings
        way = spread / np.maximum((spread * loadings).sum(axis=1, keepdims=True), IDLE)
        start = states[mine][None] + moves.delta[:, mine, None] * way[:, None]
        number = np.repeat(np.arange(g, dtype=np.float32), len(mine))
        flat = start.reshape(g * len(mine), -1)
        path = follow(field, told, np.column_stack([flat, number]).astype(np.float32), begin=int(k))
        fates, away, _ = read_path(told, 0, path[:, :, :-1], begin=int(k))
        away |= told.landings[k].connect(flat)[1]
        changes[:, mine] = fates.reshape(g, len(mine), -1) - base[mine]
        off[:, mine] = away.reshape(g, -1)
    known = np.isfinite(changes).all(axis=2)
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    mean = np.where(known[:, :, None], changes, 0).sum(axis=1) / count
    square = np.where(known[:, :, None], np.square(changes - mean[:, None]), 0).sum(axis=1) / count
    mean[~known.any(axis=1)] = np.nan
    return mean, np.sqrt(square / count), off.mean(axis=1)


def verdict(found: Effect, random: Null | None, *, fate: int | None = None) -> tuple[str, str]:
    """Return what may be concluded, as a level ("good", "warning" or "info"), and in words."""
    if found.refused:
        return "warning", (
            f"No conclusion: {found.off:.0%} of the perturbed cells are nowhere near measured cells, so the "
            "model has seen nothing like them. Take a smaller dose, or other cells."
        )
    if not found.names:
        return "info", "Fewer than two terminal states: only how far paths are displaced can be told."
    k = found.largest if fate is None else fate
    if not found.low[k] * found.high[k] > 0:
        return "info", "The interval holds zero: no effect can be told."
    if found.by_cell is None:
        return "good", "The interval does not hold zero: these cells have other fates."
    if random is None:
        return "warning", "Too few genes vary as much, so whether random genes do the same is not known."
    if random.p[k] > CALLED:
        return "info", (
            f"{random.p[k]:.0%} of random genes of equal variance do as much: nothing speaks for this "
            "gene in particular."
        )
    return "good", f"Candidate effect: of random genes of equal variance {random.p[k]:.0%} do as much."


def _null(genes: tuple[str, ...], changes: np.ndarray, observed: np.ndarray) -> Null:
    n = len(changes)
    p = ((np.abs(changes) >= np.abs(observed)).sum(axis=0) + 1) / (n + 1)
    low, high = np.nanquantile(changes, [0.1, 0.9], axis=0)
    return Null(genes, changes, observed, p, low, high)


def _rank(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value as a share, (n,)."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(len(values), 1)
