"""Growth expected from genes: birth from the cell cycle, death from apoptosis."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.basis import log_expression
from dynamics.errors import DataError
from dynamics.growth_genes import APOPTOSIS, FORMER_NAMES, G2M_PHASE, S_PHASE
from dynamics.time_labels import days_in

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

SLOWEST, FASTEST = 0.3, 1.7
"""Smallest and largest rate of birth and of death, per day."""
BIRTH_CENTRE, BIRTH_WIDTH = 0.25, 0.5
DEATH_CENTRE, DEATH_WIDTH = 0.1, 0.2
MIN_CYCLE, MIN_APOPTOSIS = 10, 5
"""Genes of each list that the data set must have."""
MOST_DEVIATION = 5.0
NO_GENES = (
    "Growth cannot be expected from genes: this data set has no genes. "
    'Learn growth from the pairing instead (growth_from = "pairing").'
)
SYMBOL_COLUMNS = ("gene_symbol", "gene_symbols", "symbol", "gene_name", "gene_names", "gene_short_name")


def prior_growth(adata: "AnnData", roles: "Roles", *, unit: str = "") -> np.ndarray:
    """Return the growth rate that each cell's genes speak for, (n_obs,) float64, per unit of time.

    g = β − δ. The birth rate β and the death rate δ, each between 0.3 and 1.7 per day, rise with the mean
    z-score of cell-cycle and of apoptosis genes along a logistic curve. Where the unit of time is not a
    length of time, the rates are per unit. With too few apoptosis genes death is taken to be the same in all
    cells (see `deaths_unknown`).

    Parameters
    ----------
    unit
        Unit of time of the data, such as "day" or "h".

    Raises
    ------
    DataError
        Too few cell-cycle genes are in the data; the message says how many of how many.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies developmental
    trajectories in reprogramming, Cell 2019 (birth and death from signatures); Klein et al., Mapping cells
    through time and space with moscot, Nature 2025 (generalised logistic, its centres and widths).
    """
    expression = log_expression(adata, roles)
    if expression is None:
        raise DataError(NO_GENES)
    names = _symbols(adata)
    cycle = _mean_z(expression, _cycle_genes(names))
    dying = _present(names, APOPTOSIS)
    death = _mean_z(expression, dying) if len(dying) >= MIN_APOPTOSIS else np.zeros(len(cycle))
    beta = _logistic(cycle, BIRTH_CENTRE, BIRTH_WIDTH)
    delta = _logistic(death, DEATH_CENTRE, DEATH_WIDTH)
    return (beta - delta) * (days_in(unit) if unit and days_in(unit) else 1.0)


def missing_genes(adata: "AnnData") -> str:
    """Say why `prior_growth` would refuse a data set, from the names of its genes; empty if it would not."""
    if adata.n_vars == 0:
        return NO_GENES
    try:
        _cycle_genes(_symbols(adata))
    except DataError as too_few:
        return str(too_few)
    return ""


def deaths_unknown(adata: "AnnData") -> str:
    """Say that death is taken to be the same in all cells, where apoptosis genes are too few; else empty."""
    n = len(_present(_symbols(adata), APOPTOSIS))
    if n >= MIN_APOPTOSIS:
        return ""
    return (
        f"Only {n} of {len(APOPTOSIS)} apoptosis genes are in this data set: death is taken to be the same "
        "in all cells, and only their divisions differ."
    )


def with_prior_growth(snapshots: "Snapshots", adata: "AnnData", roles: "Roles") -> "Snapshots":
    """Return the snapshots with the growth rate that each cell's genes speak for."""
    growth = prior_growth(adata, roles, unit=snapshots.unit)[snapshots.cells]
    growth.flags.writeable = False
    return replace(snapshots, prior_growth=growth)


def _symbols(adata: "AnnData") -> list[str]:
    """Gene symbols in upper case, from the names or from the column that holds more of the known ones."""
    known = {*S_PHASE, *G2M_PHASE, *APOPTOSIS}
    candidates = [adata.var_names, *(adata.var[key] for key in SYMBOL_COLUMNS if key in adata.var)]
    upper = [[str(name).upper() for name in names] for names in candidates]
    return max(upper, key=lambda names: len(known.intersection(names)))


def _cycle_genes(names: list[str]) -> np.ndarray:
    """Positions of the cell-cycle genes; raises DataError if they are too few."""
    wanted = S_PHASE + G2M_PHASE
    present = _present(names, wanted)
    if len(present) < MIN_CYCLE:
        raise DataError(
            f"Growth cannot be expected from genes: {len(present)} of {len(wanted)} cell-cycle genes (such "
            f"as {', '.join(wanted[:3])}) are in this data set, {MIN_CYCLE} are needed. Open the data set "
            "with all genes and with gene symbols, or learn growth from the pairing of cells."
        )
    return present


def _present(names: list[str], wanted: Sequence[str]) -> np.ndarray:
    """Positions of the wanted genes that are there."""
    place = {name: k for k, name in reversed(list(enumerate(names)))}
    found = [place.get(gene, place.get(FORMER_NAMES.get(gene, ""))) for gene in wanted]
    return np.array([k for k in found if k is not None], dtype=np.int64)


def _mean_z(expression: np.ndarray | sparse.spmatrix, columns: np.ndarray) -> np.ndarray:
    """Mean over genes of the z-score, cut at ±5; genes that do not vary count as 0."""
    part = expression.tocsc()[:, columns] if sparse.issparse(expression) else expression[:, columns]
    values = np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64)
    spread = values.std(axis=0)
    scores = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.clip(scores, -MOST_DEVIATION, MOST_DEVIATION).mean(axis=1)


def _logistic(score: np.ndarray, centre: float, width: float) -> np.ndarray:
    return SLOWEST + (FASTEST - SLOWEST) / (1 + np.exp(-4 * (score - centre) / width))
