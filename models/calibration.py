"""Whether the band of an ensemble holds as many real values as it says, and how to widen it if not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dynamics.ensemble import NOMINAL
from dynamics.errors import DataError

FINE = (0.7, 0.9)
"""Shares at which a band counts as right."""
QUARTILES = (0.25, 0.75)
RESAMPLES = 50


@dataclass(frozen=True, eq=False)
class Misses:
    """How far real values lie from the middle of a band that is meant to hold 80 % of them.

    Attributes
    ----------
    distance : (n_values,)
        In half-widths of the band: at most 1 inside.
    """

    distance: np.ndarray

    @property
    def covered(self) -> float:
        """Share of the real values inside the band."""
        return float((self.distance <= 1).mean())


@dataclass(frozen=True)
class Calibration:
    """What the bands of an ensemble held on times that it had not seen.

    Attributes
    ----------
    covered
        Share of the real values in the bands as they come from the ensemble.
    factor
        The bands are widened by this much so that 80 % of the values of all times lie inside.
    covered_widened
        Share inside where each time's bands are widened by what the other times call for; None with one time.
    n_values, n_times
    """

    covered: float
    factor: float
    covered_widened: float | None
    n_values: int
    n_times: int

    @property
    def fine(self) -> bool:
        """Whether the bands are right as they are."""
        return FINE[0] <= self.covered <= FINE[1]


def misses(predicted: Sequence[np.ndarray], real: np.ndarray, *, rng: np.random.Generator) -> Misses:
    """Place real means and quartiles of every dimension in the band of several predictions.

    The band of a quantity is Student's for the mean of the members plus a new one, widened by what chance
    does to the real quantity, which is known from a sample of cells only.

    Parameters
    ----------
    predicted : of (n, dim) each
        States predicted by each member, from its own draw of cells.
    real : (m, dim)

    References
    ----------
    Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep ensembles,
    NeurIPS 2017; the prediction interval of a further draw, Student 1908.
    """
    told = np.stack([_quantities(states) for states in predicted])
    k = len(told)
    if k < 3:
        raise DataError(f"A band needs 3 members of an ensemble or more; there are {k}.")
    again = np.stack([_quantities(real[rng.integers(len(real), size=len(real))]) for _ in range(RESAMPLES)])
    width = np.sqrt(told.var(axis=0, ddof=1) * (1 + 1 / k) + again.var(axis=0, ddof=1))
    half = width * stats.t.ppf((1 + NOMINAL) / 2, k - 1)
    off = np.abs(_quantities(real) - told.mean(axis=0))
    return Misses(np.where(off > 0, off / np.maximum(half, np.finfo(float).tiny), 0.0))


def calibrate(found: Sequence[Misses]) -> Calibration:
    """Count what the bands held, and find the factor by which to widen (or narrow) them.

    References
    ----------
    Vovk et al., Algorithmic learning in a random world, 2005 (the quantile of past misses as the next band);
    here each held-out time is judged by the factor of the others.
    """
    everything = np.concatenate([one.distance for one in found])
    widened = None
    if len(found) > 1:
        inside = [one.distance <= _factor([other for other in found if other is not one]) for one in found]
        widened = float(np.concatenate(inside).mean())
    return Calibration(
        covered=float((everything <= 1).mean()),
        factor=_factor(found),
        covered_widened=widened,
        n_values=len(everything),
        n_times=len(found),
    )


def _factor(found: Sequence[Misses]) -> float:
    return float(np.quantile(np.concatenate([one.distance for one in found]), NOMINAL))


def _quantities(states: np.ndarray) -> np.ndarray:
    """Mean and quartiles of every dimension, one after the other."""
    return np.concatenate(
        [states.mean(axis=0, keepdims=True), np.quantile(states, QUARTILES, axis=0)]
    ).ravel()
