"""Candidate regulation: which genes act on which, as far as a learned motion can tell.

All that is said here are candidates. A learned motion is a description of snapshots; that a gene moves
another is a guess that only an experiment can confirm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from dynamics.ensemble import members_of
from dynamics.errors import DataError
from dynamics.field import Progress, no_progress, share
from dynamics.jacobian import mean_jacobian, to_genes
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

TURNOVER = 3.0
"""Turnover of a gene, in units of (spread of its velocity) / (spread of its level)."""
PENALTY = 0.3
"""Ridge penalty, relative to the variance of a regulator."""
FEWEST = 20
"""Cells that a network needs."""
CHANCE = 0.95
"""An edge is beyond chance where it is stronger than this share of those of shuffled regulators."""
KNOWN = 0.1
"""Genes of which the states hold a smaller share of the variance get no Jacobian."""
MOST = 200
"""Genes of a network, unless they are named."""


@dataclass(frozen=True, eq=False)
class Regulation:
    """A network of candidate regulators over some cells. All tables are (n_regulators, n_targets).

    Attributes
    ----------
    regulators, targets
        Names of genes.
    score : float32
        Signed strength, without unit: by how many of its standard deviations the production of the target
        rises with one of the regulator, all others being as they are. Positive for candidate activators.
        NaN for a gene on itself.
    low, high : float32
        Range of the score over the members of the ensemble; NaN where there is none.
    agree : float32
        Share of the members that give the score's sign; NaN where there is no ensemble.
    effect : float32
        The same read off the Jacobian of the field: by how many standard deviations per unit of time the
        target speeds up when the regulator is one standard deviation higher and the state follows. NaN where
        the states know too little of a gene.
    correlation, partial : float32
        Rank correlation over the same cells, and its partial form given all other genes: what needs no model.
    prior : int8
        1 or −1 where a prior network has the edge with this sign, 2 where it has it without a sign, else 0.
    chance : float
        Strength that 95 % of the edges of shuffled regulators stay below.
    """

    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    score: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    agree: np.ndarray = field(repr=False)
    effect: np.ndarray = field(repr=False)
    correlation: np.ndarray = field(repr=False)
    partial: np.ndarray = field(repr=False)
    prior: np.ndarray = field(repr=False)
    chance: float
    n_cells: int
    n_members: int

    @property
    def strength(self) -> np.ndarray:
        """Size of the score, 0 for a gene on itself."""
        return np.abs(np.nan_to_num(self.score))

    @property
    def others(self) -> np.ndarray:
        """Pairs of two different genes, bool."""
        return different(self.regulators, self.targets)


@dataclass(frozen=True, eq=False)
class Panel:
    """Genes of a network with what was measured of them.

    Attributes
    ----------
    genes
        All regulators and targets, each once.
    levels : (n, n_genes) float32
        Their expression on the log scale, for the cells of the snapshots.
    regulators, targets : (r,), (t,)
        Places in `genes`.
    """

    genes: tuple[str, ...]
    levels: np.ndarray = field(repr=False)
    regulators: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the regulators and of the targets."""
        return tuple(self.genes[k] for k in self.regulators), tuple(self.genes[k] for k in self.targets)


def choose_genes(
    basis: "StateBasis", regulators: Sequence[str] = (), *, most: int = MOST
) -> tuple[list[str], list[str]]:
    """Choose regulators and targets: the genes that the states know best, and named regulators besides.

    Parameters
    ----------
    regulators
        Names, such as a list of transcription factors; those that are not in the data set are left out. When
        none are named every gene may regulate.

    Raises
    ------
    DataError
        None of the named regulators is in the data set.
    """
    known = set(basis.genes)
    named = list(dict.fromkeys(name for name in regulators if name in known))
    if regulators and not named:
        raise DataError(
            f"None of the {len(regulators):,} named regulators ({', '.join(list(regulators)[:3])}, …) is "
            f"among the {len(basis.genes):,} genes of this data set. Check that genes are named alike."
        )
    order = np.argsort(-basis.r2, kind="stable")
    best = [basis.genes[k] for k in order[:most] if basis.r2[k] > 0]
    best = [gene for gene in basis.genes if gene in set(best)]
    targets = list(dict.fromkeys([*named, *best])) if named else best
    return named or best, targets


def panel(
    expression: np.ndarray, genes: Sequence[str], regulators: Sequence[str], targets: Sequence[str]
) -> Panel:
    """Put the measured levels of regulators and targets together.

    Parameters
    ----------
    expression : (n, len(genes))
        On the log scale; dense.
    """
    names = tuple(dict.fromkeys([*regulators, *targets]))
    place = {gene: k for k, gene in enumerate(genes)}
    levels = np.asarray(expression[:, [place[name] for name in names]], np.float32)
    own = {name: k for k, name in enumerate(names)}
    return Panel(
        names, levels, np.array([own[name] for name in regulators]), np.array([own[name] for name in targets])
    )


def regulate(
    velocity: "VelocityField",
    snapshots: "Snapshots",
    genes: Panel,
    *,
    basis: "StateBasis",
    regions: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> list[Regulation]:
    """Rank candidate regulators of every target, over the cells of each region.

    The production of a gene is its velocity plus its turnover times its level; the level of every regulator
    is held against it in one penalised regression for each target, the target's own level among them. So a
    regulator counts for the part of the production that no other gene tells. Velocities are those of the
    model, levels those measured. Turnover and penalty were chosen on simulated networks
    (docs/regulation.md).

    Parameters
    ----------
    genes
        Regulators and targets, see `panel`.
    regions : (k, n) bool
        Which cells of the snapshots each network is of; all by default.
    prior : (r, t) int8
        See `dynamics.regulators.prior_table`.
    seed
        Of the shuffling that tells chance.

    Returns
    -------
    One network for each region.

    Raises
    ------
    DataError
        Fewer than 20 cells in a region.

    References
    ----------
    Huynh-Thu and Geurts, dynGENIE3: dynamical GENIE3 for the inference of gene networks from time series
    expression data, Scientific Reports 2018 (production as the target); Hoerl and Kennard, Ridge regression,
    Technometrics 1970.
    """
    regions = np.ones((1, snapshots.n_cells), bool) if regions is None else np.asarray(regions, bool)
    _check(regions)
    members = members_of(velocity)
    columns = basis.columns(genes.genes)
    motion, jacobian = [], []
    for number, member in enumerate(members):
        part = share(progress, number / len(members), (number + 1) / len(members))
        v = evaluate(member, snapshots.times, snapshots.states)
        motion.append(basis.velocity_to_genes(v, genes.genes)[:, genes.targets])
        jacobian.append(
            mean_jacobian(member, snapshots.times, snapshots.states, weights=regions, progress=part)
        )
    effects = to_genes(np.mean(jacobian, axis=0), basis, columns)
    held = basis.r2[columns] >= KNOWN
    return [
        _network(
            genes,
            genes.levels[rows],
            [one[rows] for one in motion],
            effect=np.where(held[:, None] & held[None], effect, np.nan),
            times=snapshots.time_index[rows],
            prior=prior,
            rng=np.random.default_rng([seed, k]),
        )
        for k, (rows, effect) in enumerate(zip(regions, effects, strict=True))
    ]


def production_scores(levels: np.ndarray, motion: np.ndarray, genes: Panel) -> np.ndarray:
    """Return the signed strength of every regulator on every target, (r, t) float64; NaN on itself.

    Parameters
    ----------
    levels : (n, n_genes)
        Of all genes of the panel.
    motion : (n, t)
        Velocity of every target, in any unit.
    """
    z, v = _standard(levels), _standard(motion)
    of_targets = z[:, genes.targets]
    made = v + TURNOVER * of_targets
    scores = _regression(z[:, genes.regulators], of_targets, made, genes=genes)
    spread = made.std(axis=0)
    return np.where(different(*genes.names), scores / np.where(spread > 0, spread, 1), np.nan)


def correlations(levels: np.ndarray, genes: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return rank correlation and partial rank correlation of regulators with targets, (r, t) each."""
    ranks = _standard(stats.rankdata(levels, axis=0))
    plain = ranks.T @ ranks / len(ranks)
    inverse = np.linalg.inv(plain + 0.05 * np.eye(len(plain)))
    width = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(width, width)
    some = np.ix_(genes.regulators, genes.targets)
    apart = different(*genes.names)
    return np.where(apart, plain[some], np.nan), np.where(apart, partial[some], np.nan)


def different(regulators: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Tell which pairs are two different genes, (r, t) bool."""
    return np.asarray(regulators, object)[:, None] != np.asarray(targets, object)[None, :]


def shuffled(levels: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal the cells out anew among those of the same time: what time alone explains stays."""
    order = np.arange(len(levels))
    for time in np.unique(times):
        rows = np.flatnonzero(times == time)
        order[rows] = rng.permutation(rows)
    return levels[order]


def _network(
    genes: Panel,
    levels: np.ndarray,
    motion: list[np.ndarray],
    *,
    effect: np.ndarray,
    times: np.ndarray,
    prior: np.ndarray | None,
    rng: np.random.Generator,
) -> Regulation:
    scores = np.stack([production_scores(levels, one, genes) for one in motion])
    score, several = scores.mean(axis=0), len(motion) > 1
    unknown = np.full(score.shape, np.nan)
    dealt = _chance_scores(levels, motion[0], genes, times=times, rng=rng)
    spread = levels.std(axis=0, dtype=np.float64)
    per_spread = effect * spread[None, :] / np.where(spread > 0, spread, np.nan)[:, None]
    per_spread = per_spread[np.ix_(genes.targets, genes.regulators)].T
    correlation, partial = correlations(levels, genes)
    tables = {
        "score": score,
        "low": scores.min(axis=0) if several else unknown,
        "high": scores.max(axis=0) if several else unknown,
        "agree": (np.sign(scores) == np.sign(score)).mean(axis=0) if several else unknown,
        "effect": np.where(different(*genes.names), per_spread, np.nan),
        "correlation": correlation,
        "partial": partial,
    }
    return Regulation(
        *genes.names,
        **{name: table.astype(np.float32) for name, table in tables.items()},
        prior=np.zeros(score.shape, np.int8) if prior is None else np.asarray(prior, np.int8),
        chance=float(np.nanquantile(np.abs(dealt), CHANCE)) if np.isfinite(dealt).any() else 0.0,
        n_cells=len(levels),
        n_members=len(motion),
    )


def _chance_scores(
    levels: np.ndarray, motion: np.ndarray, genes: Panel, *, times: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return scores of regulators whose cells were dealt out anew; the targets keep theirs."""
    z, v = _standard(levels), _standard(motion)
    dealt = shuffled(z[:, genes.regulators], times, rng)
    made = v + TURNOVER * z[:, genes.targets]
    spread = made.std(axis=0)
    scores = _regression(dealt, z[:, genes.targets], made) / np.where(spread > 0, spread, 1)
    return np.where(different(*genes.names), scores, np.nan)


def _regression(
    z: np.ndarray, own: np.ndarray, made: np.ndarray, *, genes: Panel | None = None
) -> np.ndarray:
    """Ridge coefficients of the regulators, (r, t), in a regression that also has each target's own level.

    A target that is itself among the regulators has its level there already; for the others it is one more
    column, brought in through the Schur complement so that one inverse serves all targets.
    """
    n = max(len(z), 1)
    inverse = np.linalg.inv(z.T @ z / n + PENALTY * np.eye(z.shape[1]))
    with_made, with_own = z.T @ made / n, z.T @ own / n
    plain, shadow = inverse @ with_made, inverse @ with_own
    rest = (own**2).mean(axis=0) + PENALTY - (with_own * shadow).sum(axis=0)
    weight = ((own * made).mean(axis=0) - (with_own * plain).sum(axis=0)) / rest
    if genes is not None:
        weight[np.isin(genes.targets, genes.regulators)] = 0
    return plain - shadow * weight


def _standard(values: np.ndarray) -> np.ndarray:
    """Bring every column to mean 0 and spread 1; what does not vary becomes 0."""
    values = np.asarray(values, np.float64)
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    return values / np.where(spread > 1e-9 * max(float(spread.max(initial=0)), 1e-300), spread, np.inf)


def _check(regions: np.ndarray) -> None:
    fewest = int(regions.sum(axis=1).min())
    if fewest < FEWEST:
        raise DataError(
            f"A network of candidate regulators needs {FEWEST} cells or more; there are {fewest}. "
            "Choose more cells, such as another cell type or all times."
        )
