"""Where unmeasured states go: followed, with their fates read off measured cells."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.absorption import REACHES, last_shares
from dynamics.ensemble import members_of
from dynamics.errors import DataError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.integrate import integrate
from dynamics.proposals import one_hot
from dynamics.trajectories import coded
from dynamics.transitions import Landing, Transitions, chains

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates


@dataclass(frozen=True, eq=False)
class Readout:
    """What it takes to tell the fates of unmeasured states: measured cells of each time, and what they are.

    Attributes
    ----------
    times : (T,)
    landings
        One for each time.
    shares : (n_k, n_fates) for each time, for each member
        1 in a terminal state; at the last time, where the cells end.
    names
        Of the terminal states; none where there are fewer than two.
    kinds : (n_K, n_types) or None
        Cell type of the cells of the last time, as rows of zeros with a one.
    types
        Names of the cell types.
    width
        Spread of a typical snapshot, in state units.
    """

    times: np.ndarray
    landings: tuple[Landing, ...] = field(repr=False)
    shares: tuple[tuple[np.ndarray, ...], ...] = field(repr=False)
    names: tuple[str, ...] = ()
    kinds: np.ndarray | None = field(default=None, repr=False)
    types: tuple[str, ...] = ()
    width: float = 1.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """Where cells go: fates by member, (members, n, n_fates), and by cell whether they were on the data.

    Attributes
    ----------
    fates : (members, n, n_fates)
        NaN where a cell reaches no terminal state.
    ends : (members, n, dim)
    composition : (members, n, n_types) or None
        Cell types of the measured cells around the end; zero where the path has left the data.
    off : (members, n) bool
        Whether the cell was further from measured cells than the limit, at its start or later.
    off_start : (n,) bool
    """

    fates: np.ndarray = field(repr=False)
    ends: np.ndarray = field(repr=False)
    composition: np.ndarray | None = field(repr=False)
    off: np.ndarray = field(repr=False)
    off_start: np.ndarray = field(repr=False)


def readout(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    states: "TerminalStates",
    *,
    chains_of: Sequence[Transitions] | None = None,
    labels: np.ndarray | None = None,
) -> Readout:
    """Prepare to tell the fates of unmeasured states.

    Parameters
    ----------
    chains_of
        Chains of the members (`dynamics.transitions.chains`), where they are already there.
    labels : (n,)
        Cell type of each cell of the snapshots.
    """
    rows = [snapshots.rows(k) for k in range(snapshots.n_times)]
    rows = [mine for mine in rows if len(mine)]
    if len(rows) < 2:
        raise DataError("Following cells needs cells of at least two times.")
    enough, members = len(states) > 1, members_of(velocity_field)
    early = tuple(one_hot(states.codes[mine], len(states) if enough else 0) for mine in rows[:-1])
    if enough:
        if chains_of is None:
            chains_of = chains(velocity_field, snapshots, growth="none")
        shares = tuple((*early, last_shares(chain, states)) for chain in chains_of)
    else:
        shares = tuple((*early, np.zeros((len(rows[-1]), 0))) for _ in members)
    names, codes = ((), None) if labels is None else coded(labels, snapshots.n_cells)
    spreads = [np.sqrt(snapshots.states[mine].astype(np.float64).var(axis=0).sum()) for mine in rows]
    return Readout(
        times=np.array([float(snapshots.times[mine[0]]) for mine in rows]),
        landings=tuple(Landing(snapshots.states[mine]) for mine in rows),
        shares=shares,
        names=states.names if enough else (),
        kinds=None if codes is None else one_hot(codes[rows[-1]], len(names)),
        types=names,
        width=float(np.median(spreads)) or 1.0,
    )


def outcome(
    velocity_field: "VelocityField",
    told: Readout,
    states: np.ndarray,
    *,
    times: np.ndarray,
    progress: Progress = no_progress,
) -> Outcome:
    """Follow states to the last time with every member, and read their fates off the measured cells there.

    Where a path comes among cells of a terminal state it ends there, by as much as its nearest cells belong
    to it; at the last time it goes on as these do (the kernel of `dynamics.transitions.Landing`).

    Parameters
    ----------
    states : (n, dim)
    times : (n,)
        Time of each state, one of `told.times`.
    """
    members = members_of(velocity_field)
    n, at = len(states), np.searchsorted(told.times, times - 1e-9)
    fates = np.full((len(members), n, len(told.names)), np.nan)
    kinds = None if told.kinds is None else np.zeros((len(members), n, len(told.types)))
    ends, off = np.full((len(members), *states.shape), np.nan), np.zeros((len(members), n), bool)
    off_start = np.zeros(n, bool)
    groups = [(int(k), np.flatnonzero(at == k)) for k in np.unique(at)]
    for k, mine in groups:
        off_start[mine] = told.landings[k].connect(states[mine])[1]
    for number, member in enumerate(members):
        if not progress(number / len(members), f"following {n:,} cells"):
            raise Stopped
        for k, mine in groups:
            path = follow(member, told, states[mine], begin=k)
            fates[number, mine], off[number, mine], near = read_path(told, number, path, begin=k)
            ends[number, mine] = path[-1]
            if kinds is not None:
                kinds[number, mine] = near @ told.kinds * ~off[number, mine][:, None]
    return Outcome(fates, ends, kinds, off | off_start, off_start)


def read_path(
    told: Readout, member: int, path: np.ndarray, *, begin: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Return fates, (n, n_fates), whether paths were off the data, (n,), and the cells around their ends.

    Parameters
    ----------
    path : (T − begin, n, dim)
        States at the measured times from number `begin` on.
    """
    last, n = len(told.times) - 1, path.shape[1]
    ended, alive, off = np.zeros((n, len(told.names))), np.ones(n), np.zeros(n, bool)
    for k in range(min(begin + 1, last), last + 1):
        near, away = told.landings[k].connect(path[k - begin])
        off |= away & (alive > 0.5)
        part = near @ told.shares[member][k]
        ended += alive[:, None] * part
        alive = alive * np.clip(1 - part.sum(axis=1), 0, 1)
    reached = ended.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        fates = np.where(reached >= REACHES, ended / reached, np.nan)
    return fates, off, near


def follow(field: "VelocityField", told: Readout, states: np.ndarray, *, begin: int) -> np.ndarray:
    """Return states at the measured times from number `begin` on, (T − begin, n, dim)."""
    return integrate(field, states, told.times[begin:], breaks=told.times).states
