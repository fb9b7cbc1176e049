"""What may look like motion and is something else: batches, depth, few cells, copied cells, division."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from dynamics import coupling
from dynamics.basis import fit_basis, log_expression
from dynamics.cell_cycle_genes import phase_columns
from dynamics.checks_depth import UNEVEN, depth, medians
from dynamics.findings import CONFOUNDERS, Finding, warning
from dynamics.inspect import inspect
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.field import VelocityField
    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

MOST_PAIRED = 400
"""Cells of one time that are paired: 0.05 s on one core."""
MOST_ENTRIES = 3_000_000
"""Entries of all cost matrices together."""
SIMILAR = 30
"""Cells over which displacements are averaged."""
MOST_SCORED = 3_000
"""Cells whose genes are looked at."""
CELLS_PER_DIM = 5
"""Cells needed for each dimension of the states to tell in which direction a score rises."""
LEAST_GENES = 5
"""Genes of a phase that the data set must have."""
RANDOM_SETS = 200
CONTROLS = 10
"""Control genes for each gene of a set."""
WINDOW = 25
"""A gene's controls are among so many genes that are next to it, on either side, in mean expression."""
LEAST_R2 = 0.1
"""Share of a score's variance that the states must explain for its direction to mean anything."""
LEAST_SHARE = 0.2
CHANCE = 95
"""Percentile of the random sets that the share must exceed."""
STRONG = 0.5
"""Correlation of depth with the leading direction from which it is said."""
UNEVEN_DEPTH = 1.5
"""Ratio of median depths from which a correlation with the motion is said."""
NOTHING = np.finfo(float).tiny


@dataclass(frozen=True)
class Motion:
    """How cells move, as steps.

    Attributes
    ----------
    steps : (m, dim) float64
        Displacements between two times, or velocities.
    weight : (m,) float64
        Sums to 1.
    what
        How the motion is called in a sentence.
    """

    steps: np.ndarray
    weight: np.ndarray
    what: str

    def __post_init__(self) -> None:
        for array in (self.steps, self.weight):
            array.flags.writeable = False

    def shares(self, directions: np.ndarray) -> np.ndarray:
        """Return the share of the squared motion along each direction, (k,), for directions (dim, k)."""
        total = float(self.weight @ np.square(self.steps).sum(axis=1))
        length = np.linalg.norm(directions, axis=0)
        along = self.weight @ np.square(self.steps @ (directions / np.maximum(length, NOTHING)))
        return along / max(total, NOTHING)

    @property
    def leading(self) -> np.ndarray:
        """The direction, (dim,) of length 1, along which most of the squared motion lies."""
        return np.linalg.eigh((self.steps.T * self.weight) @ self.steps)[1][:, -1]


def alarms(
    adata: "AnnData",
    roles: "Roles",
    snapshots: "Snapshots | None" = None,
    *,
    field: "VelocityField | None" = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Say by what else than the motion of cells the results may be explained.

    Parameters
    ----------
    adata
        With its matrix; without, what is told from genes and counts is left out.
    snapshots
        The states that are learned from; without them only what needs no states is told.
    field
        A velocity field, such as a trained model. Without it, motion is what takes the cells of each time to
        the next by optimal transport.

    Returns
    -------
    Findings, the most serious first; none where nothing speaks against the data.
    """
    found = [one for one in inspect(adata, roles=roles).findings if one.code in CONFOUNDERS]
    if snapshots is not None:
        found += motion_alarms(adata, roles, snapshots, field=field, seed=seed)
    return tuple(sorted(found, key=lambda one: one.level == "note"))


def motion_alarms(
    adata: "AnnData",
    roles: "Roles",
    snapshots: "Snapshots",
    *,
    field: "VelocityField | None" = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Say what goes along with the motion; the part of `alarms` that needs states."""
    if adata.n_vars == 0 and depth(adata, roles) is None:
        return ()
    motion = movement(snapshots, field=field, seed=seed)
    return (
        *cell_cycle(adata, roles, snapshots, motion=motion, seed=seed),
        *depth_along_motion(adata, roles, snapshots, motion=motion),
    )


def movement(snapshots: "Snapshots", *, field: "VelocityField | None" = None, seed: int = 0) -> Motion:
    """Return how cells move: by a velocity field, else by optimal transport between neighbouring times.

    Large snapshots are paired on a sample of their cells. The displacements are averaged over similar cells
    of a time, as those of single cells are mostly chance: a cell and its partner are different cells.
    """
    rng = np.random.default_rng(seed)
    if field is not None:
        rows = _sample(np.arange(snapshots.n_cells), MOST_SCORED, rng)
        velocity = evaluate(field, snapshots.times[rows], snapshots.states[rows], measured=False)
        return _motion(velocity, np.ones(len(rows)), "learned motion")
    n_steps = snapshots.n_times - 1
    most = int(min(MOST_PAIRED, max(50, np.sqrt(MOST_ENTRIES / n_steps))))
    drawn = [snapshots.states[_sample(snapshots.rows(k), most, rng)] for k in range(n_steps + 1)]
    steps, weight = [], []
    for early, late in pairwise(drawn):
        steps.append(_displacement(early.astype(np.float64), late.astype(np.float64), seed=seed))
        weight.append(np.full(len(early), 1 / len(early)))
    return _motion(np.concatenate(steps), np.concatenate(weight), "motion between neighbouring times")


def cell_cycle(
    adata: "AnnData", roles: "Roles", snapshots: "Snapshots", *, motion: Motion, seed: int = 0
) -> tuple[Finding, ...]:
    """Say whether a large part of the motion lies in the direction in which cells divide.

    The score of a phase is the mean z-score of its genes less that of genes of similar expression. Its
    direction is the gradient of its linear regression on the states. The phase along whose direction more of
    the squared motion lies is compared with random sets of as many genes of similar expression.

    References
    ----------
    Tirosh et al., Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq,
    Science 2016 (scores with control genes).
    """
    rng = np.random.default_rng(seed)
    rows = _sample(np.arange(snapshots.n_cells), MOST_SCORED, rng)
    phases = phase_columns(adata) if adata.n_vars else {}
    if (
        not any(len(own) >= LEAST_GENES for own in phases.values())
        or len(rows) < CELLS_PER_DIM * snapshots.dim
    ):
        return ()
    values = _expression(adata, roles, snapshots.cells[rows])
    if values is None:
        return ()
    genes = _Genes.read(values, snapshots.states[rows])
    sets = {phase: np.intersect1d(own, genes.varying) for phase, own in phases.items()}
    pool = np.setdiff1d(genes.varying, np.concatenate(list(sets.values())))
    if len(pool) < 2 * max(WINDOW, *(len(own) for own in sets.values())):
        return ()
    scores = {phase: genes.score(own, pool, rng) for phase, own in sets.items() if len(own) >= LEAST_GENES}
    carried = [phase for phase, (_, r2) in scores.items() if r2 >= LEAST_R2]
    if not carried:
        return ()
    shares = motion.shares(np.stack([scores[phase][0] for phase in carried], axis=1))
    chance = [motion.shares(genes.random_directions(sets[phase], pool, rng)) for phase in carried]
    limit, best = float(np.percentile(np.max(chance, axis=0), CHANCE)), int(shares.argmax())
    if shares[best] < LEAST_SHARE or shares[best] <= limit:
        return ()
    name, share = carried[best], float(shares[best])
    return (_cycle_warning(motion, name, len(sets[name]), r2=scores[name][1], share=share, limit=limit),)


def depth_along_motion(
    adata: "AnnData", roles: "Roles", snapshots: "Snapshots", *, motion: Motion
) -> tuple[Finding, ...]:
    """Say whether cells with more counts lie further along the main direction of motion, within each time.

    Said only where the times differ in depth as well, since otherwise depth cannot move their cells.
    """
    values = depth(adata, roles)
    if values is None:
        return ()
    values = values[snapshots.cells]
    middle = medians(values, snapshots.time_index, snapshots.n_times)
    known = np.isfinite(values) & (values > 0) & np.isfinite(middle[snapshots.time_index])
    middle = middle[middle > 0]
    if len(middle) < 2 or known.sum() < 3 or middle.max() < UNEVEN_DEPTH * middle.min():
        return ()
    place = snapshots.states[known].astype(np.float64) @ motion.leading
    r = _correlation_within(np.log(values[known]), place, snapshots.time_index[known])
    if abs(r) < STRONG:
        return ()
    level = "warning" if middle.max() > UNEVEN * middle.min() else "note"
    return (
        Finding(
            level,
            "depth-motion",
            "Among cells of the same time, depth of sequencing goes along with the main direction of the "
            f"{motion.what} (correlation {abs(r):.2f}), and its median differs "
            f"{middle.max() / middle.min():.1f}-fold between times: part of the motion may be depth.",
            "Colour the map by the counts. Cell types also differ in their amount of RNA: if types that "
            "are known to mature into each other lie along this direction, it can be real.",
        ),
    )


@dataclass(frozen=True, eq=False)
class _Genes:
    """Genes of sampled cells: how each varies, and in which direction of the states it rises.

    Attributes
    ----------
    values : (n, n_genes)
        On the log scale, dense or sparse.
    mean, spread : (n_genes,)
        Over the cells.
    gradient : (dim, n_genes)
        Of the z-score of each gene, by linear regression on the states; 0 for a gene that does not vary.
    covariance : (dim, dim)
        Of the states.
    varying : (m,)
        Columns of the genes that vary.
    """

    values: Any
    mean: np.ndarray
    spread: np.ndarray
    gradient: np.ndarray
    covariance: np.ndarray
    varying: np.ndarray

    @classmethod
    def read(cls, values: Any, states: np.ndarray) -> "_Genes":
        basis = fit_basis(values, states, range(values.shape[1]))
        mean = np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()
        square = values.multiply(values) if sparse.issparse(values) else np.square(values)
        spread = np.sqrt(np.maximum(np.asarray(square.mean(axis=0, dtype=np.float64)).ravel() - mean**2, 0))
        vary = spread > 1e-3 * np.maximum(np.abs(mean), NOTHING)
        gradient = basis.loadings / np.where(vary, spread, np.inf)
        covariance = np.atleast_2d(np.cov(states.T, bias=True))
        return cls(values, mean, spread, gradient, covariance, np.flatnonzero(vary))

    def similar(self, own: np.ndarray, pool: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the genes of the pool that are so many places from each own gene in mean expression.

        Parameters
        ----------
        shift : (..., n_own)
            Places; those beyond the ends count as the ends.
        """
        ordered = pool[np.argsort(self.mean[pool], kind="stable")]
        place = np.searchsorted(self.mean[ordered], self.mean[own]) + shift
        return ordered[np.clip(place, 0, len(pool) - 1)]

    def score(self, own: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return the direction in which the score of a set rises, (dim,), and its R² on the states."""
        drawn = self.similar(own, pool, rng.integers(-WINDOW, WINDOW, (CONTROLS, len(own)))).ravel()
        direction = self.gradient[:, own].mean(axis=1) - self.gradient[:, drawn].mean(axis=1)
        variance = float((self._mean_z(own) - self._mean_z(drawn)).var())
        return direction, float(direction @ self.covariance @ direction) / max(variance, NOTHING)

    def random_directions(self, own: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the directions of random sets of as many genes of similar expression, (dim, n_sets)."""
        drawn = rng.integers(-WINDOW, WINDOW, (RANDOM_SETS, 1 + CONTROLS, len(own)))
        sets, theirs = np.split(self.similar(own, pool, drawn), [1], axis=1)
        return self.gradient[:, sets].mean(axis=(2, 3)) - self.gradient[:, theirs].mean(axis=(2, 3))

    def _mean_z(self, genes: np.ndarray) -> np.ndarray:
        unique, times = np.unique(genes, return_counts=True)
        part = self.values[:, unique]
        dense = np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64)
        return ((dense - self.mean[unique]) / self.spread[unique]) @ (times / len(genes))


def _cycle_warning(
    motion: Motion, phase: str, n_genes: int, *, r2: float, share: float, limit: float
) -> Finding:
    return warning(
        "cell-cycle-motion",
        f"Much of the {motion.what} goes along with the cell cycle: {share:.0%} of it (as squared lengths) "
        f"lies in the direction in which {n_genes} genes of the {phase} phase rise; for {CHANCE} in 100 "
        f"random sets of similar genes it is less than {limit:.0%}. The states explain {r2:.0%} of the "
        "variation of their score.",
        "Cells that start or stop dividing as they mature do move so. If that is not what you study, read "
        "directions along these genes with care. Driftscope does not remove the cycle: regress its scores "
        "out (scanpy.pp.regress_out), compute the components anew and open that file.",
    )


def _expression(adata: "AnnData", roles: "Roles", rows: np.ndarray) -> Any:
    """Log values of some cells, (n, n_genes); None where there are none that are numbers."""
    if adata.X is None and roles.counts_layer not in adata.layers:
        return None
    part = adata[rows]
    values = log_expression(part.to_memory() if adata.isbacked else part, roles)
    if values is None or values.dtype.kind not in "iuf":
        return None
    numbers = values.data if sparse.issparse(values) else values
    return values if np.isfinite(numbers).all() else None


def _motion(steps: np.ndarray, weight: np.ndarray, what: str) -> Motion:
    whole = np.isfinite(steps).all(axis=1)
    weight = np.where(whole, weight, 0.0)
    return Motion(
        np.where(whole[:, None], steps, 0).astype(np.float64), weight / max(weight.sum(), NOTHING), what
    )


def _displacement(early: np.ndarray, late: np.ndarray, *, seed: int) -> np.ndarray:
    """Mean displacement of each earlier cell and those like it, (n0, dim)."""
    plan = coupling.quick(early, late, seed=seed)
    share = sparse.csr_array((plan.weight, (plan.i, plan.j)), shape=plan.sizes)
    mean = (share @ late) / share.sum(axis=1)[:, None] - early
    n_similar = int(np.clip(len(early) // 10, 1, SIMILAR))
    _, near = cKDTree(early).query(early, k=[*range(1, n_similar + 1)])
    return mean[near].mean(axis=1)


def _sample(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _correlation_within(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> float:
    """Correlation of two quantities after taking the mean of each group away; 0 where one does not vary."""
    size = np.maximum(np.bincount(group), 1)
    x, y = (one - (np.bincount(group, one) / size)[group] for one in (x, y))
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / scale) if scale > 0 else 0.0
