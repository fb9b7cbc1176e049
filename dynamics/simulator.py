"""Simulate cells that are driven by a gene network, divide, die and are counted by a sequencer.

Expression is in relative units: 1 is a gene at full activity. Time is in days.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

STEP = 0.05  # days; the fastest gene relaxes in about half a day


@dataclass(frozen=True)
class Edge:
    """One regulation: `sign` +1 activates, -1 represses; `half` is the regulator level of half effect."""

    regulator: str
    target: str
    sign: int
    strength: float = 4.0
    half: float = 0.5


@dataclass(frozen=True)
class GeneNetwork:
    """Genes that make their products at a rate set by other genes, and lose them at a constant rate.

    The production of a gene is p = (b + Σ a h) / (1 + b + Σ a h + Σ r h), with h = (x / half)^hill of each
    regulator: b the basal activity, a the strengths of the activators and r those of the repressors.

    Parameters
    ----------
    genes
        Names, regulators first.
    n_regulators
        How many of the genes regulate others.
    basal, rate : (n_genes,)
        Basal activity; turnover per day.
    activation, repression : (n_regulators, n_genes)
        Strength divided by half^hill.
    hill
        Steepness of every regulation.
    noise
        Size of the intrinsic noise: 1 / sqrt(molecules at full activity).

    References
    ----------
    Gillespie, The chemical Langevin equation, J. Chem. Phys. 2000.
    """

    genes: tuple[str, ...]
    n_regulators: int
    basal: np.ndarray
    rate: np.ndarray
    activation: np.ndarray
    repression: np.ndarray
    hill: float = 2.0
    noise: float = 0.1

    def production(self, x: np.ndarray) -> np.ndarray:
        """Relative production of every gene in every state, (n, n_genes)."""
        h = x[:, : self.n_regulators] ** self.hill
        up = self.basal + h @ self.activation
        return up / (1 + up + h @ self.repression)

    def drift(self, x: np.ndarray) -> np.ndarray:
        """Mean change of every gene per day, (n, n_genes)."""
        return self.rate * (self.production(x) - x)

    def regulators(self) -> "GeneNetwork":
        """The part of the network that decides: the regulators alone."""
        k = self.n_regulators
        return GeneNetwork(
            self.genes[:k],
            k,
            self.basal[:k],
            self.rate[:k],
            self.activation[:, :k],
            self.repression[:, :k],
            self.hill,
            self.noise,
        )


def build_network(
    basal: dict[str, float],
    rate: dict[str, float],
    edges: Sequence[Edge],
    *,
    regulators: Sequence[str],
    hill: float = 2.0,
    noise: float = 0.1,
) -> GeneNetwork:
    """Lay out a network as arrays; genes keep the order of `basal`, with the regulators first."""
    genes = (*regulators, *(gene for gene in basal if gene not in set(regulators)))
    position = {gene: k for k, gene in enumerate(genes)}
    weights = np.zeros((2, len(regulators), len(genes)), np.float32)
    for edge in edges:
        kind = 0 if edge.sign > 0 else 1
        weights[kind, position[edge.regulator], position[edge.target]] = edge.strength / edge.half**hill
    return GeneNetwork(
        genes,
        len(regulators),
        np.array([basal[gene] for gene in genes], np.float32),
        np.array([rate[gene] for gene in genes], np.float32),
        weights[0],
        weights[1],
        hill,
        noise,
    )


def step(network: GeneNetwork, x: np.ndarray, rng: np.random.Generator, *, dt: float = STEP) -> np.ndarray:
    """Move every state by `dt` days along the chemical Langevin equation (Euler–Maruyama)."""
    made = network.production(x)
    spread = network.noise * np.sqrt(network.rate * dt * (made + x))
    moved = x + dt * network.rate * (made - x) + spread * rng.standard_normal(x.shape, dtype=np.float32)
    return np.maximum(moved, 0, out=moved)


@dataclass(frozen=True)
class Population:
    """Cells alive at one time: their states, (n, n_genes), and the founder each descends from, (n,)."""

    x: np.ndarray
    founder: np.ndarray

    def take(self, rows: np.ndarray) -> "Population":
        """The cells in `rows`."""
        return Population(self.x[rows], self.founder[rows])


def live(network: GeneNetwork, cells: Population, birth, *, death: float, days: float, rng) -> Population:
    """Let a population change, divide and die for some days.

    Parameters
    ----------
    birth
        Function of the states, (n, n_genes), that gives divisions per cell and day, (n,).
    death
        Deaths per cell and day.
    """
    n_steps = max(1, round(days / STEP))
    dt = days / n_steps
    for _ in range(n_steps):
        x = step(network, cells.x, rng, dt=dt)
        chance = rng.random(len(x))
        dies = chance < death * dt
        divides = chance > 1 - birth(x) * dt
        rows = np.flatnonzero(~dies)
        rows = np.concatenate([rows, np.flatnonzero(divides & ~dies)])
        cells = Population(x[rows], cells.founder[rows])
    return cells


def sample_over_time(
    network: GeneNetwork,
    founders: Population,
    *,
    birth,
    death: float,
    times: Sequence[float],
    sizes: Sequence[int],
    capacity: int,
    rng: np.random.Generator,
) -> Iterator[Population]:
    """Take cells out of one growing culture at each time; sampled cells are gone from it.

    A culture of more than `capacity` cells is diluted at random, as by passaging, at the sampling times.
    """
    cells = founders
    for k, size in enumerate(sizes):
        if k:
            cells = live(network, cells, birth, death=death, days=times[k] - times[k - 1], rng=rng)
        order = rng.permutation(len(cells.x))
        yield cells.take(order[:size])
        cells = cells.take(order[size : size + capacity])


def fate_probabilities(
    network: GeneNetwork,
    x: np.ndarray,
    decided,
    *,
    n_fates: int,
    n_replicates: int,
    days: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Share of the futures of each state that end in each fate, (n, n_fates).

    Parameters
    ----------
    x : (n, n_genes)
        States of which only the regulators matter.
    decided
        Function of the regulators' states that gives the fate of each, or -1 while it is open.
    n_replicates
        Futures simulated per state, each with its own noise.
    days
        After so many days a future that is still open counts as a fraction to every fate.
    """
    network = network.regulators()
    cell = np.repeat(np.arange(len(x)), n_replicates)
    state = np.repeat(x[:, : network.n_regulators], n_replicates, axis=0)
    reached = np.zeros((len(x), n_fates))
    for _ in range(round(days / (2 * STEP))):
        fate = decided(state)
        done = fate >= 0
        np.add.at(reached, (cell[done], fate[done]), 1)
        cell, state = cell[~done], state[~done]
        if not len(cell):
            break
        state = step(network, state, rng, dt=2 * STEP)
    np.add.at(reached, cell, 1 / n_fates)
    return reached / n_replicates


@dataclass(frozen=True)
class Sequencer:
    """How a cell's products become counts.

    Parameters
    ----------
    dispersion
        Extra variance of a gene's count: variance = mean + dispersion · mean².
    dropout
        Chance that a weakly expressed gene is lost altogether; it falls as dropout · exp(-mean / 2).
    """

    dispersion: float = 0.15
    dropout: float = 0.4

    def draw(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Gamma–Poisson counts around `mean`, any shape, of which some are lost; int32."""
        counts = rng.poisson(rng.gamma(1 / self.dispersion, self.dispersion * mean))
        lost = rng.random(mean.shape) < self.dropout * np.exp(-mean / 2)
        return np.where(lost, 0, counts).astype(np.int32)

    def mean_log(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected log(1 + count), dropout included, and its derivative by the mean; shapes of `mean`.

        This is where the log-normalised value of a gene lies on average: lower than the log of the mean,
        and flatter where few molecules are seen.
        """
        grid = np.concatenate([[0.0], np.geomspace(1e-3, max(2.0 * float(mean.max()), 1.0), 400)])
        value = (1 - self.dropout * np.exp(-grid / 2)) * self._expected_log(grid)
        return np.interp(mean, grid, value), np.interp(mean, grid, np.gradient(value, grid))

    def _expected_log(self, grid: np.ndarray) -> np.ndarray:
        """Sum log(1 + k) over the negative-binomial distribution of each mean in the grid."""
        r = 1 / self.dispersion
        top = int(grid[-1] * (1 + 10 * np.sqrt(self.dispersion + 1 / max(grid[-1], 1)))) + 20
        k = np.arange(top)
        m = grid[:, None]
        log_p = special.gammaln(k + r) - special.gammaln(r) - special.gammaln(k + 1)
        log_p = log_p + r * np.log(r / (r + m)) + special.xlogy(k, m / (r + m))
        return (np.exp(log_p) * np.log1p(k)).sum(axis=1)
