"""Fates: which share of each cell's descendants ends in each terminal state, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from dynamics.absorption import Absorbed, absorbed, check_states
from dynamics.ensemble import members_of
from dynamics.errors import SettingsError
from dynamics.field import Progress, no_progress, share
from dynamics.forward_draws import drawn
from dynamics.trajectories import coded
from dynamics.transitions import NEIGHBOURS, Transitions, chains

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates

NOMINAL = 0.8
"""Share of true values that an interval is meant to hold."""

DRAWS = 10
"""Paths drawn for each cell with a stochastic model, over all members together."""

FEWEST_DRAWS = 5
"""Paths drawn for each cell by each member, at least."""

DISAGREES = 0.2
"""Fates with and without growth disagree on a cell where so much probability lies elsewhere."""

FEW = 10
"""Cells of a type from which it is named in the warning."""


@dataclass(frozen=True, eq=False)
class Fates:
    """Fate probabilities of measured cells.

    Attributes
    ----------
    names
        Of the terminal states.
    probabilities : (n, n_fates)
        Mean over the members of the share of the cell's descendants that end in each state, of those that
        end in any; NaN where hardly any does. With growth where it is known.
    low, high : (n, n_fates) or None
        Nominal 80 % interval from the members and the draws; None where there is one member and no chance.
    without_growth : (n, n_fates) or None
        The same where every cell counts once; None where no growth is known, so that both are the same.
    reached, unsupported : (n,)
        Share of the descendants that reach a terminal state, and of the paths that leave the measured cells.
    by_member : (n_members, n, n_fates) float32 or None
        What each member says; None where there is one.
    method
        "chain" (deterministic models) or "draws" (stochastic ones).
    n_draws
        Paths drawn for each cell by each member; 0 for a chain.
    growth
        "model", "genes" or "none".
    widening
        Times by which the intervals are wider than the members and draws alone make them.
    """

    names: tuple[str, ...]
    probabilities: np.ndarray = field(repr=False)
    low: np.ndarray | None = field(repr=False)
    high: np.ndarray | None = field(repr=False)
    without_growth: np.ndarray | None = field(repr=False)
    reached: np.ndarray = field(repr=False)
    unsupported: np.ndarray = field(repr=False)
    by_member: np.ndarray | None = field(default=None, repr=False)
    method: str = "chain"
    n_draws: int = 0
    growth: str = "none"
    widening: float = 1.0

    def __post_init__(self) -> None:
        for array in (self.probabilities, self.low, self.high, self.without_growth, self.by_member):
            if array is not None:
                array.flags.writeable = False
        self.reached.flags.writeable = self.unsupported.flags.writeable = False

    @property
    def n_members(self) -> int:
        return 1 if self.by_member is None else len(self.by_member)

    @cached_property
    def known(self) -> np.ndarray:
        """Cells that have fates, (n,) bool."""
        return np.isfinite(self.probabilities).all(axis=1)

    @cached_property
    def most_likely(self) -> np.ndarray:
        """Code of the most likely fate of each cell, (n,); −1 where the cell has none."""
        return np.where(self.known, np.nan_to_num(self.probabilities, nan=-1.0).argmax(axis=1), -1)

    @cached_property
    def certainty(self) -> np.ndarray:
        """1 where one fate is certain, 0 where all are equally likely, (n,): one less the scaled entropy."""
        p = self.probabilities
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(p > 0, p * np.log(p), np.where(np.isnan(p), np.nan, 0.0)).sum(axis=1)
        return np.clip(1 - entropy / np.log(len(self.names)), 0, 1)

    @cached_property
    def disagreement(self) -> np.ndarray | None:
        """Probability that growth moves to other fates, (n,): total variation; None if unknown."""
        if self.without_growth is None:
            return None
        return 0.5 * np.abs(self.probabilities - self.without_growth).sum(axis=1)

    def widened(self, factor: float) -> "Fates":
        """Return the same with intervals that many times as wide: what held-out times called for."""
        if self.low is None or factor == 1:
            return self
        mean = self.probabilities
        low, high = (np.clip(mean + factor * (bound - mean), 0, 1) for bound in (self.low, self.high))
        return replace(self, low=low, high=high, widening=factor * self.widening)

    @property
    def message(self) -> str:
        """What a reader must know about these probabilities, in words."""
        n, lost = len(self.probabilities), int((~self.known).sum())
        sentences = []
        if lost:
            sentences.append(
                f"{lost:,} of {n:,} cells reach no terminal state, so they have no fates: the flow does not "
                "lead from them to any. Pick a terminal state where they go, or make one larger."
            )
        off = float(self.unsupported.mean())
        if off >= 0.01:
            sentences.append(f"{off:.0%} of the paths leave the measured cells on the way: extrapolated.")
        if self.low is None:
            sentences.append(
                "No interval: there is one training only, so nobody knows what another would say. Train an "
                "ensemble."
            )
        elif self.n_members == 1:
            sentences.append("Intervals tell what the draws leave open, not what another training would say.")
        return " ".join(sentences)


def fate_probabilities(
    snapshots: "Snapshots",
    velocity_field: "VelocityField",
    terminal: "TerminalStates",
    *,
    chains_of: Sequence[Transitions] | None = None,
    growth: str = "auto",
    neighbours: int = NEIGHBOURS,
    draws: int | None = DRAWS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Fates:
    """Return which share of each cell's descendants ends in each terminal state.

    Deterministic fields: a Markov chain over the measured cells, built from the flow, followed to its end
    (`dynamics.transitions`, `dynamics.absorption`). Stochastic ones: paths drawn for each cell
    (`dynamics.forward_draws`). Every member of an ensemble gives its own; the mean is the estimate.

    Parameters
    ----------
    chains_of
        Chains of the members as `dynamics.transitions.chains` gives them, where they are already there; then
        `growth` and `neighbours` are theirs.
    growth
        Where growth is taken from: "auto", "model", "genes" (`snapshots.prior_growth`) or "none".
    draws
        Paths drawn for each cell by a stochastic field, over all members together; None to follow the chain
        of its mean flow instead, which is quick.

    Raises
    ------
    DataError
        Fewer than two terminal states, or none at the last time; growth is asked for where none is known.
    """
    check_states(terminal)
    members = members_of(velocity_field)
    if chains_of is None:
        built = share(progress, 0.0, 0.4)
        options = {"neighbours": neighbours, "growth": growth, "progress": built}
        chains_of = chains(velocity_field, snapshots, **options)
    if draws is not None and draws < 1:
        raise SettingsError(f"{draws} paths for each cell: at least 1 is needed.")
    stochastic = draws is not None and bool(getattr(velocity_field, "is_stochastic", False))
    per_member = max(FEWEST_DRAWS, -(-draws // len(members))) if stochastic else 0
    found = []
    for k, (member, chain) in enumerate(zip(members, chains_of, strict=True)):
        part = share(progress, 0.4 + 0.6 * k / len(members), 0.4 + 0.6 * (k + 1) / len(members))
        options = {"draws": per_member, "seed": seed + k, "progress": part}
        found.append(_one(member, snapshots, terminal, chain=chain, stochastic=stochastic, **options))
    with_growth = [pair[0] for pair in found]
    plain = [pair[1].probabilities for pair in found if pair[1] is not None]
    by_member = np.stack([one.probabilities for one in with_growth])
    mean = _mean(by_member)
    low, high = interval(by_member, n_draws=per_member)
    return Fates(
        names=terminal.names,
        probabilities=mean,
        low=low,
        high=high,
        without_growth=_mean(np.stack(plain)) if plain else None,
        reached=np.mean([one.reached for one in with_growth], axis=0),
        unsupported=np.mean([one.unsupported for one in with_growth], axis=0),
        by_member=by_member.astype(np.float32) if len(by_member) > 1 else None,
        method="draws" if stochastic else "chain",
        n_draws=per_member,
        growth=chains_of[0].growth,
    )


def _one(
    member: "VelocityField",
    snapshots: "Snapshots",
    terminal: "TerminalStates",
    *,
    chain: Transitions,
    stochastic: bool,
    draws: int,
    seed: int,
    progress: Progress,
) -> tuple[Absorbed, Absorbed | None]:
    """Return what one member says, with growth and, where it is known, without."""
    if stochastic:
        options = {"chain": chain, "draws": draws, "seed": seed, "progress": progress}
        return drawn(member, snapshots, terminal, **options)
    progress(0.0, "following the chain to its end")
    plain = absorbed(chain, terminal, growth=False) if chain.weights is not None else None
    return absorbed(chain, terminal), plain


def interval(
    by_member: np.ndarray, *, n_draws: int = 0, widened: float = 1.0
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return a nominal 80 % interval of shares that several members give, each from some draws.

    Student's interval for one more member, with the variance between members less what the draws make of
    it, and added to it the binomial variance of all draws of the cell (Agresti and Coull's, which is not zero
    where all draws agree; draws of the cells around, which the mean rests on too, are not counted: they may
    have other fates).

    Parameters
    ----------
    by_member : (n_members, ...)
    n_draws
        Draws of each member; 0 where no chance is in its answer.
    widened
        Times by which the half-width is multiplied.

    Returns
    -------
    Low and high, (...), or None where there is one member and no draw.

    References
    ----------
    Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep ensembles,
    NeurIPS 2017; Agresti and Coull, Approximate is better than “exact” for interval estimation of binomial
    proportions, The American Statistician 1998.
    """
    n = len(by_member)
    if n < 2 and not n_draws:
        return None, None
    mean = _mean(by_member)
    between, quantile = np.zeros(mean.shape), stats.norm.ppf((1 + NOMINAL) / 2)
    if n > 1:
        quantile = stats.t.ppf((1 + NOMINAL) / 2, n - 1)
        chance = mean * (1 - mean) / n_draws if n_draws else 0.0
        between = np.maximum(np.square(by_member - mean).sum(axis=0) / (n - 1) - chance, 0) * (1 + 1 / n)
    if n_draws:
        drawn_in_all, more = n * n_draws, quantile**2
        shifted = (mean * drawn_in_all + more / 2) / (drawn_in_all + more)
        between = between + shifted * (1 - shifted) / (drawn_in_all + more)
    half = widened * quantile * np.sqrt(between)
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def growth_warning(fates: Fates, labels: np.ndarray | None = None) -> str:
    """Say where fates with and without growth disagree; empty where they do not, or no growth is known."""
    if fates.disagreement is None:
        return ""
    told = np.isfinite(fates.disagreement)
    apart = told & (np.nan_to_num(fates.disagreement) > DISAGREES)
    if not apart.any():
        return ""
    source = {"model": "the growth that the model learned", "genes": "the growth that genes speak for"}
    share_apart = apart.sum() / told.sum()
    text = (
        f"Growth decides the fates of {apart.sum():,} of {told.sum():,} cells ({share_apart:.0%}): with "
        f"{source[fates.growth]}, over {DISAGREES:.0%} of their probability lies elsewhere than without it"
    )
    if labels is None:
        return f"{text}."
    names, codes = coded(labels, len(told))
    sizes = np.bincount(codes[told & (codes >= 0)], minlength=len(names))
    counts = np.bincount(codes[apart & (codes >= 0)], minlength=len(names))
    shares = np.where(sizes >= FEW, counts / np.maximum(sizes, 1), 0.0)
    most = [f"{names[k]} ({shares[k]:.0%})" for k in np.argsort(-shares, kind="stable")[:3] if shares[k] > 0]
    return f"{text}, most of all among {', '.join(most)}." if most else f"{text}."


def _mean(by_member: np.ndarray) -> np.ndarray:
    """Mean over members of shares that sum to one; NaN where a member has none."""
    return by_member.astype(np.float64).mean(axis=0)
