"""How far to trust the arrow of a cell: do repeated trainings agree on it, and do its neighbours?"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dynamics.agreement import confidence
from dynamics.ensemble import consensus, members_of
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

TRUSTED = 0.5
"""Below this score a cell's arrow is called unreliable: velocities point over 60° apart on average."""


@dataclass(frozen=True)
class Reliability:
    """How far to trust the velocity of each cell, and why.

    Attributes
    ----------
    consensus : (n,)
        |mean| / mean |…| of the members' velocities, as `dynamics.ensemble.consensus`; NaN where none moves.
    neighbours : (n,)
        Mean cosine with the velocities of the nearest cells, 0 where it is negative.
    score : (n,)
        What figures fade by: the lower of the agreement of members and of neighbours, 0 to 1; 0 where
        nothing moves.
    n_members : int
        With one member nobody knows what another training would say; the score rests on neighbours alone.
    """

    consensus: np.ndarray = field(repr=False)
    neighbours: np.ndarray = field(repr=False)
    score: np.ndarray = field(repr=False)
    n_members: int

    def __post_init__(self) -> None:
        for array in (self.consensus, self.neighbours, self.score):
            array.flags.writeable = False

    @cached_property
    def unreliable(self) -> np.ndarray:
        """Cells whose members, or neighbours, point over 60° apart on average: score below 0.5, (n,) bool."""
        return self.score < TRUSTED


def reliability(
    velocity_field: "VelocityField", snapshots: "Snapshots", *, velocity: np.ndarray | None = None
) -> Reliability:
    """Tell how far to trust the velocity of each measured cell at its own time.

    Parameters
    ----------
    velocity : (n, dim)
        Velocities of the cells, where they are already known.
    """
    if velocity is None:
        velocity = evaluate(velocity_field, snapshots.times, snapshots.states)
    n_members = len(members_of(velocity_field))
    agreed = consensus(velocity_field, snapshots.states, times=snapshots.times)
    neighbours = np.clip(np.nan_to_num(confidence(snapshots.states, velocity), nan=1.0), 0, 1)
    score = combined(pairwise(agreed, n_members), neighbours)
    return Reliability(agreed, neighbours, score, n_members)


def pairwise(agreed: np.ndarray, n_members: int) -> np.ndarray:
    """Return the mean cosine between pairs of members, 0 where it is negative, from their consensus c.

    (M c² − 1) / (M − 1), exact where all M members are equally fast. Unlike c itself it is about 0 for
    members in unrelated directions, whatever their number; 1 where there is one member.
    """
    if n_members < 2:
        return np.where(np.isfinite(agreed), 1.0, np.nan)
    return np.clip((n_members * np.asarray(agreed) ** 2 - 1) / (n_members - 1), 0, 1)


def combined(members: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return the score that figures fade by: the lower of both agreements, and 0 where one is not known."""
    return np.nan_to_num(np.minimum(members, neighbours), nan=0.0)
