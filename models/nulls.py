"""Checks with a known answer: shuffled times, times run backwards, and one time taken for two."""

from dataclasses import dataclass, replace

import numpy as np

from dynamics import metrics
from dynamics.snapshots import Snapshots
from models import holdout
from models.config import TrainConfig
from models.methods import find
from models.train import fit

CELLS = 1_000
"""Cells a time that the checks are made with; of more, a fixed random choice."""
THIN, PERMUTE, SPLIT = 15, 16, 17
"""Streams of random numbers."""
STAND_IN = "ot-cfm"
"""Learns from two times what some methods need three for."""


@dataclass(frozen=True)
class SplitCheck:
    """What a method makes of one time whose cells were dealt out as if they were two.

    Attributes
    ----------
    moved
        Mean distance that it moves the cells of one half, in state units.
    floor
        W1 between the halves: what chance alone sets them apart.
    step
        W1 to the real next time (or from the one before), for comparison.
    stand_in
        The method that was trained in place of one that needs three times; else empty.
    """

    time: str
    moved: float
    floor: float
    step: float
    stand_in: str

    @property
    def passed(self) -> bool:
        """No motion is found beyond what chance sets apart."""
        return self.moved <= self.floor


def thinned(snapshots: Snapshots, most: int = CELLS) -> Snapshots:
    """Return at most so many cells of each time, by a fixed random choice."""
    rng = np.random.default_rng(THIN)
    kept = []
    for k in range(snapshots.n_times):
        rows = snapshots.rows(k)
        kept.append(rows if len(rows) <= most else rng.choice(rows, most, replace=False))
    return snapshots.take(np.sort(np.concatenate(kept)))


def permuted(snapshots: Snapshots, seed: int = 0) -> Snapshots:
    """Return the same cells with their times dealt out at random; every time keeps its number of cells."""
    order = np.random.default_rng([PERMUTE, seed]).permutation(snapshots.n_cells)
    return replace(snapshots, time_index=snapshots.time_index[order], prior_growth=None)


def backwards(snapshots: Snapshots) -> Snapshots:
    """Return the same cells with time run backwards: the last time comes first."""
    axis, last = snapshots.axis, snapshots.n_times - 1
    values = axis.values[0] + axis.values[-1] - axis.values[::-1]
    turned = replace(axis, labels=axis.labels[::-1], values=values, n_cells=axis.n_cells[::-1])
    index = (last - snapshots.time_index).astype(np.int32)
    return replace(snapshots, time_index=index, axis=turned, prior_growth=None)


def split_check(snapshots: Snapshots, config: TrainConfig) -> SplitCheck:
    """Deal out the cells of the largest time as two times, train, and see how far cells are moved."""
    k = int(np.argmax(snapshots.axis.n_cells))
    other = k + 1 if k + 1 < snapshots.n_times else k - 1
    gap = abs(float(snapshots.axis.values[other] - snapshots.axis.values[k]))
    rows = np.random.default_rng(SPLIT).permutation(snapshots.rows(k))[: 2 * CELLS]
    halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    kept, index = np.concatenate(halves), np.repeat([0, 1], [len(one) for one in halves])
    order = np.argsort(kept)
    axis = replace(
        snapshots.axis,
        labels=("one half", "the other half"),
        values=np.array([0.0, gap]),
        n_cells=tuple(len(one) for one in halves),
    )
    dealt = replace(
        snapshots.take(kept[order]), time_index=index[order].astype(np.int32), axis=axis, prior_growth=None
    )
    stand_in = "" if find(config.method).min_times <= 2 else STAND_IN
    if stand_in:
        config = replace(config, method=stand_in, settings={})
    model = fit(dealt, config)
    here, there, next_ = (snapshots.states[rows][:, : model.dim] for rows in (*halves, snapshots.rows(other)))
    pushed, _ = holdout.push(model, here, 0.0, gap)
    return SplitCheck(
        time=snapshots.axis.name(k),
        moved=float(np.linalg.norm(pushed - here, axis=1).mean()),
        floor=metrics.w1(here, there),
        step=metrics.w1(here, next_[:: -(-len(next_) // CELLS)]),
        stand_in=stand_in,
    )
