"""What a candidate network adds over correlation, measured on cells that it was not made from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from dynamics.ensemble import members_of
from dynamics.errors import DataError
from dynamics.regulation import FEWEST, Panel, correlations, different, production_scores, shuffled
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

TOP = 3
"""Regulators of each target that tell its velocity in the check."""
STRONGEST = 0.1
"""Share of the edges that count as the strongest."""
CLEAR = 0.01
"""Explained share of the velocity from which one ranking counts as better than another."""


@dataclass(frozen=True, eq=False)
class Added:
    """What the model's ranking of regulators adds over that of correlation.

    Attributes
    ----------
    rank_agreement
        Rank correlation between strength and |correlation| over all pairs: 1 where the model only repeats it.
    by_model, by_correlation, by_chance
        Share of the velocity of held-out cells that each target's level and its top 3 regulators explain, by
        the ranking of the model, of correlation, and of genes drawn at random; median over targets.
    wins
        Share of the targets whose velocity the model's regulators explain better than those of correlation.
    repeat, repeat_shuffled
        Share of the strongest tenth of edges that another member has too, with the same sign; and the same
        for regulators whose cells are shuffled within each time. NaN without an ensemble.
    n_cells
        Held-out cells.
    """

    rank_agreement: float
    by_model: float
    by_correlation: float
    by_chance: float
    wins: float
    repeat: float
    repeat_shuffled: float
    n_cells: int

    def sentence(self) -> str:
        """Say in one plain sentence what the model adds."""
        figures = (
            f"on held-out cells its candidates explain {self.by_model:.0%} of the velocity of a typical "
            f"target, the most correlated genes {self.by_correlation:.0%}, "
            f"genes drawn at random {self.by_chance:.0%}"
        )
        if self.by_model > self.by_correlation + CLEAR:
            return f"The model adds to correlation: {figures}."
        if self.by_model < self.by_correlation - CLEAR:
            return f"The model adds nothing to correlation here: {figures}; believe correlation as much."
        return f"The model adds little to correlation: {figures}."


def added(
    velocity: "VelocityField",
    snapshots: "Snapshots",
    genes: Panel,
    *,
    basis: "StateBasis",
    rows: np.ndarray | None = None,
    seed: int = 0,
) -> Added:
    """Rank regulators on every other cell of each time, and see what the rankings tell of the rest.

    The velocities that are explained are the mean of the other members of the ensemble where there is one, so
    that a ranking is not rewarded for the accidents of the training that it came from.

    Parameters
    ----------
    rows : (m,)
        Cells of the snapshots; all by default.

    Raises
    ------
    DataError
        Fewer than 40 cells.
    """
    rows = np.arange(snapshots.n_cells) if rows is None else np.asarray(rows)
    if len(rows) < 2 * FEWEST:
        raise DataError(
            f"The check needs {2 * FEWEST} cells or more; there are {len(rows)}. Choose more cells."
        )
    rng = np.random.default_rng([seed, 7])
    motion = [_motion(member, snapshots, rows, genes, basis) for member in members_of(velocity)]
    levels, times = genes.levels[rows], snapshots.time_index[rows]
    learn = _every_other(times, rng)
    tested = np.mean(motion[1:] or motion, axis=0)
    model = np.abs(np.nan_to_num(production_scores(levels[learn], motion[0][learn], genes)))
    plain = np.abs(np.nan_to_num(correlations(levels[learn], genes)[0]))
    rankings = (model, plain, np.where(different(*genes.names), rng.random(model.shape), 0))
    told = [_explained(levels, tested, genes, ranking, learn) for ranking in rankings]
    apart = different(*genes.names)
    repeats = _repeats(levels, motion, genes, times=times, rng=rng)
    return Added(
        float(stats.spearmanr(model[apart], plain[apart]).statistic),
        *(float(np.median(one)) if len(one) else float("nan") for one in told),
        float(np.mean(told[0] > told[1])) if len(told[0]) else float("nan"),
        *repeats,
        int((~learn).sum()),
    )


def to_json(found: Added) -> dict[str, Any]:
    """Return the figures, with what is not known as None, and the sentence."""
    figures = {name: getattr(found, name) for name in Added.__dataclass_fields__}
    return {name: v if np.isfinite(v) else None for name, v in figures.items()} | {
        "sentence": found.sentence()
    }


def _motion(
    member: "VelocityField", snapshots: "Snapshots", rows: np.ndarray, genes: Panel, basis: "StateBasis"
) -> np.ndarray:
    v = evaluate(member, snapshots.times[rows], snapshots.states[rows])
    return basis.velocity_to_genes(v, genes.genes)[:, genes.targets].astype(np.float64)


def _every_other(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw half of the cells of every time, (n,) bool."""
    learn = np.zeros(len(times), bool)
    for time in np.unique(times):
        rows = rng.permutation(np.flatnonzero(times == time))
        learn[rows[: (len(rows) + 1) // 2]] = True
    return learn


def _explained(
    levels: np.ndarray, motion: np.ndarray, genes: Panel, ranking: np.ndarray, learn: np.ndarray
) -> np.ndarray:
    """Share of the held-out velocity of each moving target that its level and top regulators tell, (m,)."""
    found = []
    for t, target in enumerate(genes.targets):
        top = np.argsort(-ranking[:, t], kind="stable")[:TOP]
        x = np.column_stack([np.ones(len(levels)), levels[:, [target, *genes.regulators[top]]]]).astype(float)
        y = motion[:, t]
        total = np.square(y[~learn] - y[~learn].mean()).sum()
        if total > 0:
            weight = np.linalg.lstsq(x[learn], y[learn], rcond=None)[0]
            found.append(1 - np.square(y[~learn] - x[~learn] @ weight).sum() / total)
    return np.array(found)


def _repeats(
    levels: np.ndarray,
    motion: list[np.ndarray],
    genes: Panel,
    *,
    times: np.ndarray,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """How often the strongest edges of one member are those of another, as it is and shuffled."""
    if len(motion) < 2:
        return float("nan"), float("nan")
    dealt = levels.copy()
    dealt[:, genes.regulators] = shuffled(levels[:, genes.regulators], times, rng)
    return _overlap(levels, motion, genes), _overlap(dealt, motion, genes)


def _overlap(levels: np.ndarray, motion: list[np.ndarray], genes: Panel) -> float:
    apart = different(*genes.names)
    scores = [np.nan_to_num(production_scores(levels, one, genes)[apart]) for one in motion]
    n = max(int(STRONGEST * apart.sum()), 1)
    top = [set(np.argsort(-np.abs(one), kind="stable")[:n].tolist()) for one in scores]
    shares = [
        np.mean([edge in top[b] and scores[a][edge] * scores[b][edge] > 0 for edge in top[a]])
        for a in range(len(top))
        for b in range(len(top))
        if a != b
    ]
    return float(np.mean(shares))
