"""The built-in example: a simulated time course of branching blood formation with everything known."""

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from dynamics.blood_genes import DECIDED_BY, FATES, Blood, build_blood
from dynamics.errors import SettingsError
from dynamics.simulator import Population, Sequencer, fate_probabilities, live, sample_over_time

DAYS = (0.0, 1.0, 2.5, 4.0, 7.0)
SHARES = (0.15, 0.19, 0.22, 0.22, 0.22)  # of all cells, by day
DEPTH = 1400.0  # median molecules counted per cell
DIVISIONS = 0.6  # per day, of a cell in full cycle
DEATHS = 0.06  # per day
FUTURES = 24  # simulated per cell to know its fate
DAMAGED = 0.015  # share of cells that leaked: few counts, many of them mitochondrial
COMMITTED = 0.9  # a cell is committed when so much of its future goes to one fate
MIN_CELLS = 50

CELL_TYPES = {  # with colours that stay apart for colour-blind readers (Okabe and Ito)
    "Stem cell": "#666666",
    "Multipotent progenitor": "#F0E442",
    "Erythroid progenitor": "#CC79A7",
    "Erythroid": "#D55E00",
    "Myeloid progenitor": "#56B4E9",
    "Monocyte": "#0072B2",
    "Neutrophil": "#009E73",
}
OPEN = "Undecided"
FATE_COLOURS = {**{name: CELL_TYPES[name] for name in FATES}, OPEN: "#BBBBBB"}


def simulate(*, seed: int = 0, n_cells: int = 6000) -> ad.AnnData:
    """Simulate a branching time course: one culture, sampled on five days, about 200 genes.

    A small gene network with noise drives every cell from a stem cell state through two switches to one of
    three fates. Cells start at different moments, divide at a rate that their state sets, and die.

    Parameters
    ----------
    seed
        Same seed, same data.
    n_cells
        Cells sampled in all.

    Returns
    -------
    Counts in `X` and `layers["counts"]`; `obs` has `day`, `cell_type`, `replicate`, `clone`. The truth is in
    `layers["true_expression"]` (expected log-normalised value), `layers["true_velocity"]` (its mean change
    per day), `obs["true_growth"]` (net divisions per day), `obsm["true_fate"]` (share of the cell's futures
    that end in each of `uns["true_fate_names"]`), `obs["true_fate"]` and `uns["true_network"]`.

    Raises
    ------
    SettingsError
        Fewer than 50 cells asked for.
    """
    if n_cells < MIN_CELLS:
        raise SettingsError(
            f"The example needs at least {MIN_CELLS} cells to show its branches; asked for {n_cells}."
        )
    rng = np.random.default_rng(seed)
    blood = build_blood()
    samples = _culture(blood, n_cells, rng)
    x = np.concatenate([sample.x for sample in samples])
    obs = _describe(blood, samples)
    fate = fate_probabilities(
        blood.network,
        x,
        lambda state: decided(blood, state),
        n_fates=len(FATES),
        n_replicates=FUTURES,
        days=15.0,
        rng=rng,
    )
    obs["true_growth"] = (birth(blood, x) - DEATHS).astype(np.float32)
    obs["true_fate"] = _fate_names(fate)
    counts = _sequence(blood, x, obs, rng)
    adata = ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=_genes(blood))
    adata.layers["counts"] = adata.X.copy()
    adata.layers["true_expression"], adata.layers["true_velocity"] = log_expression(blood, x)
    adata.obsm["true_fate"] = fate.astype(np.float32)
    adata.uns |= _annotations(blood, seed)
    return adata


def birth(blood: Blood, x: np.ndarray) -> np.ndarray:
    """Divisions per day of cells in the states x, (n,): set by E2f1."""
    drive = blood.level(x, "E2f1") ** 3
    return DIVISIONS * drive / (0.5**3 + drive)


def decided(blood: Blood, x: np.ndarray) -> np.ndarray:
    """The fate that each state has locked in, as an index into FATES, or -1, (n,)."""
    fate = np.full(len(x), -1)
    for k, (winner, loser) in enumerate(DECIDED_BY):
        fate[(blood.level(x, winner) > 0.6) & (blood.level(x, loser) < 0.15)] = k
    return fate


def log_expression(blood: Blood, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected log-normalised expression of the states x, and its mean change per day; (n, n_genes) each."""
    amount, share = _shares(blood, x)
    change = blood.abundance * blood.network.drift(x)
    change = (change - share * change.sum(axis=1, keepdims=True)) / amount.sum(axis=1, keepdims=True)
    value, slope = Sequencer().mean_log(DEPTH * share)
    return value.astype(np.float32), (slope * DEPTH * change).astype(np.float32)


def _shares(blood: Blood, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amount of every gene's product, and its share of the cell's total; (n, n_genes) each."""
    amount = blood.abundance * (x + 0.003)
    return amount, amount / amount.sum(axis=1, keepdims=True)


def _culture(blood: Blood, n_cells: int, rng: np.random.Generator) -> list[Population]:
    """Grow one culture from stem cells that start to differentiate at different moments, and sample it."""
    sizes = [round(share * n_cells) for share in SHARES[:-1]]
    sizes.append(n_cells - sum(sizes))
    n_founders = sizes[0] + round(0.7 * n_cells)
    x = np.repeat(blood.start[None], n_founders, axis=0)
    x[:, blood.network.genes.index("Hlf")] = np.exp(rng.uniform(np.log(0.25), np.log(1.3), n_founders))

    def divide(state: np.ndarray) -> np.ndarray:
        return birth(blood, state)

    founders = live(
        blood.network,
        Population(x, np.arange(n_founders)),
        lambda state: np.zeros(len(state)),
        death=0.0,
        days=1.0,
        rng=rng,
    )
    return list(
        sample_over_time(
            blood.network,
            founders,
            birth=divide,
            death=DEATHS,
            times=DAYS,
            sizes=sizes,
            capacity=round(0.6 * n_cells),
            rng=rng,
        )
    )


def _describe(blood: Blood, samples: list[Population]) -> pd.DataFrame:
    """The columns that an experiment would have: day, cell type, replicate, clone."""
    n_cells = sum(len(sample.x) for sample in samples)
    x = np.concatenate([sample.x for sample in samples])
    founder = np.concatenate([sample.founder for sample in samples])
    obs = pd.DataFrame(index=pd.Index([f"cell{k:05d}" for k in range(n_cells)], name="cell"))
    obs["day"] = np.repeat(DAYS, [len(sample.x) for sample in samples])
    obs["cell_type"] = pd.Categorical.from_codes(cell_type(blood, x), list(CELL_TYPES))
    obs["replicate"] = pd.Categorical.from_codes(np.arange(n_cells) % 2, ["A", "B"])
    obs["clone"] = pd.Categorical([f"clone{k:05d}" for k in founder])
    return obs


def cell_type(blood: Blood, x: np.ndarray) -> np.ndarray:
    """Name the states by their regulators, as indices into CELL_TYPES, (n,)."""
    gata1, spi1, irf8, gfi1 = (blood.level(x, gene) for gene in ("Gata1", "Spi1", "Irf8", "Gfi1"))
    rules = (
        (gata1 > 0.5) & (blood.level(x, "Klf1") > 0.45),
        gata1 > 0.5,
        (irf8 > 0.5) & (irf8 > gfi1),
        (gfi1 > 0.5) & (gfi1 > irf8),
        spi1 > 0.5,
        blood.level(x, "Hlf") > 0.3,
    )
    names = ("Erythroid", "Erythroid progenitor", "Monocyte", "Neutrophil", "Myeloid progenitor", "Stem cell")
    codes = [list(CELL_TYPES).index(name) for name in names]
    return np.select(rules, codes, default=list(CELL_TYPES).index("Multipotent progenitor"))


def _fate_names(fate: np.ndarray) -> pd.Categorical:
    """The fate of each committed cell; `Undecided` where the futures differ."""
    code = np.where(fate.max(axis=1) >= COMMITTED, fate.argmax(axis=1), len(FATES))
    return pd.Categorical.from_codes(code, [*FATES, OPEN])


def _sequence(blood: Blood, x: np.ndarray, obs: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Count molecules: library sizes, replicate effect, cell cycle, damaged cells, dropout; (n, n_genes)."""
    module = np.array(blood.module)
    _, share = _shares(blood, x)
    share[:, module == "cell cycle"] *= rng.lognormal(-0.08, 0.4, (len(x), 1))
    replicate = obs["replicate"].cat.codes.to_numpy()
    share *= np.stack([np.ones(share.shape[1]), rng.lognormal(0, 0.05, share.shape[1])])[replicate]
    library = DEPTH * rng.lognormal(0, 0.3, len(x)) * np.array([0.92, 1.08])[replicate]
    damaged = rng.random(len(x)) < DAMAGED
    library[damaged] *= rng.uniform(0.1, 0.3, damaged.sum())
    share[np.ix_(damaged, module == "mitochondrial")] *= 8
    share /= share.sum(axis=1, keepdims=True)
    return Sequencer().draw(library[:, None] * share, rng)


def _genes(blood: Blood) -> pd.DataFrame:
    """What each gene is in the simulation."""
    var = pd.DataFrame(index=pd.Index(blood.network.genes, name="gene"))
    var["true_module"] = pd.Categorical(blood.module)
    var["is_regulator"] = np.arange(len(var)) < blood.network.n_regulators
    return var


def _annotations(blood: Blood, seed: int) -> dict:
    """Colours, fate names, the true network, and how the data were made."""
    network = pd.DataFrame(
        {
            "regulator": [edge.regulator for edge in blood.edges],
            "target": [edge.target for edge in blood.edges],
            "sign": [edge.sign for edge in blood.edges],
            "strength": [edge.strength for edge in blood.edges],
        }
    )
    network.index = network.index.astype(str)
    return {
        "cell_type_colors": list(CELL_TYPES.values()),
        "true_fate_colors": list(FATE_COLOURS.values()),
        "true_fate_names": list(FATES),
        "true_network": network,
        "simulation": {"name": "branching", "seed": seed, "time_unit": "day", "committed_from": COMMITTED},
    }
