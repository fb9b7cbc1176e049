"""Terminal states proposed from the data: types that stay, places where the flow gathers, ends of paths."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from dynamics import terminal
from dynamics.errors import DataError
from dynamics.integrate import integrate
from dynamics.terminal import TerminalStates
from dynamics.trajectories import coded
from dynamics.transitions import Landing

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots
    from dynamics.transitions import Transitions

LEAVES = 0.2
"""A cell type is passed through where over this share of its cells' mass leaves it, on balance."""

FEWEST = 5
"""Cells of a type at the last time below which it is not proposed."""

SEEN_BEFORE = 10
"""Cells of a type at the time before the last from which on the last interval tells whether it stays."""

ONWARD = 20
"""Steps of the chain inside the last snapshot after which a type that is new there is looked at again."""

SETTLED = 100
"""Steps after which that chain has gathered where it gathers."""

GATHERED = 1.2
"""A region gathers the flow where it holds this many times as much of it as in the beginning."""

TOUCHES = 0.02
"""Regions touch where this share of one's steps goes to the other."""

CELLS_PER_REGION = 40
REGIONS = (4, 15)
MOST_ENDS = 8
COMPARED = 1_000
"""Ends of paths among which clusters are told apart."""


def propose(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    chain: "Transitions",
    *,
    labels: np.ndarray | None = None,
) -> TerminalStates:
    """Return the terminal states that a model speaks for: cell types that stay, else regions of the flow.

    Parameters
    ----------
    labels : (n,) categorical or text, or None
        Cell type of each cell of the snapshots, where known.
    """
    if labels is not None and (coded(labels, snapshots.n_cells)[1] >= 0).any():
        by_type = from_types(chain, snapshots, labels)
        if len(by_type) >= 2:
            return by_type
    by_flow = from_flow(chain, snapshots, labels=labels)
    return by_flow if len(by_flow) >= 2 else from_ends(velocity_field, snapshots, labels=labels)


def from_types(chain: "Transitions", snapshots: "Snapshots", labels: np.ndarray) -> TerminalStates:
    """Return the cell types of the last time that the flow does not leave again.

    Over the last interval, mass that goes from a type to others, less what comes from these in turn (which
    blur at their border does in both directions), must not be more than a fifth of the type's. A type that is
    new at the last time is judged by the chain inside the last snapshot.
    """
    names, codes = coded(labels, snapshots.n_cells)
    last = chain.rows[-1]
    here = np.bincount(codes[last][codes[last] >= 0], minlength=len(names))
    before = np.bincount(codes[chain.rows[-2]][codes[chain.rows[-2]] >= 0], minlength=len(names))
    told = chain.pull(chain.n_times - 2, one_hot(codes[last], len(names)))
    over_time = mass_between(told, codes[chain.rows[-2]], len(names))
    inside = mass_between(_onward(chain.within, codes[last], len(names)), codes[last], len(names))
    kept, reasons, left_out = [], [], []
    for k in np.flatnonzero(here):
        seen = before[k] >= SEEN_BEFORE
        away, to = _leaves(over_time if seen else inside, k)
        when = "over the last interval" if seen else "along the velocity at the last time"
        if here[k] < FEWEST:
            left_out.append((names[k], f"only {here[k]} cells at the last time"))
        elif away > LEAVES:
            left_out.append((names[k], f"transient: {away:.0%} leaves it {when}, most to {names[to]}"))
        else:
            kept.append(k)
            reasons.append(f"cell type of the last time; {1 - away:.0%} of it stays {when}")
    place = np.full(len(names) + 1, -1)
    place[kept] = np.arange(len(kept))
    final = np.full(snapshots.n_cells, -1)
    final[last] = place[codes[last]]
    chosen = [names[k] for k in kept]
    return terminal.from_codes(final, chosen, source="types", reasons=reasons, left_out=left_out)


def from_flow(
    chain: "Transitions",
    snapshots: "Snapshots",
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
) -> TerminalStates:
    """Return the regions of the last snapshot in which the flow gathers.

    The last time's cells are cut into regions. The chain along the velocity there starts evenly; a region is
    absorbing where it ends with 1.2 times its share or more, and with a higher density than all around it.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022 (terminal states as
    coarse states of high stationary probability and stability).
    """
    last, within = chain.rows[-1], chain.within
    n = len(last)
    if n < 2 * REGIONS[0]:
        raise DataError(
            f"{n} cells at the last time are too few to look for regions in; pick states by hand."
        )
    n_regions = int(np.clip(n // CELLS_PER_REGION, *REGIONS))
    regions = KMeans(n_regions, n_init=4, random_state=seed).fit_predict(snapshots.states[last])
    regions = np.unique(regions, return_inverse=True)[1]
    mass = np.full(n, 1 / n)
    for _ in range(SETTLED):
        mass = within.T @ mass
    size = np.bincount(regions) / n
    density = np.bincount(regions, mass) / size
    flux = mass_between(within @ one_hot(regions, len(size)), regions, len(size))
    touching = flux + flux.T > TOUCHES * size[:, None]
    np.fill_diagonal(touching, False)
    highest = np.array([density[k] >= density[touching[k]].max(initial=0) for k in range(len(size))])
    sinks = np.flatnonzero(highest & (density >= GATHERED))
    final = np.full(snapshots.n_cells, -1)
    for code, region in enumerate(sinks):
        final[last[regions == region]] = code
    reasons = [f"the flow gathers here: {density[k]:.1f} times as dense as in the beginning" for k in sinks]
    return terminal.from_codes(final, _names(final, len(sinks), labels), source="flow", reasons=reasons)


def from_ends(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
) -> TerminalStates:
    """Return where the paths of the first cells end, in clusters, as cells of the last time.

    The number of clusters, two to eight, is that which sets them apart best (mean silhouette).

    References
    ----------
    Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of cluster analysis, J.
    Comput. Appl. Math. 1987.
    """
    present = np.unique(snapshots.time_index)
    first, last = snapshots.rows(present[0]), snapshots.rows(present[-1])
    span = snapshots.axis.values[present[[0, -1]]]
    paths = integrate(velocity_field, snapshots.states[first], span, breaks=snapshots.axis.values)
    ends = paths.states[-1][np.isfinite(paths.states[-1]).all(axis=1)]
    if len(np.unique(ends, axis=0)) < 3:
        raise DataError(f"The paths of the {len(first)} cells of the first time end in fewer than 3 places.")
    groups = _clusters(ends, seed)
    weight, _ = Landing(snapshots.states[last]).connect(ends)
    share = one_hot(groups, int(groups.max()) + 1).T @ weight
    final = np.full(snapshots.n_cells, -1)
    final[last] = np.where(share.max(axis=0) > 0, share.argmax(axis=0), -1)
    kept, compact = np.unique(final[final >= 0], return_inverse=True)
    final[final >= 0] = compact
    sizes = np.bincount(groups)[kept] / len(groups)
    reasons = [f"{size:.0%} of the paths from the first time end here" for size in sizes]
    return terminal.from_codes(final, _names(final, len(kept), labels), source="ends", reasons=reasons)


def mass_between(told: np.ndarray, codes: np.ndarray, n_types: int) -> np.ndarray:
    """Return the share of all cells that goes from type to type, (n_types, n_types).

    Parameters
    ----------
    told : (n, n_types)
        What each cell becomes.
    codes : (n,)
        Type of each cell before, −1 for none: such cells do not count.
    """
    return one_hot(codes, n_types).T @ told / max(len(codes), 1)


def _onward(within: sparse.csr_matrix, codes: np.ndarray, n_types: int) -> np.ndarray:
    """Return the types that the last time's cells are among some steps of the chain on, (n, n_types)."""
    told = one_hot(codes, n_types)
    for _ in range(ONWARD):
        told = within @ told
    return told


def _leaves(flow: np.ndarray, k: int) -> tuple[float, int]:
    """Return the share of a type's mass that leaves it on balance, and the type that most of it goes to."""
    net = np.maximum(flow[k] - flow[:, k], 0)
    total = flow[k].sum()
    return (float(net.sum() / total) if total > 0 else 0.0), int(net.argmax())


def _clusters(ends: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(ends))[:COMPARED]
    best, found = -np.inf, np.zeros(len(ends), np.int64)
    for k in range(2, min(MOST_ENDS, len(np.unique(ends[some], axis=0)) - 1) + 1):
        fitted = KMeans(k, n_init=4, random_state=seed).fit(ends[some])
        score = silhouette_score(ends[some], fitted.labels_) if len(set(fitted.labels_)) > 1 else -np.inf
        if score > best:
            best, found = score, fitted.predict(ends)
    return np.unique(found, return_inverse=True)[1]


def _names(codes: np.ndarray, n_states: int, labels: np.ndarray | None) -> list[str]:
    """Name states by the type of most of their cells, else by number; no name twice."""
    if labels is None:
        return [f"End {k + 1}" for k in range(n_states)]
    types, kinds = coded(labels, len(codes))
    names: list[str] = []
    for k in range(n_states):
        mine = kinds[(codes == k) & (kinds >= 0)]
        name = types[np.bincount(mine).argmax()] if len(mine) else f"End {k + 1}"
        taken = sum(one == name or one.startswith(f"{name} (") for one in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return names


def one_hot(codes: np.ndarray, n: int) -> np.ndarray:
    """Return codes as rows of zeros with a one, (m, n); all zero where the code is −1."""
    rows = np.zeros((len(codes), n))
    known = np.flatnonzero(codes >= 0)
    rows[known, codes[known]] = 1
    return rows
