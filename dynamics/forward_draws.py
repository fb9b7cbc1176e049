"""Fates by chance: many possible paths of each cell, sorted by the terminal state they end in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics import growth as growing
from dynamics.absorption import REACHES, Absorbed, check_states, last_shares
from dynamics.errors import Stopped
from dynamics.field import Progress, no_progress, share
from dynamics.proposals import one_hot
from dynamics.stochastic import StochasticField, simulate
from dynamics.transitions import MOST_LOG, Landing

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates
    from dynamics.transitions import Transitions

PATHS_AT_ONCE = 40_000

SUBSTEPS = 10
"""Steps of a path from one measured time to the next."""


@dataclass(frozen=True, eq=False)
class _Course:
    """What it takes to sort paths: where cells lie at each time, and which fates they stand for."""

    times: np.ndarray
    landings: tuple[Landing, ...]
    shares: tuple[np.ndarray, ...]
    """Of the cells of each time, (n_k, n_fates): 1 in a terminal state; at the last time, where they end."""
    growth: str
    rates: tuple[np.ndarray, ...]
    """Growth rates that genes speak for, (n_k,) of each time; empty where they are not asked."""


def drawn(
    field: StochasticField,
    snapshots: "Snapshots",
    states: "TerminalStates",
    *,
    chain: "Transitions",
    draws: int,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Absorbed, Absorbed | None]:
    """Draw several paths of each cell to the last time; return their fates, with growth and without it.

    The paths of the cells that a cell cannot be told apart from count for it as well (`Transitions.around`).

    A path that comes among cells of a terminal state ends there, by as much as its nearest cells belong to
    it; at the last time it goes on as these do. With growth, paths count by how often the cell multiplies on
    them. The second answer is None where no growth is known.

    Parameters
    ----------
    chain
        The chain of the same field, from which growth and the way inside the last time are taken.
    """
    check_states(states)
    course = _course(snapshots, states, chain)
    found, plain = _at_rest(chain, states, course), _at_rest(chain, states, course)
    for k, rows in enumerate(chain.rows[:-1]):
        part = share(progress, k / (chain.n_times - 1), (k + 1) / (chain.n_times - 1))
        ended = _ended(field, snapshots, course, begin=k, rows=rows, draws=draws, seed=seed, progress=part)
        _write(found, chain.around[k], rows, ended=ended, states=states)
        ended = (ended[0], ended[1], np.zeros_like(ended[2]))
        _write(plain, chain.around[k], rows, ended=ended, states=states)
    return found, None if chain.weights is None else plain


def _ended(
    field: StochasticField,
    snapshots: "Snapshots",
    course: "_Course",
    *,
    begin: int,
    rows: np.ndarray,
    draws: int,
    seed: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow several paths of the cells of one time; arrays by cell and draw, as of `_walked`."""
    at_once = max(1, PATHS_AT_ONCE // draws)
    parts = []
    for number, first in enumerate(range(0, len(rows), at_once)):
        if not progress(first / len(rows), f"drawing {draws} paths of {len(rows):,} cells"):
            raise Stopped
        some = rows[first : first + at_once]
        stream = int(np.random.SeedSequence([seed, begin, number]).generate_state(1)[0])
        start = np.repeat(snapshots.states[some], draws, axis=0)
        rates = np.repeat(snapshots.prior_growth[some], draws) if course.rates else None
        walked = _walked(field, start, course, begin=begin, seed=stream, rates=rates)
        parts.append([part.reshape(len(some), draws, *part.shape[1:]) for part in walked])
    return tuple(np.concatenate([part[k] for part in parts]) for k in range(3))


def _course(snapshots: "Snapshots", states: "TerminalStates", chain: "Transitions") -> _Course:
    shares = [one_hot(states.codes[rows], len(states)) for rows in chain.rows[:-1]]
    genes = chain.growth == "genes"
    return _Course(
        times=np.array([float(snapshots.times[rows[0]]) for rows in chain.rows]),
        landings=tuple(Landing(snapshots.states[rows]) for rows in chain.rows),
        shares=(*shares, last_shares(chain, states)),
        growth=chain.growth,
        rates=tuple(snapshots.prior_growth[rows] for rows in chain.rows) if genes else (),
    )


def _walked(
    field: StochasticField,
    x0: np.ndarray,
    course: _Course,
    *,
    begin: int,
    seed: int,
    rates: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fates of paths, (m, n_fates), whether they left the data, (m,), and log weights, (m,).

    Growth of the model is summed by the midpoint rule, that of genes by the trapezoid rule.
    """
    measured = course.times[begin:]
    grid = np.sort(np.append(measured, (measured[1:] + measured[:-1]) / 2))
    paths = simulate(field, x0, grid, seed=seed, substeps=SUBSTEPS).states
    ended = np.zeros((len(x0), course.shares[0].shape[1]))
    alive, away, log_weight = np.ones(len(x0)), np.zeros(len(x0), bool), np.zeros(len(x0))
    for j, gap in enumerate(np.diff(measured)):
        near, off = course.landings[begin + j + 1].connect(paths[2 * j + 2])
        away |= off & (alive > 0)
        if course.growth == "model":
            followed = np.isfinite(paths[2 * j + 1]).all(axis=1)
            log_weight[followed] += gap * growing.growth_rate(
                field, grid[2 * j + 1], paths[2 * j + 1][followed]
            )
        elif rates is not None:
            after = near @ course.rates[begin + j + 1]
            log_weight, rates = log_weight + gap * (rates + after) / 2, after
        part = near @ course.shares[begin + j + 1]
        ended += alive[:, None] * part
        alive = alive * np.clip(1 - part.sum(axis=1), 0, 1)
    return ended, away, np.clip(log_weight, -MOST_LOG, MOST_LOG)


def _at_rest(chain: "Transitions", states: "TerminalStates", course: _Course) -> Absorbed:
    """Return the fates of the cells that need not be followed: those of the last time and of the states."""
    probabilities = np.full((chain.n_cells, len(states)), np.nan)
    for rows, share_of in zip(chain.rows, course.shares, strict=True):
        probabilities[rows] = share_of
    reached = probabilities.sum(axis=1)
    probabilities[reached < REACHES] = np.nan
    return Absorbed(probabilities, reached, np.zeros(chain.n_cells))


def _write(
    found: Absorbed,
    around: sparse.csr_matrix,
    rows: np.ndarray,
    *,
    ended: tuple[np.ndarray, np.ndarray, np.ndarray],
    states: "TerminalStates",
) -> None:
    """Put the weighted mean over the draws of each cell and of those around it into the rows of one time."""
    shares, away, log_weight = ended
    open_cells = states.codes[rows] < 0
    weight = np.exp(log_weight)
    mass = around @ (weight[:, :, None] * shares).mean(axis=1)
    reached = np.minimum(mass.sum(axis=1) / (around @ weight.mean(axis=1)), 1)
    told = open_cells & (reached >= REACHES)
    found.reached[rows[open_cells]] = reached[open_cells]
    found.probabilities[rows[told]] = mass[told] / mass[told].sum(axis=1, keepdims=True)
    found.unsupported[rows[open_cells]] = (around @ away.mean(axis=1))[open_cells]
