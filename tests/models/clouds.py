"""Snapshots with a known course, shared by the tests of models."""

import numpy as np

from dynamics.snapshots import Snapshots, from_arrays


def drifting(
    n: int = 300,
    *,
    times: tuple[float, ...] = (0.0, 1.0, 3.0),
    dim: int = 3,
    velocity: float = 2.0,
    seed: int = 0,
) -> Snapshots:
    """One Gaussian cloud that moves at a constant velocity along the first axis."""
    rng = np.random.default_rng(seed)
    states = [rng.standard_normal((n + 20 * k, dim)) for k in range(len(times))]
    for t, cloud in zip(times, states, strict=True):
        cloud[:, 0] += velocity * t
    sizes = [len(cloud) for cloud in states]
    return from_arrays(np.concatenate(states), np.repeat(times, sizes), unit="day")


def changed(
    snapshots: Snapshots, *, scale: float = 1.0, shift: float = 0.0, slower: float = 1.0
) -> Snapshots:
    """The same cells in other units of state and of time."""
    states = snapshots.states.astype(float) * scale + shift
    return from_arrays(states, snapshots.times * slower, unit=snapshots.unit)
