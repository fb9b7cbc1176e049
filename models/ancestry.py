"""Ancestors and descendants of measured cells, along the pairings between measured times."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dynamics.coupling import Coupling, couple
from dynamics.errors import DataError, ModelError
from dynamics.snapshots import Snapshots
from dynamics.velocity import check_width
from models.cell_model import CellModel


def plans(model: CellModel, snapshots: Snapshots) -> tuple[Coupling, ...]:
    """Pair the cells of neighbouring times of a data set as the model did.

    Rows in the couplings count within the cells of one time, in the order of the snapshots.

    Raises
    ------
    ModelError
        The model does not rest on such a pairing, or has another width than the snapshots.
    """
    if "pairing" not in model.settings:
        raise ModelError(
            f'The model "{model.name}" ({model.method}) does not rest on a pairing of cells that could be '
            "repeated. Use one of the method ot."
        )
    check_width(model, snapshots.states)
    scaled = ((snapshots.states - model.shift) / model.scale).astype(np.float32)
    states = [scaled[snapshots.rows(k)] for k in range(snapshots.n_times)]
    pairing = str(model.settings["pairing"])
    return tuple(couple(*pair, name=pairing, seed=model.seed) for pair in pairwise(states))


def push(couplings: Sequence[Coupling], weights: np.ndarray, *, start: int, stop: int) -> np.ndarray:
    """Carry weights of the cells of time `start` to their descendants at the later time `stop`.

    The mass of each cell is shared among its partners in proportion to the weights of the pairs, so the
    total is kept.

    Parameters
    ----------
    weights : (n_start,)
        Of the cells of time number `start`, such as 1 for the cells of one type and 0 for the others.

    Returns
    -------
    (n_stop,), of the cells of time number `stop`.

    Raises
    ------
    DataError
        Not as many weights as cells, negative ones, or times that are not there or not in this order.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression, Cell 2019.
    """
    _check(couplings, weights, first=start, last=stop, n=couplings[min(start, len(couplings) - 1)].sizes[0])
    for one in couplings[start:stop]:
        weights = _shared(one.i, one.j, one.weight, weights, n=one.sizes[1])
    return weights


def pull(couplings: Sequence[Coupling], weights: np.ndarray, *, start: int, stop: int) -> np.ndarray:
    """Carry weights of the cells of time `start` back to their ancestors at the earlier time `stop`.

    As `push`, backward.
    """
    _check(couplings, weights, first=stop, last=start, n=couplings[min(start, len(couplings)) - 1].sizes[1])
    for one in reversed(couplings[stop:start]):
        weights = _shared(one.j, one.i, one.weight, weights, n=one.sizes[0])
    return weights


def _shared(
    source: np.ndarray, target: np.ndarray, pair: np.ndarray, weights: np.ndarray, *, n: int
) -> np.ndarray:
    whole = np.bincount(source, pair, minlength=len(weights))
    return np.bincount(target, weights[source] * pair / whole[source], minlength=n)


def _check(couplings: Sequence[Coupling], weights: np.ndarray, *, first: int, last: int, n: int) -> None:
    if not 0 <= first < last <= len(couplings):
        raise DataError(
            f"Weights go from one of {len(couplings) + 1} times to another; asked for was number {first} "
            f"as the earlier and {last} as the later, counted from 0."
        )
    if np.shape(weights) != (n,):
        raise DataError(
            f"There are {n:,} cells at this time; weights of shape {np.shape(weights)} were given."
        )
    if not (np.isfinite(weights).all() and (np.asarray(weights) >= 0).all()):
        raise DataError("Weights of cells must be numbers of at least 0.")
