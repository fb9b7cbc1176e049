"""How far the members of an ensemble agree on predicted paths: where they part, and what they end as."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics.ensemble import band, members_of
from dynamics.following import described
from dynamics.integrate import integrate
from dynamics.trajectories import Trajectories, coded, last, nearest_type

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.projection import Placement
    from dynamics.snapshots import Snapshots

APART = 0.25
"""Members disagree clearly where they are spread by more than this share of the spread of one snapshot."""

STEPS = 5
"""Steps from one break to the next for the other members: how far they part needs no more."""

LOOKED_AT = 4
"""Times after the start at which members' cells are looked for among measured cells."""


@dataclass(frozen=True)
class PathSpread:
    """Where the members of an ensemble take the same cells.

    Attributes
    ----------
    spread : (T, n)
        Root mean square distance of the members' states from their mean, in state units; NaN where fewer
        than two members could follow the cell.
    width : float
        Spread of a typical snapshot: median over times of the root mean square distance of the measured
        cells from their mean, in state units.
    apart : (T, n) bool
        From where members disagree clearly: they are spread by over a quarter of `width`, or some of them
        could not follow the cell. A path that was there once stays marked.
    ends : one `Trajectories` per member
        Where each member takes the cells at the last time, marked where it has left the measured cells.
    """

    spread: np.ndarray = field(repr=False)
    width: float
    apart: np.ndarray = field(repr=False)
    ends: tuple[Trajectories, ...] = field(repr=False)

    def __post_init__(self) -> None:
        for array in (self.spread, self.apart):
            array.flags.writeable = False

    @property
    def share_apart(self) -> float:
        """Share of the paths on which members disagree clearly at the end."""
        return float(self.apart[-1].mean())


@dataclass(frozen=True)
class EndTypes:
    """What the members' cells are among at the end of their paths.

    Attributes
    ----------
    names
        Cell types, in the order of the labels' categories.
    share, low, high : (n_types,)
        Share of each type by the model itself, and the band that holds another training in 8 of 10 cases;
        NaN where fewer than two members keep a cell among measured ones.
    depends : float
        Share of the paths that end as one type by some member and as another by another one, of those that
        at least two members keep among measured cells; NaN where there are none.
    """

    names: tuple[str, ...]
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    depends: float

    def __post_init__(self) -> None:
        for array in (self.share, self.low, self.high):
            array.flags.writeable = False


def path_spread(
    velocity_field: "VelocityField",
    paths: Trajectories,
    *,
    snapshots: "Snapshots",
    support: "Placement | None" = None,
    **options: Any,
) -> PathSpread | None:
    """Follow the cells of some paths with every other member; None where there is no ensemble.

    Parameters
    ----------
    paths
        Paths by the model itself.
    support
        The measured cells, as for `dynamics.integrate.integrate`.
    options
        Those of `integrate` that the paths were made with.
    """
    members = members_of(velocity_field)
    if len(members) < 2:
        return None
    followed = [
        integrate(member, paths.states[0], paths.times, unit=paths.unit, steps=STEPS, **options).states
        for member in members[1:]
    ]
    states = np.stack([paths.states, *followed])
    spread, lost = _spread(states)
    width = _width(snapshots)
    apart = lost | (np.nan_to_num(spread) > APART * width)
    ends = (last(paths), *(_looked_at(paths, one, support) for one in followed))
    return PathSpread(spread, width, np.logical_or.accumulate(apart, axis=0), ends)


def end_types(
    found: PathSpread, snapshots: "Snapshots", labels: np.ndarray, *, widened: float = 1.0
) -> EndTypes:
    """Return which cell types the members' cells end among, and how far that depends on the training.

    Parameters
    ----------
    labels : (n_snapshot_cells,)
        As for `dynamics.trajectories.composition`.
    widened
        As for `dynamics.ensemble.band`.
    """
    kinds = coded(labels, snapshots.n_cells)
    codes = np.stack([nearest_type(end, snapshots, kinds)[0] for end in found.ends])
    share = np.stack([_shares(one, len(kinds[0])) for one in codes])
    known = share[np.isfinite(share).all(axis=1)]
    unknown = np.full((2, share.shape[1]), np.nan)
    low, high = np.clip(band(known, widened=widened) if len(known) > 1 else unknown, 0, 1)
    compared = (codes >= 0).sum(axis=0) >= 2
    highest, lowest = codes.max(axis=0), np.where(codes >= 0, codes, codes.max()).min(axis=0)
    depends = float((highest != lowest)[compared].mean()) if compared.any() else float("nan")
    return EndTypes(kinds[0], share[0], low, high, depends)


def _shares(codes: np.ndarray, n_types: int) -> np.ndarray:
    """Return the share of each type, (n_types,), among the cells that have one; NaN where none has."""
    counts = np.bincount(codes[codes >= 0], minlength=n_types)
    return counts / counts.sum() if counts.any() else np.full(n_types, np.nan)


def _spread(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spread of members, (T, n), of states (M, T, n, dim), and where only some go on, (T, n)."""
    known = np.isfinite(states).all(axis=3)
    n_known = known.sum(axis=0)
    states = np.where(known[..., None], states, 0).astype(np.float64)
    mean = states.sum(axis=0) / np.maximum(n_known, 1)[..., None]
    squares = (((states - mean) ** 2).sum(axis=3) * known).sum(axis=0)
    spread = np.where(n_known > 1, np.sqrt(squares / np.maximum(n_known, 1)), np.nan)
    return spread, (n_known > 0) & (n_known < len(states))


def _width(snapshots: "Snapshots") -> float:
    """Return the spread of a typical snapshot; of all cells, where snapshots are single points."""
    parts = [snapshots.at(k).astype(np.float64) for k in range(snapshots.n_times)]
    widths = [np.sqrt(part.var(axis=0).sum()) for part in parts if len(part)]
    return float(np.median(widths)) or float(np.sqrt(snapshots.states.astype(np.float64).var(axis=0).sum()))


def _looked_at(paths: Trajectories, states: np.ndarray, support: "Placement | None") -> Trajectories:
    """Return the end of a member's paths, which is off the data where it was so at some time before."""
    some = np.unique(np.linspace(len(states) - 1, 0, LOOKED_AT, endpoint=False).round().astype(int))
    return last(described(states[some], paths.times[some], support=support, method=paths.method, step=0.0))
