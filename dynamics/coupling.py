"""Couplings: which cell of one snapshot goes with which cell of the next."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import ot
from scipy.spatial.distance import cdist

from dynamics import bisection, transport_plans
from dynamics.errors import CouplingError, SettingsError
from dynamics.plan import About, Coupling, finished
from dynamics.transport_plans import Potentials, Sides

__all__ = ["COUPLINGS", "Coupling", "couple"]

EXACT_ENTRIES = 1_200_000
"""Largest cost matrix, n0 × n1, that "auto" solves exactly: about 0.3 s on one core."""
EXACT_MEMORY = 4e9
"""Bytes that an exact plan may take; three matrices of float64 are held."""
MAX_ITERATIONS = 50_000_000
PAIRING_DIMS = 15
ROUNDS = 4
REG = 0.05
"""Entropy weight in units of the mean squared distance of the two snapshots once their centres coincide."""
RELAXED_REG = 0.02
"""Entropy weight with which the masses of the semi-relaxed plan are found."""
MASS_TOLERANCE = 1e-5
"""Share of the mass that one more step may move where masses are free."""


def independent(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple every cell with every other at random, without regard to distance.

    The plan itself has n0 × n1 pairs; it is held as one random pairing of repeated cells, in which every cell
    appears equally often.
    """
    n0, n1 = len(x0), len(x1)
    rng = np.random.default_rng(seed)
    copies = max(4, int(np.ceil(4096 / max(n0, n1))))
    i, mass0 = _tiled(n0, n1, copies)
    j, mass1 = _tiled(n1, n0, copies)
    pairs = _align((rng.permutation(i), mass0), (rng.permutation(j), mass1))
    reason = "every cell is paired at random with cells of the next time; distances play no role"
    return finished(x0, x1, pairs, about=About("independent", reason), goal=(np.ones(n0), np.ones(n1)))


def exact(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0, row_mass: np.ndarray | None = None) -> Coupling:
    """Couple two snapshots by the plan of least total squared distance.

    Parameters
    ----------
    row_mass : (n0,)
        Mass of each earlier cell, such as its expected number of descendants; by default all weigh the same.

    Raises
    ------
    CouplingError
        The plan would not fit in memory, or the solver did not converge.

    References
    ----------
    Bonneel et al., Displacement interpolation using Lagrangian mass transport, SIGGRAPH Asia 2011.
    """
    n0, n1 = len(x0), len(x1)
    if 24 * n0 * n1 > EXACT_MEMORY:
        raise CouplingError(
            f"An exact pairing of {n0:,} with {n1:,} cells needs {24e-9 * n0 * n1:.0f} GB of memory; "
            f'{EXACT_MEMORY / 1e9:.0f} GB are allowed. Choose the pairing "bisection" or "auto".'
        )
    masses = _masses(n0, n1, row_mass)
    plan = _solve(*masses, cdist(x0, x1, "sqeuclidean"))
    i, j = np.nonzero(np.rint(plan))
    reason = f"the cheapest plan there is, for {n0:,} × {n1:,} cells"
    about = About("exact", reason, exact=True, mass=_total(row_mass))
    return finished(x0, x1, (i, j, np.rint(plan[i, j])), about=about, goal=masses)


def fast(
    x0: np.ndarray,
    x1: np.ndarray,
    *,
    seed: int = 0,
    row_mass: np.ndarray | None = None,
    rounds: int = ROUNDS,
) -> Coupling:
    """Couple two large snapshots at nearly the least total squared distance, in close to linear time.

    States of more than 15 dimensions are paired on the 15 leading principal components of the two snapshots
    together; the reason says which share of the variance these hold.

    Parameters
    ----------
    rounds
        How often neighbouring pairs are improved: 4 come within 1 to 5 % of the least cost, 1 within 1 to
        12 % in half of the time.

    References
    ----------
    See `dynamics.bisection.pair`.
    """
    z0, z1, note = _leading(x0, x1)
    rng = np.random.default_rng(seed)
    masses = _masses(len(x0), len(x1), row_mass)
    pairs = bisection.pair(z0, z1, masses, solve=_solve, rounds=rounds, rng=rng)
    reason = f"{len(x0):,} × {len(x1):,} cells: near-exact pairing by bisection and local improvement{note}"
    name = "bisection" if rounds >= ROUNDS else "quick"
    return finished(x0, x1, pairs, about=About(name, reason, mass=_total(row_mass)), goal=masses)


def quick(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple exactly where that takes a moment, else by bisection with a single round of improvement."""
    small = len(x0) * len(x1) <= EXACT_ENTRIES
    return exact(x0, x1, seed=seed) if small else fast(x0, x1, seed=seed, rounds=1)


def automatic(
    x0: np.ndarray, x1: np.ndarray, *, seed: int = 0, row_mass: np.ndarray | None = None
) -> Coupling:
    """Couple exactly where that takes a moment, else by bisection."""
    small = len(x0) * len(x1) <= EXACT_ENTRIES
    return (exact if small else fast)(x0, x1, seed=seed, row_mass=row_mass)


def entropic(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0, reg: float = REG) -> Coupling:
    """Couple two snapshots by entropy-regularised optimal transport.

    Parameters
    ----------
    reg
        Entropy weight in units of the mean squared distance of the two snapshots once their centres coincide,
        so that it depends neither on scale nor on a common movement.

    Raises
    ------
    CouplingError
        No convergence; the message proposes a larger `reg`.

    References
    ----------
    Cuturi, Sinkhorn distances, NeurIPS 2013.
    """
    _positive(reg=reg)
    sides = Sides(np.full(len(x0), 1 / len(x0)), np.full(len(x1), 1 / len(x1)))
    found = _potentials(x0, x1, sides, reg=reg, seed=seed)
    pairs = transport_plans.pairs(x0, x1, sides, found=found, seed=seed)
    details = {"reg": reg, "iterations": found.iterations}
    reason = f"optimal transport with entropy {reg:g}{_how(x0, x1, found)}"
    about = About("entropic", reason, details=details)
    return finished(x0, x1, pairs, about=about, goal=(sides.a, sides.b))


def unbalanced(
    x0: np.ndarray,
    x1: np.ndarray,
    *,
    seed: int = 0,
    reg: float = REG,
    reg_m: float = 1.0,
    reg_m_later: float | None = None,
) -> Coupling:
    """Couple two snapshots by transport that may leave out cells on both sides, or give them more weight.

    min ⟨C,π⟩ + ε KL(π|a⊗b) + λ_a KL(π1|a) + λ_b KL(πᵀ1|b), with a = 1/n0 and b = 1/n1.

    Parameters
    ----------
    reg
        ε, as in `entropic`.
    reg_m, reg_m_later
        λ_a and λ_b, in units of the mean squared distance between the two snapshots; λ_b = λ_a by default.

    References
    ----------
    Chizat, Peyré, Schmitzer and Vialard, Scaling algorithms for unbalanced optimal transport problems, Math.
    Comp. 2018; Eyring et al., Unbalancedness in neural Monge maps improves unpaired domain translation, ICLR
    2024 (UOT-FM).
    """
    later = reg_m if reg_m_later is None else reg_m_later
    _positive(reg=reg, reg_m=reg_m, reg_m_later=later)
    unit = transport_plans.mean_square(x0, x1)
    sides = Sides(np.full(len(x0), 1 / len(x0)), np.full(len(x1), 1 / len(x1)), reg_m * unit, later * unit)
    found = _potentials(x0, x1, sides, reg=reg, seed=seed, tolerance=MASS_TOLERANCE)
    pairs = transport_plans.pairs(x0, x1, sides, found=found, seed=seed)
    details = {"reg": reg, "reg_m": reg_m, "reg_m_later": later, "iterations": found.iterations}
    mass = float(pairs[2].sum())
    reason = f"transport in which cells may count more or less, {mass:.0%} of the mass{_how(x0, x1, found)}"
    return finished(x0, x1, pairs, about=About("unbalanced", reason, mass=mass, details=details))


def semi_relaxed(
    x0: np.ndarray,
    x1: np.ndarray,
    *,
    seed: int = 0,
    reg: float = RELAXED_REG,
    reg_m: float = 1.0,
    total: float | None = None,
) -> Coupling:
    """Couple two snapshots such that earlier cells may have more or fewer descendants.

    min ⟨C,π⟩ + λ KL(π1|1) with equal columns: every earlier cell has mass 1, and `row_mass` becomes its
    number of descendants. The masses are found with a little entropy; the plan is then the cheapest between
    them.

    Parameters
    ----------
    reg
        Entropy weight with which the masses are found, as in `entropic`.
    reg_m
        λ in units of the mean squared distance between the two snapshots; large: equal growth of all cells.
    total
        Mass of all later cells together; by default their number.

    References
    ----------
    Wang et al., Joint velocity-growth flow matching for single-cell dynamics modeling, 2025 (VGFM); Chizat
    et al., Math. Comp. 2018.
    """
    total = float(len(x1)) if total is None else total
    _positive(reg=reg, reg_m=reg_m, total=total)
    relaxation = reg_m * transport_plans.mean_square(x0, x1)
    sides = Sides(np.ones(len(x0)), np.full(len(x1), total / len(x1)), row_relaxation=relaxation)
    found = _potentials(x0, x1, sides, reg=reg, seed=seed, tolerance=MASS_TOLERANCE)
    reached, _ = sides.reached(found.f, found.g)
    plan = automatic(x0, x1, seed=seed, row_mass=reached * (total / reached.sum()))
    return Coupling(
        plan.i,
        plan.j,
        plan.weight,
        plan.sizes,
        plan.cost,
        plan.marginal_error,
        False,
        "semi-relaxed",
        f"{plan.reason}, with free numbers of descendants{_sample_note(x0, x1, found)}",
        mass=total,
        details={"reg": reg, "reg_m": reg_m, "iterations": found.iterations, "plan": plan.name},
    )


COUPLINGS: dict[str, Callable[..., Coupling]] = {
    "auto": automatic,
    "exact": exact,
    "bisection": fast,
    "quick": quick,
    "entropic": entropic,
    "unbalanced": unbalanced,
    "semi-relaxed": semi_relaxed,
    "independent": independent,
}


def couple(x0: np.ndarray, x1: np.ndarray, *, name: str = "auto", seed: int = 0, **options: Any) -> Coupling:
    """Couple two snapshots.

    Parameters
    ----------
    x0, x1 : (n0, dim), (n1, dim)
        States at the earlier and the later time.
    name
        One of `COUPLINGS`.
    options
        Settings of this coupling, such as `reg` and `reg_m`.

    Raises
    ------
    SettingsError
        Unknown name, unknown option, or an option that is not a positive number.
    CouplingError
        Empty snapshots, other widths, values that are not finite, or no convergence.
    """
    if name not in COUPLINGS:
        raise SettingsError(f"Unknown pairing {name!r}. Known: {', '.join(COUPLINGS)}.")
    known = [option for option in inspect.signature(COUPLINGS[name]).parameters][3:]
    if unknown := [option for option in options if option not in known]:
        raise SettingsError(
            f'The pairing "{name}" has no option {", ".join(unknown)}. Known: {", ".join(known) or "none"}.'
        )
    x0, x1 = np.asarray(x0, np.float64), np.asarray(x1, np.float64)
    if x0.ndim != 2 or x1.ndim != 2 or x0.shape[1] != x1.shape[1] or 0 in (*x0.shape, *x1.shape):
        raise CouplingError(
            f"Snapshots of shapes {x0.shape} and {x1.shape} cannot be paired: both need cells of one width."
        )
    bad = int((~np.isfinite(x0)).any(axis=1).sum() + (~np.isfinite(x1)).any(axis=1).sum())
    if bad:
        raise CouplingError(
            f"{bad:,} of {len(x0) + len(x1):,} cells have missing or infinite values. Remove them first."
        )
    return COUPLINGS[name](x0, x1, seed=seed, **options)


def _solve(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Solve one transport problem with whole masses of equal sum; the plan is whole too."""
    if len(a) == 1 or len(b) == 1:
        return a[:, None] * b[None] / a.sum()
    with warnings.catch_warnings():  # what POT warns of is checked below
        warnings.simplefilter("ignore")
        plan, log = ot.emd(
            a.astype(np.float64),
            b.astype(np.float64),
            cost,
            MAX_ITERATIONS,
            log=True,
            center_dual=False,
            check_marginals=False,
        )
    if log["result_code"] != 1:
        raise CouplingError(
            f"The exact pairing of {len(a):,} with {len(b):,} cells did not converge in {MAX_ITERATIONS:,} "
            'steps. Choose the pairing "bisection".'
        )
    return plan


def _masses(n0: int, n1: int, row_mass: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Whole masses of both sides: equal per cell, or as given for the earlier ones."""
    if row_mass is None:
        common = np.gcd(n0, n1)
        return np.full(n0, n1 // common), np.full(n1, n0 // common)
    row_mass = np.asarray(row_mass, np.float64)
    if row_mass.shape != (n0,) or not (np.isfinite(row_mass).all() and (row_mass > 0).all()):
        raise CouplingError(f"The masses of {n0:,} cells must be {n0:,} positive numbers.")
    return transport_plans.whole_masses(row_mass, n1)


def _total(row_mass: np.ndarray | None) -> float:
    return 1.0 if row_mass is None else float(np.sum(row_mass))


def _potentials(
    x0: np.ndarray,
    x1: np.ndarray,
    sides: Sides,
    *,
    reg: float,
    seed: int,
    tolerance: float = transport_plans.TOLERANCE,
) -> Potentials:
    unit = transport_plans.mean_square(x0, x1, centred=True)
    return transport_plans.solve_clouds(x0, x1, sides, reg=reg * unit, seed=seed, tolerance=tolerance)


def _how(x0: np.ndarray, x1: np.ndarray, found: Potentials) -> str:
    if len(x0) * len(x1) <= transport_plans.DENSE_PAIRS:
        return f", for {len(x0):,} × {len(x1):,} cells"
    drawn = f", for {len(x0):,} × {len(x1):,} cells; too many pairs to keep, so some were drawn"
    return drawn + _sample_note(x0, x1, found)


def _sample_note(x0: np.ndarray, x1: np.ndarray, found: Potentials) -> str:
    if found.share == 1:
        return ""
    return f"; solved on {found.share:.0%} of the {len(x0):,} × {len(x1):,} cells and carried over to all"


def _positive(**options: float) -> None:
    for name, value in options.items():
        if not (isinstance(value, int | float) and np.isfinite(value) and value > 0):
            raise SettingsError(f"{name} = {value!r}: expected a number above 0.")


def _leading(x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Both snapshots on the leading principal components of the two together, and a note that says so."""
    if x0.shape[1] <= PAIRING_DIMS:
        return x0, x1, ""
    both = np.concatenate([x0, x1])
    values, vectors = np.linalg.eigh(np.cov(both.T))
    axes = vectors[:, : -PAIRING_DIMS - 1 : -1]
    share = values[-PAIRING_DIMS:].sum() / max(values.sum(), np.finfo(float).tiny)
    centre = both.mean(axis=0)
    return (
        (x0 - centre) @ axes,
        (x1 - centre) @ axes,
        f", on {PAIRING_DIMS} components with {share:.0%} of the variance",
    )


def _tiled(n: int, other: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """`copies` pieces of every one of `n` cells, with the whole mass of each piece."""
    return np.tile(np.arange(n), copies), np.full(n * copies, other // np.gcd(n, other))


def _align(
    side0: tuple[np.ndarray, np.ndarray], side1: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair two rows of pieces of equal total mass in the order in which they stand."""
    ends0, ends1 = np.cumsum(side0[1]), np.cumsum(side1[1])
    ends = np.union1d(ends0, ends1)
    mass = np.diff(ends, prepend=0)
    return side0[0][np.searchsorted(ends0, ends)], side1[0][np.searchsorted(ends1, ends)], mass
