"""Least-action paths: the way between two states against which the flow resists least."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import optimize, sparse
from scipy.sparse.csgraph import dijkstra

from dynamics.ensemble import band, members_of
from dynamics.errors import DataError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.neighbours import nearest_among
from dynamics.potential_fit import edges
from dynamics.velocity import check_finite, check_width

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField
    from dynamics.projection import Placement
    from dynamics.snapshots import Snapshots

N_POINTS = 50
"""States along a path, its ends included."""

WAVES = 20
"""Half waves that a path may deviate from the straight line by, in every dimension."""

ROUNDS = 2
"""Times the path is worked out; for each, the cells around it and their times are looked up anew."""

STEPS = 120
"""Steps of the search in each round; other members of an ensemble get half of one round."""

HELD = 5
"""Cells around each state of a path that it is held near to."""

LEASH = 0.8
"""Of the distance at which a state counts as off the measured cells: further away a path is drawn back."""

NEIGHBOURS = 15
MOST = 8_000
"""Cells among which the way to begin with is looked for; of more, some at random with a fixed seed."""

SAME = 1e-6
"""Ends nearer than this share of the spread of the cells are the same state."""

STILL = 1e-6
"""Share of the typical speed that is added to every speed, so that a state at rest has a slope too."""


@dataclass(frozen=True, eq=False)
class ActionPath:
    """A way from one state to another, and what it costs.

    Attributes
    ----------
    states : (T, dim) float32
    action
        ½∫|dx/dt − v|² dt in squared state units per unit of time: noise of strength g takes this way at a
        rate of about exp(−action/g²). Zero where the flow itself goes there.
    rising : (T,)
        Action up to each state.
    times : (T,)
        Time since the start when the way is gone at the speed of the flow, as the cheapest way is; without
        end near a state at rest, so that only times on the way between such states mean something.
    xy : (T, e) or None
        Places on the map.
    inside : (T,) bool or None
        States among measured cells.
    settled
        Whether the search came to its end.
    """

    states: np.ndarray = field(repr=False)
    action: float
    rising: np.ndarray = field(repr=False)
    times: np.ndarray = field(repr=False)
    xy: np.ndarray | None = field(default=None, repr=False)
    inside: np.ndarray | None = field(default=None, repr=False)
    settled: bool = True

    def __post_init__(self) -> None:
        for array in (self.states, self.rising, self.times, self.xy, self.inside):
            if array is not None:
                array.flags.writeable = False

    @property
    def progress(self) -> np.ndarray:
        """Share of the length of the way, 0 to 1, (T,)."""
        length = np.linalg.norm(np.diff(self.states.astype(np.float64), axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(length)])
        return along / along[-1]

    @property
    def off_support(self) -> float:
        """Share of the states that lie where no cell was measured; NaN where that is not known."""
        return float("nan") if self.inside is None else float(1 - self.inside.mean())


@dataclass(frozen=True, eq=False)
class Transition:
    """The least-action paths between two states, both ways.

    Attributes
    ----------
    there, back
        From the first state to the second, and from the second to the first.
    by_member : (k, 2) or None
        Both actions under every member of an ensemble, each with its own paths; None where there is one.
    time
        The time at which the flow was read; None where it is that of the cells around each step.
    """

    there: ActionPath
    back: ActionPath
    by_member: np.ndarray | None = field(default=None, repr=False)
    time: float | None = None

    def intervals(self, *, widened: float = 1.0) -> tuple[np.ndarray, np.ndarray] | None:
        """Return low and high, (3,), of the action there, back, and the first less the second; or None."""
        if self.by_member is None:
            return None
        there, back = self.by_member.T
        low, high = band(np.column_stack([there, back, there - back]), widened=widened)
        return np.concatenate([np.maximum(low[:2], 0), low[2:]]), high


@dataclass(frozen=True, eq=False)
class GeneChanges:
    """Genes along a path, those that change most first.

    Attributes
    ----------
    genes
    values : (T, n_genes)
        On the scale that the basis was fitted on.
    r2 : (n_genes,)
        How much of a gene's variance the states know.
    """

    genes: tuple[str, ...]
    values: np.ndarray = field(repr=False)
    r2: np.ndarray = field(repr=False)


def middle_cell(states: np.ndarray, rows: np.ndarray) -> int:
    """Return the row of the cell nearest to the middle (the median in every dimension) of a group of cells.

    Raises
    ------
    DataError
        The group is empty.
    """
    if not len(rows):
        raise DataError("No cell is chosen. Choose a cell type, a time, or cells on the map.")
    own = np.asarray(states, np.float64)[rows]
    return int(rows[np.argmin(np.square(own - np.median(own, axis=0)).sum(axis=1))])


def least_action(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    ends: tuple[int, int],
    *,
    time: float | None = None,
    support: "Placement | None" = None,
    n_points: int = N_POINTS,
    progress: Progress = no_progress,
) -> Transition:
    """Find the way between two measured cells that takes the least push against the flow, there and back.

    The Freidlin–Wentzell action ½∫|dx/dt − v|² dt is least over all durations where |dx/dt| = |v|, and is
    then ∫(|v||dx| − v·dx), which depends on the way only: so no duration has to be chosen. The search begins
    at the shortest way over the graph of neighbouring cells and goes on by L-BFGS: the way found is the best
    around that one, not of all thinkable ones. With `support` it is held among measured cells, for elsewhere
    nothing is known of the flow. Chance counts alike in all dimensions of the states.

    Parameters
    ----------
    ends
        Rows of the snapshots, from and to.
    time
        In the data's unit: the flow at that time throughout. By default each step has the flow of the
        measured time that is nearest to the mean time of the 15 cells around it.
    support
        Gives places on the map, and tells which states lie among measured cells.

    Raises
    ------
    DataError
        Both ends are the same state.
    ModelError
        The states are not as wide as the field.
    Stopped
        `progress` returned False.

    References
    ----------
    Freidlin and Wentzell, Random perturbations of dynamical systems, Springer 1984; Heymann and
    Vanden-Eijnden, The geometric minimum action method, Communications on Pure and Applied Mathematics 2008;
    Qiu et al., Mapping transcriptomic vector fields of single cells, Cell 2022 (for transitions of cells).
    """
    states = snapshots.states
    check_width(velocity_field, states)
    spread = float(np.sqrt(np.var(states, axis=0, dtype=np.float64).sum()))
    if np.linalg.norm(states[ends[1]].astype(np.float64) - states[ends[0]]) <= SAME * spread:
        raise DataError("Both ends are the same state, so there is no way between them. Choose two groups.")
    search = _Search(snapshots, time, support=support, spread=spread, n_points=n_points)
    first = search.way(ends)
    ways = np.stack([first, first[::-1]])
    members, found = members_of(velocity_field), []
    for k, member in enumerate(members):
        if not progress(k / len(members), "Looking for the least action"):
            raise Stopped
        own, settled = search.improve(
            member, ways, rounds=1 if k else ROUNDS, steps=STEPS // 2 if k else STEPS
        )
        ways = ways if k else own
        found.append(search.told(member, own, settled))
    by_member = np.array([[one.action for one in pair] for pair in found]) if len(found) > 1 else None
    return Transition(*found[0], by_member=by_member, time=time)


def changing_genes(path: ActionPath, basis: "StateBasis", *, most: int = 6) -> GeneChanges:
    """Return the genes that change most along a path, by the range of their values times √r²."""
    states = path.states - path.states.mean(axis=0)
    change = np.ptp(states @ basis.loadings, axis=0) * np.sqrt(np.clip(basis.r2, 0, 1))
    order = np.argsort(-change, kind="stable")[:most]
    genes = tuple(basis.genes[k] for k in order)
    values = np.asarray(path.states @ basis.loadings[:, order] + basis.mean[order], np.float64)
    return GeneChanges(genes, values, basis.r2[order].copy())


class _Search:
    """The search for least-action paths among the cells of snapshots."""

    def __init__(
        self,
        snapshots: "Snapshots",
        time: float | None,
        *,
        support: "Placement | None",
        spread: float,
        n_points: int,
    ) -> None:
        self.snapshots, self.time, self.support = snapshots, time, support
        self.spread, self.n_points = spread, n_points
        wave = np.arange(1, min(WAVES, n_points - 2) + 1)
        along = np.linspace(0, 1, n_points)[1:-1, None]
        # long waves first: a search in these needs far fewer steps than one in the states themselves
        self.waves = torch.from_numpy(np.sin(np.pi * along * wave) / wave)

    def way(self, ends: tuple[int, int]) -> np.ndarray:
        """Return evenly spaced states on the shortest way over the graph of neighbours, (T, dim)."""
        rows = np.arange(self.snapshots.n_cells)
        if len(rows) > MOST:
            rows = np.random.default_rng(0).choice(rows, MOST, replace=False)
        rows = np.unique(np.append(rows, ends))
        states = self.snapshots.states[rows].astype(np.float64)
        between = edges(states, k=NEIGHBOURS)
        length = np.linalg.norm(states[between.second] - states[between.first], axis=1)
        # squared: two short steps are better known than one long one
        cost = np.maximum(length, SAME * self.spread) ** 2
        graph = sparse.csr_array((cost, (between.first, between.second)), shape=(len(rows), len(rows)))
        start, stop = np.searchsorted(rows, ends)
        _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
        passed = [int(stop)]
        while passed[-1] != start:
            passed.append(int(before[passed[-1]]))
        return _evenly(states[passed[::-1]], self.n_points)

    def improve(
        self, member: "VelocityField", ways: np.ndarray, *, rounds: int, steps: int
    ) -> tuple[np.ndarray, bool]:
        """Return the least-action paths around some ways, (m, T, dim), and whether the search ended."""
        settled = False
        for _ in range(rounds):
            ways, settled = self._descend(self._drift(member, ways), ways, steps)
            ways = np.stack([_evenly(way, self.n_points) for way in ways])
        return ways, settled

    def told(self, member: "VelocityField", ways: np.ndarray, settled: bool) -> tuple[ActionPath, ...]:
        """Return paths with what they cost and where they lie."""
        pieces, seconds = _pieces(self._drift(member, ways), torch.from_numpy(ways), self.spread)
        paths = []
        for way, cost, lasts in zip(ways, pieces.numpy(), seconds.numpy(), strict=True):
            rising, times = (np.concatenate([[0.0], np.cumsum(part)]) for part in (cost, lasts))
            states = way.astype(np.float32)
            xy, distance = (None, None) if self.support is None else self.support.locate(states)
            inside = None if distance is None else distance <= 1
            paths.append(ActionPath(states, float(rising[-1]), rising, times, xy, inside, settled))
        return tuple(paths)

    def _drift(self, member: "VelocityField", ways: np.ndarray) -> "_Drift":
        middle = 0.5 * (ways[:, 1:] + ways[:, :-1]).reshape(-1, ways.shape[2])
        if self.time is not None:
            return _Drift(member, np.full(len(middle), self.time))
        near, _ = nearest_among(self.snapshots.states, middle, NEIGHBOURS)
        mean, known = self.snapshots.times[near].mean(axis=1), self.snapshots.axis.values
        return _Drift(member, known[np.argmin(np.abs(mean[:, None] - known[None]), axis=1)])

    def _descend(self, drift: "_Drift", ways: np.ndarray, steps: int) -> tuple[np.ndarray, bool]:
        """Lower the action with the ends held; steps of equal length cost nothing and keep a path even."""
        m, _, dim = ways.shape
        given, unit = torch.from_numpy(ways.copy()), self.spread
        with torch.no_grad():
            check_finite(drift(_middles(given)).numpy())
            far = given.diff(dim=1).norm(dim=2) * drift(_middles(given)).norm(dim=1).reshape(m, -1)
            scale = torch.clamp(far.sum(dim=1), min=torch.finfo(torch.float32).tiny)
        leash = self._leash(ways)
        line = torch.lerp(
            given[:, :1], given[:, -1:], torch.linspace(0, 1, ways.shape[1]).double()[None, :, None]
        )

        def bent(amounts: torch.Tensor) -> torch.Tensor:
            inner = line[:, 1:-1] + unit * torch.einsum("tk,mkd->mtd", self.waves, amounts)
            return torch.cat([given[:, :1], inner, given[:, -1:]], dim=1)

        def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
            amounts = torch.from_numpy(flat.reshape(m, -1, dim).copy()).requires_grad_(True)
            path = bent(amounts)
            pieces, _ = _pieces(drift, path, unit)
            squares = path.diff(dim=1).square().sum(dim=2)
            uneven = squares.var(dim=1, correction=0) / squares.mean(dim=1).square()
            total = (pieces.sum(dim=1) / scale + uneven).sum() + leash(path)
            (slope,) = torch.autograd.grad(total, amounts)
            return float(total.detach()), slope.numpy().ravel()

        wanted = (given - line)[:, 1:-1] / unit
        start = torch.einsum("kt,mtd->mkd", torch.linalg.pinv(self.waves), wanted).numpy().ravel()
        options = {"maxiter": steps, "maxcor": 20, "ftol": 1e-9, "gtol": 1e-6}
        found = optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options)
        amounts = torch.from_numpy(found.x.reshape(m, -1, dim))
        return bent(amounts).numpy(), bool(found.status != 1)

    def _leash(self, ways: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what it costs paths to be away from the cells that are nearest to them now."""
        if self.support is None:
            return lambda path: torch.zeros((), dtype=torch.float64)
        flat = ways.reshape(-1, ways.shape[2]).astype(np.float32)
        near = torch.from_numpy(self.support.around(flat, HELD)[1].astype(np.float64))
        unit = float(self.support.spacing)

        def cost(path: torch.Tensor) -> torch.Tensor:
            away = (path.reshape(-1, 1, path.shape[2]) - near).square().sum(dim=2)
            nearest = (away.amin(dim=1) + (SAME * unit) ** 2).sqrt() / unit
            return torch.relu(nearest - LEASH).square().sum()

        return cost


class _Drift:
    """The velocity in the middle of every step of some paths, each at its own time."""

    def __init__(self, field: "VelocityField", times: np.ndarray) -> None:
        self.field = field
        values, group = np.unique(times, return_inverse=True)
        self.parts = [(float(t), torch.from_numpy(np.flatnonzero(group == k))) for k, t in enumerate(values)]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(x)
        for time, rows in self.parts:
            total = total.index_copy(0, rows, self.field(time, x[rows]).to(x.dtype))
        return total


def _middles(path: torch.Tensor) -> torch.Tensor:
    """Return the middle of every step of paths, (m (T − 1), dim)."""
    return (0.5 * (path[:, 1:] + path[:, :-1])).reshape(-1, path.shape[2])


def _pieces(drift: _Drift, path: torch.Tensor, unit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the action and the duration of each step of paths, (m, T − 1) each, from its middle."""
    step = path.diff(dim=1)
    v = drift(_middles(path)).reshape(step.shape)
    length = (step.square().sum(dim=2) + (STILL * unit / step.shape[1]) ** 2).sqrt()
    squared = v.square().sum(dim=2)
    still = STILL**2 * squared.detach().mean() + torch.finfo(torch.float64).tiny
    speed = (squared + still).sqrt()
    return torch.relu(length * speed - (v * step).sum(dim=2)), length / speed


def _evenly(way: np.ndarray, n: int) -> np.ndarray:
    """Return n states at equal distances along a broken line, (n, dim); its ends stay as they are."""
    length = np.linalg.norm(np.diff(way, axis=0), axis=1)
    kept = np.concatenate([[True], length > 0])
    way, along = way[kept], np.concatenate([[0.0], np.cumsum(length[length > 0])])
    at = np.linspace(0, along[-1], n)
    return np.stack([np.interp(at, along, way[:, k]) for k in range(way.shape[1])], axis=1)
