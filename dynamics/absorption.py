"""Where a chain over measured cells ends: the share of each cell's descendants in every terminal state."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order
from scipy.sparse.linalg import gmres, spsolve

from dynamics.errors import DataError, IntegrationError

if TYPE_CHECKING:
    from dynamics.terminal import TerminalStates
    from dynamics.transitions import Transitions

REACHES = 0.01
"""A cell has fates where this share of its descendants or more reaches a terminal state."""

DIRECT = 400
"""Cells outside of terminal states up to which the last snapshot's equations are solved directly."""

TOLERANCE = 1e-8
MOST_RESTARTS = 200


@dataclass(frozen=True, eq=False)
class Absorbed:
    """Where one chain ends.

    Attributes
    ----------
    probabilities : (n, n_fates)
        Of those descendants that reach a terminal state, the share in each; NaN where fewer than 1 % do.
    reached : (n,)
        Share of the descendants that reach a terminal state.
    unsupported : (n,)
        Share of the paths that have left the measured cells at some time on the way.
    """

    probabilities: np.ndarray = field(repr=False)
    reached: np.ndarray = field(repr=False)
    unsupported: np.ndarray = field(repr=False)


def absorbed(chain: "Transitions", states: "TerminalStates", *, growth: bool = True) -> Absorbed:
    """Follow a chain to its end and tell what share of each cell's descendants is in which terminal state.

    Going backwards from the last time, M_if = w_i Σ_j T_ij M_jf and N_i = w_i Σ_j T_ij N_j are the
    descendants in state f and all of them; a cell of a state counts N_i there. Inside the last snapshot
    the shares solve (I − Q) F = R, with Q the chain among cells outside of the states and R that into them.

    Parameters
    ----------
    growth
        Whether a cell counts as often as it multiplies; without, or where no growth is known, w = 1.

    Raises
    ------
    DataError
        There are fewer than two states, or no cell of the last time can reach any.

    References
    ----------
    Kemeny and Snell, Finite Markov Chains, 1960, chapter III (absorption); Lange et al., Nature Methods 2022.
    """
    check_states(states)
    shares = last_shares(chain, states)
    mass, total = shares, np.ones(len(shares))
    away = np.zeros(len(shares))
    found = [(mass, total, away)]
    for k in reversed(range(chain.n_times - 1)):
        off = chain.off[k]
        weight = chain.weights[k] if growth and chain.weights is not None else np.ones(len(off))
        lost = np.maximum(1 - chain.pull(k, np.ones(len(total))), 0)
        mass, total = weight[:, None] * chain.pull(k, mass), weight * (chain.pull(k, total) + lost)
        away = off + (1 - off) * chain.pull(k, away)
        inside = np.flatnonzero(states.codes[chain.rows[k]] >= 0)
        mass[inside] = 0
        mass[inside, states.codes[chain.rows[k][inside]]] = total[inside]
        away[inside] = 0
        largest = total.max()
        mass, total = mass / largest, total / largest
        found.insert(0, (mass, total, away))
    return _gathered(chain, found, len(states))


def last_shares(chain: "Transitions", states: "TerminalStates") -> np.ndarray:
    """Return where each cell of the last time ends, (n_K, n_fates); zeros where it reaches no state.

    Raises
    ------
    DataError
        No cell of the last time is in a terminal state.
    IntegrationError
        The equations could not be solved.
    """
    codes = states.codes[chain.rows[-1]]
    shares = np.zeros((len(codes), len(states)))
    inside = codes >= 0
    shares[inside, codes[inside]] = 1
    if not inside.any():
        raise DataError(
            "No cell of the last time is in a terminal state, so no path can end in one. Pick some "
            "among the cells of the last time."
        )
    open_cells = np.flatnonzero(~inside & _reaches(chain.within, inside))
    if len(open_cells):
        among = chain.within[open_cells][:, open_cells]
        into = chain.within[open_cells] @ shares
        shares[open_cells] = np.clip(_solved(sparse.identity(len(open_cells)) - among, into), 0, 1)
    return shares


def check_states(states: "TerminalStates") -> None:
    """Refuse fewer than two terminal states."""
    if len(states) < 2:
        there = f"only “{states.names[0]}” is there" if len(states) else "none is there"
        raise DataError(
            f"Fates need at least two terminal states; {there}. Pick another one among the cells of the last "
            "time, or split one."
        )


def _reaches(within: sparse.csr_matrix, inside: np.ndarray) -> np.ndarray:
    """Tell which cells can get to a terminal state along the chain, (n,) bool."""
    n = len(inside)
    into = sparse.csr_matrix(inside.astype(float))  # one more node, from which the states are entered
    backwards = sparse.bmat([[within.T, None], [into, sparse.csr_matrix((1, 1))]], format="csr")
    found = breadth_first_order(backwards, n, directed=True, return_predecessors=False)
    reached = np.zeros(n + 1, bool)
    reached[found] = True
    return reached[:n]


def _solved(matrix: sparse.spmatrix, right: np.ndarray) -> np.ndarray:
    """Solve a sparse system for every column."""
    matrix = sparse.csc_matrix(matrix)
    if matrix.shape[0] <= DIRECT:
        return spsolve(matrix, right).reshape(right.shape)
    result = np.empty(right.shape)
    diagonal = sparse.diags(1 / matrix.diagonal())
    for k in range(right.shape[1]):
        result[:, k], failed = gmres(
            matrix.tocsr(),
            right[:, k],
            rtol=TOLERANCE,
            atol=0.0,
            restart=50,
            maxiter=MOST_RESTARTS,
            M=diagonal,
        )
        if failed:
            raise IntegrationError(
                f"The fates inside the last time could not be solved for ({matrix.shape[0]:,} cells outside "
                "of terminal states). Pick larger ones, so that fewer cells lie far from all of them."
            )
    return result


def _gathered(chain: "Transitions", found: list, n_fates: int) -> Absorbed:
    """Put the cells of all times in the order of the snapshots, as shares of the descendants."""
    probabilities = np.full((chain.n_cells, n_fates), np.nan)
    reached, unsupported = np.zeros(chain.n_cells), np.zeros(chain.n_cells)
    for rows, (mass, total, away) in zip(chain.rows, found, strict=True):
        arrived = mass.sum(axis=1)
        reached[rows] = np.minimum(arrived / np.maximum(total, np.finfo(float).tiny), 1)
        told = reached[rows] >= REACHES
        probabilities[rows[told]] = mass[told] / arrived[told, None]
        unsupported[rows] = away
    return Absorbed(probabilities, reached, unsupported)
