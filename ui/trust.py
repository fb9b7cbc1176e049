"""How far to trust a figure, in the sentences that stand below it."""

import numpy as np

from dynamics.snapshots import Snapshots
from ui.text import escape

UNVALIDATED = "Not validated: no time point was held out to test this model."


def moment(shots: Snapshots, time: float) -> str:
    """Return what a time is called: "day 3"; between two snapshots, the number with its unit."""
    near = int(np.argmin(np.abs(shots.axis.values - time)))
    if np.isclose(shots.axis.values[near], time):
        return escape(shots.axis.name(near))
    return escape(f"{time:.4g} {shots.unit}".strip())


def time_note(shots: Snapshots) -> str:
    """Say so where times stand for their order only."""
    return "Time is the order of the snapshots, not elapsed time." if shots.unit == "index" else ""
